"""A pack that is damaged, hostile or another one: training ends with one line."""

from __future__ import annotations

import shutil
from pathlib import Path

from pytorch_common.files import tree_digest
from pytorch_common.pack import Pack
from tests.enclave.train_script import pack, train
from workflow.images.packing import write_pack


def changed(archive: bytes, packed: Path, name: str) -> bytes:
    """Return the archive with one byte of a file in it changed."""
    start = Pack(packed).entries[name].start + 100
    return archive[:start] + bytes([archive[start] ^ 1]) + archive[start + 1 :]


def test_a_bad_pack_is_one_line(tiny_data: Path, random_weights: Path, tmp_path: Path) -> None:
    good = pack(tiny_data, tmp_path / "good.tar")
    archive, bad = good.read_bytes(), tmp_path / "bad.tar"
    entry = Pack(good).entries["train/red/3.png"]
    end = archive.index(b" train/red/3.png\n")
    start = archive.rindex(b"\n", 0, end) + 1
    sha256, size, offset = archive[start:end].decode().split()
    assert int(size) == entry.size

    def with_line(*words: str, name: str = "train/red/3.png") -> bytes:
        """Return the archive with another line of the same length in its index."""
        line = " ".join((*words, name)).encode()
        assert len(line) == len(b" ".join((archive[start:end], b"train/red/3.png")))
        return archive[:start] + line + archive[start + len(line) :]

    damaged = f"error: {bad}/train/red/3.png: cut short or changed since it was packed"
    for content, more, line in (
        (archive[:700], "", "bad.tar: its index would be 1"),
        (archive[:9000], "", "said to lie beyond the end of the archive"),
        (with_line(sha256, "9" * len(size), offset), "", "train/red/"),
        (with_line(sha256, size, str(int(offset) + 512)), "", damaged),
        (with_line(sha256[::-1], size, offset), "", damaged),
        (with_line(sha256, size, "9" * len(offset)), "", "train/red/3.png: said to lie beyond"),
        (with_line(sha256, size, offset, name="train/../33.png"), "", "of its index is none of a"),
        (archive, f"--data-sha256={'0' * 64}", f"expected the pack of {'0' * 64}, got that of "),
        (changed(archive, good, "train/red/3.png"), "", damaged),
        (b"PK\x03\x04" + bytes(2000), "", "bad.tar: no pack: it does not begin with a member"),
        (b"", "", "bad.tar: no pack"),
    ):
        bad.write_bytes(content)
        done = train(bad, random_weights, tmp_path / "out", *([more] if more else []))
        assert (done.returncode, "Traceback" in done.stderr) == (1, False), done.stderr
        last = done.stderr.splitlines()[-1]
        assert last.startswith("error: ") and line in last, last
        assert not (tmp_path / "out").exists()


def test_every_bad_image_is_named(tiny_data: Path, random_weights: Path, tmp_path: Path) -> None:
    data = tmp_path / "data"
    shutil.copytree(tiny_data, data)
    for name in ("train/red/0.png", "val/green/1.png"):
        (data / name).write_bytes(b"no image")
    target = pack(data, tmp_path / "data.tar")
    target.write_bytes(changed(target.read_bytes(), target, "train/red/4.png"))
    done = train(target, random_weights, tmp_path / "out")
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith(
        f"error: 3 files are no images: {target}/train/red/0.png: not an image"
    )
    assert f"{target}/train/red/4.png: cut short or changed since it was packed" in done.stderr


def test_a_folder_in_the_place_of_a_pack_is_refused(
    tiny_data: Path, random_weights: Path, tmp_path: Path
) -> None:
    """The host could put one there, and change its images after their digest was taken."""
    target = tmp_path / "data.tar"
    shutil.copytree(tiny_data, target)
    digest = f"--data-sha256={tree_digest(tiny_data)}"
    done = train(target, random_weights, tmp_path / "out", digest)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == f"error: {target}: expected a file"
    assert not (tmp_path / "out").exists()


def test_another_folder_than_the_one_asked_for_is_refused(
    tiny_data: Path, random_weights: Path, tmp_path: Path
) -> None:
    done = train(tiny_data, random_weights, tmp_path / "out", "--data-sha256=abc")
    assert done.returncode == 1
    expected = f"error: {tiny_data}: expected the data set abc, got {tree_digest(tiny_data)}"
    assert done.stderr.splitlines()[-1] == expected
    assert not (tmp_path / "out").exists()


def test_a_pack_with_hidden_names_or_without_classes_is_refused(
    tiny_data: Path, random_weights: Path, tmp_path: Path
) -> None:
    target = tmp_path / "data.tar"
    image = tiny_data / "val" / "red" / "0.png"
    for names, line in (
        (["train/red/.0.png"], f"{target}: train/red/.0.png is hidden"),
        (["train/0.png", "val/red/0.png"], f"got: no class folders in {target}/train"),
        (["train/red/0.png", "val/red/0.txt"], f"got: no images in {target}/val/red"),
        (["train/red/0.png", "val/green/0.png"], "not the same classes in train and val"),
    ):
        with target.open("wb") as file:
            write_pack([(name, image) for name in names], file)
        done = train(target, random_weights, tmp_path / "out")
        assert (done.returncode, "Traceback" in done.stderr) == (1, False), done.stderr
        assert line in done.stderr.splitlines()[-1]
