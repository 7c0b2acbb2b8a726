"""Claims: in-toto statements in DSSE envelopes in Sigstore bundles, and the key that signed them.

docs/evidence-format.md describes them byte by byte. Pure.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from workflow.core.errors import WorkflowError
from workflow.evidence.reading import KIB, expect, members, parse_json, shown_value

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric import ec

PAYLOAD_TYPE = "application/vnd.in-toto+json"
BUNDLE_TYPE = "application/vnd.dev.sigstore.bundle.v0.3+json"
STATEMENT_TYPE = "https://in-toto.io/Statement/v1"
PROVENANCE_TYPE = "https://slsa.dev/provenance/v1"
SCAI_TYPE = "https://in-toto.io/attestation/scai/v0.3"
MODEL_SIGNATURE_TYPE = "https://model_signing/signature/v1.0"
CLASSIFICATION_TYPE = "urn:enclave-finetune:classification:v1"

CLAIMS_MOST_BYTES = 512 * KIB
KEY_MOST_BYTES = KIB
SIGNATURE_MOST_BYTES = 72
"""Of an ECDSA signature over P-256 in DER: two numbers of 33 bytes with two bytes before each and
before both."""
LINES = 2


@dataclass(frozen=True)
class Claim:
    """Hold one statement, and who is said to have signed it."""

    payload: bytes
    """The statement's own bytes: these are signed."""
    signature: bytes
    hint: str
    keyid: str
    subject: Any
    predicate_type: str
    predicate: Any

    @property
    def pae(self) -> bytes:
        """Return what the signature is over."""
        return pae(self.payload)


@dataclass(frozen=True)
class RunKey:
    """Hold the public key that a run made for itself."""

    pem: bytes
    key: ec.EllipticCurvePublicKey

    @property
    def digest(self) -> str:
        """Return the SHA-256 of the PEM file, by which the claims name the key."""
        return hashlib.sha256(self.pem).hexdigest()


def pae(payload: bytes) -> bytes:
    """Return DSSE's pre-authentication encoding. Source: secure-systems-lab/dsse, protocol.md."""
    head = f"DSSEv1 {len(PAYLOAD_TYPE)} {PAYLOAD_TYPE} {len(payload)} "
    return head.encode() + payload


def report_data(payload: bytes, pem: bytes) -> bytes:
    """Return the 64 bytes that a quote has to hold: of the statement and of the key."""
    return hashlib.sha256(pae(payload)).digest() + hashlib.sha256(pem).digest()


def parse_claims(data: bytes, what: str) -> tuple[Claim, Claim]:
    """Return the two claims of claims.jsonl: what was done, and where.

    Raises: WorkflowError naming the line.
    """
    if len(data) > CLAIMS_MOST_BYTES:
        raise WorkflowError(f"{what}: expected at most {CLAIMS_MOST_BYTES} bytes, got {len(data)}")
    lines = data.split(b"\n")
    if len(lines) != LINES + 1 or lines.pop():
        raise WorkflowError(f"{what}: expected {LINES} lines, each with a line feed at its end")
    done, where = (parse_bundle(line, f"{what}:{at}") for at, line in enumerate(lines, start=1))
    return done, where


def parse_bundle(data: bytes, what: str) -> Claim:
    """Return the claim in a Sigstore bundle.

    Raises: WorkflowError where a member is missing, too much or of another type.
    """
    content = members(
        parse_json(data, what), what, ("mediaType", "verificationMaterial", "dsseEnvelope")
    )
    expect(content["mediaType"], BUNDLE_TYPE, f"{what}: mediaType")
    material = members(content["verificationMaterial"], what, ("publicKey", "tlogEntries"))
    expect(material["tlogEntries"], [], f"{what}: tlogEntries")
    key = members(material["publicKey"], f"{what}: publicKey", ("hint",))
    envelope = members(content["dsseEnvelope"], what, ("payload", "payloadType", "signatures"))
    expect(envelope["payloadType"], PAYLOAD_TYPE, f"{what}: payloadType")
    signatures = envelope["signatures"]
    if not isinstance(signatures, list) or len(signatures) != 1:
        raise WorkflowError(f"{what}: expected exactly one signature")
    signature = members(signatures[0], f"{what}: signature", ("sig", "keyid"))
    payload = _base64(envelope["payload"], f"{what}: payload")
    statement = members(
        parse_json(payload, f"{what}: payload"),
        f"{what}: statement",
        ("_type", "subject", "predicateType", "predicate"),
    )
    expect(statement["_type"], STATEMENT_TYPE, f"{what}: _type")
    return Claim(
        payload=payload,
        signature=_base64(signature["sig"], f"{what}: sig"),
        hint=_text(key["hint"], f"{what}: hint"),
        keyid=_text(signature["keyid"], f"{what}: keyid"),
        subject=statement["subject"],
        predicate_type=_text(statement["predicateType"], f"{what}: predicateType"),
        predicate=statement["predicate"],
    )


def parse_key(pem: bytes, what: str) -> RunKey:
    """Return the public key; of all the ways to write it, only OpenSSL's own is taken.

    Raises: WorkflowError where it is no key on P-256, or written otherwise.
    """
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    if len(pem) > KEY_MOST_BYTES:
        raise WorkflowError(f"{what}: expected at most {KEY_MOST_BYTES} bytes, got {len(pem)}")
    try:
        key = serialization.load_pem_public_key(pem)
    except (ValueError, UnsupportedAlgorithm) as error:
        raise WorkflowError(f"{what}: no public key in PEM") from error
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP256R1):
        raise WorkflowError(f"{what}: expected a key on P-256")
    info = serialization.PublicFormat.SubjectPublicKeyInfo
    if key.public_bytes(serialization.Encoding.PEM, info) != pem:
        raise WorkflowError(f"{what}: the key is not written as OpenSSL writes it")
    return RunKey(pem, key)


def check_signature(claim: Claim, key: RunKey, what: str) -> None:
    """Refuse a claim that this key did not sign.

    Raises: WorkflowError naming it.
    """
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec

    if claim.hint != key.digest:
        raise WorkflowError(
            f"{what}: names another key, {shown_value(claim.hint)}, not sha256 {key.digest}"
        )
    if len(claim.signature) > SIGNATURE_MOST_BYTES:
        raise WorkflowError(f"{what}: the signature is too long")
    try:
        key.key.verify(claim.signature, claim.pae, ec.ECDSA(hashes.SHA256()))
    except InvalidSignature as error:
        raise WorkflowError(
            f"{what}: the signature is not this key's over this statement"
        ) from error


def _base64(value: Any, what: str) -> bytes:
    """Return the bytes; text that is not the one way to write them is refused."""
    try:
        data = base64.b64decode(_text(value, what), validate=True)
    except (ValueError, binascii.Error) as error:
        raise WorkflowError(f"{what}: not base64") from error
    if base64.b64encode(data).decode() != value:
        raise WorkflowError(f"{what}: not base64 as it is written")
    return data


def _text(value: Any, what: str) -> str:
    if not isinstance(value, str):
        raise WorkflowError(f"{what}: expected text, got {type(value).__name__}")
    return value
