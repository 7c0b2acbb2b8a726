"""What makes training fast changes nothing in what is trained on."""

from __future__ import annotations

import shutil
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch
from torch import nn
from torchvision.datasets import ImageFolder

from pytorch_common.ahead import ahead, workers
from pytorch_common.contract import FEATURE_EXTRACT, FULL, SCRATCH
from pytorch_common.network import (
    build_network,
    changing_state,
    features,
    logits_and_loss,
    mixes_images,
    split,
)
from pytorch_train.batches import TrainingBatches, ValidationBatches
from pytorch_train.labelled import Budget, Decoded, Labelled, find_images
from pytorch_train.loop import train_one_epoch
from pytorch_train.sgd import Sgd
from tests.conftest import PROJECT, paint


@pytest.fixture(scope="module")
def labelled(tiny_data: Path) -> Labelled:
    return find_images(tiny_data / "train")


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
def test_what_is_kept_stays_in_the_budget(labelled: Labelled, room: int) -> None:
    with ThreadPoolExecutor(2) as pool:
        images = Decoded(labelled)
        images.keep(Budget(room * 80 * 60 * 3 + 1), pool)
    assert len(images._kept) == room


@pytest.mark.parametrize("room", [0, 1, 2])
@pytest.mark.parametrize("has_backbone", [False, True])
def test_validation_batches_are_the_same_kept_or_not(
    tiny_data: Path, room: int, has_backbone: bool
) -> None:
    torch.manual_seed(0)
    backbone = nn.Conv2d(3, 4, 3).requires_grad_(False) if has_backbone else None
    labelled = find_images(tiny_data / "val")
    with workers(2) as pool:

        def batches() -> ValidationBatches:
            return ValidationBatches(
                Decoded(labelled), labelled.labels, backbone, size=16, pool=pool
            )

        streamed, kept = list(batches()), batches()
        first_bytes = streamed[0][0].nbytes if backbone else 4 * 16 * 16 * 3
        kept.keep(Budget(first_bytes * room))
        assert len(kept._kept) == min(room, len(streamed)) and len(kept) == 2
        for _ in range(2):
            for (data, labels), (expected, expected_labels) in zip(kept, streamed, strict=True):
                assert torch.equal(data, expected) and torch.equal(labels, expected_labels)


def test_each_worker_runs_alone_and_the_caller_with_all() -> None:
    before = torch.get_num_threads()
    with workers(2) as pool:
        ones = torch.ones(4, 3, 64, 64)
        numbers = {pool.submit(torch.get_num_threads).result() for _ in range(8)}
        pool.submit(torch.conv2d, ones, torch.ones(8, 3, 3, 3)).result()
        assert numbers == {1}
        assert torch.get_num_threads() == 2
        torch.conv2d(ones, torch.ones(8, 3, 3, 3))
        assert torch.get_num_threads() == 2
        assert {pool.submit(torch.get_num_threads).result() for _ in range(8)} == {1}
    torch.set_num_threads(before)


def test_work_ahead_is_bounded_and_in_order() -> None:
    started, gate = [], threading.Event()

    def work(job: int) -> int:
        started.append(job)
        gate.wait(10)
        return job

    with ThreadPoolExecutor(8) as pool:
        results = ahead(pool, work, range(100), 3)
        threading.Timer(0.2, gate.set).start()
        assert next(results) == 0
        time.sleep(0.05)
        assert sorted(started) == [0, 1, 2, 3]
        assert list(results) == list(range(1, 100))


@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_a_step_is_torchs_own_number_for_number(momentum: float) -> None:
    torch.manual_seed(0)
    start = [torch.randn(5, 3), torch.randn(4), torch.randn(2)]
    ours, usual = ([value.clone().requires_grad_() for value in start] for _ in range(2))
    one = Sgd(ours, learning_rate=0.01, momentum=momentum)
    other = torch.optim.SGD(usual, lr=0.01, momentum=momentum)
    for _ in range(5):
        for weights, optimizer in ((ours, one), (usual, other)):
            optimizer.zero_grad()
            ((weights[0] ** 2).sum() + weights[1].sin().sum()).backward()  # not the third
            optimizer.step()
    assert all(torch.equal(a, b) for a, b in zip(ours, usual, strict=True))


@pytest.mark.parametrize(
    ("arch", "is_split"),
    [("squeezenet1_0", True), ("squeezenet1_1", True), ("alexnet", True), ("resnet18", False)],
)
def test_a_backbone_is_what_training_cannot_change(arch: str, is_split: bool) -> None:
    torch.manual_seed(0)
    network = build_network(arch, 2, "feature-extract")
    parts = split(network)
    assert (parts.backbone is not None) == is_split
    assert (parts.tail is network) == (not is_split)
    assert split(build_network(arch, 2, SCRATCH)).backbone is None
    if parts.backbone is not None:
        network.eval()
        images = torch.randn(6, 3, 224, 224)
        with torch.no_grad():
            halves = parts.tail(parts.backbone(images))
            assert torch.allclose(halves, network(images), atol=1e-5)


@pytest.mark.parametrize("arch", ["vgg11_bn", "densenet121", "inception_v3"])
@pytest.mark.slow
def test_batch_normalisation_has_no_backbone(arch: str) -> None:
    network = build_network(arch, 2, "feature-extract")
    assert split(network).backbone is None
    assert mixes_images(network)
    changing = changing_state(network)
    assert any(name.endswith("running_mean") for name in changing)


@pytest.mark.parametrize("method", [FEATURE_EXTRACT, FULL])
@pytest.mark.parametrize("arch", ["squeezenet1_1", "resnet18"])
def test_an_epoch_takes_the_steps_of_the_plain_loop(
    arch: str, method: str, labelled: Labelled
) -> None:
    """In double precision, where rounding does not grow to anything within an epoch.

    Dropout is off, because the parts of a batch draw it in another order.
    """

    def fresh() -> nn.Module:
        torch.manual_seed(2)
        network = build_network(arch, 2, method).double()
        for part in network.modules():
            if isinstance(part, nn.Dropout):
                part.p = 0.0
        return network

    ours, plain = fresh().to(memory_format=torch.channels_last), fresh()
    weights = [weight for weight in ours.parameters() if weight.requires_grad]
    backbone, tail = split(ours)
    assert (backbone is None) == (arch == "resnet18" or method == FULL)
    with workers(1) as pool:
        batches = TrainingBatches(
            Decoded(labelled),
            labelled.labels,
            None,
            size=64,
            batch_size=8,
            seed=1,
            epoch=1,
            pool=pool,
        )
        data = [(images.double(), labels) for images, labels in batches]
    seen = data if backbone is None else [(features(backbone, each), y) for each, y in data]
    loss_sum, correct = train_one_epoch(tail, seen, Sgd(weights, learning_rate=0.01, momentum=0.9))

    optimizer = torch.optim.SGD(
        [weight for weight in plain.parameters() if weight.requires_grad], lr=0.01, momentum=0.9
    )
    expected_loss, expected_correct = 0.0, 0
    plain.train()
    for images, labels in data:
        optimizer.zero_grad()
        logits = plain(images.contiguous())
        loss = nn.functional.cross_entropy(logits, labels)
        loss.backward()
        optimizer.step()
        expected_loss += loss.item() * len(labels)
        expected_correct += int((logits.argmax(1) == labels).sum())
    assert (loss_sum, correct) == (pytest.approx(expected_loss, rel=1e-9), expected_correct)
    for name, value in plain.state_dict().items():
        assert torch.allclose(ours.state_dict()[name], value, rtol=0, atol=1e-9), name


def test_the_gradient_of_a_batch_is_that_of_its_parts() -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 2, 5), nn.AdaptiveAvgPool2d(1), nn.Flatten(1))
    images, labels = torch.randn(7, 3, 8, 8), torch.randint(0, 2, (7,))
    _, loss = logits_and_loss(network, images, labels)
    loss.backward()
    expected = [weight.grad.clone() for weight in network.parameters() if weight.grad is not None]
    sums = train_one_epoch(
        network, [(images, labels)], Sgd(network.parameters(), learning_rate=0.0, momentum=0)
    )
    got = [weight.grad for weight in network.parameters()]
    assert all(torch.allclose(a, b, atol=1e-6) for a, b in zip(expected, got, strict=True))
    assert sums[0] == pytest.approx(loss.item() * 7, rel=1e-5)


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


def test_torchvision_is_whole_for_whoever_imports_it_later() -> None:
    code = (
        "from pytorch_common.architectures import build\n"
        "network = build('squeezenet1_1', weights=None)\n"
        "import sys; assert 'torchvision' not in sys.modules\n"
        "import torchvision; print(len(torchvision.models.list_models()) > 10,"
        " torchvision.datasets.ImageFolder.__name__,"
        " str(torchvision.models.squeezenet1_1()) == str(network))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=PROJECT, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["True", "ImageFolder", "True"]


def test_a_bad_image_is_named_whether_it_would_be_kept_or_not(tmp_path: Path) -> None:
    from pytorch_common.errors import RunError

    paint(tmp_path / "red" / "0.png", (200, 1, 1), 1)
    shutil.copytree(tmp_path / "red", tmp_path / "green")
    (tmp_path / "green" / "1.jpg").write_text("no image")
    images = Decoded(find_images(tmp_path))
    with ThreadPoolExecutor(2) as pool, pytest.raises(RunError, match=r"green/1\.jpg: not an"):
        images.keep(Budget(10**6), pool)
