"""Weights that do not fit: one line with the first disagreements and the cure."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn

from pytorch_common.checkpoint import load_base_weights, load_net
from pytorch_common.errors import RunError
from pytorch_common.files import LFS_POINTER
from pytorch_common.images import ImageError, read_image
from pytorch_common.network import StateDict, build_network, load_strictly
from workflow.assets import pins, pretrained, trained
from workflow.assets.download import Asset, verify
from workflow.core.errors import WorkflowError
from workflow.core.settings import ModelSettings, Settings

POINTER = LFS_POINTER + b"v1\noid sha256:" + b"0" * 64 + b"\nsize 5017600\n"
Change = Callable[[dict[str, torch.Tensor]], StateDict]


@pytest.fixture(scope="module")
def state() -> dict[str, torch.Tensor]:
    """Return the pretrained network's state_dict, with nothing learned in it."""
    from torchvision import models

    return dict(models.squeezenet1_1(weights=None).state_dict())


def without_head(state: dict[str, torch.Tensor]) -> StateDict:
    return {key: value for key, value in state.items() if not key.startswith("classifier.")}


def for_ten_classes(state: dict[str, torch.Tensor]) -> StateDict:
    head = {"classifier.1.weight": torch.zeros(10, 512, 1, 1), "classifier.1.bias": torch.zeros(10)}
    return {**state, **head}


CHANGES: dict[str, tuple[Change, str]] = {
    "DataParallel": (
        lambda state: {f"module.{key}": value for key, value in state.items()},
        "all of its names begin with 'module.' (torch.nn.DataParallel puts it there); save "
        "model.module.state_dict()",
    ),
    "Lightning": (
        lambda state: {f"model.net.{key}": value for key, value in state.items()},
        "all of its names begin with 'model.net.'; save the names without it",
    ),
    "torch.compile": (
        lambda state: {f"_orig_mod.{key}": value for key, value in state.items()},
        "all of its names begin with '_orig_mod.'; save the names without it",
    ),
    "classes": (
        for_ten_classes,
        "size mismatch: classifier.1.weight is made for 10 classes, expected 1000; take one that "
        "ImageNet trained",
    ),
    "no head": (
        without_head,
        "2 weights are missing, the first of them classifier.1.weight; give the architecture that "
        "it was made with: --arch",
    ),
    "more": (
        lambda state: {**state, "fc.weight": torch.zeros(1), "fc.bias": torch.zeros(1)},
        "2 are of another network, the first of them fc.weight; give the architecture that it was "
        "made with: --arch",
    ),
    "shape": (
        lambda state: {**state, "features.0.weight": torch.zeros(64, 1, 3, 3)},
        "size mismatch: features.0.weight: expected (64, 3, 3, 3), got (64, 1, 3, 3); give the "
        "architecture that it was made with: --arch",
    ),
}


@pytest.mark.parametrize("name", CHANGES)
def test_what_does_not_fit_is_one_line_with_the_cure(
    name: str, state: dict[str, torch.Tensor]
) -> None:
    change, said = CHANGES[name]
    with pytest.raises(RunError) as caught:
        build_network("squeezenet1_1", 2, "full", change(state))
    assert str(caught.value) == (
        f"the base weights of squeezenet1_1 does not fit the network: {said}"
    )


@pytest.mark.parametrize(
    "arch", ["resnet18", "alexnet", "vgg11_bn", "squeezenet1_0", "densenet121"]
)
def test_every_other_architecture_is_one_short_line(
    arch: str, state: dict[str, torch.Tensor]
) -> None:
    with pytest.raises(RunError) as caught:
        build_network(arch, 2, "full", state)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 300
    assert str(caught.value).endswith("give the architecture that it was made with: --arch")


def test_a_network_of_another_number_of_classes_says_so(state: dict[str, torch.Tensor]) -> None:
    network = build_network("squeezenet1_1", 2, "full")
    with pytest.raises(
        RunError, match=r"net.pt does not fit .* for 10 classes, expected 2; inv tr"
    ):
        load_strictly(network, for_ten_classes(state), "net.pt")


def test_a_state_dict_of_before_batches_were_counted_still_fits() -> None:
    network = nn.BatchNorm2d(1)
    old = {key: value for key, value in network.state_dict().items() if "tracked" not in key}
    load_strictly(network, old, "old.pth")


def test_a_git_lfs_pointer_is_named_wherever_a_file_is_read(tmp_path: Path) -> None:
    path = tmp_path / "weights.pth"
    path.write_bytes(POINTER)
    for load in (load_net, load_base_weights):
        with pytest.raises(
            RunError, match=r"is a Git LFS pointer, not the file; run: git lfs pull"
        ):
            load(path)
    with pytest.raises(ImageError, match=r"a Git LFS pointer, not the image; run: git lfs pull"):
        read_image(path)
    own = Settings(model=ModelSettings(weights=str(path)))
    with pytest.raises(WorkflowError, match=r"is a Git LFS pointer; run: git lfs pull"):
        pretrained.base_weights(own)
    asset: Asset = pins.WEIGHTS["squeezenet1_0"]
    with pytest.raises(
        WorkflowError, match=r"got a Git LFS pointer, expected squeezenet1_0-b66bff10"
    ):
        verify(path, asset)
    with pytest.raises(WorkflowError, match=r"is a Git LFS pointer: the record says"):
        trained.check_net(path, {"digests": {"net": "0" * 64}})
