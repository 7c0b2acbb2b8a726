"""The real data set's checksum list, the stand-in, and any other tree of images."""

from __future__ import annotations

import hashlib
import os
import shutil
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest

from pytorch_common.files import listing_digest, tree_digest
from tests import doing
from tests.assets.fault_server import FaultServer, no_proxy_fixture, server_fixture  # noqa: F401
from tests.conftest import paint
from workflow.assets import dataset, pins, splits
from workflow.core.errors import WorkflowError
from workflow.core.settings import DataSettings
from workflow.core.values import Source


@pytest.fixture
def small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Pin a small tree in the place of hymenoptera_data, and return it."""
    root = tmp_path / "source" / "hymenoptera_data"
    for split in ("train", "val"):
        for name in ("ants", "bees"):
            paint(root / split / name / "one photo.png", (1, 2, 3), 1)
    expected = {
        path.relative_to(root).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(root.rglob("*.png"))
    }
    monkeypatch.setattr(dataset, "checksums", lambda: expected)
    return root


def zipped(root: Path) -> Path:
    path = root.parent / "hymenoptera_data.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for file in sorted(root.rglob("*")):
            archive.write(file, f"hymenoptera_data/{file.relative_to(root).as_posix()}")
    return path


def test_the_list_names_398_files_and_has_the_published_digest() -> None:
    files = dataset.checksums()
    assert len(files) == 398
    assert listing_digest(dataset.CHECKSUMS.read_text()) == (
        "b0e3506710bc375be5996e1c9b29818c80cdfc19bcc324e560091da6690149ec"
    )
    counts = {
        (split, name): sum(path.startswith(f"{split}/{name}/") for path in files)
        for split in ("train", "val")
        for name in ("ants", "bees")
    }
    assert list(counts.values()) == [124, 121, 70, 83]


@pytest.mark.parametrize("kind", ["folder", "zip", "url"])
def test_every_source_gives_the_same_verified_tree(
    kind: str, small: Path, tmp_path: Path, server: FaultServer
) -> None:
    source = str(small)
    if kind == "zip":
        source = str(zipped(small))
    elif kind == "url":
        server.content = zipped(small).read_bytes()
        source = server.url
    target = tmp_path / "data" / "hymenoptera_data"
    doing.fetch(DataSettings(dir=target, source=source))
    assert dataset.differences(target) == []
    assert [path.name for path in target.parent.iterdir()] == ["hymenoptera_data"]


def test_a_source_that_differs_names_the_files_and_leaves_nothing(
    small: Path, tmp_path: Path
) -> None:
    (small / "train" / "ants" / "one photo.png").write_bytes(b"changed")
    (small / "val" / "bees" / "one photo.png").unlink()
    target = tmp_path / "data"
    with pytest.raises(WorkflowError) as caught:
        doing.fetch(DataSettings(dir=target, source=str(small)))
    line = caught.value.message
    assert "val/bees/one photo.png is missing, train/ants/one photo.png is changed" in line
    assert "\n" not in line
    assert not target.exists()


def test_a_bad_archive_does_not_come_back(small: Path, tmp_path: Path, server: FaultServer) -> None:
    good = zipped(small).read_bytes()
    (small / "train" / "ants" / "one photo.png").write_bytes(b"changed")
    server.content = zipped(small).read_bytes()
    data = DataSettings(dir=tmp_path / "data" / "hymenoptera_data", source=server.url)
    with pytest.raises(WorkflowError, match="is changed"):
        doing.fetch(data)
    assert list(data.dir.parent.iterdir()) == []
    server.content = good
    doing.fetch(data)
    assert dataset.differences(data.dir) == []


def test_the_projects_own_tree_is_verified_again_and_mended(
    small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = DataSettings(dir=tmp_path / "data", source=str(zipped(small)))
    monkeypatch.setattr(dataset, "HYMENOPTERA", data.dir)
    doing.fetch(data)
    (data.dir / "val" / "ants" / "one photo.png").write_bytes(b"changed")
    with pytest.raises(WorkflowError, match="is changed; run: inv fetch-hymenoptera"):
        dataset.check_hymenoptera(data.dir)
    doing.fetch(data)
    dataset.check_hymenoptera(data.dir)
    doing.fetch(replace(data, source="/no/such.zip"))  # nothing to fetch, so nothing is looked at


def test_no_network_is_one_line_that_names_the_ways_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    unreachable = replace(pins.HYMENOPTERA_ZIP, url="http://127.0.0.1:9/x.zip")
    monkeypatch.setattr(pins, "HYMENOPTERA_ZIP", unreachable)
    with pytest.raises(WorkflowError) as caught:
        doing.fetch(DataSettings(dir=tmp_path / "data"))
    line = caught.value.message
    assert "\n" not in line
    for way in ("--source", "INVOKE_DATA_SOURCE", "inv demo"):
        assert way in line


def test_any_other_tree_is_checked_for_its_shape(tiny_data: Path, tmp_path: Path) -> None:
    dataset.check(DataSettings(dir=tiny_data))
    with pytest.raises(WorkflowError, match="no such folder; give --data a folder"):
        dataset.check(DataSettings(dir=tmp_path / "absent"))
    paint(tmp_path / "train" / "a" / "1.png", (1, 2, 3), 1)
    paint(tmp_path / "val" / "a" / "1.png", (1, 2, 3), 1)
    with pytest.raises(WorkflowError, match=r"in train/ and val/, got a and a$"):
        dataset.check(DataSettings(dir=tmp_path))
    (tmp_path / "train" / "b").mkdir()
    with pytest.raises(WorkflowError, match=r"got a, b and a$"):
        dataset.check(DataSettings(dir=tmp_path))
    (tmp_path / "val" / "b").mkdir()
    with pytest.raises(WorkflowError, match="train/b: no images in it"):
        dataset.check(DataSettings(dir=tmp_path))


def test_hidden_names_are_no_classes_and_no_images(tiny_data: Path, tmp_path: Path) -> None:
    root = tmp_path / "data"
    shutil.copytree(tiny_data, root)
    before = tree_digest(root)
    for name in ("train/.ipynb_checkpoints/1.png", "val/red/._0.png", ".DS_Store"):
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_bytes(b"hidden")
    dataset.check(DataSettings(dir=root))
    assert splits.class_names(root / "train") == ["green", "red"]
    assert len(splits.image_files(root / "val" / "red")) == 3
    assert tree_digest(root) == before


def test_the_folder_of_the_real_data_must_hold_the_real_data(
    small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dataset, "HYMENOPTERA", small)
    dataset.check(DataSettings(dir=small))
    paint(small / "train" / "ants" / "mine.png", (1, 2, 3), 1)
    with pytest.raises(WorkflowError, match=r"train/ants/mine\.png does not belong there"):
        dataset.check(DataSettings(dir=small))


@pytest.mark.parametrize("kind", ["device", "pipe"])
def test_a_source_that_might_never_end_is_refused(kind: str, tmp_path: Path) -> None:
    source = Path("/dev/zero") if kind == "device" else tmp_path / "pipe"
    if kind == "pipe":
        os.mkfifo(source)
    chosen = DataSettings(dir=tmp_path / "data", source=Source(source))
    with pytest.raises(WorkflowError, match=f"a zip or a folder, but {source} is neither"):
        dataset.at_hand(chosen)
