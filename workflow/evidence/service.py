"""Asking a service for collateral: a PCCS, or Intel's PCS. None is asked unless a person names it.

What comes back is signed by Intel, and held against Intel's root when it is used: the service can
withhold, not forge. Source: Intel, "PCS API documentation", version 4; dcap-qvl, src/collateral.rs.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote, urlsplit

from workflow.core.console import note
from workflow.core.errors import WorkflowError, root_cause
from workflow.evidence.collateral import COLLATERAL_SCHEMA
from workflow.evidence.quotes import asked, parse
from workflow.evidence.reading import MIB, parse_json

ANSWER_MOST_BYTES = 4 * MIB
TIMEOUT_S = (10.0, 30.0)
HEADERS = {"Accept-Encoding": "identity"}
CERTIFICATION = "/sgx/certification/v4"
ROOT_CRL_HOST = ".trustedservices.intel.com"
"""Where Intel's root certificate says that its revocation list is; the PCS itself has none."""


def fetch(service: str, quote: bytes) -> bytes:
    """Return, as JSON, the collateral that belongs to the quote's processor.

    Raises: WorkflowError where no service is named, or it does not have it.
    """
    import dcap_qvl

    parse(quote)
    parsed = asked(lambda: dcap_qvl.parse_quote(quote), "quote")
    fmspc, authority = asked(lambda: (parsed.fmspc(), parsed.ca()), "quote")
    base = f"{_base(service)}{CERTIFICATION}"
    crl, headers = _ask(f"{base}/pckcrl?ca={authority}&encoding=der")
    crl_chain = _chain(headers, "SGX-PCK-CRL-Issuer-Chain")
    body, headers = _ask(f"{base}/tcb?fmspc={fmspc}")
    tcb_chain = _chain(headers, "TCB-Info-Issuer-Chain", "SGX-TCB-Info-Issuer-Chain")
    tcb, tcb_signature = _signed(body, "tcbInfo")
    body, headers = _ask(f"{base}/qe/identity?update=standard")
    qe_chain = _chain(headers, "SGX-Enclave-Identity-Issuer-Chain")
    identity, identity_signature = _signed(body, "enclaveIdentity")
    content = {
        "schema": COLLATERAL_SCHEMA,
        "pck_crl_issuer_chain": crl_chain,
        "root_ca_crl": _root_crl(base, qe_chain).hex(),
        "pck_crl": _der(crl, "pckcrl").hex(),
        "tcb_info_issuer_chain": tcb_chain,
        "tcb_info": tcb,
        "tcb_info_signature": tcb_signature,
        "qe_identity_issuer_chain": qe_chain,
        "qe_identity": identity,
        "qe_identity_signature": identity_signature,
    }
    return (json.dumps(content, indent=2) + "\n").encode()


def urls(service: str) -> list[str]:
    """Return the addresses that are asked, with the quote's values left out."""
    base = f"{_base(service)}{CERTIFICATION}"
    ends = ("pckcrl?ca=CA&encoding=der", "tcb?fmspc=FMSPC", "qe/identity?update=standard")
    return [f"{base}/{end}" for end in (*ends, "rootcacrl")]


def _base(service: str) -> str:
    if not service:
        raise WorkflowError(
            "evidence.collateral_service: none is named, and none is asked unasked; give --service "
            "URL of your PCCS, or Intel's: https://api.trustedservices.intel.com"
        )
    try:
        parts = urlsplit(service)
        is_url = parts.scheme in ("http", "https") and bool(parts.hostname) and not parts.query
        _ = parts.port
    except ValueError:
        is_url = False
    if not is_url:
        raise WorkflowError(f"evidence.collateral_service: expected an http(s) URL, got {service}")
    return service.rstrip("/").removesuffix(CERTIFICATION)


def _ask(url: str) -> tuple[bytes, Mapping[str, str]]:
    """Return body and headers of the answer; redirections are not followed."""
    import requests
    from urllib3.exceptions import HTTPError

    note(f"asking {url}")
    try:
        with requests.get(
            url, headers=HEADERS, stream=True, timeout=TIMEOUT_S, allow_redirects=False
        ) as response:
            if response.status_code != 200:
                raise WorkflowError(f"{url}: answered {response.status_code}, expected 200")
            body = b""
            while len(body) <= ANSWER_MOST_BYTES and (chunk := response.raw.read(MIB)):
                body += chunk
    except (requests.RequestException, HTTPError) as error:
        raise WorkflowError(f"{url}: {root_cause(error)}") from error
    if len(body) > ANSWER_MOST_BYTES:
        raise WorkflowError(f"{url}: expected at most {ANSWER_MOST_BYTES} bytes, got more")
    return body, response.headers


def _chain(headers: Mapping[str, str], *names: str) -> str:
    for name in names:
        if name in headers:
            return unquote(headers[name])
    raise WorkflowError(f"the service's answer has no header {names[0]}")


def _signed(body: bytes, name: str) -> tuple[str, str]:
    """Return the signed part exactly as it was signed, and its signature."""
    content = parse_json(body, name)
    is_pair = isinstance(content, dict) and isinstance(content.get(name), dict)
    if not is_pair or not isinstance(content.get("signature"), str):
        raise WorkflowError(f"{name}: expected it with a signature")
    text = body.decode()
    start = text.index("{", text.index(f'"{name}"'))
    _, end = json.JSONDecoder().raw_decode(text, start)
    return text[start:end], content["signature"]


def _root_crl(base: str, chain: str) -> bytes:
    """Return the root's revocation list: of the PCCS, else from where the root says that it is."""
    try:
        return _der(_ask(f"{base}/rootcacrl")[0], "rootcacrl")
    except WorkflowError:
        url = _distribution_point(chain)
        if not (urlsplit(url).hostname or "").endswith(ROOT_CRL_HOST):
            raise
        return _der(_ask(url)[0], "root CRL")


def _distribution_point(chain: str) -> str:
    from cryptography import x509

    try:
        root = x509.load_pem_x509_certificates(chain.encode())[-1]
        kind = x509.CRLDistributionPoints
        points: Any = root.extensions.get_extension_for_class(kind).value
        return str(next(iter(points)).full_name[0].value)
    except (ValueError, IndexError, TypeError, StopIteration, x509.ExtensionNotFound):
        return ""


def _der(data: bytes, what: str) -> bytes:
    """Return the bytes of a revocation list, which a PCCS sends in hex."""
    if data[:1] == b"\x30":
        return data
    try:
        return bytes.fromhex(data.decode("ascii"))
    except ValueError as error:
        raise WorkflowError(f"{what}: no revocation list") from error
