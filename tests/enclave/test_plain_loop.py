"""What makes training fast takes the steps of PyTorch's plain loop."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch
from torch import nn

from pytorch_common.ahead import workers
from pytorch_common.contract import FEATURE_EXTRACT, FULL, SCRATCH
from pytorch_common.network import (
    build_network,
    changing_state,
    features,
    logits_and_loss,
    mixes_images,
    split,
)
from pytorch_train.batches import TrainingBatches
from pytorch_train.labelled import Decoded, Labelled
from pytorch_train.loop import train_one_epoch
from pytorch_train.sgd import Sgd


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


def without_dropout(arch: str, method: str) -> nn.Module:
    """Return a network in double precision, the same each time."""
    torch.manual_seed(2)
    network = build_network(arch, 2, method).double()
    for part in network.modules():
        if isinstance(part, nn.Dropout):
            part.p = 0.0
    return network


def drawn(labelled: Labelled) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Return the batches of an epoch in double precision."""
    with workers(1) as pool:
        images = Decoded(labelled)
        batches = TrainingBatches(
            images, labelled.labels, None, size=64, batch_size=8, seed=1, epoch=1, pool=pool
        )
        return [(images.double(), labels) for images, labels in batches]


def plain_epoch(
    network: nn.Module, data: Sequence[tuple[torch.Tensor, torch.Tensor]]
) -> tuple[float, int]:
    """Train for an epoch as the tutorial does; return the sum of the losses, and how many right."""
    weights = [weight for weight in network.parameters() if weight.requires_grad]
    optimizer = torch.optim.SGD(weights, lr=0.01, momentum=0.9)
    loss_sum, correct = 0.0, 0
    network.train()
    for images, labels in data:
        optimizer.zero_grad()
        logits = network(images.contiguous())
        loss = nn.functional.cross_entropy(logits, labels)
        loss.backward()
        optimizer.step()
        loss_sum += loss.item() * len(labels)
        correct += int((logits.argmax(1) == labels).sum())
    return loss_sum, correct


@pytest.mark.parametrize("method", [FEATURE_EXTRACT, FULL])
@pytest.mark.parametrize("arch", ["squeezenet1_1", "resnet18"])
def test_an_epoch_takes_the_steps_of_the_plain_loop(
    arch: str, method: str, labelled: Labelled
) -> None:
    """In double precision, where rounding does not grow to anything within an epoch.

    Dropout is off, because the parts of a batch draw it in another order.
    """
    ours, plain = without_dropout(arch, method), without_dropout(arch, method)
    ours = ours.to(memory_format=torch.channels_last)
    weights = [weight for weight in ours.parameters() if weight.requires_grad]
    backbone, tail = split(ours)
    assert (backbone is None) == (arch == "resnet18" or method == FULL)
    data = drawn(labelled)
    seen = data if backbone is None else [(features(backbone, each), y) for each, y in data]
    loss_sum, correct = train_one_epoch(tail, seen, Sgd(weights, learning_rate=0.01, momentum=0.9))
    expected_loss, expected_correct = plain_epoch(plain, data)
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
