"""Digests are taken once a task, and never of what a file was before."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from pytorch_common import files
from workflow.core import disk
from workflow.core.errors import WorkflowError


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Return the files that were read, on a clock by which all of them are old."""
    seen: list[Path] = []
    real = files.sha256_file

    def counted(path: Path) -> str:
        seen.append(path)
        return real(path)

    monkeypatch.setattr(files, "sha256_file", counted)
    later = time.time() + 60
    monkeypatch.setattr(time, "time", lambda: later)
    return seen


def test_a_file_is_read_once(tmp_path: Path, read: list[Path]) -> None:
    path = tmp_path / "weights.pth"
    path.write_bytes(b"weights")
    assert disk.sha256_file(path) == disk.sha256_file(path)
    assert read == [path]


def test_a_changed_file_is_read_again_though_its_time_is_put_back(
    tmp_path: Path, read: list[Path]
) -> None:
    path = tmp_path / "weights.pth"
    path.write_bytes(b"weights")
    times = path.stat().st_atime_ns, path.stat().st_mtime_ns
    first = disk.sha256_file(path)
    time.sleep(0.02)  # the kernel's clock of changes is that coarse
    path.write_bytes(b"WEIGHTS")
    os.utime(path, ns=times)
    assert disk.sha256_file(path) != first
    assert len(read) == 2


def test_what_was_changed_a_moment_ago_is_not_remembered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "weights.pth"
    path.write_bytes(b"weights")
    first = disk.sha256_file(path)
    path.write_bytes(b"WEIGHTS")
    assert disk.sha256_file(path) != first


def test_a_tree_has_the_digest_that_the_scripts_take(tmp_path: Path) -> None:
    for name in ("b/2 two.txt", "a.txt", "b/ä.txt", ".hidden"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(name)
    assert disk.tree_digest(tmp_path) == files.tree_digest(tmp_path)


def test_a_disk_without_room_is_refused_where_the_folder_is_going_to_lie(tmp_path: Path) -> None:
    disk.check_disk(tmp_path / "to" / "come", 1, "a test")
    with pytest.raises(WorkflowError, match=f"^{tmp_path}: .* GiB free, expected .* for a test$"):
        disk.check_disk(tmp_path / "to" / "come", 10**18, "a test")
