"""A genuine quote of real hardware, at a time within its collateral: what dcap-qvl says of it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from workflow.core.errors import WorkflowError
from workflow.core.settings import EvidenceSettings
from workflow.evidence import accepted, quotes
from workflow.evidence.collateral import read_collateral
from workflow.evidence.request import parse_moment

pytestmark = pytest.mark.real
JULY = parse_moment("2025-07-01")
MRENCLAVE = "33d8736db756ed4997e04ba358d27833188f1932ff7b1d156904d3f560452fbb"
STATUS, ADVISORIES = "ConfigurationAndSWHardeningNeeded", "INTEL-SA-00289,INTEL-SA-00615"


@pytest.fixture(scope="module")
def quote(real_data: Path) -> bytes:
    return (real_data / "attestation" / "sgx_quote").read_bytes()


@pytest.fixture(scope="module")
def collateral_file(real_data: Path) -> Path:
    return real_data / "attestation" / "sgx_quote_collateral.json"


def test_it_is_genuine_and_accepted_by_a_named_policy(quote: bytes, collateral_file: Path) -> None:
    collateral = read_collateral(collateral_file)
    genuine = quotes.verify(quote, collateral, JULY)
    assert genuine.report.mr_enclave == MRENCLAVE
    assert genuine.tcb_status == STATUS
    assert ",".join(genuine.advisories) == ADVISORIES
    quotes.check_status(quote, collateral, JULY, [STATUS])
    chosen = EvidenceSettings(mrenclave=MRENCLAVE, advisories=ADVISORIES)
    for policy in accepted.policies(chosen, "train"):
        policy.check(genuine)
    strict = accepted.policies(replace(chosen, advisories=""), "train")
    with pytest.raises(WorkflowError, match="INTEL-SA-00289, INTEL-SA-00615 not accepted"):
        for policy in strict:
            policy.check(genuine)


def test_the_strict_policy_refuses_it(quote: bytes, collateral_file: Path) -> None:
    collateral = read_collateral(collateral_file)
    with pytest.raises(WorkflowError, match=f"TCB status {STATUS} is not acceptable"):
        quotes.check_status(quote, collateral, JULY)


@pytest.mark.parametrize(("day", "error"), [("2026-11-01", "Expired"), ("2025-06-01", "future")])
def test_at_another_time_it_is_refused(
    day: str, error: str, quote: bytes, collateral_file: Path
) -> None:
    with pytest.raises(WorkflowError, match=error):
        quotes.verify(quote, read_collateral(collateral_file), parse_moment(day))


def test_the_quote_check_alone_does_not_notice_every_flip(
    quote: bytes, collateral_file: Path
) -> None:
    """Hence the statement names the quote by SHA-256, which notices all of them."""
    collateral = read_collateral(collateral_file)
    unnoticed = 0
    for at in range(len(quote)):
        flipped = quote[:at] + bytes([quote[at] ^ 1]) + quote[at + 1 :]
        try:
            quotes.verify(flipped, collateral, JULY)
            unnoticed += 1
            assert at >= 48 + 384, at  # never in what is signed
        except WorkflowError:
            pass
    assert (len(quote), unnoticed) == (4600, 872)  # as docs/evidence.md says
