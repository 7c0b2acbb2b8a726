"""What is copied from a folder and what is refused; how a target, of a zip too, is replaced."""

from __future__ import annotations

import os
from pathlib import Path, PurePosixPath

import pytest

from workflow.assets.unpack import copy_tree
from workflow.core.errors import WorkflowError

FILES = {"train/ants/1.jpg": b"an ant", "val/bees/2.jpg": b"a bee"}


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Make a folder to copy, with the litter of two file managers in it."""
    folder = tmp_path / "source"
    for name, content in (FILES | {".DS_Store": b"", "val/Thumbs.db": b""}).items():
        write(folder / name, content)
    return folder


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "work" / "hymenoptera"


def write(path: Path, content: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def is_jpg(path: PurePosixPath) -> bool:
    return path.suffix == ".jpg"


def accept(folder: Path) -> None:
    assert folder.is_dir()


def refuse(folder: Path) -> None:
    assert content_of(folder) == FILES
    raise WorkflowError("one image is missing")


def content_of(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def refusal(source: Path, target: Path, max_files: int = 10, max_bytes: int = 10_000) -> str:
    """Copy, which must fail in one line and leave no trace, and return that line."""
    with pytest.raises(WorkflowError) as caught:
        copy_tree(source, target, is_jpg, accept, max_files=max_files, max_bytes=max_bytes)
    line = str(caught.value.message)
    assert "\n" not in line
    assert list(target.parent.iterdir()) == []
    return line


def test_a_folder_is_copied_without_its_litter(source: Path, target: Path) -> None:
    copy_tree(source, target, is_jpg, accept)
    assert content_of(target) == FILES
    assert list(target.parent.iterdir()) == [target]


def test_a_link_to_the_folder_itself_is_followed(source: Path, target: Path) -> None:
    link = source.with_name("link")
    link.symlink_to(source)
    copy_tree(link, target, is_jpg, accept)
    assert content_of(target) == FILES


@pytest.mark.parametrize("link_to", ["/etc", "/etc/hostname", "train/ants/1.jpg", "/nowhere"])
def test_links_in_the_folder_are_refused(source: Path, target: Path, link_to: str) -> None:
    (source / "link.jpg").symlink_to(link_to)
    assert "got a link or device: link.jpg" in refusal(source, target)


def test_a_fifo_is_refused(source: Path, target: Path) -> None:
    os.mkfifo(source / "fifo.jpg")
    assert "got a link or device: fifo.jpg" in refusal(source, target)


def test_what_is_not_allowed_is_refused(source: Path, target: Path) -> None:
    write(source / "val/run.sh", b"x")
    assert "got 'val/run.sh', which does not belong there" in refusal(source, target)


@pytest.mark.parametrize("name", ["two\nlines.jpg", "back\\slash.jpg", "\udcff.jpg"])
def test_a_name_that_is_not_plain_is_refused(source: Path, target: Path, name: str) -> None:
    write(source / name, b"x")
    assert f"expected plain relative names, got {name!r}" in refusal(source, target)


def test_names_that_differ_only_by_case_are_refused(source: Path, target: Path) -> None:
    write(source / "val/bees/2.jpG", b"x")
    with pytest.raises(WorkflowError, match="twice or in other case"):
        copy_tree(source, target, lambda _: True, accept)


def test_too_much_is_refused(source: Path, target: Path) -> None:
    assert "1 files" in refusal(source, target, max_files=1)
    assert "10 bytes at most" in refusal(source, target, max_bytes=10)


def test_a_file_that_grows_meanwhile_is_refused(
    source: Path, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = source / "train/ants/1.jpg"
    mkdir = Path.mkdir

    def grow_first(path: Path, *args: int, **options: bool) -> None:
        if path.name == "ants":
            first.write_bytes(b"more than it was")
        mkdir(path, *args, **options)

    monkeypatch.setattr(Path, "mkdir", grow_first)
    assert "expected 6 bytes" in refusal(source, target)


def test_a_missing_folder_is_one_line(source: Path, target: Path) -> None:
    missing = source / "missing"
    assert refusal(missing, target).startswith(f"{missing}: No such file or directory; ")


@pytest.mark.parametrize("place", ["source", "source/inside", ".", "link", "link/inside"])
def test_a_target_within_the_source_or_around_it_is_refused(source: Path, place: str) -> None:
    before = content_of(source)
    source.with_name("link").symlink_to(source)
    with pytest.raises(WorkflowError, match="expected a folder apart from"):
        copy_tree(source, source.parent / place, is_jpg, accept)
    assert content_of(source) == before


def test_a_target_is_replaced(source: Path, target: Path) -> None:
    write(target / "old.jpg", b"old")
    copy_tree(source, target, is_jpg, accept)
    assert content_of(target) == FILES
    assert list(target.parent.iterdir()) == [target]


def test_a_link_at_the_target_is_replaced_and_what_it_names_is_kept(
    source: Path, target: Path, tmp_path: Path
) -> None:
    old = write(tmp_path / "elsewhere" / "old.jpg", b"old")
    target.parent.mkdir()
    target.symlink_to(old.parent)
    copy_tree(source, target, is_jpg, accept)
    assert not target.is_symlink()
    assert content_of(target) == FILES
    assert old.read_bytes() == b"old"


def test_a_failed_check_keeps_the_old_target(source: Path, target: Path) -> None:
    write(target / "old.jpg", b"old")
    with pytest.raises(WorkflowError, match=r"^one image is missing$"):
        copy_tree(source, target, is_jpg, refuse)
    assert content_of(target) == {"old.jpg": b"old"}
    assert list(target.parent.iterdir()) == [target]


def test_a_failed_move_brings_the_old_target_back(
    source: Path, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(target / "old.jpg", b"old")
    rename = Path.rename

    def fail_for_the_new(path: Path, place: Path) -> Path:
        if path.name.endswith(".new"):
            raise OSError(5, "Input/output error")
        return rename(path, place)

    monkeypatch.setattr(Path, "rename", fail_for_the_new)
    with pytest.raises(WorkflowError, match=f"^{target}: Input/output error"):
        copy_tree(source, target, is_jpg, accept)
    assert content_of(target) == {"old.jpg": b"old"}
    assert list(target.parent.iterdir()) == [target]


def test_what_a_killed_run_left_is_cleared_away(source: Path, target: Path) -> None:
    write(target.with_name(".hymenoptera.enclave-finetune.new") / "half.jpg", b"half")
    write(target.with_name(".hymenoptera.enclave-finetune.old") / "old.jpg", b"old")
    with pytest.raises(WorkflowError, match="one image is missing"):
        copy_tree(source, target, is_jpg, refuse)
    assert content_of(target) == {"old.jpg": b"old"}  # it was killed between the two moves
    copy_tree(source, target, is_jpg, accept)
    assert content_of(target) == FILES
    assert list(target.parent.iterdir()) == [target]
