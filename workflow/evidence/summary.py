"""A verdict that others' tools read: SLSA's verification summary, signed with the verifier's key.

Source: slsa.dev/spec/v1.0/verification_summary.
"""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workflow.core.errors import WorkflowError
from workflow.evidence.builder import sha256_hex
from workflow.evidence.claims import BUNDLE_TYPE, PAYLOAD_TYPE, STATEMENT_TYPE, pae, parse_bundle
from workflow.evidence.reading import KIB, MIB, read_file
from workflow.evidence.request import moment
from workflow.evidence.verdict import Verdict

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric import ec

SUMMARY_TYPE = "https://slsa.dev/verification_summary/v1"
POLICY = "urn:enclave-finetune:policy:v1"
VERIFIER = "urn:enclave-finetune:verifier:"
ATTESTED, NOT_ATTESTED = "ENCLAVE_FINETUNE_SGX_ATTESTED", "ENCLAVE_FINETUNE_NOT_ATTESTED"
UNEVALUATED = "SLSA_BUILD_LEVEL_UNEVALUATED"
"""No level of SLSA is claimed: those are about build services."""
KEY_MOST_BYTES = 64 * KIB
SUMMARY_MOST_BYTES = MIB


def read_key(path: Path) -> ec.EllipticCurvePrivateKey:
    """Return the verifier's private key: P-256, in PEM, without a pass phrase.

    Raises: WorkflowError where it is none.
    """
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    make = "make one: openssl ecparam -genkey -name prime256v1 -noout -out FILE"
    try:
        key = serialization.load_pem_private_key(read_file(path, KEY_MOST_BYTES), None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise WorkflowError(
            f"{path}: no private key in PEM without a pass phrase; {make}"
        ) from error
    if not isinstance(key, ec.EllipticCurvePrivateKey) or not isinstance(key.curve, ec.SECP256R1):
        raise WorkflowError(f"{path}: expected a key on P-256; {make}")
    return key


def statement(verdict: Verdict, policy: dict[str, Any], now_s: int, key_digest: str) -> bytes:
    """Return the summary of the verdict; ``policy`` is what the verifier accepts."""
    passed = not verdict.failed
    attested = verdict.for_programs()["attested"]
    inputs = [
        {"uri": f"file:{name}", "digest": {"sha256": digest}}
        for name, digest in sorted(verdict.inputs.items())
    ]
    policy_text = json.dumps(policy, sort_keys=True).encode()
    predicate = {
        "verifier": {"id": VERIFIER + key_digest},
        "timeVerified": moment(now_s),
        "resourceUri": f"urn:enclave-finetune:{verdict.subject}:sha256:{verdict.digest}",
        "policy": {"uri": POLICY, "digest": {"sha256": sha256_hex(policy_text)}},
        "inputAttestations": inputs,
        "verificationResult": "PASSED" if passed else "FAILED",
        "verifiedLevels": [UNEVALUATED, ATTESTED if attested else NOT_ATTESTED]
        if passed
        else ["FAILED"],
        "slsaVersion": "1.0",
        "enclave-finetune": {"policy": policy, **verdict.for_programs()},
    }
    subject = [{"name": verdict.subject, "digest": {"sha256": verdict.digest}}]
    content = {
        "_type": STATEMENT_TYPE,
        "subject": subject,
        "predicateType": SUMMARY_TYPE,
        "predicate": predicate,
    }
    return json.dumps(content, sort_keys=True, separators=(",", ":")).encode()


def key_digest(key: ec.EllipticCurvePrivateKey) -> str:
    """Return the SHA-256 of the public key in PEM: by this the verifier is named."""
    from cryptography.hazmat.primitives import serialization

    info = serialization.PublicFormat.SubjectPublicKeyInfo
    return sha256_hex(key.public_key().public_bytes(serialization.Encoding.PEM, info))


def bundle(payload: bytes, key: ec.EllipticCurvePrivateKey) -> bytes:
    """Return the statement in an envelope that the key signed, in a Sigstore bundle, as a line."""
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec

    signature = key.sign(pae(payload), ec.ECDSA(hashes.SHA256()))
    digest = key_digest(key)
    signed = {"sig": base64.b64encode(signature).decode(), "keyid": digest}
    content = {
        "mediaType": BUNDLE_TYPE,
        "verificationMaterial": {"publicKey": {"hint": digest}, "tlogEntries": []},
        "dsseEnvelope": {
            "payload": base64.b64encode(payload).decode(),
            "payloadType": PAYLOAD_TYPE,
            "signatures": [signed],
        },
    }
    return json.dumps(content, sort_keys=True, separators=(",", ":")).encode() + b"\n"


def refuse_foreign(path: Path) -> None:
    """Refuse to write over what is no summary.

    Raises: WorkflowError naming the file.
    """
    if not path.exists():
        return
    try:
        lines = read_file(path, SUMMARY_MOST_BYTES).splitlines()
        found = {parse_bundle(line, str(path)).predicate_type for line in lines}
    except WorkflowError:
        found = set()
    if found != {SUMMARY_TYPE}:
        raise WorkflowError(
            f"{path}: no verification summary, so it is not written over; name another: --vsa"
        )
