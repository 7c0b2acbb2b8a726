"""Made-up evidence of a training and of a classification, written here and not by the enclave side.

So the verifier is held to the documented format, not to the writer's code.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from tests.evidence import made_up_chain
from tests.evidence.made_up_chain import Enclave
from tests.evidence.made_up_tree import path, tree_hash

Json = dict[str, Any]
PAYLOAD_TYPE = "application/vnd.in-toto+json"
NET = b"made-up weights"
SETTINGS = {
    **{"arch": "resnet18", "method": "full", "epochs": 2, "batch_size": 8},
    **{"learning_rate": 0.001, "momentum": 0.9, "seed": 0, "threads": 2, "portable": 0},
}
VERSIONS = {"python": "3.11.2", "platform": "Linux x86_64", "torch": "2.13.0"}
IMAGE_LIMITS = {"file_mb": 200, "megapixels": 64, "side": 100000}
RESULTS = [
    {"image": f"{n}.jpg", "sha256": f"{n:064x}", "label": "bees", "probability": 0.5, "top": []}
    for n in range(5)
]


def sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def compact(content: Any) -> bytes:
    return json.dumps(content, sort_keys=True, separators=(",", ":")).encode()


def pae(payload: bytes) -> bytes:
    return f"DSSEv1 {len(PAYLOAD_TYPE)} {PAYLOAD_TYPE} {len(payload)} ".encode() + payload


def unchanged(content: Any) -> Any:
    return content


@dataclass
class Run:
    """Say what a run writes, and what is wrong with it."""

    folder: Path
    backend: str = "sgx"
    key: str = "run"
    enclave: Enclave = field(default_factory=Enclave)
    claimed: str = made_up_chain.MRENCLAVE
    """MRENCLAVE as the run itself says it."""
    net: bytes = NET
    change: Callable[[Any], Any] = unchanged
    """What is done to the first statement before it is signed."""
    change_place: Callable[[Any], Any] = unchanged
    """And to the second."""
    report_data: Callable[[bytes, bytes], bytes] | None = None
    """Report data out of payload and key, where they are others than they should be."""

    @property
    def pem(self) -> bytes:
        info = serialization.PublicFormat.SubjectPublicKeyInfo
        public = made_up_chain.key(self.key).public_key()
        return public.public_bytes(serialization.Encoding.PEM, info)

    def bundle(self, payload: bytes, keyid: str) -> bytes:
        algorithm = ec.ECDSA(hashes.SHA256(), deterministic_signing=True)
        signature = made_up_chain.key(self.key).sign(pae(payload), algorithm)
        signed = {"sig": base64.b64encode(signature).decode(), "keyid": keyid}
        return compact(
            {
                "mediaType": "application/vnd.dev.sigstore.bundle.v0.3+json",
                "verificationMaterial": {"publicKey": {"hint": sha(self.pem)}, "tlogEntries": []},
                "dsseEnvelope": {
                    "payload": base64.b64encode(payload).decode(),
                    "payloadType": PAYLOAD_TYPE,
                    "signatures": [signed],
                },
            }
        )

    def builder(self) -> Json:
        own = {
            "name": "key.pub",
            "digest": {"sha256": sha(self.pem)},
            "content": base64.b64encode(self.pem).decode(),
            "mediaType": "application/x-pem-file",
        }
        version = {"version": {"mrenclave": self.claimed}} if self.backend == "sgx" else {}
        uri = f"urn:enclave-finetune:{self.backend}"
        return {"id": uri, **version, "builderDependencies": [own]}

    def facts(self) -> Json:
        is_sgx = self.backend == "sgx"
        return {"backend": self.backend, "protected_from_host": is_sgx, "versions": VERSIONS}

    def write(self, name: str, data: bytes) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / name).write_bytes(data)

    def write_claims(self, first: Json, attribute: str, collateral: Json | None = None) -> None:
        payload = compact(self.change(first))
        subject = first["subject"]
        producer = {"uri": self.builder()["id"], "name": "key.pub"}
        said: Json = {
            "attribute": "NOTHING_PROVES_WHERE_IT_RAN",
            "conditions": {"quote": "none", "meaning": "made up"},
        }
        if self.backend == "sgx":
            data = hashlib.sha256(pae(payload)).digest() + hashlib.sha256(self.pem).digest()
            if self.report_data:
                data = self.report_data(payload, self.pem)
            quote = made_up_chain.quote(data, self.enclave)
            self.write("quote.bin", quote)
            made = collateral or made_up_chain.collateral()
            self.write("collateral.json", json.dumps(made).encode())
            kind = "application/x.sgx.dcap.quote"
            evidence = {"name": "quote.bin", "digest": {"sha256": sha(quote)}, "mediaType": kind}
            said = {"attribute": attribute, "conditions": {"quote": "dcap"}, "evidence": evidence}
        placement = {
            "_type": "https://in-toto.io/Statement/v1",
            "subject": subject,
            "predicateType": "https://in-toto.io/attestation/scai/v0.3",
            "predicate": {
                "attributes": [said],
                "producer": {**producer, "digest": {"sha256": sha(self.pem)}},
            },
        }
        lines = [payload, compact(self.change_place(placement))]
        own = sha(self.pem)
        self.write("claims.jsonl", b"".join(self.bundle(line, own) + b"\n" for line in lines))
        self.write("key.pub", self.pem)

    def train(self, collateral: Json | None = None) -> Path:
        """Write the evidence of a training and return its folder."""
        digests = {"base_weights": "a" * 64, "data": "b" * 64, "code": "c" * 64}
        digests["net"] = sha(self.net)
        record = {**self.facts(), "schema": "enclave-finetune/record/1", "settings": SETTINGS}
        record = {**record, "digests": digests, "classes": ["ants", "bees"], "metrics": {}}
        files = {"history.json": b'{"epochs": []}', "record.json": json.dumps(record).encode()}
        for name, data in {**files, "net.pt": self.net}.items():
            self.write(name, data)
        first = {
            "_type": "https://in-toto.io/Statement/v1",
            "subject": [{"name": "net.pt", "digest": {"sha256": digests["net"]}}],
            "predicateType": "https://slsa.dev/provenance/v1",
            "predicate": {
                "buildDefinition": self.definition(),
                "runDetails": {
                    "builder": self.builder(),
                    "metadata": {"invocationId": sha(self.pem)},
                    "byproducts": [
                        {"name": name, "digest": {"sha256": sha(data)}}
                        for name, data in files.items()
                    ],
                },
            },
        }
        self.write_claims(first, "TRAINED_IN_SGX_ENCLAVE", collateral)
        self.write("model.sig", self.bundle(compact(self.model()), "") + b"\n")
        return self.folder

    def definition(self) -> Json:
        threads, limits = SETTINGS["threads"], IMAGE_LIMITS
        return {
            "buildType": "urn:enclave-finetune:fine-tune:v1",
            "externalParameters": SETTINGS,
            "internalParameters": {**self.facts(), "threads": threads, "image_limits": limits},
            "resolvedDependencies": [
                {"name": "base-weights", "digest": {"sha256": "a" * 64}},
                {"name": "data", "digest": {"dirHash": "b" * 64}},
                {"name": "code", "digest": {"dirHash": "c" * 64}},
            ],
        }

    def model(self) -> Json:
        digest = sha(self.net)
        return {
            "_type": "https://in-toto.io/Statement/v1",
            "subject": [{"name": "net.pt", "digest": {"sha256": sha(bytes.fromhex(digest))}}],
            "predicateType": "https://model_signing/signature/v1.0",
            "predicate": {
                "resources": [{"name": "net.pt", "algorithm": "sha256", "digest": digest}],
                "serialization": {"method": "files", "hash_type": "sha256"},
            },
        }

    def classify(self, results: list[Json] | None = None) -> Path:
        """Write the evidence of a classification and return its folder."""
        results = RESULTS if results is None else results
        network, code = sha(self.net), "d" * 64
        content = {**self.facts(), "schema": "enclave-finetune/result/1", "results": results}
        content["digests"] = {"net": network, "code": code}
        result = json.dumps(content).encode()
        self.write("result.json", result)
        leaves = [compact({**each, "network": network}) for each in results]
        proofs = [
            {"index": n, "leaf": leaf.decode(), "path": [h.hex() for h in path(leaves, n)]}
            for n, leaf in enumerate(leaves)
        ]
        self.write("proofs.jsonl", b"".join(compact(proof) + b"\n" for proof in proofs))
        tree = {"algorithm": "rfc9162-sha256", "treeSize": len(leaves)}
        first = {
            "_type": "https://in-toto.io/Statement/v1",
            "subject": [{"name": "result.json", "digest": {"sha256": sha(result)}}],
            "predicateType": "urn:enclave-finetune:classification:v1",
            "predicate": {
                "network": {"name": "net.pt", "digest": {"sha256": network}},
                "code": {"name": "code", "digest": {"dirHash": code}},
                "options": {
                    **{"top_k": 5, "ignore_profiles": False, "threads": 2},
                    "image_limits": IMAGE_LIMITS,
                },
                "run": self.facts(),
                "results": {**tree, "rootHash": tree_hash(leaves).hex()},
                "builder": self.builder(),
                "invocationId": sha(self.pem),
            },
        }
        self.write_claims(first, "CLASSIFIED_IN_SGX_ENCLAVE")
        return self.folder
