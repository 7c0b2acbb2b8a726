"""A length is looked at before anything else: of an endless file little is read."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from tests.evidence.judging import BOTH, failures, judged
from tests.evidence.made_up_run import Run
from workflow.core.errors import WorkflowError
from workflow.core.settings import PathText
from workflow.evidence import accepted, lock, pack, reading, summary

ENDLESS_BYTES = 1 << 36
"""Of a file with a hole: nothing of it is on the disk."""
CHECKS = {
    **dict.fromkeys(("claims.jsonl", "key.pub"), "signatures"),
    **dict.fromkeys(("record.json", "history.json"), "record, history"),
    **{"model.sig": "model.sig", "quote.bin": "place", "collateral.json": "genuine"},
    "result.json": "results",
}
LIMITS = {name: most for name, most in pack.MOST_BYTES.items() if name.rpartition("/")[2] in CHECKS}


def endless(path: Path) -> Path:
    path.touch()
    os.truncate(path, ENDLESS_BYTES)
    return path


@pytest.mark.parametrize("name", LIMITS)
def test_each_file_has_a_longest(name: str, tmp_path: Path) -> None:
    part, _, file = name.partition("/")
    run = Run(tmp_path / "run")
    folder = run.train() if part == "train" else run.classify()
    endless(folder / file)
    found = failures(judged(folder))[CHECKS[file]]
    assert found.endswith(f"{file}: expected at most {LIMITS[name]} bytes, got more")


def test_so_has_a_line_of_proofs(tmp_path: Path) -> None:
    folder = Run(tmp_path / "run").classify()
    endless(folder / "proofs.jsonl")
    assert "a line is too long" in failures(judged(folder))["proofs"]


@pytest.mark.parametrize(
    ("setting", "most"),
    [("lock", lock.MOST_BYTES), ("ppids", accepted.PPIDS_MOST_BYTES)],
)
def test_so_have_the_files_of_what_is_accepted(setting: str, most: int, tmp_path: Path) -> None:
    chosen = replace(BOTH, **{setting: PathText(endless(tmp_path / setting))})
    found = failures(judged(Run(tmp_path / "run").train(), chosen))
    assert found["what you accept"].endswith(f"expected at most {most} bytes, got more")


def test_so_have_a_key_a_summary_and_a_pack(tmp_path: Path) -> None:
    path = endless(tmp_path / "file")
    with pytest.raises(WorkflowError, match=f"at most {summary.KEY_MOST_BYTES} bytes"):
        summary.read_key(path)
    with pytest.raises(WorkflowError, match="not written over"):
        summary.refuse_foreign(path)
    with pytest.raises(WorkflowError, match="something comes after its end"):
        pack.unpack(path, tmp_path / "out")


def test_so_have_the_values_of_one_piece_of_json() -> None:
    with pytest.raises(WorkflowError, match=f"more than {reading.MOST_VALUES} values"):
        reading.parse_json(b"[" + b"0," * reading.MOST_VALUES + b"0]", "x")
