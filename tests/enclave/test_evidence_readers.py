"""What others' tools say of our evidence. They are no dependency of this project: name a Python
that has them in EVIDENCE_READERS; their versions are in tests/readers.txt."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from pytorch_common import evidence
from pytorch_common.contract import IMAGE_LIMITS
from pytorch_common.files import sha256_file
from tests.enclave.reading import FILES, RECORD, answered
from workflow.core.settings import EvidenceSettings
from workflow.evidence import summary
from workflow.evidence.request import Request
from workflow.evidence.verification import verify_folder

READ = """
import base64, hashlib, json, pathlib, sys
from cryptography.hazmat.primitives import serialization
from google.protobuf import json_format
from in_toto_attestation.predicates.provenance.v1 import provenance_pb2
from in_toto_attestation.predicates.scai.v0 import scai_pb2
from in_toto_attestation.predicates.vsa.v1 import vsa_pb2
from in_toto_attestation.v1 import statement, statement_pb2
from securesystemslib.dsse import Envelope
from securesystemslib.signer import SSlibKey

PREDICATES = {
    "https://slsa.dev/provenance/v1": provenance_pb2.Provenance,
    "https://in-toto.io/attestation/scai/v0.3": scai_pb2.AttributeReport,
    "https://slsa.dev/verification_summary/v1": vsa_pb2.VerificationSummary,
}
folder = pathlib.Path(sys.argv[1])
pem = (folder / "key.pub").read_bytes()
key = SSlibKey.from_crypto(
    serialization.load_pem_public_key(pem), keyid=hashlib.sha256(pem).hexdigest()
)
for line in (folder / "claims.jsonl").read_text().splitlines():
    envelope = json.loads(line)["dsseEnvelope"]
    assert Envelope.from_dict(envelope).verify([key], 1)
    payload = base64.b64decode(envelope["payload"])
    read = json_format.Parse(payload, statement_pb2.Statement())
    statement.Statement.copy_from_pb(read).validate()
    if kind := PREDICATES.get(read.predicate_type):
        predicate = json.loads(payload)["predicate"]
        # Of a summary: ours, which SLSA admits, and a list in SLSA but one word in this package.
        for name in ("enclave-finetune", "verifiedLevels"):
            predicate.pop(name, None)
        json_format.Parse(json.dumps(predicate), kind())
    print(read.predicate_type)
"""


@pytest.fixture(scope="module")
def reader() -> str:
    if not (python := os.environ.get("EVIDENCE_READERS")):
        pytest.skip("no Python with others' tools (name it in EVIDENCE_READERS)")
    return python


def read(reader: str, folder: Path) -> list[str]:
    done = subprocess.run([reader, "-c", READ, str(folder)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def written(folder: Path) -> None:
    """Write a network with its evidence, record and history."""
    folder.mkdir()
    (folder / "net.pt").write_bytes(b"weights")
    for name, data in FILES.items():
        (folder / name).write_bytes(data)
    digests = {**RECORD["digests"], "net": sha256_file(folder / "net.pt")}
    evidence.write_training(folder, {**RECORD, "digests": digests}, IMAGE_LIMITS, FILES)


def model_signing(reader: str, folder: Path, *more: str) -> subprocess.CompletedProcess[str]:
    command = [reader, "-m", "model_signing", "verify", "key", *more]
    command += ["--public_key", str(folder / "key.pub")]
    command += ["--signature", str(folder / "model.sig"), str(folder)]
    return subprocess.run(command, capture_output=True, text=True)


def test_readers_of_dsse_and_in_toto_take_both_kinds_of_claims(reader: str, tmp_path: Path) -> None:
    scai = "https://in-toto.io/attestation/scai/v0.3"
    written(tmp_path / "train")
    assert read(reader, tmp_path / "train") == ["https://slsa.dev/provenance/v1", scai]
    evidence.write_classification(tmp_path / "infer", answered(3), b"{}", {})
    assert read(reader, tmp_path / "infer") == ["urn:enclave-finetune:classification:v1", scai]


def test_readers_of_dsse_and_in_toto_take_a_signed_verdict(reader: str, tmp_path: Path) -> None:
    written(tmp_path / "train")
    verdict = verify_folder(tmp_path / "train", Request(EvidenceSettings(), 0))
    key = ec.generate_private_key(ec.SECP256R1())
    payload = summary.statement(verdict, {}, 0, summary.key_digest(key))
    info = serialization.PublicFormat.SubjectPublicKeyInfo
    pem = key.public_key().public_bytes(serialization.Encoding.PEM, info)
    (tmp_path / "key.pub").write_bytes(pem)
    (tmp_path / "claims.jsonl").write_bytes(summary.bundle(payload, key))
    assert read(reader, tmp_path) == ["https://slsa.dev/verification_summary/v1"]


def test_model_signing_takes_the_networks_signature(reader: str, tmp_path: Path) -> None:
    folder = tmp_path / "train"
    written(folder)
    assert model_signing(reader, folder).stdout == "Verification succeeded\n"
    (folder / "run.json").write_text("{}")
    assert "Extra files" in model_signing(reader, folder).stderr
    done = model_signing(reader, folder, "--ignore_unsigned_files")
    assert done.stdout == "Verification succeeded\n"
    (folder / "net.pt").write_bytes(b"others")
    done = model_signing(reader, folder, "--ignore_unsigned_files")
    assert done.returncode == 1 and "Hash mismatch for 'net.pt'" in done.stderr
