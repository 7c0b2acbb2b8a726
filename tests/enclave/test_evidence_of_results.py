"""What a classification writes about its results: one quote, and a proof for each."""

from __future__ import annotations

import hashlib
import json
import resource
import time
from pathlib import Path

import pytest

from pytorch_common import attestation, evidence
from tests.enclave import made_up_gramine
from tests.enclave.reading import NET, answered, claims, root_of, sha256, signed_bytes

BIG = 100_000


@pytest.fixture
def enclave(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(attestation, "FOLDER", made_up_gramine.device(tmp_path / "dev"))
    return tmp_path / "dev"


@pytest.mark.parametrize("count", [1, 2, 7])
def test_each_result_is_proven_alone(count: int, tmp_path: Path, enclave: Path) -> None:
    content = {**answered(count), "backend": "sgx"}
    content["results"][-1] = {"image": "cut.jpg", "error": "not an image"}
    written = json.dumps(content).encode()
    options = {"top_k": 2, "ignore_profiles": False}
    evidence.write_classification(tmp_path, content, written, options)

    payload, what, where = claims(tmp_path)
    pem = (tmp_path / "key.pub").read_bytes()
    quote = (tmp_path / "quote.bin").read_bytes()
    bound = hashlib.sha256(signed_bytes(payload)).digest() + hashlib.sha256(pem).digest()
    assert quote == made_up_gramine.quote(bound)
    assert where["predicate"]["attributes"][0]["attribute"] == "CLASSIFIED_IN_SGX_ENCLAVE"
    assert what["subject"] == [{"name": "result.json", "digest": {"sha256": sha256(written)}}]
    assert what["predicateType"] == "urn:enclave-finetune:classification:v1"
    predicate = what["predicate"]
    assert predicate["network"] == {"name": "net.pt", "digest": {"sha256": NET}}
    assert predicate["code"] == {"name": "code", "digest": {"dirHash": "5" * 64}}
    assert predicate["options"] == options
    assert predicate["run"]["backend"] == "sgx"
    assert predicate["builder"]["version"] == {"mrenclave": made_up_gramine.MRENCLAVE.hex()}
    assert predicate["invocationId"] == sha256(pem)
    tree = predicate["results"]
    assert (tree["algorithm"], tree["treeSize"]) == ("rfc9162-sha256", count)

    lines = [json.loads(line) for line in (tmp_path / "proofs.jsonl").read_bytes().splitlines()]
    assert [line["index"] for line in lines] == list(range(count))
    for line, result in zip(lines, content["results"], strict=True):
        assert json.loads(line["leaf"]) == {**result, "network": NET}
        assert line["leaf"].isascii()
        path = [bytes.fromhex(node) for node in line["path"]]
        assert root_of(line["leaf"].encode(), line["index"], count, path).hex() == tree["rootHash"]
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        *("claims.jsonl", "dev", "key.pub", "proofs.jsonl", "quote.bin")
    ]


def test_writing_it_takes_no_time_beside_a_classification(tmp_path: Path) -> None:
    content = answered(1)
    evidence.write_classification(tmp_path, content, b"{}", {})  # imports
    started = time.process_time()
    for _ in range(20):
        evidence.write_classification(tmp_path, content, b"{}", {})
    assert (time.process_time() - started) / 20 < 0.02


def test_a_hundred_thousand_results_are_one_quote_and_little_memory(
    tmp_path: Path, enclave: Path
) -> None:
    content = {**answered(BIG), "backend": "sgx"}
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    started = time.process_time()
    evidence.write_classification(tmp_path, content, b"{}", {})
    took = time.process_time() - started
    assert took < 30
    more_mb = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1000
    assert more_mb < 60
    root = claims(tmp_path)[1]["predicate"]["results"]["rootHash"]
    lines = (tmp_path / "proofs.jsonl").read_bytes().splitlines()
    assert len(lines) == BIG
    for line in (json.loads(lines[index]) for index in (0, 65_535, 65_536, BIG - 1)):
        path = [bytes.fromhex(node) for node in line["path"]]
        assert root_of(line["leaf"].encode(), line["index"], BIG, path).hex() == root
