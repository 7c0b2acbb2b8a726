from __future__ import annotations

import hashlib
import multiprocessing
import os
import re
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

from pytorch_common import files
from tests.conftest import PROJECT


def test_the_tree_digest_is_what_coreutils_say(tmp_path: Path) -> None:
    for name in ("b/2 two.txt", "b/1.txt", "a.txt", "B/ä.txt"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(name)
    (tmp_path / "b" / "linked").symlink_to(tmp_path / "B")
    (tmp_path / "b" / "file").symlink_to(tmp_path / "a.txt")
    (tmp_path / "b" / "nowhere").symlink_to(tmp_path / "none")
    for name in (
        ".DS_Store",
        "b/._1.txt",
        "b/.ipynb_checkpoints/1.txt",
        "b/.ipynb_checkpoints/x/2.txt",
    ):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("hidden")
    assert len(list(files.list_files(tmp_path))) == 6
    said = f"{tmp_path}: names with a leading dot are passed over (3 here)"
    assert files.hidden_note(tmp_path) == said
    assert files.hidden_note(tmp_path / "B") == ""
    if not shutil.which("sha256sum"):
        pytest.skip("no sha256sum on this machine")
    page = (PROJECT / "docs" / "files.md").read_text()
    (command,) = re.findall(r"^(find -L (?:.*\n)*?.*\| sha256sum)$", page, re.MULTILINE)
    shell = subprocess.run(
        ["sh", "-c", command],
        cwd=tmp_path,
        env={**os.environ, "LC_ALL": "C"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert files.tree_digest(tmp_path) == shell.stdout.split()[0]


def test_the_tree_digest_sees_names_and_contents_but_not_times(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("1")
    first = files.tree_digest(tmp_path)
    os.utime(tmp_path / "a", (0, 0))
    assert files.tree_digest(tmp_path) == first
    (tmp_path / "a").rename(tmp_path / "b")
    renamed = files.tree_digest(tmp_path)
    (tmp_path / "b").write_text("2")
    assert len({first, renamed, files.tree_digest(tmp_path)}) == 3


def test_sha256_file_agrees_with_hashlib_beyond_a_chunk(tmp_path: Path) -> None:
    data = os.urandom(files.CHUNK_BYTES + 17)
    (tmp_path / "x").write_bytes(data)
    assert files.sha256_file(tmp_path / "x") == hashlib.sha256(data).hexdigest()


def test_a_failed_write_leaves_the_old_file_and_no_litter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "x"
    files.write_atomically(target, b"old")

    def full(fd: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        files.write_atomically(target, b"new")
    assert target.read_bytes() == b"old"
    assert [path.name for path in tmp_path.iterdir()] == ["x"]


def _write_for_ever(path: str) -> None:
    for number in range(10**9):
        files.write_atomically(Path(path), bytes([number % 256]) * 200_000)


def test_a_kill_at_any_moment_leaves_a_whole_file(tmp_path: Path) -> None:
    target = tmp_path / "x"
    for attempt in range(5):
        writer = multiprocessing.get_context("spawn").Process(
            target=_write_for_ever, args=(str(target),)
        )
        writer.start()
        while not target.exists():
            time.sleep(0.005)
        time.sleep(0.01 * attempt)
        assert writer.pid is not None
        os.kill(writer.pid, signal.SIGKILL)
        writer.join()
        data = target.read_bytes()
        assert len(data) == 200_000
        assert len(set(data)) == 1
        target.unlink()


def test_a_name_is_never_taken_for_two_files(tmp_path: Path) -> None:
    for name in ("one/a", "one/b", "two/a"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(name[-1])
    listing = files.sha256_listing(tmp_path / "one", files.list_files(tmp_path / "one"))
    second = listing.splitlines()[1]
    strange = tmp_path / "two" / f"a\n{second.replace('/', '')}"
    (tmp_path / "two" / "a").rename(strange)
    assert files.tree_digest(tmp_path / "two") != files.tree_digest(tmp_path / "one")
    for name in ("back\\slash", "line\nfeed", "carriage\rreturn"):
        (tmp_path / "two" / name).write_text("x")
    if not shutil.which("sha256sum"):
        pytest.skip("no sha256sum on this machine")
    paths = sorted(path.name for path in (tmp_path / "two").iterdir())
    said = subprocess.run(
        ["sha256sum", "--", *paths], cwd=tmp_path / "two", capture_output=True, check=True
    )
    assert files.tree_digest(tmp_path / "two") == hashlib.sha256(said.stdout).hexdigest()
