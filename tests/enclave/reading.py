"""Reads evidence as docs/evidence-format.md describes it, by none of the code that writes it."""

from __future__ import annotations

import base64
import hashlib
import json
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

TYPE = "application/vnd.in-toto+json"

NET = "ab" * 32
RECORD: dict[str, Any] = {
    "schema": "enclave-finetune/record/1",
    "backend": "native",
    "protected_from_host": False,
    "versions": {"python": "3.11.2", "torch": "2.13.0+cpu"},
    "settings": {"arch": "resnet18", "learning_rate": 0.001, "threads": 2},
    "digests": {"base_weights": "1" * 64, "data": "2" * 64, "code": "3" * 64, "net": NET},
}
FILES = {"history.json": b"{}\n", "record.json": b'{"a": 1}\n'}


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def signed_bytes(payload: bytes) -> bytes:
    """Return the PAE, put together from the text of DSSE's protocol.md."""
    return f"DSSEv1 {len(TYPE)} {TYPE} {len(payload)} ".encode("ascii") + payload


def opened(line: bytes, pem: bytes) -> tuple[bytes, Any]:
    """Return payload and statement of a bundle whose signature holds; nothing more is in it."""
    bundle = json.loads(line)
    assert sorted(bundle) == ["dsseEnvelope", "mediaType", "verificationMaterial"]
    assert bundle["mediaType"] == "application/vnd.dev.sigstore.bundle.v0.3+json"
    assert bundle["verificationMaterial"] == {"publicKey": {"hint": sha256(pem)}, "tlogEntries": []}
    envelope = bundle["dsseEnvelope"]
    assert sorted(envelope) == ["payload", "payloadType", "signatures"]
    assert envelope["payloadType"] == TYPE
    ((signature),) = envelope["signatures"]
    assert sorted(signature) == ["keyid", "sig"]
    payload = base64.b64decode(envelope["payload"], validate=True)
    key = serialization.load_pem_public_key(pem)
    assert isinstance(key, ec.EllipticCurvePublicKey) and key.curve.name == "secp256r1"
    sig = base64.b64decode(signature["sig"], validate=True)
    key.verify(sig, signed_bytes(payload), ec.ECDSA(hashes.SHA256()))
    statement = json.loads(payload)
    assert sorted(statement) == ["_type", "predicate", "predicateType", "subject"]
    assert statement["_type"] == "https://in-toto.io/Statement/v1"
    return payload, statement


def claims(folder: Path) -> tuple[bytes, Any, Any]:
    """Return the first line's payload, and both statements."""
    pem = (folder / "key.pub").read_bytes()
    data = (folder / "claims.jsonl").read_bytes()
    assert data.endswith(b"\n") and data.count(b"\n") == 2
    first, second = data.splitlines()
    payload, what = opened(first, pem)
    _, where = opened(second, pem)
    assert where["subject"] == what["subject"]
    assert where["predicateType"] == "https://in-toto.io/attestation/scai/v0.3"
    return payload, what, where


def root_of(leaf: bytes, index: int, size: int, path: list[bytes]) -> bytes:
    """Return the root hash that the audit path leads to. Source: RFC 9162, 2.1.3.2."""
    node, last = hashlib.sha256(b"\0" + leaf).digest(), size - 1
    for beside in path:
        assert last > 0, "a path too long"
        if index & 1 or index == last:
            node = hashlib.sha256(b"\1" + beside + node).digest()
            while not index & 1 and index:
                index, last = index >> 1, last >> 1
        else:
            node = hashlib.sha256(b"\1" + node + beside).digest()
        index, last = index >> 1, last >> 1
    assert last == 0, "a path too short"
    return node


def answered(count: int) -> dict[str, Any]:
    top = [{"label": "bees", "probability": 0.9}, {"label": "änts", "probability": 0.1}]
    result = {"sha256": "4" * 64, **top[0], "top": top}
    results = [{"image": f"in/{number}.jpg", **result} for number in range(count)]
    return {**RECORD, "digests": {"net": NET, "code": "5" * 64}, "results": results}
