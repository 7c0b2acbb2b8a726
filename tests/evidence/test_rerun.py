"""Training again from a record: the same network, or why nothing is shown."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from tests import doing
from workflow.core.errors import WorkflowError
from workflow.core.settings import Settings
from workflow.evidence.rerun import rerun_rows
from workflow.evidence.verdict import FAILED, NOT_CHECKED, OK
from workflow.steps.train import train_again


@pytest.fixture
def portable(tiny_settings: Settings) -> Settings:
    """Return the settings of a portable run that was made."""
    chosen = replace(tiny_settings, train=replace(tiny_settings.train, portable=True))
    doing.train(chosen)
    return chosen


def edited(folder: Path, **changes: object) -> None:
    path = folder / "record.json"
    record = json.loads(path.read_text())
    record.update(changes)
    path.write_text(json.dumps(record))


@pytest.mark.slow
def test_the_record_alone_says_how(portable: Settings, tmp_path: Path) -> None:
    others = replace(portable, train=replace(portable.train, epochs=9, seed=5, portable=False))
    (row,) = rerun_rows(others, portable.train.out, train_again)
    assert row.state == OK
    digests = json.loads((portable.train.out / "record.json").read_text())["digests"]
    assert row.found == f"sha256 {digests['net']}"

    edited(portable.train.out, digests={**digests, "net": "0" * 64})
    (row,) = rerun_rows(portable, portable.train.out, train_again)
    assert (row.state, row.found.split(", ")[1]) == (FAILED, f"the record says {'0' * 64}")

    edited(portable.train.out, versions={"torch": "0.1"})
    (row,) = rerun_rows(portable, portable.train.out, train_again)
    assert row.state == NOT_CHECKED
    assert row.means.endswith("by torch 0.1 there")


def test_with_other_inputs_nothing_is_trained(portable: Settings, tmp_path: Path) -> None:
    def never(settings: Settings) -> None:
        raise AssertionError("trained")

    shutil.copytree(portable.data.dir, tmp_path / "other")
    next((tmp_path / "other" / "val" / "red").iterdir()).unlink()
    other = replace(portable, data=replace(portable.data, dir=tmp_path / "other"))
    (row,) = rerun_rows(other, portable.train.out, never)
    assert row.state == FAILED
    assert row.found.startswith("data: expected ")


@pytest.mark.parametrize(
    "settings", [None, [], {"epochs": "3"}, {"more": 1}, {"epochs": 0}, {"arch": "x"}]
)
def test_a_record_without_usable_settings_is_one_line(settings: object, portable: Settings) -> None:
    edited(portable.train.out, settings=settings)
    with pytest.raises(WorkflowError) as caught:
        rerun_rows(portable, portable.train.out, train_again)
    assert "\n" not in caught.value.message
