"""The tasks where --data is a pack: what reads no more than train.py does takes it."""

from __future__ import annotations

import io
import shlex
import tarfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from pytorch_common.files import sha256_file, tree_digest
from tests import doing
from tests.enclave.train_script import pack
from workflow.assets import dataset
from workflow.assets.splits import data_digest, image_counts
from workflow.backends import train_job
from workflow.backends.native import Native
from workflow.core.errors import WorkflowError
from workflow.core.settings import DataSettings, Settings, TrainSettings
from workflow.images.build_run import build_lines
from workflow.images.build_spec import train_build
from workflow.images.context import write_context
from workflow.images.packing import write_pack
from workflow.steps.all import check_images
from workflow.tools import comparisons


@pytest.fixture
def packed(tiny_settings: Settings, tiny_data: Path, tmp_path: Path) -> Settings:
    target = pack(tiny_data, tmp_path / "data.tar")
    return replace(tiny_settings, data=DataSettings(dir=target))


def test_a_training_natively_is_that_of_the_folder(
    packed: Settings, tiny_settings: Settings, tiny_data: Path, tmp_path: Path
) -> None:
    doing.train(packed)
    assert train_job.is_up_to_date(packed, Native())
    assert train_job.is_up_to_date(tiny_settings, Native())  # the same images
    beside = replace(tiny_settings, train=replace(tiny_settings.train, out=tmp_path / "beside"))
    doing.train(beside)
    assert sha256_file(beside.train.out / "net.pt") == sha256_file(packed.train.out / "net.pt")
    assert data_digest(packed.data.dir) == tree_digest(tiny_data)
    counts = {"green": 6, "red": 6}
    assert image_counts(packed.data.dir, "train") == image_counts(tiny_data, "train") == counts


def test_the_training_image_carries_the_pack_that_is_given(
    packed: Settings, tiny_settings: Settings
) -> None:
    build, of_folder = train_build(packed, None), train_build(tiny_settings, None)
    assert build.arguments == of_folder.arguments
    contents = []
    for each in (build, of_folder):
        context = io.BytesIO()
        write_context(each, context)
        contents.append(context.getvalue())
    names = [tarfile.open(fileobj=io.BytesIO(content)).getnames() for content in contents]  # noqa: SIM115
    assert sorted(names[0]) == sorted(names[1])
    assert packed.data.dir.read_bytes() in contents[0]
    copy = f"cp -rL {shlex.quote(str(packed.data.dir))} context/pytorch_train/data.tar"
    assert copy in build_lines(build)
    assert f"TRAIN_DATA_SHA256={data_digest(packed.data.dir)}" in build_lines(build)[-1]


@pytest.mark.parametrize(
    ("names", "line"),
    [
        (["train/a/1.png", "val/b/1.png"], "the same two or more class folders .* got a and b"),
        (["train/a/1.png", "val/a/1.png"], "the same two or more class folders .* got a and a"),
        (["1.png"], "the same two or more class folders .* got none and none"),
        (
            ["train/a/1.png", "train/b/1.png", "val/a/1.png", "val/b/1.txt"],
            r"data.tar/val/b: no images in it",
        ),
    ],
)
def test_a_pack_that_cannot_be_trained_on_is_refused(
    names: list[str], line: str, tmp_path: Path
) -> None:
    (tmp_path / "file").write_bytes(b"x")
    target = tmp_path / "data.tar"
    with target.open("wb") as file:
        write_pack([(name, tmp_path / "file") for name in names], file)
    with pytest.raises(WorkflowError, match=line):
        dataset.check(DataSettings(dir=target))


def test_a_file_that_is_no_pack_is_refused(tmp_path: Path) -> None:
    target = tmp_path / "data.zip"
    target.write_bytes(b"PK\x03\x04" + bytes(2000))
    with pytest.raises(WorkflowError, match=r"no pack: .*; expected a folder, or a pack of one"):
        dataset.check(DataSettings(dir=target))


def test_a_batch_size_that_leaves_one_image_over_is_refused_for_a_pack_too(
    packed: Settings,
) -> None:
    inception = replace(packed, model=replace(packed.model, arch="inception_v3"))
    chosen = replace(inception, train=TrainSettings(batch_size=11))
    with pytest.raises(WorkflowError, match="batch"):
        dataset.check_trainable(chosen.data, chosen.train_options)


@pytest.mark.parametrize(
    "task",
    [
        doing.report,
        lambda settings: comparisons.compare_classifying(settings, 1),
        lambda settings: comparisons.check(settings),
    ],
)
def test_what_reads_the_images_itself_asks_for_the_folder(
    task: Callable[[Settings], object], packed: Settings
) -> None:
    if task is doing.report:
        doing.train(packed)
        doing.copy_net(packed)
    with pytest.raises(WorkflowError, match="expected a folder, got a file; unpack a pack"):
        task(packed)


def test_no_example_is_classified_of_a_pack(packed: Settings) -> None:
    with pytest.raises(WorkflowError, match="--image: expected images to classify; "):
        check_images(packed, ())
    check_images(packed, (str(packed.data.dir),))
