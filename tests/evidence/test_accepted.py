"""What a verifier accepts: by the lock, by role, by machine."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.evidence import made_up_chain as chain
from tests.evidence.judging import BOTH, failures, judged
from tests.evidence.made_up_run import Run
from workflow.core.settings import EvidenceSettings, PathText


def test_the_lock_is_by_role(tmp_path: Path) -> None:
    lock = tmp_path / "measurement.lock"
    lock.write_text(
        'schema = "enclave-finetune/measurement/1"\n'
        f'[[enclave]]\nrole = "train"\nmrenclave = "{"09" * 32}"\n'
        f'[[enclave]]\nrole = "train"\nmrenclave = "{chain.MRENCLAVE}"\nisv_svn = 1\n'
        f'[[enclave]]\nrole = "infer"\nmrenclave = "{"05" * 32}"\n'
    )
    chosen = EvidenceSettings(lock=PathText(lock))
    assert not judged(Run(tmp_path / "train").train(), chosen).failed
    found = failures(judged(Run(tmp_path / "infer").classify(), chosen))
    assert "expected 0505" in found["enclave of the lock"]


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("x = [[[[", "not TOML"),
        ("schema = 1\nenclave = []", "expected schema"),
        ('schema = "enclave-finetune/measurement/1"\nenclave = 3', "a list"),
        ('schema = "enclave-finetune/measurement/1"\nenclave = []', "no enclave of the role"),
        ('schema = "enclave-finetune/measurement/1"\n[[enclave]]\nrole = "train"', "is missing"),
        ("x = " + "[" * 60_000, "not TOML"),
        ("#" * 1_100_000, "at most 1048576 bytes"),
    ],
)
def test_a_damaged_lock_is_one_line(text: str, error: str, tmp_path: Path) -> None:
    lock = tmp_path / "measurement.lock"
    lock.write_text(text)
    verdict = judged(Run(tmp_path / "run").train(), EvidenceSettings(lock=PathText(lock)))
    assert error in failures(verdict)["what you accept"]


def test_machines_are_accepted_by_ppid(tmp_path: Path) -> None:
    folder, machines = Run(tmp_path / "run").train(), tmp_path / "machines"
    chosen = replace(BOTH, ppids=PathText(machines))
    machines.write_text(f"# ours\n{chain.PPID.hex()}  # rack 4\n")
    assert not judged(folder, chosen).failed
    machines.write_text("ff" * 16)
    assert "expected ffff" in failures(judged(folder, chosen))["machine (PPID)"]
    for text, error in (("rack 4", "32 hex digits"), ("# none", "no machine")):
        machines.write_text(text)
        assert error in failures(judged(folder, chosen))["what you accept"]
