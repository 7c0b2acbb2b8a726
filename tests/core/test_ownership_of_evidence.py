"""Evidence is a task's where its claims are; a person's signatures and keys are a person's."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytorch_common import evidence
from pytorch_common.contract import IMAGE_LIMITS
from tests.enclave.reading import FILES, RECORD, answered
from workflow.core.ownership import is_ours

EVIDENCE = ("key.pub", "model.sig", "proofs.jsonl", "quote.bin")


def test_what_a_run_wrote_about_itself_is_known_by_its_claims(tmp_path: Path) -> None:
    evidence.write_training(tmp_path / "train", RECORD, IMAGE_LIMITS, FILES)
    evidence.write_classification(tmp_path / "infer", answered(3), b"{}", {})
    for name in ("train", "infer"):
        files = list((tmp_path / name).iterdir())
        assert len(files) == 3 and all(is_ours(path) for path in files)
        assert not is_ours(tmp_path / name / "quote.bin")  # there is none


@pytest.mark.parametrize(
    "claims",
    [
        None,
        b"not JSON\n",
        b"[" * 100_000,
        b'{"dsseEnvelope": 3}\n',
        b'{"dsseEnvelope": {"payload": "e30="}}\n',
        b'{"dsseEnvelope": {"payload": "\xff"}}\n',
        b'{"urn": "urn:enclave-finetune:native"}\n',
    ],
)
def test_others_claims_and_keys_are_not(claims: bytes | None, tmp_path: Path) -> None:
    for name in EVIDENCE:
        (tmp_path / name).write_bytes(b"a person's own")
    if claims:
        (tmp_path / "claims.jsonl").write_bytes(claims)
        assert not is_ours(tmp_path / "claims.jsonl")
    assert not any(is_ours(tmp_path / name) for name in EVIDENCE)


def test_claims_are_written_first_so_a_killed_run_leaves_nothing_unknown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[str] = []

    def write(path: Path, data: bytes) -> None:
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(data)
        written.append(path.name)
        assert all(is_ours(each) for each in path.parent.iterdir())

    monkeypatch.setattr(evidence, "write_atomically", write)
    evidence.write_training(tmp_path / "train", RECORD, IMAGE_LIMITS, FILES)
    assert written == ["claims.jsonl", "key.pub", "model.sig"]
