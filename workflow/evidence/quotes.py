"""Quotes of SGX: what stands in one, and whether it is genuine. Whether you accept it: policy.py.

Genuineness is dcap-qvl's work: the signatures from the quote up to the root, revocation, validity
at a time, the processor's TCB status. Nothing here asks a service.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from workflow.core.errors import WorkflowError
from workflow.evidence.reading import KIB

if TYPE_CHECKING:
    from dcap_qvl import QuoteClaims, QuoteCollateralV3, QuotePolicy

QUOTE_MOST_BYTES = 16 * KIB
HEADER_BYTES, REPORT_BYTES = 48, 384
QUOTE_LEAST_BYTES = HEADER_BYTES + REPORT_BYTES + 4
VERSION, SGX = 3, 0
DEBUG_FLAG = 0x02
"""In the attributes' first byte. Source: Intel SDM, volume 3D, ATTRIBUTES."""
STATUSES = (
    *("UpToDate", "SWHardeningNeeded", "ConfigurationNeeded", "ConfigurationAndSWHardeningNeeded"),
    *("OutOfDate", "OutOfDateConfigurationNeeded"),
)
"""TCB statuses that can be accepted; Revoked cannot. Source: Intel PCS API, TCBStatus."""
FEATURES = ("SMT", "DynamicPlatform", "CachedKeys")
"""What else a strict policy refuses in a platform: hyperthreading, a platform that packages may be
added to, and one whose keys Intel's registration service has cached."""

HINTS = {
    "xpired": "; the collateral is of another time: fetch it (inv collateral), or give --at TIME",
    "in the future": "; the collateral is newer than the time: give a later one, --at TIME",
    "not acceptable by policy": "; where you accept it: --accept-tcb",
    "not allowed by policy": "; where you accept it: --accept-tcb",
}
"""What can be done about some of dcap-qvl's errors, by words in them."""

T = TypeVar("T")


@dataclass(frozen=True)
class EnclaveReport:
    """Hold what a quote says of the enclave."""

    mr_enclave: str
    mr_signer: str
    isv_prod_id: int
    isv_svn: int
    attributes: bytes
    report_data: bytes

    @property
    def debug(self) -> bool:
        """Tell whether a debugger may read its memory."""
        return bool(self.attributes[0] & DEBUG_FLAG)


@dataclass(frozen=True)
class Genuine:
    """Hold what a genuine quote says of the enclave and of the processor."""

    report: EnclaveReport
    tcb_status: str
    advisories: tuple[str, ...]
    ppid: str
    """The platform's provisioning id, in hex."""
    qe_status: str
    features: tuple[str, ...]
    """Of FEATURES, those that the platform has."""
    valid_until: int
    """Seconds since 1970: until when all of the collateral is valid."""
    tcb_number: int
    """The number of Intel's TCB recovery that the collateral is of."""


def parse(quote: bytes) -> EnclaveReport:
    """Return what the quote says of the enclave, whether that is so or not.

    Source: Intel, "SGX ECDSA QuoteLibReference DCAP API", quote format; sgx_report_body_t.

    Raises: WorkflowError where it is no quote of version 3 of an SGX enclave.
    """
    if not QUOTE_LEAST_BYTES <= len(quote) <= QUOTE_MOST_BYTES:
        raise WorkflowError(
            f"quote: expected from {QUOTE_LEAST_BYTES} to {QUOTE_MOST_BYTES} bytes, got "
            f"{len(quote)}"
        )
    version, tee = _number(quote[:2]), _number(quote[4:8])
    if (version, tee) != (VERSION, SGX):
        raise WorkflowError(
            f"quote: expected version 3 of SGX, got version {version}, TEE {tee:#x}"
        )
    signed = _number(quote[QUOTE_LEAST_BYTES - 4 : QUOTE_LEAST_BYTES])
    if len(quote) != QUOTE_LEAST_BYTES + signed:
        raise WorkflowError(
            f"quote: {len(quote)} bytes, but it says that it has {QUOTE_LEAST_BYTES + signed}"
        )
    body = quote[HEADER_BYTES : HEADER_BYTES + REPORT_BYTES]
    return EnclaveReport(
        attributes=body[48:64],
        mr_enclave=body[64:96].hex(),
        mr_signer=body[128:160].hex(),
        isv_prod_id=_number(body[256:258]),
        isv_svn=_number(body[258:260]),
        report_data=body[320:384],
    )


def verify(
    quote: bytes, collateral: QuoteCollateralV3, time_s: int, root: bytes | None = None
) -> Genuine:
    """Return what the quote says, once it is known to be genuine at that time.

    ``root`` is a root certificate in DER in place of Intel's: for chains that tests make up.

    Raises: WorkflowError with what does not hold. A debug enclave and a revoked TCB are refused.
    """
    import dcap_qvl

    claimed = parse(quote)
    policy = dcap_qvl.QuotePolicy.claims_only(time_s)
    claims = json.loads(_claims(quote, collateral, time_s, policy, root).to_json())
    found = _genuine(claims)
    if found.report != claimed:
        raise WorkflowError("quote: read in two ways; it is refused")
    return found


def check_status(
    quote: bytes,
    collateral: QuoteCollateralV3,
    time_s: int,
    accepted: Iterable[str] = (),
    root: bytes | None = None,
) -> None:
    """Hold the quote to dcap-qvl's strict policy, but for what is accepted by name.

    Raises: WorkflowError with what the policy refuses.
    """
    import dcap_qvl

    policy = dcap_qvl.QuotePolicy.strict(time_s)
    for name in accepted:
        if name in STATUSES:
            policy = policy.allow_status(name)
            if name.startswith("OutOfDate"):  # as old as it is: of grace dcap-qvl gives none
                policy = policy.platform_grace_period(time_s).qe_grace_period(time_s)
        elif name == "SMT":
            policy = policy.allow_smt(True)
        elif name == "DynamicPlatform":
            policy = policy.allow_dynamic_platform(True)
        else:
            policy = policy.allow_cached_keys(True)
    _claims(quote, collateral, time_s, policy, root)


def _claims(
    quote: bytes,
    collateral: QuoteCollateralV3,
    time_s: int,
    policy: QuotePolicy,
    root: bytes | None,
) -> QuoteClaims:
    import dcap_qvl

    verifier = dcap_qvl.QuoteVerifier(root)
    return asked(lambda: verifier.verify_with_policy(quote, collateral, time_s, policy), "quote")


def asked(ask: Callable[[], T], what: str) -> T:
    """Return the library's answer; whatever it raises is one line.

    A panic of Rust is no Exception: it comes as a BaseException of pyo3.
    """
    try:
        return ask()
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:
        reason = " ".join(str(error).split()).removeprefix("Verification failed: ")
        hint = next((hint for word, hint in HINTS.items() if word in reason), "")
        raise WorkflowError(f"{what}: {reason or type(error).__name__}{hint}") from error


def _genuine(claims: dict[str, Any]) -> Genuine:
    report = claims["report"].get("SgxEnclave")
    if report is None:
        raise WorkflowError("quote: not of an SGX enclave")
    platform, pck = claims["platform"], claims["platform"]["pck"]
    names = ("smt_enabled", "dynamic_platform", "cached_keys")
    has = {feature: pck[name] == "True" for feature, name in zip(FEATURES, names, strict=True)}
    return Genuine(
        report=EnclaveReport(
            attributes=bytes.fromhex(report["attributes"]),
            mr_enclave=report["mr_enclave"],
            mr_signer=report["mr_signer"],
            isv_prod_id=report["isv_prod_id"],
            isv_svn=report["isv_svn"],
            report_data=bytes.fromhex(report["report_data"]),
        ),
        tcb_status=claims["tcb"]["status"],
        advisories=tuple(map(str, claims["tcb"]["advisory_ids"])),
        ppid=bytes(platform["pck"]["ppid"]).hex(),
        qe_status=claims["qe"]["tcb_level"]["tcbStatus"],
        features=tuple(feature for feature, is_there in has.items() if is_there),
        valid_until=min(
            claims["earliest_expiration_date"], claims["qe_iden_earliest_expiration_date"]
        ),
        tcb_number=claims["tcb"]["eval_data_number"],
    )


def _number(data: bytes) -> int:
    return int.from_bytes(data, "little")
