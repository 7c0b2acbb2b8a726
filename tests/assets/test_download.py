"""Where a file is fetched from, and what is left behind whatever happens meanwhile."""

from __future__ import annotations

import hashlib
import os
import resource
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from tests.assets.fault_server import (  # noqa: F401  (pytest finds the fixtures here)
    CONTENT,
    FaultServer,
    no_proxy_fixture,
    server_fixture,
    wrong_bytes,
)
from workflow.assets.download import Asset, fetch, matches, verify
from workflow.core.errors import WorkflowError
from workflow.core.locks import lock_beside

SHA256 = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def asset(server: FaultServer) -> Asset:
    return Asset("file.bin", server.url, SHA256, max_bytes=len(CONTENT))


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "models" / "file.bin"


def assert_only(target: Path) -> None:
    """Hold that the whole file is there, and nothing beside it."""
    assert target.read_bytes() == CONTENT
    assert list(target.parent.iterdir()) == [target]


def write(path: Path, content: bytes = CONTENT) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("digits", [64, 8])
def test_a_verified_target_is_left_alone(
    server: FaultServer, asset: Asset, target: Path, digits: int
) -> None:
    before = write(target).stat()
    assert not fetch(replace(asset, sha256=SHA256[:digits]), target)
    assert target.stat() == before
    assert server.requests == []


def test_a_damaged_target_is_replaced_with_a_note(
    asset: Asset, target: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write(target, CONTENT[:-1])
    assert fetch(asset, target)
    assert_only(target)
    assert f"{target}: expected sha256 {SHA256}, got " in capsys.readouterr().err


def test_a_damaged_target_stays_until_there_is_a_better_one(
    server: FaultServer, asset: Asset, target: Path
) -> None:
    write(target, b"damaged")
    server.script(wrong_bytes)
    with pytest.raises(WorkflowError):
        fetch(asset, target)
    assert target.read_bytes() == b"damaged"


def test_a_cache_that_verifies_comes_before_the_source(
    server: FaultServer, asset: Asset, target: Path, tmp_path: Path
) -> None:
    caches = [tmp_path / "missing", tmp_path / "damaged", tmp_path / "good"]
    write(caches[1] / "file.bin", b"damaged")
    write(caches[2] / "file.bin")
    assert fetch(asset, target, source="/nowhere", caches=caches)
    assert_only(target)
    assert server.requests == []


def test_a_cache_is_not_believed_without_a_digest(
    server: FaultServer, asset: Asset, target: Path, tmp_path: Path
) -> None:
    write(tmp_path / "cache" / "file.bin", b"who knows")
    assert fetch(replace(asset, sha256=""), target, caches=[tmp_path / "cache"])
    assert_only(target)
    assert len(server.requests) == 1


@pytest.mark.parametrize("form", [str, Path.as_uri])
def test_a_source_file_is_copied(
    server: FaultServer, asset: Asset, target: Path, tmp_path: Path, form: Callable[[Path], str]
) -> None:
    path = write(tmp_path / "usb stick" / "squeezenet.pth")
    assert fetch(asset, target, source=form(path))
    assert_only(target)
    assert server.requests == []


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (b"other", f"expected sha256 {SHA256}, got "),
        (b"<html>Not found</html>", "got an HTML page, expected file.bin"),
        (CONTENT + b"x", "expected at most"),
        (None, "no such file, expected file.bin"),
    ],
)
def test_a_source_file_that_is_another_is_refused(
    asset: Asset, target: Path, tmp_path: Path, content: bytes | None, fault: str
) -> None:
    source = tmp_path / "source"
    if content is not None:
        write(source, content)
    with pytest.raises(WorkflowError, match=f"^{source}: {fault}") as caught:
        fetch(asset, target, source=str(source))
    assert "--source" in str(caught.value.message)
    assert list(target.parent.iterdir()) == []


def test_a_source_url_is_asked_instead_of_the_assets_own(
    server: FaultServer, asset: Asset, target: Path
) -> None:
    elsewhere = replace(asset, url="http://files.invalid/file.bin")
    assert fetch(elsewhere, target, source=server.url + "?mirror")
    assert_only(target)
    assert server.requests[0].path == "/file.bin?mirror"


def test_the_file_reaches_the_disk_before_its_name(
    asset: Asset, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[str] = []
    fsync, replace_file = os.fsync, Path.replace

    def noting_fsync(descriptor: int) -> None:
        assert os.fstat(descriptor).st_size == len(CONTENT)
        calls.append("fsync")
        fsync(descriptor)

    def noting_replace(path: Path, new: Path) -> Path:
        calls.append(f"{path.name} -> {new.name}")
        return replace_file(path, new)

    monkeypatch.setattr(os, "fsync", noting_fsync)
    monkeypatch.setattr(Path, "replace", noting_replace)
    assert fetch(asset, target)
    assert calls == ["fsync", ".file.bin.enclave-finetune.part -> file.bin"]


def test_a_full_disk_is_one_line_and_the_next_run_goes_on(
    server: FaultServer, asset: Asset, target: Path
) -> None:
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (500_000, limits[1]))
    try:
        with pytest.raises(WorkflowError, match=f"^{target}: File too large; mend that"):
            fetch(asset, target)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert not target.exists()
    assert fetch(asset, target)
    assert server.ranges() == [None, "bytes=500000-"]
    assert_only(target)


def test_a_folder_that_cannot_be_written_is_one_line(asset: Asset, tmp_path: Path) -> None:
    write(tmp_path / "models", b"a file where the folder should be")
    with pytest.raises(WorkflowError, match=r"cannot be written: (File exists|Not a directory)"):
        fetch(asset, tmp_path / "models" / "file.bin")


def test_a_lock_left_by_a_killed_run_does_not_hold(asset: Asset, target: Path) -> None:
    write(lock_beside(target), b"")
    assert fetch(asset, target)
    assert_only(target)


def test_matches_takes_a_digest_or_how_it_begins(tmp_path: Path) -> None:
    path = write(tmp_path / "file")
    assert matches(path, SHA256)
    assert matches(path, SHA256[:8])
    assert matches(path, "")
    assert not matches(path, SHA256[::-1])
    assert not matches(tmp_path / "missing", "")


def test_verify_says_what_was_expected_and_got(asset: Asset, tmp_path: Path) -> None:
    verify(write(tmp_path / "file.bin"), asset)
    other = hashlib.sha256(b"other").hexdigest()
    short = replace(asset, sha256=SHA256[:8], hint="run: inv download-model")
    line = f"expected sha256 {SHA256[:8]}, got {other[:8]}; run: inv download-model$"
    with pytest.raises(WorkflowError, match=line):
        verify(write(tmp_path / "file.bin", b"other"), short)


@pytest.mark.parametrize("source", ["", "file.bin.part"])
def test_what_a_browser_is_downloading_is_a_persons(
    server: FaultServer, asset: Asset, target: Path, source: str
) -> None:
    theirs = write(target.with_name("file.bin.part"))
    assert fetch(asset, target, source=source and str(theirs))
    assert theirs.read_bytes() == target.read_bytes() == CONTENT
