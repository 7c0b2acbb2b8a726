"""A data set packed: in the context of the training image, and by hand."""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from pytorch_common.files import list_files, tree_digest
from pytorch_common.pack import Pack
from tests.conftest import PROJECT
from workflow.core.errors import WorkflowError
from workflow.core.settings import DataSettings, Settings, TrainSettings
from workflow.images import build_spec
from workflow.images.context import context_digest, write_context


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    path = tmp_path / "mine.pth"
    path.write_bytes(b"weights")
    return path


@pytest.fixture
def chosen(tiny_data: Path, tmp_path: Path) -> Settings:
    data = tmp_path / "data"
    shutil.copytree(tiny_data, data)
    (data / ".DS_Store").write_bytes(b"hidden")
    return Settings(data=DataSettings(dir=data), train=TrainSettings(threads=3))


def test_the_data_set_is_one_file_of_the_context(
    chosen: Settings, weights: Path, tmp_path: Path
) -> None:
    build = build_spec.train_build(chosen, weights)
    context = io.BytesIO()
    write_context(build, context)
    context.seek(0)
    with tarfile.open(fileobj=context) as tar:
        tar.extract("pytorch_train/data.tar", tmp_path, filter="data")
    pack = Pack(tmp_path / "pytorch_train" / "data.tar", build.arguments["TRAIN_DATA_SHA256"])
    found = {path.relative_to(chosen.data.dir).as_posix() for path in list_files(chosen.data.dir)}
    assert set(pack.entries) == found
    assert "train/red/0.png" in found and ".DS_Store" not in found


def test_a_changed_image_or_name_of_the_data_set_is_another_context(
    chosen: Settings, weights: Path
) -> None:
    def digests() -> tuple[str, str]:
        build = build_spec.train_build(chosen, weights)
        return context_digest(build), build.arguments["TRAIN_DATA_SHA256"]

    image = chosen.data.dir / "val" / "red" / "0.png"
    content, before = image.read_bytes(), digests()
    image.write_bytes(content + b"more")
    changed = digests()
    image.write_bytes(content)
    assert digests() == before
    image.rename(image.with_name("other.png"))
    assert len({before[0], changed[0], digests()[0]}) == 3
    assert len({before[1], changed[1], digests()[1]}) == 3


def test_a_data_set_that_changes_while_it_is_packed_is_refused(
    chosen: Settings, weights: Path
) -> None:
    build = build_spec.train_build(chosen, weights)
    (chosen.data.dir / "val" / "red" / "0.png").write_bytes(b"changed")
    with pytest.raises(WorkflowError, match="changed while it was packed; run the same again"):
        write_context(build, io.BytesIO())


def packed_by_hand(*args: str | Path, names: bytes = b"") -> str:
    command = [sys.executable, PROJECT / "workflow" / "images" / "packing.py", *args]
    environment = {**os.environ, "PYTHONPATH": str(PROJECT)}
    done = subprocess.run(command, input=names, env=environment, capture_output=True, check=True)
    return done.stdout.decode().strip()


def test_by_hand_a_folder_is_packed_or_the_files_that_are_named(
    chosen: Settings, tmp_path: Path
) -> None:
    data, target = chosen.data.dir, tmp_path / "data.tar"
    odd = os.fsdecode(b"line\x0bfeed \xff.png")
    (data / "train" / "red" / odd).write_bytes(b"odd")
    assert packed_by_hand(data, target) == tree_digest(data) == Pack(target).digest
    assert f"train/red/{odd}" in Pack(target).entries
    names = [f"train/red/{odd}", ".DS_Store"]
    listing = "".join(f"in the pack/{name}\t{name}\n" for name in names)
    packed_by_hand(data, target, "--names", names=os.fsencode(listing))
    assert set(Pack(target).entries) == {f"in the pack/{name}" for name in names}
    with pytest.raises(subprocess.CalledProcessError) as caught:
        packed_by_hand(tmp_path / "none", target)
    assert caught.value.returncode == 2
    assert caught.value.stderr.decode().endswith(f"error: {tmp_path / 'none'}: no such folder\n")
    assert len(Pack(target).entries) == len(names)
