"""The checks on a quote: bound to the claims, genuine, accepted; in this order, a row each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from workflow.core.errors import WorkflowError
from workflow.core.values import EvidenceSettings
from workflow.evidence import accepted, lock, quotes
from workflow.evidence.builder import Builder
from workflow.evidence.claims import Claim, RunKey, report_data
from workflow.evidence.collateral import read_collateral
from workflow.evidence.policy import Asked, Policy
from workflow.evidence.quotes import Genuine
from workflow.evidence.reading import expect
from workflow.evidence.request import Request, moment
from workflow.evidence.verdict import Verdict


@dataclass(frozen=True)
class Quoted:
    """Hold a quote and what it should be bound to."""

    quote: bytes
    done: Claim
    key: RunKey
    builder: Builder
    role: str
    """train or infer: which of the lock's enclaves is accepted."""


def verify_quote(folder: Path, request: Request, verdict: Verdict, quoted: Quoted) -> None:
    """Check the quote and put down whether it bears out where the run says that it ran."""
    verdict.check(
        "report data",
        "the enclave of the quote made this very statement, and holds this key",
        lambda: check_binding(quoted),
    )
    path = request.collateral_of(folder)
    genuine = verdict.check(
        "genuine",
        f"an SGX processor, not revoked, made the quote; certificates valid at "
        f"{moment(request.time_s)}",
        lambda: _genuine(path, request, quoted.quote),
    )
    if genuine is None:
        verdict.leave_out("accepted", "only a genuine quote is held against what you accept")
    else:
        _accept(path, request, verdict, quoted, genuine)
    _leave_out(request, verdict, genuine)
    verdict.is_attested = not verdict.failed


def check_binding(quoted: Quoted) -> None:
    """Refuse a quote that is not over this statement and this key, or is of another enclave.

    Raises: WorkflowError naming which half differs.
    """
    report = quotes.parse(quoted.quote)
    expected = report_data(quoted.done.payload, quoted.key.pem)
    halves = {"statement": slice(0, 32), "key": slice(32, 64)}
    for name, half in halves.items():
        if report.report_data[half] != expected[half]:
            raise WorkflowError(
                f"the quote is over another {name}: expected {expected[half].hex()}, got "
                f"{report.report_data[half].hex()}"
            )
    expect(report.mr_enclave, quoted.builder.mrenclave, "MRENCLAVE of the quote and of the claim")


def _genuine(path: Path, request: Request, quote: bytes) -> Genuine:
    return quotes.verify(quote, read_collateral(path), request.time_s, request.root)


def _accept(
    path: Path, request: Request, verdict: Verdict, quoted: Quoted, genuine: Genuine
) -> None:
    chosen = request.chosen
    policies = verdict.check(
        "what you accept",
        "read out of the settings, the flags and the lock",
        lambda: [_tcb(path, request, quoted), *accepted.policies(chosen, quoted.role)],
    )
    for policy in policies or []:
        verdict.check(policy.name, policy.means, _asks(policy, genuine))
    if policies is not None and not accepted.names_an_enclave(chosen):
        verdict.check("accepted enclave", "", lambda: _refuse_any(genuine))


def _asks(policy: Policy, genuine: Genuine) -> Callable[[], str]:
    return lambda: policy.check(genuine)


def _tcb(path: Path, request: Request, quoted: Quoted) -> Policy:
    """Return the policy about the processor's own state: dcap-qvl's strict one."""
    words = accepted.accepted_tcb(request.chosen)

    def ask() -> None:
        collateral = read_collateral(path)
        quotes.check_status(quoted.quote, collateral, request.time_s, words, request.root)

    return Asked(
        "TCB status",
        "the processor's microcode and settings are as new and as strict as you ask",
        ask,
        lambda genuine: genuine.tcb_status,
    )


def _refuse_any(genuine: Genuine) -> str:
    raise WorkflowError(
        f"nothing says which enclave you accept, and anyone can make one; it is MRENCLAVE "
        f"{genuine.report.mr_enclave}: compare with inv info of your own build, then give "
        "--mrenclave or --lock"
    )


def _leave_out(request: Request, verdict: Verdict, genuine: Genuine | None) -> None:
    if request.root is not None:
        verdict.root_is_own = True
        why = "the chain ends at a root of your own, not at Intel's: it proves nothing of hardware"
        verdict.leave_out("Intel's root", why)
    until = f", valid until {moment(genuine.valid_until)}" if genuine else ""
    verdict.leave_out(
        "later revocation", f"only what the collateral knows counts{until}; for later news fetch it"
    )
    verdict.leave_out(
        "source of MRENCLAVE",
        "that it measures the source which you read: inv reproduce",
    )
    if request.chosen.mrsigner and not (request.chosen.mrenclave or lock.lock_path(request.chosen)):
        verdict.leave_out(
            "MRENCLAVE", "any program of the accepted signer passes: give --mrenclave"
        )
    if not request.chosen.ppids:
        machine = f"; this one's PPID is {genuine.ppid}" if genuine else ""
        verdict.leave_out(
            "machine",
            "whether somebody opened the machine: an interposer on its memory makes genuine quotes "
            f"for what it likes; give the machines that you trust: --ppid{machine}",
        )


def refuse_without_quote(verdict: Verdict, chosen: EvidenceSettings) -> None:
    """Put down a failure where the verifier asked for what a quote alone can show."""
    if not accepted.demands_a_quote(chosen):
        return

    def look() -> None:
        raise WorkflowError("you named what to accept, but there is no quote to hold it against")

    verdict.check("accepted enclave", "", look)
