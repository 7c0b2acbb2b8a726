"""What makes training fast changes nothing in what is trained on."""

from __future__ import annotations

import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch
from torch import nn
from torchvision.datasets import ImageFolder

from pytorch_common.ahead import workers
from pytorch_train.batches import TrainingBatches, ValidationBatches
from pytorch_train.labelled import BadImageError, Budget, Decoded, Labelled, find_images
from tests.conftest import PROJECT, paint


def training(labelled: Labelled, kept_bytes: int, threads: int, epoch: int = 1) -> list[bytes]:
    """Return the bytes of every batch of an epoch."""
    with ThreadPoolExecutor(threads) as pool:
        images = Decoded(labelled)
        images.keep(Budget(kept_bytes), pool)
        batches = TrainingBatches(
            images, labelled.labels, None, size=32, batch_size=5, seed=3, epoch=epoch, pool=pool
        )
        assert len(batches) == 3
        return [
            images.contiguous().numpy().tobytes() + labels.numpy().tobytes()
            for images, labels in batches
        ]


def test_images_are_found_as_torchvision_finds_them(tmp_path: Path) -> None:
    names = ("b/2.jpg", "b/10.PNG", "b/deep/1.webp", "a/B.jpeg", "a/a.gif", "a/n.txt")
    for name in names:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    (tmp_path / "file.jpg").write_bytes(b"")
    (tmp_path / "linked").symlink_to(tmp_path / "b")
    ours, usual = find_images(tmp_path), ImageFolder(str(tmp_path))
    assert ours.classes == usual.classes == ["a", "b", "linked"]
    assert [(str(path), label) for path, label in zip(ours.paths, ours.labels, strict=True)] == (
        usual.samples
    )
    # There torchvision makes a class of the folder, and of the rest images.
    for name in (".ipynb_checkpoints/1.jpg", "a/._B.jpeg", "b/deep/.old/3.jpg"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    assert find_images(tmp_path) == ours


def test_neither_threads_nor_memory_change_what_is_drawn(labelled: Labelled) -> None:
    first = training(labelled, 0, 1)
    assert training(labelled, 0, 7) == first
    assert training(labelled, 10**9, 2) == first
    assert training(labelled, 3 * 80 * 60 * 4, 2) == first


def test_every_epoch_draws_anew(labelled: Labelled) -> None:
    assert not set(training(labelled, 0, 2)) & set(training(labelled, 0, 2, epoch=2))


@pytest.mark.parametrize("room", [0, 2, 6])
def test_what_is_kept_stays_in_the_budget(tiny_data: Path, tmp_path: Path, room: int) -> None:
    folder = tmp_path / "train"
    shutil.copytree(tiny_data / "train", folder)
    images = Decoded(find_images(folder))
    with ThreadPoolExecutor(2) as pool:
        images.keep(Budget(room * 80 * 60 * 3 + 1), pool)
    shutil.rmtree(folder)  # what is kept is there without its file
    for index in range(12):
        if index < room:
            assert images[index].size == (80, 60)
        else:
            with pytest.raises(BadImageError, match="no such file"):
                images[index]


@pytest.mark.parametrize("room", [0, 1, 2])
@pytest.mark.parametrize("has_backbone", [False, True])
def test_validation_batches_are_the_same_kept_or_not(
    tiny_data: Path, tmp_path: Path, room: int, has_backbone: bool
) -> None:
    torch.manual_seed(0)
    backbone = nn.Conv2d(3, 4, 3).requires_grad_(False) if has_backbone else None
    shutil.copytree(tiny_data / "val", tmp_path / "val")
    labelled = find_images(tmp_path / "val")
    with workers(2) as pool:

        def batches() -> ValidationBatches:
            return ValidationBatches(
                Decoded(labelled), labelled.labels, backbone, size=16, pool=pool
            )

        streamed, kept = list(batches()), batches()
        first_bytes = streamed[0][0].nbytes if backbone else 4 * 16 * 16 * 3
        kept.keep(Budget(first_bytes * room))
        assert len(streamed) == len(kept) == 2
        for _ in range(2):
            for (data, labels), (expected, expected_labels) in zip(kept, streamed, strict=True):
                assert torch.equal(data, expected) and torch.equal(labels, expected_labels)
        shutil.rmtree(tmp_path / "val")  # what is kept is there without its files
        again = iter(kept)
        assert all(torch.equal(next(again)[0], expected) for expected, _ in streamed[:room])
        with pytest.raises(BadImageError if room < 2 else StopIteration):
            next(again)


def test_the_cache_does_not_change_the_network_and_nothing_heavy_is_imported(
    tiny_data: Path, random_weights: Path, tmp_path: Path
) -> None:
    code = (
        "import sys\n"
        "from pytorch_train.train import main\n"
        "main(sys.argv[1:])\n"
        "heavy = {'torch._dynamo', 'torch._inductor', 'torchvision'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    nets = []
    for cache in ("0", "256"):
        args = [
            *(f"--data={tiny_data}", f"--weights={random_weights}", f"--out={tmp_path / cache}"),
            *("--arch=squeezenet1_1", "--epochs=2", "--threads=1", f"--cache-mb={cache}"),
        ]
        done = subprocess.run(
            [sys.executable, "-c", code, *args],
            cwd=PROJECT,
            capture_output=True,
            text=True,
            check=True,
        )
        assert done.stdout.splitlines()[-1] == "[]"
        nets.append((tmp_path / cache / "net.pt").read_bytes())
    assert nets[0] == nets[1]


def test_a_bad_image_is_named_whether_it_would_be_kept_or_not(tmp_path: Path) -> None:
    from pytorch_common.errors import RunError

    paint(tmp_path / "red" / "0.png", (200, 1, 1), 1)
    shutil.copytree(tmp_path / "red", tmp_path / "green")
    (tmp_path / "green" / "1.jpg").write_text("no image")
    images = Decoded(find_images(tmp_path))
    with ThreadPoolExecutor(2) as pool, pytest.raises(RunError, match=r"green/1\.jpg: not an"):
        images.keep(Budget(10**6), pool)
