"""The lock: written the same each time, read again, and what a person wrote in it kept."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import tomli

from tests.gsc.test_inventory import MADE
from workflow.core.errors import WorkflowError
from workflow.evidence import lock
from workflow.evidence.accepted import locked

INFER = replace(MADE, role="infer", mrenclave="cd" * 32, manifest={"sgx.debug": "false"})


@pytest.mark.parametrize("enclaves", [[MADE], [INFER], [INFER, MADE]])
def test_what_is_written_is_read_again(enclaves: list[lock.Inventory], tmp_path: Path) -> None:
    path = tmp_path / "measurement.lock"
    path.write_text(lock.lock_text(enclaves))
    for each in enclaves:
        assert lock.read_lock(path, each.role) == each
        assert locked(path, each.role)
    assert lock.lock_text(reversed(enclaves)) == path.read_text()


def test_what_all_enclaves_have_stands_once() -> None:
    content = tomli.loads(lock.lock_text([MADE, INFER]))
    assert content["shared"]["files"]["/app/pytorch_train"] == {"train.py": "0" * 16}
    train, infer = content["enclave"]
    assert "files" not in train
    assert train["manifest"] == {"loader.env.TRAIN_EPOCHS": "15"}
    assert infer["manifest"] == {}


def test_an_entry_of_a_person_is_accepted_kept_and_not_compared(tmp_path: Path) -> None:
    path = tmp_path / "measurement.lock"
    path.write_text(f'{HEAD}[[enclave]]\nrole = "train"\nmrenclave = "{"ef" * 32}"\n')
    assert lock.read_lock(path, "train") is None
    path.write_text(lock.lock_text([MADE], lock.by_hand(path)))
    assert lock.read_lock(path, "train") == MADE
    assert [each["mrenclave"] for each in lock.read_entries(path)[0]] == ["ef" * 32, "ab" * 32]


HEAD = 'schema = "enclave-finetune/measurement/1"\n'
ENTRY = f'[[enclave]]\nrole = "train"\nmrenclave = "{"ef" * 32}"\n'


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("enclave = []", "schema is missing"),
        (f'{HEAD}enclave = [{{role = "x", mrenclave = "y"}}]', "expected train or infer"),
        (f"{HEAD}{ENTRY}manifest = 3", "expected a table, got 3"),
        (f"{HEAD}{ENTRY}[enclave.manifest]\nx = 3", "expected texts, got 3"),
        (f"{HEAD}{ENTRY}[enclave.manifest]\n[enclave.files]\nx = 3", "expected a table, got 3"),
        (f"{HEAD}{ENTRY}[enclave.manifest]\n[shared]\nx = 3", "unknown member"),
    ],
)
def test_a_damaged_lock_is_one_line(text: str, error: str, tmp_path: Path) -> None:
    path = tmp_path / "measurement.lock"
    path.write_text(text)
    with pytest.raises(WorkflowError, match=error):
        lock.read_lock(path, "train")
