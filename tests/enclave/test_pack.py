from __future__ import annotations

import io
import subprocess
import tarfile
from pathlib import Path

import pytest

from pytorch_common.files import list_files, tree_digest
from pytorch_common.pack import Pack, PackError
from workflow.images.packing import write_pack

FILES = {
    b"train/ants/1.jpg": b"one",
    b"train/bees/" + b"long" * 40 + b".jpg": b"x" * 5000,
    b"train/bees/\xff\xfe not utf-8": b"two",
    b"train/bees/line\nfeed \\ and \r": b"three",
    b"val/ants/same.jpg": b"one",
    b"val/ants/empty.jpg": b"",
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "folder"
    for name, content in FILES.items():
        path = root / name.decode("utf-8", "surrogateescape")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return root


def packed(root: Path) -> bytes:
    target = io.BytesIO()
    names = [(path.relative_to(root).as_posix(), path) for path in list_files(root)]
    digest = write_pack(names[::-1], target)
    assert digest == tree_digest(root)
    return target.getvalue()


def opened(tmp_path: Path, archive: bytes, digest: str = "") -> Pack:
    path = tmp_path / "a.tar"
    path.write_bytes(archive)
    return Pack(path, digest)


def test_a_pack_has_the_names_contents_and_digest_of_its_folder(
    tmp_path: Path, folder: Path
) -> None:
    pack = opened(tmp_path, packed(folder), tree_digest(folder))
    assert list(pack.entries) == [name.decode("utf-8", "surrogateescape") for name in sorted(FILES)]
    for name, content in FILES.items():
        assert pack.read(name.decode("utf-8", "surrogateescape")) == content


def test_any_tar_opens_it(tmp_path: Path, folder: Path) -> None:
    (tmp_path / "a.tar").write_bytes(packed(folder))
    out = tmp_path / "out"
    out.mkdir()
    subprocess.run(["tar", "-xf", tmp_path / "a.tar", "-C", out], check=True)
    assert tree_digest(out) == tree_digest(folder)


def test_the_same_files_give_the_same_bytes_and_doubles_are_there_once(folder: Path) -> None:
    archive = packed(folder)
    assert archive == packed(folder)
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        assert tar.getmember("val/ants/same.jpg").linkname == "train/ants/1.jpg"


def test_opening_reads_the_index_alone(tmp_path: Path, folder: Path) -> None:
    archive = bytearray(packed(folder))
    archive[-6000:] = bytes(6000)
    pack = opened(tmp_path, bytes(archive), tree_digest(folder))
    assert pack.read("train/ants/1.jpg") == b"one"
    with pytest.raises(PackError, match="changed, not the file that was packed"):
        pack.read("train/bees/" + "long" * 40 + ".jpg")


def test_every_byte_that_matters_is_noticed(tmp_path: Path, folder: Path) -> None:
    """One byte changed anywhere: each file is as it was, or the pack is refused."""
    archive, digest = packed(folder), tree_digest(folder)
    path = tmp_path / "a.tar"
    refused = 0
    for position in range(0, len(archive), 7):
        path.write_bytes(
            archive[:position] + bytes([archive[position] ^ 1]) + archive[position + 1 :]
        )
        try:
            pack = Pack(path, digest)
            for name, content in FILES.items():
                assert pack.read(name.decode("utf-8", "surrogateescape")) == content
        except PackError as error:
            assert "\n" not in str(error)
            refused += 1
    assert refused > 5000 // 7


def line(name: str, *, sha256: str = "0" * 64, size: int = 0, start: int = 0) -> str:
    return f"{sha256} {size} {start} {name}\n"


def with_index(text: str) -> bytes:
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w", format=tarfile.GNU_FORMAT) as tar:
        member = tarfile.TarInfo(".index")
        content = text.encode("utf-8", "surrogateescape")
        member.size = len(content)
        tar.addfile(member, io.BytesIO(content))
    return target.getvalue()


@pytest.mark.parametrize(
    ("archive", "problem"),
    [
        (b"", "no pack"),
        (b"GIF89a" + bytes(2000), "no pack"),
        (with_index(line("a") * 20)[:600], "its index would be 1420 bytes"),
        (with_index(line("../a")), "line 1 of its index"),
        (with_index(line("a") + line("b/../c")), "line 2 of its index"),
        (with_index(line("/etc/passwd")), "line 1 of its index"),
        (with_index(line("a//b")), "line 1 of its index"),
        (with_index(line("a") + "half a line"), "line 2 of its index"),
        (with_index(line("a", sha256="g" * 64)), "line 1 of its index"),
        (with_index(line("a" * 5000)), "line 1 of its index"),
        (with_index(line("b") + line("a")), "not sorted at a"),
        (with_index(line("a") + line("a")), "not sorted at a"),
        (with_index(line("a", size=1 << 50)), "a: said to lie beyond the end"),
        (with_index(line("a", start=10**17)), "a: said to lie beyond the end"),
        (with_index("0" * 64 + f" {10**30} 0 a\n"), "line 1 of its index"),
    ],
)
def test_a_bad_pack_is_one_line(tmp_path: Path, archive: bytes, problem: str) -> None:
    with pytest.raises(PackError, match=problem) as error:
        opened(tmp_path, archive)
    assert "\n" not in str(error.value)


def test_another_pack_and_what_is_no_file_are_refused(tmp_path: Path, folder: Path) -> None:
    with pytest.raises(PackError, match="expected the pack of 0000"):
        opened(tmp_path, packed(folder), "0" * 64)
    with pytest.raises(PackError, match="expected a file"):
        Pack(folder)
    with pytest.raises(PackError, match="nothing is not in it"):
        opened(tmp_path, packed(folder)).read("nothing")
