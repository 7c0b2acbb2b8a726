"""One walk through folders for training, classifying, digesting and staging; and safe names."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pytorch_common import files, script
from pytorch_common.files import list_files, passed_over_note, printable, some_of, tree_digest
from pytorch_infer.pictures import images_below
from pytorch_train.labelled import find_images
from tests.conftest import paint
from workflow.assets import dataset, splits
from workflow.backends.classify_job import staged
from workflow.backends.script_lines import ScriptLines


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Return a data set of two classes, two images each."""
    root = tmp_path / "data"
    paint(root / "train" / "a" / "1.png", (1, 2, 3), 1)
    for name in ("train/a/2.png", "train/b/1.png", "train/b/2.png"):
        (root / name).parent.mkdir(exist_ok=True)
        shutil.copy(root / "train" / "a" / "1.png", root / name)
    shutil.copytree(root / "train", root / "val")
    return root


def staged_files(folder: Path) -> list[Path]:
    with staged([str(folder)], folder.parent / "out") as inside:
        return [path for path in inside.rglob("*.png") if path.is_file()]


WALKS: dict[str, Callable[[Path], Any]] = {
    "training": lambda split: find_images(split).paths,
    "classifying": images_below,
    "digesting": lambda split: list(list_files(split)),
    "staging": staged_files,
    "checking": lambda split: next(map(splits.image_files, split.iterdir())) * 2,
}


@pytest.mark.parametrize("walk", WALKS)
def test_a_link_to_a_folder_above_is_not_followed(walk: str, data: Path) -> None:
    split = data / "train"
    digest = tree_digest(split)
    for name, target in {
        "a/self": split / "a",
        "a/split": split,
        "a/data": data,
        "b/again": split / "b",
        "b/above": data.parent,
    }.items():
        (split / name).symlink_to(target)
    assert len(WALKS[walk](split)) == 4
    assert tree_digest(split) == digest


def test_two_links_between_folders_come_to_an_end(data: Path) -> None:
    (data / "train" / "a" / "b").symlink_to(data / "train" / "b")
    (data / "train" / "b" / "a").symlink_to(data / "train" / "a")
    assert len(list(list_files(data / "train"))) == 8  # as find -L lists them


def test_links_that_multiply_are_an_error_and_no_endless_walk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "MOST_FOLDERS", 500)
    for level in range(40):
        (tmp_path / "root" / str(level)).mkdir(parents=True)
        for name in "xy":
            (tmp_path / "root" / str(level) / name).symlink_to(tmp_path / "root" / str(level + 1))
    with pytest.raises(OSError, match="more than 500 folders, by links"):
        list(list_files(tmp_path / "root"))


def test_a_folder_that_cannot_be_listed_is_not_passed_over_in_silence(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed = data / "train" / "a" / "closed"
    closed.mkdir()
    listing = os.scandir

    def scandir(path: Any) -> Any:
        if Path(path) == closed:
            raise PermissionError(13, "Permission denied", str(path))
        return listing(path)

    monkeypatch.setattr(os, "scandir", scandir)
    for walk in ("training", "digesting"):
        with pytest.raises(PermissionError):
            WALKS[walk](data / "train")
    assert closed in images_below(data / "train")  # a line of its own
    assert "1 folder that cannot be listed" in passed_over_note(data / "train", [])


def test_what_is_passed_over_is_counted_by_its_ending(data: Path) -> None:
    split = data / "train"
    for name in ("a/1.heic", "a/2.HEIC", "b/3.heic", "notes.txt", "b/none", "b/odd.\x1b[31m"):
        (split / name).write_bytes(b"")
    (split / "b" / "lost.link").symlink_to("nowhere")
    (split / ".hidden").write_bytes(b"")
    said = passed_over_note(split, find_images(split).paths)
    counts = ["3 .heic", "1 .link", "1 .txt", "1 .\\x1b[31m", "1 without a suffix"]
    assert said.startswith(f"{split}: passed over ")
    assert sorted(said.partition("passed over ")[2].split(", ")) == sorted(counts)
    assert passed_over_note(data / "val", find_images(data / "val").paths) == ""


def test_names_are_one_line_of_valid_text() -> None:
    assert printable(Path("bee ä 🐝.jpg")) == "bee ä 🐝.jpg"
    assert printable("two\nlines\x1b[31m\u202e") == r"two\nlines\x1b[31m\u202e"
    assert printable(os.fsdecode(b"\xff.jpg")) == r"\udcff.jpg"
    assert some_of(["a\n", "b", "c"], 2) == r"a\n, b and 1 more"


def test_no_line_of_text_is_taken_for_a_mark(capsys: pytest.CaptureFixture[str]) -> None:
    lines = [f"{mark}data" for mark in ("::progress ", "::answer ", "error: ")]
    for line in lines:
        script.note(line)
    said = capsys.readouterr().err.splitlines()
    assert said == [f" {line}" for line in lines]
    runner = ScriptLines()
    for line in [*said, "::progress {not json", '::progress {"label": 1}']:
        runner(line)
    assert runner.error == ""
    assert len(capsys.readouterr().err.splitlines()) == 5


def test_answers_are_marked_before_what_they_say(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("RUN_MARKED_ANSWERS", "1")
    script.answer("::answer two\nlines: bees")
    assert capsys.readouterr().out == "::answer ::answer two\\nlines: bees\n"


def test_classes_that_one_split_lacks_are_named(data: Path) -> None:
    from workflow.core.errors import WorkflowError
    from workflow.core.settings import DataSettings

    for number in range(200):
        for split in ("train", "val"):
            shutil.copytree(data / split / "a", data / split / f"c{number}")
    shutil.rmtree(data / "val" / "c77")
    with pytest.raises(WorkflowError, match=r"got 202 and 201: val lacks c77$"):
        dataset.check(DataSettings(dir=data))


def test_a_class_whose_name_cannot_be_printed_is_refused(data: Path) -> None:
    from workflow.core.errors import WorkflowError
    from workflow.core.settings import DataSettings

    for name in (os.fsdecode(b"\xff"), "two\nlines", "\x1b[31m"):
        for split in ("train", "val"):
            shutil.copytree(data / split / "a", data / split / name)
        with pytest.raises(WorkflowError, match="printable class names, got ") as caught:
            dataset.check(DataSettings(dir=data))
        assert str(caught.value.message).isprintable()
        for split in ("train", "val"):
            shutil.rmtree(data / split / name)
