"""What is unpacked out of a zip and what is refused. Its target: test_copy_tree.py."""

from __future__ import annotations

import os
import stat
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path, PurePosixPath

import pytest

from workflow.assets.unpack import unpack_zip
from workflow.core.errors import WorkflowError

GOOD = {"data/train/ants/1.jpg": b"an ant", "data/val/bees/2.jpg": b"a bee"}
UNPACKED = {"train/ants/1.jpg": b"an ant", "val/bees/2.jpg": b"a bee"}
LITTER = {
    "__MACOSX/data/train/._1.jpg": b"",
    "data/.DS_Store": b"",
    "data/train/Thumbs.db": b"",
}


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "work" / "hymenoptera"


def zip_of(folder: Path, entries: dict[str, bytes], method: int = zipfile.ZIP_STORED) -> Path:
    path = folder / "data.zip"
    with zipfile.ZipFile(path, "w", method) as file:
        for name, content in entries.items():
            file.writestr(name, content)
    return path


def zip_with(folder: Path, change: Callable[[zipfile.ZipInfo], None]) -> Path:
    """Make a zip of one good entry and one that is changed before it is written."""
    path = folder / "data.zip"
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("data/train/ants/1.jpg", b"an ant")
        entry = zipfile.ZipInfo("data/train/ants/2.jpg")
        change(entry)
        file.writestr(entry, b"content")
    return path


def is_jpg(path: PurePosixPath) -> bool:
    return path.suffix == ".jpg"


def accept(folder: Path) -> None:
    assert folder.is_dir()


def content_of(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def unpack(archive: Path, target: Path, max_files: int = 10, max_bytes: int = 10_000) -> None:
    limits = {"max_files": max_files, "max_bytes": max_bytes}
    unpack_zip(archive, target, is_jpg, root="data", check=accept, **limits)


def refusal(action: Callable[[], None], target: Path) -> str:
    """Act, which must fail in one line and leave no trace, and return that line."""
    with pytest.raises(WorkflowError) as caught:
        action()
    line = str(caught.value.message)
    assert "\n" not in line
    assert list(target.parent.glob("*")) == list(target.parent.glob(".*")) == []
    return line


def zip_refusal(archive: Path, target: Path, **limits: int) -> str:
    line = refusal(lambda: unpack(archive, target, **limits), target)
    assert line.startswith(f"{archive}: ")
    return line


def test_a_zip_is_unpacked_without_its_litter(tmp_path: Path, target: Path) -> None:
    folders = {"data/": b"", "data/train/": b"", "data/empty/": b""}
    unpack(zip_of(tmp_path, folders | GOOD | LITTER, zipfile.ZIP_DEFLATED), target)
    assert content_of(target) == UNPACKED
    assert list(target.parent.iterdir()) == [target]


def test_every_file_reaches_the_disk_first(
    tmp_path: Path, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[int] = []
    monkeypatch.setattr(os, "fsync", lambda descriptor: synced.append(os.fstat(descriptor).st_size))
    unpack(zip_of(tmp_path, GOOD), target)
    assert synced == [len(content) for content in GOOD.values()]


@pytest.mark.parametrize(
    "name",
    [
        "/etc/cron.d/evil.jpg",
        "data/../../evil.jpg",
        "../evil.jpg",
        "data/./1.jpg",
        "data//1.jpg",
        "C:/evil.jpg",
        "data\\evil.jpg",
        "data/two\nlines.jpg",
        "../",
    ],
)
def test_a_name_that_is_not_plain_is_refused(tmp_path: Path, target: Path, name: str) -> None:
    line = zip_refusal(zip_of(tmp_path, GOOD | {name: b"x"}), target)
    assert f"expected plain relative names, got {name!r}" in line


def test_a_name_cut_by_a_null_is_refused(tmp_path: Path, target: Path) -> None:
    archive = zip_of(tmp_path, {"data/evil.jpg?.exe": b"x"})
    archive.write_bytes(archive.read_bytes().replace(b"?", b"\0"))
    assert "expected plain relative names" in zip_refusal(archive, target)


@pytest.mark.parametrize("name", ["data/run.sh", "data/train/ants/1.JPG.exe"])
def test_what_is_not_allowed_is_refused(tmp_path: Path, target: Path, name: str) -> None:
    line = zip_refusal(zip_of(tmp_path, GOOD | {name: b"x"}), target)
    assert f"{name.removeprefix('data/')!r}, which does not belong there" in line


@pytest.mark.parametrize("name", ["other/3.jpg", "3.jpg", "database/3.jpg"])
def test_files_beside_the_root_are_refused(tmp_path: Path, target: Path, name: str) -> None:
    line = zip_refusal(zip_of(tmp_path, GOOD | {name: b"x"}), target)
    assert f"expected files below data/ only, got {name!r}" in line


def test_an_archive_without_files_is_refused(tmp_path: Path, target: Path) -> None:
    line = zip_refusal(zip_of(tmp_path, {"data/": b""} | LITTER), target)
    assert "expected files, got none" in line


@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFIFO, stat.S_IFCHR, stat.S_IFSOCK])
def test_links_and_devices_are_refused(tmp_path: Path, target: Path, kind: int) -> None:
    def change(entry: zipfile.ZipInfo) -> None:
        entry.external_attr = (kind | 0o777) << 16

    assert "got a link or device: 'data/train/ants/2.jpg'" in zip_refusal(
        zip_with(tmp_path, change), target
    )


@pytest.mark.parametrize("name", ["data/train/ants/1.jpg", "data/Train/ants/1.JPG"])
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_name_twice_or_in_other_case_is_refused(tmp_path: Path, target: Path, name: str) -> None:
    def change(entry: zipfile.ZipInfo) -> None:
        entry.filename = name

    archive = zip_with(tmp_path, change)
    with pytest.raises(WorkflowError, match="twice or in other case"):
        unpack_zip(archive, target, lambda _: True, root="data", check=accept)


def test_an_encrypted_entry_is_refused(tmp_path: Path, target: Path) -> None:
    archive = zip_of(tmp_path, GOOD)
    content = bytearray(archive.read_bytes())
    flags = content.index(b"PK\x01\x02") + 8
    struct.pack_into("<H", content, flags, 1)
    archive.write_bytes(content)
    assert "which is encrypted" in zip_refusal(archive, target)


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_method_without_bounded_memory_is_refused(
    tmp_path: Path, target: Path, method: int
) -> None:
    line = zip_refusal(zip_of(tmp_path, GOOD, method), target)
    assert f"compression method {method}" in line


def test_too_many_files_are_refused(tmp_path: Path, target: Path) -> None:
    archive = zip_of(tmp_path, GOOD)
    assert "expected 1 files" in zip_refusal(archive, target, max_files=1)
    unpack(archive, target, max_files=2)


def test_too_many_bytes_are_refused(tmp_path: Path, target: Path) -> None:
    archive = zip_of(tmp_path, GOOD)
    assert "10 bytes at most" in zip_refusal(archive, target, max_bytes=10)
    unpack(archive, target, max_bytes=11)


def test_a_bomb_is_refused_by_what_it_declares(tmp_path: Path, target: Path) -> None:
    archive = zip_of(tmp_path, {"data/1.jpg": bytes(10**6)}, zipfile.ZIP_DEFLATED)
    line = zip_refusal(archive, target, max_bytes=10**7)
    assert "expected to grow 100 times at most" in line


def test_an_entry_that_holds_more_than_it_declares_is_refused(tmp_path: Path, target: Path) -> None:
    archive = zip_of(tmp_path, {"data/1.jpg": bytes(10**6)}, zipfile.ZIP_DEFLATED)
    content = bytearray(archive.read_bytes())
    struct.pack_into("<L", content, content.index(b"PK\x01\x02") + 24, 100)
    archive.write_bytes(content)
    assert "expected a sound zip, got: Bad CRC-32" in zip_refusal(archive, target)


@pytest.mark.parametrize("at", [0.0, 0.1, 0.5, 0.9])
def test_a_cut_archive_is_one_line(tmp_path: Path, target: Path, at: float) -> None:
    archive = zip_of(tmp_path, GOOD)
    content = archive.read_bytes()
    archive.write_bytes(content[: int(len(content) * at)])
    assert "expected a sound zip" in zip_refusal(archive, target)


def test_a_flipped_bit_is_one_line(tmp_path: Path, target: Path) -> None:
    archive = zip_of(tmp_path, GOOD)
    archive.write_bytes(archive.read_bytes().replace(b"a bee", b"a fly"))
    assert "Bad CRC-32" in zip_refusal(archive, target)


def test_a_missing_archive_is_one_line(tmp_path: Path, target: Path) -> None:
    assert "No such file" in zip_refusal(tmp_path / "missing.zip", target)
