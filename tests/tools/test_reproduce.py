"""`inv reproduce`: what it compares with, what it builds, what it says."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.gsc.test_inventory import MADE
from workflow.core.errors import WorkflowError
from workflow.core.settings import EvidenceSettings, PathText, Settings
from workflow.core.step import perform
from workflow.evidence import lock
from workflow.gsc import reproduction
from workflow.tools import reproduce
from workflow.tools.reproduce import Reproduce, with_threads


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "measurement.lock"


@pytest.fixture
def settings(path: Path) -> Settings:
    return Settings(evidence=EvidenceSettings(lock=PathText(path)))


@pytest.fixture
def built(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Take the place of building: what is put here comes of it."""
    made: list[Any] = []
    monkeypatch.setattr(reproduce, "measured_anew", lambda settings, apps: made)
    for look in ("reads", "writes"):
        monkeypatch.setattr(Reproduce, look, lambda self: ())
    monkeypatch.setattr(Reproduce, "_build", lambda self, role: None)
    return made


def test_without_a_lock_one_line_says_how_to_write_it(settings: Settings, path: Path) -> None:
    look, *_ = Reproduce(settings, ("train",)).reads()
    with pytest.raises(WorkflowError, match="to write it: inv reproduce --image all --write"):
        look()
    path.write_text(lock.lock_text([replace(MADE, role="infer")]))
    with pytest.raises(WorkflowError, match="run: inv reproduce --image train --write"):
        look()


def test_the_same_enclave_is_said_to_be_the_same(
    settings: Settings, path: Path, built: list[Any], capsys: pytest.CaptureFixture[str]
) -> None:
    path.write_text(lock.lock_text([MADE]))
    built.append(MADE)
    perform(Reproduce(settings, ("train",)))
    assert capsys.readouterr().out == f"train: the same, {'ab' * 32}\n"


def test_another_enclave_is_an_error_after_the_differences(
    settings: Settings, path: Path, built: list[Any], capsys: pytest.CaptureFixture[str]
) -> None:
    path.write_text(lock.lock_text([MADE]))
    files = {**MADE.files, "/app/pytorch_train/train.py": "9" * 16}
    built.append(replace(MADE, mrenclave="cd" * 32, files=files))
    with pytest.raises(WorkflowError, match="if they are meant: inv reproduce --image train"):
        perform(Reproduce(settings, ("train",)))
    assert capsys.readouterr().out.splitlines() == [
        f"train: differs, {'cd' * 32}",
        f"  MRENCLAVE: locked {'ab' * 32}, here {'cd' * 32}",
        "  file /app/pytorch_train/train.py: changed",
    ]


def test_a_lock_is_written_a_role_at_a_time(
    settings: Settings, path: Path, built: list[Any]
) -> None:
    infer = replace(MADE, role="infer")
    for each in (MADE, infer, replace(infer, isv_svn=3)):
        built[:] = [each]
        perform(Reproduce(settings, (each.role,), write=True))
    assert lock.read_lock(path, "train") == MADE
    assert lock.read_lock(path, "infer") == replace(infer, isv_svn=3)


def test_a_person_s_file_is_not_written_over(settings: Settings, path: Path) -> None:
    path.write_text("mine")
    look, *_ = Reproduce(settings, ("train",), write=True).writes()
    with pytest.raises(WorkflowError, match="no task made it"):
        look()
    path.write_text(lock.lock_text([MADE]))
    look()


def test_threads_that_are_not_set_are_those_of_the_lock() -> None:
    known = {"loader.env.TRAIN_THREADS": "6", "loader.env.INFER_THREADS": "7"}
    taken = with_threads(Settings(), known)
    assert (taken.train.threads, taken.infer.threads) == (6, 7)
    assert with_threads(taken, {"loader.env.TRAIN_THREADS": "2"}) == taken
    assert with_threads(Settings(), {}) == Settings()


def test_it_takes_names_that_no_other_task_takes(settings: Settings) -> None:
    image = reproduction.renamed(settings).image
    assert (image.train, image.infer) == ("pytorch_train-reproduced", "pytorch-reproduced")
    assert reproduction.base_again(settings).image == "enclave-finetune-base:debian12-reproduced"


def test_a_network_that_is_not_here_is_the_one_of_the_lock(
    settings: Settings, path: Path, tmp_path: Path
) -> None:
    variables = {"loader.env.INFER_NET_SHA256": "12" * 32, "loader.env.INFER_THREADS": "3"}
    path.write_text(lock.lock_text([replace(MADE, role="infer", manifest=variables)]))
    settings = replace(settings, infer=replace(settings.infer, net=tmp_path / "net.pt"))
    build = Reproduce(settings, ("infer",))._build("infer")
    assert build.arguments["INFER_NET_SHA256"] == "12" * 32
    assert build.arguments["INFER_THREADS"] == "3"
    assert build.arguments["BASE"] == "enclave-finetune-base:debian12-reproduced"
    with pytest.raises(WorkflowError, match=r"net\.pt is missing; run: inv train"):
        Reproduce(settings, ("infer",), write=True)._build("infer")
