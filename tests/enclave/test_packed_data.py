"""Training on a pack: as on its folder, to the bit."""

from __future__ import annotations

import base64
import json
import os
import shutil
import time
from pathlib import Path
from typing import Any

import pytest

from pytorch_common.content import ImageError
from pytorch_common.contract import ImageLimits
from pytorch_common.files import passed_over_note, sha256_file, tree_digest
from pytorch_common.pack import Pack
from pytorch_train.labelled import BadImageError, Decoded, find_images
from pytorch_train.source import Packed
from tests.enclave.train_script import pack, train
from workflow.images.packing import write_pack

ODD = (
    "\udcff\udcfe.png",
    "line\nfeed \\ and \r.png",
    "Z.PNG",
    "é.png",
    "deep/er/0.png",
    "deep.png",
)
"""Names of images: bytes that are no text, what a listing escapes, folders inside a class."""
OTHERS = ("train/red/notes.txt", "train/red/none", "train/lone.png", "readme.md", "test/red/0.png")


@pytest.fixture
def folder(tiny_data: Path, tmp_path: Path) -> Path:
    """Return a data set with names and files of many kinds."""
    root = tmp_path / "data"
    shutil.copytree(tiny_data, root)
    for number, name in enumerate(ODD):
        path = root / "train" / ("green", "red")[number % 2] / name
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(tiny_data / "val" / ("green", "red")[number % 2] / f"{number % 3}.png", path)
    for name in OTHERS:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"other")
    return root


@pytest.fixture
def packed(folder: Path, tmp_path: Path) -> Path:
    return pack(folder, tmp_path / "data.tar")


def test_a_pack_gives_what_its_folder_gives(
    folder: Path, packed: Path, random_weights: Path, tmp_path: Path
) -> None:
    runs = {}
    for data in (folder, packed):
        out = tmp_path / f"out-{data.name}"
        digest = f"--data-sha256={tree_digest(folder)}"
        done = train(data, random_weights, out, "--epochs=1", digest)
        assert done.returncode == 0, done.stderr
        record = json.loads((out / "record.json").read_text())
        del record["elapsed_s"]
        bundle = json.loads((out / "claims.jsonl").read_text().splitlines()[0])
        statement = json.loads(base64.b64decode(bundle["dsseEnvelope"]["payload"]))
        notes = done.stderr.replace(str(data), "DATA").splitlines()
        runs[data] = (
            sha256_file(out / "net.pt"),
            record,
            statement["predicate"]["buildDefinition"],
            [line.split("  ")[0] for line in notes],
        )
    assert runs[folder] == runs[packed]
    assert "DATA/train: passed over 1 .png, 1 .txt, 1 without a suffix" in runs[packed][3]


def test_the_order_is_that_of_the_folder(folder: Path, packed: Path) -> None:
    source = Packed(packed)
    for split in ("train", "val"):
        ours, theirs = find_images(packed / split, source), find_images(folder / split)
        assert (ours.classes, ours.labels) == (theirs.classes, theirs.labels)
        names = [path.relative_to(folder) for path in theirs.paths]
        assert [path.relative_to(packed) for path in ours.paths] == names
        said = passed_over_note(folder / split, theirs.paths)
        assert source.passed_over(packed / split, ours.paths) == said.replace(
            str(folder), str(packed)
        )
        for index in range(len(ours)):
            assert Decoded(ours)[index].tobytes() == Decoded(theirs)[index].tobytes()


@pytest.mark.parametrize("way", ["folder to pack", "pack to folder"])
def test_a_run_goes_on_from_the_other(
    way: str, tiny_data: Path, random_weights: Path, tmp_path: Path
) -> None:
    places = [tiny_data, pack(tiny_data, tmp_path / "data.tar")]
    first, second = places if way == "folder to pack" else places[::-1]
    whole, kept = tmp_path / "whole", tmp_path / "kept"
    checkpoints = f"--checkpoints={kept}"
    assert train(first, random_weights, whole, "--epochs=3").returncode == 0
    # A network that cannot be written stops the run when its checkpoints are there.
    (tmp_path / "out" / "net.pt").mkdir(parents=True)
    broken = train(first, random_weights, tmp_path / "out", "--epochs=3", checkpoints)
    assert broken.returncode == 1
    (kept / "net.pt.epoch-3").unlink()
    (tmp_path / "out" / "net.pt").rmdir()
    done = train(second, random_weights, tmp_path / "out", "--epochs=3", checkpoints, "--resume")
    assert "resuming after epoch 2" in done.stderr
    assert sha256_file(tmp_path / "out" / "net.pt") == sha256_file(whole / "net.pt")


def test_a_file_above_the_limit_is_not_read(
    tiny_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = tmp_path / "data"
    shutil.copytree(tiny_data, data)
    (data / "train" / "green" / "0.png").write_bytes(bytes(2_000_000))
    target = pack(data, tmp_path / "data.tar")
    source = Packed(target)
    images = Decoded(find_images(target / "train", source), ImageLimits(file_mb=1))
    read: list[int] = []
    monkeypatch.setattr(os, "pread", lambda *args: read.append(args[1]))
    with pytest.raises(BadImageError, match="too large a file: 2 MB, the limit is 1"):
        images[0]
    with pytest.raises(ImageError, match="too large a file"):
        source.read(target / "train" / "green" / "0.png", 1)
    assert read == []


def many(count: int, target: Path, tmp_path: Path) -> Path:
    """Return a pack of so many files, of 100 classes."""
    files = []
    for number in range(count):
        path = tmp_path / f"{number % 400}.jpg"
        if not path.exists():
            path.write_bytes(os.urandom(3000))
        files.append((f"train/{number % 100:03}/{number:06}.jpg", path))
    with target.open("wb") as file:
        write_pack(files, file, {path: sha256_file(path) for _, path in files}.__getitem__)
    return target


def test_opening_a_pack_reads_its_index_alone_however_much_is_in_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pread, read = os.pread, [0]

    def counting(handle: int, size: int, offset: int) -> bytes:
        data = pread(handle, size, offset)
        read[0] += len(data)
        return data

    monkeypatch.setattr(os, "pread", counting)
    took: dict[int, Any] = {}
    for count in (400, 50_000):
        target = many(count, tmp_path / f"{count}.tar", tmp_path)
        read[0], started = 0, time.perf_counter()
        source = Packed(target)
        took[count] = time.perf_counter() - started
        index_bytes = sum(
            len(f"{'0' * 64} {e.size} {e.start} {name}\n")
            for name, e in Pack(target).entries.items()
        )
        opened = read[0] // 2  # twice, by now
        assert opened <= index_bytes + 512
        assert len(find_images(target / "train", source)) == count
        assert read[0] // 2 == opened
    print(f"opened: 400 files in {took[400]:.4f} s, 50,000 in {took[50_000]:.4f} s")  # noqa: T201
