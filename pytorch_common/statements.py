"""What a run says about itself, in the field's formats: in-toto, DSSE, SLSA, SCAI, OMS. Pure.

docs/evidence-format.md describes all of it, with the sources. Standard library only.
"""

from __future__ import annotations

import base64
import hashlib
import json
from typing import Any, Dict, Mapping

from pytorch_common import contract

PAYLOAD_TYPE = "application/vnd.in-toto+json"
BUNDLE_TYPE = "application/vnd.dev.sigstore.bundle.v0.3+json"
STATEMENT_TYPE = "https://in-toto.io/Statement/v1"
PROVENANCE_TYPE = "https://slsa.dev/provenance/v1"
SCAI_TYPE = "https://in-toto.io/attestation/scai/v0.3"
MODEL_SIGNATURE_TYPE = "https://model_signing/signature/v1.0"
CLASSIFICATION_TYPE = "urn:enclave-finetune:classification:v1"
BUILD_TYPE = "urn:enclave-finetune:fine-tune:v1"
BUILDER = "urn:enclave-finetune:"

TRAINED = "TRAINED_IN_SGX_ENCLAVE"
CLASSIFIED = "CLASSIFIED_IN_SGX_ENCLAVE"
NOWHERE = "NOTHING_PROVES_WHERE_IT_RAN"
MEANING = "signed by a key that this run made for itself; nothing proves where it ran, or with what"

GIT_PATHS = (".git", ".gitattributes", ".github", ".gitignore")
"""What OMS leaves out of every model. Source: ossf/model-signing-spec, spec/v1.0.md, 6.2."""
BESIDE_THE_NET = (
    *(contract.CLAIMS_FILE, contract.HISTORY_FILE, contract.PUBLIC_KEY_FILE, contract.QUOTE_FILE),
    *(contract.MODEL_SIGNATURE_FILE, contract.RECORD_FILE),
)

Json = Dict[str, Any]


def sha256_hex(data: bytes) -> str:
    """Return the SHA-256 of the bytes, as 64 lower-case hex digits."""
    return hashlib.sha256(data).hexdigest()


def compact(content: Any) -> bytes:
    """Return JSON without needless spaces, in ASCII; the same content gives the same bytes."""
    return json.dumps(content, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()


def pae(payload: bytes) -> bytes:
    """Return what a DSSE signature is over. Source: secure-systems-lab/dsse, protocol.md."""
    return b"DSSEv1 %d %s %d %s" % (len(PAYLOAD_TYPE), PAYLOAD_TYPE.encode(), len(payload), payload)


def report_data(payload: bytes, public_key: bytes) -> bytes:
    """Return the 64 bytes by which a quote says: this statement is mine, and this key (in PEM)."""
    return hashlib.sha256(pae(payload)).digest() + hashlib.sha256(public_key).digest()


def bundle(payload: bytes, signature: bytes, *, hint: str, key_id: str) -> bytes:
    """Return a Sigstore bundle of the signed statement, as one line without its end."""
    signed = {"sig": base64.b64encode(signature).decode(), "keyid": key_id}
    envelope = {
        "payload": base64.b64encode(payload).decode(),
        "payloadType": PAYLOAD_TYPE,
        "signatures": [signed],
    }
    return compact(
        {
            "mediaType": BUNDLE_TYPE,
            "verificationMaterial": {"publicKey": {"hint": hint}, "tlogEntries": []},
            "dsseEnvelope": envelope,
        }
    )


def builder(backend: str, mrenclave: str | None, public_key: bytes) -> Json:
    """Return who says so: the place as the run saw it, and the key (in PEM) that it made there."""
    key = {
        **descriptor(contract.PUBLIC_KEY_FILE, sha256=sha256_hex(public_key)),
        "content": base64.b64encode(public_key).decode(),
        "mediaType": "application/x-pem-file",
    }
    version = {"version": {"mrenclave": mrenclave}} if mrenclave else {}
    return {"id": BUILDER + backend, **version, "builderDependencies": [key]}


def descriptor(name: str, **digests: str) -> Json:
    """Return the name with its digests: the ResourceDescriptor of in-toto."""
    return {"name": name, "digest": digests}


def provenance(
    record: Mapping[str, Any], limits: Json, files: Mapping[str, bytes], by: Json
) -> bytes:
    """Return the statement of how the network was made; ``files`` are what the run wrote beside it.

    ``limits`` are of the largest image that is read, ``by`` is the builder.
    """
    digests = record["digests"]
    sources = [
        descriptor("data", dirHash=digests["data"]),
        descriptor("code", dirHash=digests["code"]),
    ]
    if digests["base_weights"]:
        sources.insert(0, descriptor("base-weights", sha256=digests["base_weights"]))
    internal = {
        **place(record),
        "threads": record["settings"]["threads"],
        "image_limits": limits,
    }
    predicate = {
        "buildDefinition": {
            "buildType": BUILD_TYPE,
            "externalParameters": record["settings"],
            "internalParameters": internal,
            "resolvedDependencies": sources,
        },
        "runDetails": {
            "builder": by,
            "metadata": {"invocationId": _key_digest(by)},
            "byproducts": [
                descriptor(name, sha256=sha256_hex(data)) for name, data in files.items()
            ],
        },
    }
    return statement(net_subject(digests["net"]), PROVENANCE_TYPE, predicate)


def classification(result_sha256: str, content: Mapping[str, Any], more: Json, by: Json) -> bytes:
    """Return the statement of what was answered.

    ``content`` is that of result.json, ``more`` has the options and the root of the results.
    """
    predicate = {
        "network": descriptor(contract.NET_FILE, sha256=content["digests"]["net"]),
        "code": descriptor("code", dirHash=content["digests"]["code"]),
        "run": place(content),
        **more,
        "builder": by,
        "invocationId": _key_digest(by),
    }
    subject = [descriptor(contract.RESULT_JSON_FILE, sha256=result_sha256)]
    return statement(subject, CLASSIFICATION_TYPE, predicate)


def placement(subject: list[Json], attribute: str, quote: bytes | None, by: Json) -> bytes:
    """Return the statement of where it ran: the quote by its digest, or that there is none."""
    if quote is None:
        said: Json = {"attribute": NOWHERE, "conditions": {"quote": "none", "meaning": MEANING}}
    else:
        evidence = descriptor(contract.QUOTE_FILE, sha256=sha256_hex(quote))
        evidence["mediaType"] = "application/x.sgx.dcap.quote"
        said = {"attribute": attribute, "conditions": {"quote": "dcap"}, "evidence": evidence}
    producer = {
        "uri": by["id"],
        **descriptor(contract.PUBLIC_KEY_FILE, sha256=_key_digest(by)),
    }
    return statement(subject, SCAI_TYPE, {"attributes": [said], "producer": producer})


def model_signature(net_sha256: str) -> bytes:
    """Return the statement that OMS tools read: the network by its digest, and no other file."""
    root = sha256_hex(bytes.fromhex(net_sha256))
    resource = {"name": contract.NET_FILE, "algorithm": "sha256", "digest": net_sha256}
    serialization = {
        "method": "files",
        "hash_type": "sha256",
        "allow_symlinks": False,
        "ignore_paths": sorted([*GIT_PATHS, *BESIDE_THE_NET]),
    }
    predicate = {"resources": [resource], "serialization": serialization}
    return statement([descriptor(contract.NET_FILE, sha256=root)], MODEL_SIGNATURE_TYPE, predicate)


def net_subject(net_sha256: str) -> list[Json]:
    """Return the subject of a statement about a network."""
    return [descriptor(contract.NET_FILE, sha256=net_sha256)]


def statement(subject: list[Json], predicate_type: str, predicate: Json) -> bytes:
    """Return the bytes of an in-toto statement: those are signed, and nobody makes them again."""
    return compact(
        {
            "_type": STATEMENT_TYPE,
            "subject": subject,
            "predicateType": predicate_type,
            "predicate": predicate,
        }
    )


def place(facts: Mapping[str, Any]) -> Json:
    """Return where and on what it ran, out of a record or a result."""
    names = ("backend", "protected_from_host", "insecure", "versions")
    return {name: facts[name] for name in names if name in facts}


def _key_digest(by: Json) -> str:
    return str(by["builderDependencies"][0]["digest"]["sha256"])
