"""A pack: the same bytes for the same evidence, and nothing of a stranger's outside its folder."""

from __future__ import annotations

import io
import os
import subprocess
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.evidence.made_up_run import Run
from workflow.core.errors import WorkflowError
from workflow.evidence import pack


@pytest.fixture
def made(tmp_path: Path) -> Path:
    trained = Run(tmp_path / "train").train()
    answered = Run(tmp_path / "infer").classify()
    files = {**pack.found(trained, "train", net=True), **pack.found(answered, "infer", net=True)}
    pack.write(tmp_path / "evidence.tar", files)
    return tmp_path / "evidence.tar"


def unpacked(path: Path) -> dict[str, bytes]:
    folder = path.with_name("out")
    folder.mkdir()
    pack.unpack(path, folder)
    return {
        file.relative_to(folder).as_posix(): file.read_bytes()
        for file in folder.rglob("*")
        if file.is_file()
    }


def test_what_goes_in_comes_out(made: Path, tmp_path: Path) -> None:
    found = unpacked(made)
    assert found.pop("about.json") == pack.ABOUT
    assert len(found) == 8 + 6
    assert all((tmp_path / name).read_bytes() == data for name, data in found.items())


def test_the_same_evidence_is_the_same_bytes(made: Path, tmp_path: Path) -> None:
    first = made.read_bytes()
    for path in (tmp_path / "train").iterdir():
        os.utime(path, (1, 1))
        path.chmod(0o600)
    pack.write(made, dict(reversed(pack.found(tmp_path / "train", "train", net=True).items())))
    one = made.read_bytes()
    pack.write(made, pack.found(tmp_path / "train", "train", net=True))
    assert made.read_bytes() == one
    assert first.startswith(one[:1024])


def test_tar_opens_it(made: Path) -> None:
    done = subprocess.run(["tar", "-tf", str(made)], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[0] == "about.json"
    assert "train/claims.jsonl" in done.stdout
    assert not done.stderr


def test_the_network_is_left_out_unless_it_is_asked_for(tmp_path: Path) -> None:
    trained = Run(tmp_path / "train").train()
    assert "train/net.pt" not in pack.found(trained, "train", net=False)
    assert "train/net.pt" in pack.found(trained, "train", net=True)


def tar(*entries: tarfile.TarInfo, form: int = tarfile.USTAR_FORMAT) -> bytes:
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w", format=form) as archive:
        about = tarfile.TarInfo("about.json")
        about.size = len(pack.ABOUT)
        archive.addfile(about, io.BytesIO(pack.ABOUT))
        for entry in entries:
            archive.addfile(entry, io.BytesIO(bytes(entry.size)))
    return target.getvalue()


def entry(
    name: str, size: int = 1, kind: bytes = tarfile.REGTYPE, link: str = ""
) -> tarfile.TarInfo:
    made = tarfile.TarInfo(name)
    made.size, made.type, made.linkname = size, kind, link
    return made


KEY = "train/key.pub"


@pytest.mark.parametrize(
    ("data", "error"),
    [
        (tar(entry("../escape")), "'../escape' is no part"),
        (tar(entry("/etc/passwd")), "'/etc/passwd' is no part"),
        (tar(entry("train/../../x")), "is no part"),
        (tar(entry("train/key.pub", 0, tarfile.SYMTYPE, "/etc/passwd")), "not as a pack has it"),
        (tar(entry("train/key.pub", 0, tarfile.LNKTYPE, "about.json")), "not as a pack has it"),
        (tar(entry("train", 0, tarfile.DIRTYPE)), "is no part"),
        (tar(entry("train/" + "x" * 120), form=tarfile.PAX_FORMAT), "is no part"),
        (tar(entry("train/" + "x" * 120), form=tarfile.GNU_FORMAT), "not as a pack has it"),
        (tar(entry(KEY), entry(KEY)), "twice"),
        (tar(entry(KEY), entry("infer/key.pub")), "not in the order"),
        (tar(entry(KEY, 2000)), "expected at most 1024 bytes"),
        (b"", "no pack of evidence"),
        (b"\0" * 1024, "expected enclave-finetune/evidence/1"),
        (b"PK\3\4" * 900, "no pack of evidence"),
        (b"\x1f\x8b" * 900, "no pack of evidence"),
    ],
)
def test_what_is_no_pack_is_one_line(data: bytes, error: str, tmp_path: Path) -> None:
    path = tmp_path / "x.tar"
    path.write_bytes(data)
    with pytest.raises(WorkflowError, match=error):
        unpacked(path)
    assert not (tmp_path / "escape").exists()


@pytest.mark.parametrize(
    ("change", "error"),
    [
        (lambda data: data[:-1024], "no pack of evidence"),
        (lambda data: data[:-512], "after its end"),
        (lambda data: data + b"x", "after its end"),
        (lambda data: data[:2000], "truncated"),
        (lambda data: data.replace(b"inv verify FILE", b"inv verify file"), "expected enclave"),
    ],
)
def test_a_damaged_pack_is_one_line(
    change: Callable[[bytes], bytes], error: str, made: Path
) -> None:
    made.write_bytes(change(made.read_bytes()))
    with pytest.raises(WorkflowError, match=error):
        unpacked(made)


def test_a_size_that_is_a_lie_takes_no_room(made: Path) -> None:
    header = bytearray(pack._header("train/net.pt", pack.NET_MOST_BYTES))
    data = made.read_bytes()
    made.write_bytes(data[:1024] + bytes(header) + b"few bytes")
    with pytest.raises(WorkflowError, match="truncated"):
        unpacked(made)
    assert (made.with_name("out") / "train" / "net.pt").stat().st_size < 100
