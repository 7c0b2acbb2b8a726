"""Collateral: what Intel says of processors and of its quoting enclave, in a file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from workflow.core.errors import WorkflowError
from workflow.evidence.quotes import asked
from workflow.evidence.reading import MIB, parse_json, read_file

if TYPE_CHECKING:
    from dcap_qvl import QuoteCollateralV3

COLLATERAL_SCHEMA = "enclave-finetune/collateral/1"
"""What inv collateral writes into its file, by which it knows it again; others' files lack it."""
COLLATERAL_MOST_BYTES = 8 * MIB
MEMBERS = (
    *("pck_crl_issuer_chain", "root_ca_crl", "pck_crl"),
    *("tcb_info_issuer_chain", "tcb_info", "tcb_info_signature"),
    *("qe_identity_issuer_chain", "qe_identity", "qe_identity_signature"),
)
HEX_MEMBERS = ("root_ca_crl", "pck_crl", "tcb_info_signature", "qe_identity_signature")


def read_collateral(path: Path) -> QuoteCollateralV3:
    """Return the collateral in the file.

    Raises: WorkflowError where it is missing or none.
    """
    if not path.exists():
        raise WorkflowError(f"{path} is missing; run: inv collateral, or give --collateral FILE")
    return parse_collateral(read_file(path, COLLATERAL_MOST_BYTES), path.name)


def parse_collateral(data: bytes, what: str) -> QuoteCollateralV3:
    """Return the collateral: what Intel says of processors, to be held against quotes.

    Raises: WorkflowError where it is none.
    """
    content = parse_json(data, what)
    if not isinstance(content, dict):
        raise WorkflowError(f"{what}: expected an object")
    for name in MEMBERS:
        value = content.get(name)
        if not isinstance(value, str) or (name in HEX_MEMBERS and not _is_hex(value)):
            raise WorkflowError(f"{what}: no usable {name}; run: inv collateral")
    # In JSON within JSON a name that stands twice is refused too.
    for name in ("tcb_info", "qe_identity"):
        parse_json(content[name].encode(), f"{what}: {name}")
    import dcap_qvl

    known = {name: content[name] for name in MEMBERS}
    chain = content.get("pck_certificate_chain")
    text = json.dumps({**known, "pck_certificate_chain": chain} if chain else known)
    return asked(lambda: dcap_qvl.QuoteCollateralV3.from_json(text), what)


def _is_hex(text: str) -> bool:
    try:
        return len(bytes.fromhex(text)) > 0 and text.isalnum()
    except ValueError:
        return False
