"""A person's files are theirs: every path setting, tried with places that are not a task's."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests import doing
from tests.assets.test_dataset import small, zipped  # noqa: F401 - a fixture
from tests.conftest import PROJECT
from tests.steps.test_training import hand_made
from workflow.backends import native, train_job
from workflow.core import configuration, ownership
from workflow.core.errors import WorkflowError
from workflow.core.settings import Settings
from workflow.core.step import perform
from workflow.core.values import Source
from workflow.steps import copy_net
from workflow.steps.classify import Classify
from workflow.steps.download_model import DownloadModel
from workflow.steps.fetch_hymenoptera import FetchHymenoptera
from workflow.tools.gsc_setup import GscSetup
from workflow.tools.report import Report

PATHS = [
    f"{section}.{key}"
    for section, keys in configuration.defaults().items()
    for key, default in keys.items()
    if isinstance(default, Path)
]


@pytest.mark.parametrize("name", PATHS)
@pytest.mark.parametrize("value", ["", " ", "\t"])
def test_an_empty_path_setting_is_an_error(
    name: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(WorkflowError, match=rf"^{name}: its flag is empty"):
        configuration.read({}, {name: value})
    variable = f"INVOKE_{name.replace('.', '_').upper()}"
    monkeypatch.setenv(variable, value)
    with pytest.raises(WorkflowError, match=rf"^{variable}: {name}: expected a path, got nothing$"):
        configuration.read({})


@pytest.fixture
def scripts_that_write(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stand in for the two scripts: write every file that they write, and no network."""

    def run_native(script: str, args: Sequence[str], **options: Any) -> int:
        out = next((Path(arg[6:]) for arg in args if arg.startswith("--out=")), None)
        if out is None:  # it looks at a network alone
            return 0
        out.mkdir(parents=True, exist_ok=True)
        trained, found = ("net.pt", "history.json", "record.json"), ("result.txt", "result.json")
        for name in trained if script.name == "train.py" else found:
            (out / name).write_text('{"schema": "enclave-finetune/made"}')
        return 0

    for module in (native, copy_net):
        monkeypatch.setattr(module, "run_native", run_native)


def work(settings: Settings) -> Sequence[Callable[[], Any]]:
    """Return every way in which a task writes to, or deletes in, the folders of the settings."""
    return (
        lambda: doing.copy_net(settings),
        lambda: perform(FetchHymenoptera(settings)),
        lambda: perform(DownloadModel(settings, again=True)),
        lambda: doing.train(settings),
        lambda: doing.train(settings, resume=True),
        lambda: doing.classify(settings, ["bee.jpg"]),
        lambda: doing.clean_result(settings),
        lambda: perform(Report(settings, partial(Classify, quiet=True))),
        lambda: perform(GscSetup(settings)),
    )


@pytest.fixture
def full(tmp_path: Path) -> Path:
    """Return a person's folder, full of files that have the names of ours."""
    folder = tmp_path / "mine"
    for name in (
        *("net.pt", "net.pt.epoch-3", "history.json", "record.json", "run.json", "report.html"),
        *("curves.png", "result.txt", "result.json", "encrypted/net.pt", "config.yaml"),
        *("squeezenet1_0-b66bff10.pth", "train/cats/1.jpg", "val/cats/2.jpg", "run.lock"),
        *("gsc", "hymenoptera_data.zip", ".mine.old/x", ".mine.new/x", "mine.lock", "poetry.lock"),
    ):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"a person's own {name}")
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not path.is_symlink()
    }


def set_to(settings: Settings, name: str, path: Path) -> Settings:
    section, key = name.split(".")
    inner = replace(getattr(settings, section), **{key: path})
    return replace(settings, **{section: inner})


@pytest.mark.parametrize("name", ["record.json", "result.json", "report.html", "net.pt"])
def test_the_projects_name_in_a_persons_file_does_not_make_it_ours(
    name: str, tmp_path: Path
) -> None:
    path = tmp_path / name
    path.write_text('{"image": "/photos/enclave-finetune/bee.jpg", "of": "enclave-finetune"}')
    assert not ownership.is_ours(path)


@pytest.mark.parametrize("name", PATHS)
@pytest.mark.parametrize("inner", ["", "net.pt", "encrypted"])
def test_no_task_touches_a_persons_full_folder(
    name: str,
    inner: str,
    full: Path,
    tiny_settings: Settings,
    random_weights: Path,
    scripts_that_write: None,
) -> None:
    tiny_settings = replace(
        tiny_settings,
        data=replace(tiny_settings.data, source="/no/such.zip"),
        model=replace(tiny_settings.model, source=str(random_weights)),
    )
    hand_made(tiny_settings)  # so that copy-net gets as far as writing
    before = contents(full)
    for action in work(set_to(tiny_settings, name, full / inner)):
        try:
            action()
        except WorkflowError as error:
            assert "\n" not in str(error.message)
    after = contents(full)
    assert {path: after.get(path) for path in before} == before


@pytest.mark.parametrize("name", PATHS)
@pytest.mark.parametrize("place", ["the project", "above it", "a home", "/"])
def test_no_task_takes_a_place_that_is_everybodys(
    name: str,
    place: str,
    tiny_settings: Settings,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    scripts_that_write: None,
) -> None:
    home, project = tmp_path / "home", tmp_path / "above" / "project"
    for folder in (home, project):
        folder.mkdir(parents=True)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setattr(ownership, "PROJECT", project)
    folder = {"the project": project, "above it": project.parent, "a home": home, "/": Path("/")}
    settings = set_to(tiny_settings, name, folder[place])
    settings = replace(settings, data=replace(settings.data, source=str(tmp_path / "no.zip")))
    before, root = contents(tmp_path), sorted(Path("/").iterdir())
    for action in work(settings):
        try:
            action()
        except WorkflowError as error:
            assert "\n" not in str(error.message)
    for kept in (home, project, project.parent):
        assert contents(kept) == {}
        assert kept.is_dir()
    assert {path: contents(tmp_path).get(path) for path in before} == before
    assert sorted(Path("/").iterdir()) == root


def test_the_project_is_the_checkout() -> None:
    assert ownership.PROJECT == PROJECT


def test_a_run_does_not_write_into_its_own_data_set(
    tiny_settings: Settings, tiny_data: Path
) -> None:
    before = contents(tiny_data)
    for out in (tiny_data, tiny_data / "train" / "runs"):
        chosen = replace(tiny_settings, train=replace(tiny_settings.train, out=out))
        with pytest.raises(WorkflowError, match=rf"^train\.out: {out} lies in the data set"):
            doing.train(chosen)
    assert contents(tiny_data) == before


def test_a_comparison_sees_a_persons_file_before_the_first_training(
    tiny_settings: Settings, scripts_that_write: None
) -> None:
    mine = tiny_settings.train.out / train_job.SCRATCH_FOLDER / "net.pt"
    mine.parent.mkdir(parents=True)
    mine.write_text("mine")
    with pytest.raises(WorkflowError, match="no task made it"):
        doing.train(tiny_settings, compare_scratch=True)
    assert not (tiny_settings.train.out / "net.pt").exists()
    assert mine.read_text() == "mine"


def test_all_sees_a_persons_images_in_the_way_before_its_first_step(
    tiny_settings: Settings, full: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    archive = tmp_path / "h.zip"
    archive.touch()
    data = replace(tiny_settings.data, dir=full, source=Source(archive))
    with pytest.raises(WorkflowError, match="not a task's alone"):
        doing.run_all(replace(tiny_settings, data=data))
    assert "[1/" not in capsys.readouterr().err
