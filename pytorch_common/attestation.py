"""What Gramine shows an enclave about itself: that it is one, which one, and quotes of it.

Source: Gramine documentation, "Attestation and Secret Provisioning"; Gramine,
libos/src/fs/dev/attestation.c.
"""

from __future__ import annotations

from pathlib import Path
from typing import Mapping

from pytorch_common.contract import BACKEND_VARIABLE
from pytorch_common.errors import RunError

FOLDER = Path("/dev/attestation")
TYPE_FILE = "attestation_type"
DCAP, NO_QUOTES = "dcap", "none"

REPORT_DATA_BYTES = 64
_REPORT_DATA_AT = 48 + 320
"""In a quote: after its header, and in the report of the enclave after all else.
Source: Intel, "SGX ECDSA QuoteLibReference DCAP API", quote format; sgx_report_body_t."""
_MRENCLAVE_BYTES = 32
"""How sgx_target_info_t begins."""


def running_backend(environ: Mapping[str, str]) -> str:
    """Return the backend that this process runs in, never a stronger one than is so.

    ``sgx`` is not taken on a variable's word: Gramine shows /dev/attestation/attestation_type in an
    enclave alone (the folder around it in direct mode too). The weaker ones differ in nothing
    that can be seen from inside, so there the caller's word stands. For somebody else it is a quote
    that proves an enclave, not this.
    """
    if (FOLDER / TYPE_FILE).exists():
        return "sgx"
    declared = environ.get(BACKEND_VARIABLE, "native")
    return declared if declared in ("native", "docker", "direct") else "unknown"


def mrenclave() -> str | None:
    """Return the measurement of this enclave in hex, as it says itself; None outside of one."""
    if not (FOLDER / TYPE_FILE).exists():
        return None
    return _read(FOLDER / "my_target_info")[:_MRENCLAVE_BYTES].hex()


def quote(report_data: bytes) -> bytes | None:
    """Return a quote over the 64 bytes, None where the enclave makes none, or there is no enclave.

    Raises: RunError where it should make one and does not.
    """
    if not (FOLDER / TYPE_FILE).exists():
        return None
    kind = _read(FOLDER / TYPE_FILE).decode("ascii", "backslashreplace").strip()
    if kind == NO_QUOTES:
        return None
    if kind != DCAP:
        raise RunError(f"{FOLDER / TYPE_FILE}: expected {DCAP} or {NO_QUOTES}, got {kind}")
    if len(report_data) != REPORT_DATA_BYTES:
        raise ValueError(f"report data of {len(report_data)} bytes")
    try:
        (FOLDER / "user_report_data").write_bytes(report_data)
    except OSError as error:
        raise _failed(FOLDER / "user_report_data", error) from error
    made = _read(FOLDER / "quote")
    if made[_REPORT_DATA_AT : _REPORT_DATA_AT + REPORT_DATA_BYTES] != report_data:
        raise RunError(f"{FOLDER / 'quote'}: {len(made)} bytes, and no quote over what was asked")
    return made


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise _failed(path, error) from error


def _failed(path: Path, error: OSError) -> RunError:
    return RunError(f"no quote: {path}: {error.strerror or error}; is AESM there? see: inv doctor")
