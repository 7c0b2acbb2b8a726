"""Bad samples of a training's evidence: each with the check and the words that must refuse it."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tests.evidence import made_up_chain as chain
from tests.evidence.judging import BOTH
from tests.evidence.made_up_chain import Enclave
from tests.evidence.made_up_run import Run
from workflow.core.settings import EvidenceSettings
from workflow.evidence.claims import report_data
from workflow.evidence.quotes import STATUSES


def edit(name: str, change: Callable[[bytes], bytes]) -> Callable[[Path], None]:
    return lambda folder: (folder / name).write_bytes(change((folder / name).read_bytes())) and None


def flip(at: int) -> Callable[[bytes], bytes]:
    return lambda data: data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


def swap_lines(data: bytes) -> bytes:
    return b"".join(reversed(data.splitlines(keepends=True)))


def of_another_run(name: str, **more: Any) -> Callable[[Path], None]:
    """Put a file of another run in this one's place."""

    def change(folder: Path) -> None:
        other = Run(folder.with_name("other"), **{"key": "other", **more}).train()
        (folder / name).write_bytes((other / name).read_bytes())

    return change


def set_in(*keys: str | int, value: Any) -> Callable[[Any], Any]:
    def change(content: Any) -> Any:
        content = json.loads(json.dumps(content))
        inner = content
        for key in keys[:-1]:
            inner = inner[key]
        inner[keys[-1]] = value
        return content

    return change


def no_files(folder: Path) -> None:
    """Leave what was written as it is."""


@dataclass(frozen=True)
class Bad:
    """One bad sample, and the check and words that must refuse it."""

    name: str
    check: str
    error: str
    damage: Callable[[Path], None] = no_files
    run: Callable[[Path], Run] = Run
    collateral: dict[str, str] | None = None
    chosen: EvidenceSettings = BOTH
    time_s: int = chain.NOW


def run(**more: Any) -> Callable[[Path], Run]:
    return lambda folder: Run(folder, **more)


PREDICATE = ("predicate", "buildDefinition")
SAMPLES = [
    Bad("debug", "genuine", "Debug mode is enabled", run=run(enclave=Enclave(debug=True))),
    Bad("expired", "genuine", "Expired", time_s=chain.NOW + 40 * chain.DAY),
    Bad("too early", "genuine", "issue date is in the future", time_s=chain.NOW - 9 * chain.DAY),
    Bad(
        "revoked PCK",
        "genuine",
        "Failed to verify certificate chain",
        collateral=chain.collateral(revoked=(chain.PCK_SERIAL,)),
    ),
    Bad("revoked CA", "genuine", "CertRevoked", collateral=chain.collateral(revoked_ca=(1,))),
    Bad("revoked TCB", "genuine", "Revoked", collateral=chain.collateral("Revoked")),
    Bad("QE revoked", "genuine", "Revoked", collateral=chain.collateral(qe_status="Revoked")),
    *(
        Bad(f"TCB {status}", "TCB status", status, collateral=chain.collateral(status))
        for status in STATUSES[1:]
    ),
    Bad(
        "QE OutOfDate",
        "TCB status",
        "OutOfDate",
        collateral=chain.collateral(qe_status="OutOfDate"),
    ),
    *(
        Bad(name, "TCB status", error, run=run(enclave=Enclave(features=(name,))))
        for name, error in (("SMT", "SMT"), ("DynamicPlatform", "ynamic"), ("CachedKeys", "ached"))
    ),
    Bad(
        "advisory",
        "advisories",
        "INTEL-SA-00999 not accepted; where you do: --advisories",
        collateral=chain.collateral(advisories=["INTEL-SA-00999"]),
    ),
    Bad(
        "other MRENCLAVE",
        "MRENCLAVE",
        f"expected {chain.MRENCLAVE}, got {'03' * 32}",
        run=run(enclave=Enclave(mrenclave="03" * 32), claimed="03" * 32),
    ),
    Bad(
        "MRENCLAVE claimed",
        "report data",
        "MRENCLAVE of the quote and of the claim",
        run=run(enclave=Enclave(mrenclave="03" * 32)),
    ),
    Bad("other signer", "MRSIGNER", "got 0404", run=run(enclave=Enclave(mrsigner="04" * 32))),
    Bad("other product", "product id", "expected 2, got 1", chosen=replace(BOTH, isv_prod_id=2)),
    Bad(
        "old version",
        "security version",
        "expected 2 or more, got 1",
        chosen=replace(BOTH, isv_svn=2),
    ),
    Bad("nothing accepted", "accepted enclave", "nothing says which", chosen=EvidenceSettings()),
    Bad(
        "report data, statement half",
        "report data",
        "the quote is over another statement",
        run=run(report_data=lambda payload, pem: flip(0)(report_data(payload, pem))),
    ),
    Bad(
        "report data, key half",
        "report data",
        "the quote is over another key",
        run=run(report_data=lambda payload, pem: flip(63)(report_data(payload, pem))),
    ),
    Bad("quote of another run", "place", "quote.bin: sha256", of_another_run("quote.bin")),
    Bad("quote bit", "place", "quote.bin: sha256", edit("quote.bin", flip(700))),
    Bad("quote truncated", "place", "quote.bin: sha256", edit("quote.bin", lambda d: d[:600])),
    Bad("quote oversized", "place", "at most 16384 bytes", edit("quote.bin", lambda d: d * 9)),
    Bad("quote gone", "place", "is missing", lambda folder: (folder / "quote.bin").unlink()),
    Bad("no collateral", "genuine", "inv collateral", lambda f: (f / "collateral.json").unlink()),
    Bad("collateral damaged", "genuine", "not JSON", edit("collateral.json", lambda d: d[:90])),
    Bad("other key", "signatures", "names another key", of_another_run("key.pub")),
    Bad("other claims", "signatures", "names another key", of_another_run("claims.jsonl")),
    Bad("claims order", "provenance", "predicateType", edit("claims.jsonl", swap_lines)),
    Bad("one claim", "signatures", "expected 2 lines", edit("claims.jsonl", lambda d: d[:-1])),
    Bad("claims huge", "signatures", "at most", edit("claims.jsonl", lambda d: d * 200)),
    Bad(
        "deep JSON",
        "signatures",
        "more than 32 levels",
        edit("claims.jsonl", lambda d: b"[" * 50_000 + b"]" * 50_000 + b"\n{}\n"),
    ),
    Bad(
        "levels",
        "signatures",
        "levels",
        edit("claims.jsonl", lambda d: b"[" * 40 + b"]" * 40 + b"\n{}\n"),
    ),
    Bad(
        "doubled name",
        "signatures",
        "twice",
        edit("claims.jsonl", lambda d: b'{"a":1,"a":1}\n{}\n'),
    ),
    Bad(
        "long number",
        "signatures",
        "not JSON",
        edit("claims.jsonl", lambda d: b"1" * 9999 + b"\n{}\n"),
    ),
    Bad("not UTF-8", "signatures", "not JSON", edit("claims.jsonl", lambda d: b"\xff\n\xff\n")),
    Bad("no numbers", "signatures", "not JSON", edit("claims.jsonl", lambda d: b"NaN\n1e999\n")),
    Bad("model.sig of another", "model.sig", "another key", of_another_run("model.sig")),
    Bad(
        "model.sig of another network",
        "model.sig",
        "model.sig: resources",
        of_another_run("model.sig", key="run", net=b"other"),
    ),
    Bad("other net.pt", "net.pt", "sha256", edit("net.pt", lambda d: b"other")),
    Bad("record bit", "record, history", "record.json: sha256", edit("record.json", flip(40))),
    Bad("history bit", "record, history", "history.json: sha256", edit("history.json", flip(2))),
    Bad(
        "statement that contradicts the record",
        "record, history",
        "record.json: digests",
        run=run(
            change=set_in(
                *PREDICATE, "resolvedDependencies", 1, "digest", "dirHash", value="e" * 64
            )
        ),
    ),
    Bad(
        "unknown member",
        "provenance",
        "unknown member 'more'",
        run=run(change=set_in("predicate", "more", value=1)),
    ),
    Bad(
        "insecure enclave",
        "provenance",
        "protected_from_host",
        run=run(
            change=set_in(*PREDICATE, "internalParameters", "insecure", value=["debug-enclave"])
        ),
    ),
    Bad(
        "place of another run",
        "place",
        "claim 2: subject",
        run=run(change_place=set_in("subject", value=[])),
    ),
    Bad(
        "quote denied",
        "place",
        "is here, but the statement says that there is none",
        lambda folder: (folder / "quote.bin").write_bytes(b"x") and None,
        run=run(backend="native"),
        chosen=EvidenceSettings(),
    ),
    Bad(
        "no quote where one is asked for",
        "accepted enclave",
        "there is no quote to hold it against",
        run=run(backend="native"),
    ),
]
