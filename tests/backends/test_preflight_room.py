"""Before the first step: room enough on the disk."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.backends.conftest import Docker, in_backend
from workflow.backends import base
from workflow.core.disk import GIB
from workflow.core.errors import WorkflowError
from workflow.core.settings import Settings
from workflow.core.step import problem
from workflow.steps import train


@pytest.mark.usefixtures("docker")
@pytest.mark.parametrize(
    ("backend", "here", "needed"),
    [
        ("docker", "", 3.0),
        ("docker", "enclave-finetune-base:debian12", 1.0),
        ("direct", "", 12.0),
        ("sgx", "gsc-pytorch_train:direct", 12.0),
        ("sgx", "gsc-pytorch_train", 4.0),
    ],
)
def test_each_backend_needs_its_own_room(
    backend: str, here: str, needed: float, ready: Settings, docker: Docker, free: dict[str, int]
) -> None:
    docker.images |= {here, "gramine-here"}

    def lacking(gib: float) -> list[str]:
        free["bytes"] = int(gib * GIB)
        chosen = in_backend(ready, backend)
        looks = base.pick(chosen).making(chosen)
        return [line for line in map(problem, looks) if line]

    assert lacking(needed) == []
    assert f"expected {needed} GiB for" in lacking(needed - 0.1)[-1]


@pytest.mark.parametrize(
    ("arch", "method", "needed_mib"),
    [
        ("squeezenet1_1", "feature-extract", 9.46),
        ("squeezenet1_1", "full", 47.3),
        ("vgg11_bn", "feature-extract", 1013.8),
        ("vgg11_bn", "scratch", 5068.9),
    ],
)
def test_a_training_needs_room_by_what_it_writes(
    arch: str, method: str, needed_mib: float, ready: Settings, free: dict[str, int]
) -> None:
    chosen = replace(
        ready, model=replace(ready.model, arch=arch), train=replace(ready.train, method=method)
    )
    free["bytes"] = int((needed_mib + 0.1) * 2**20)
    train.check_room(chosen)
    free["bytes"] = int((needed_mib - 0.1) * 2**20)
    with pytest.raises(WorkflowError, match=r"B free, expected .* for a training"):
        train.check_room(chosen)
