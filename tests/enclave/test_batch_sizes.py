"""A batch of one image: refused before the first epoch, where the network cannot take it."""

from __future__ import annotations

import contextlib
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from pytorch_common import contract
from pytorch_common.network import build_network
from pytorch_common.trainable import WANTS_TWO_IMAGES, batch_problem
from tests import doing
from tests.conftest import PROJECT
from workflow.core.errors import WorkflowError
from workflow.core.settings import Settings
from workflow.images import currency


@pytest.mark.parametrize("method", ["feature-extract", "full", "scratch"])
@pytest.mark.parametrize("arch", contract.IMAGE_SIZES)
def test_which_networks_cannot_take_a_batch_of_one_is_the_networks_own_word(
    arch: str, method: str
) -> None:
    # Without memory or arithmetic: batch normalisation refuses by the shape alone.
    network = build_network(arch, 2, method).to("meta").train()
    size = contract.IMAGE_SIZES[arch]
    network(torch.empty(2, 3, size, size, device="meta"))
    refusal = (
        pytest.raises(ValueError, match="more than 1 value per channel")
        if arch in WANTS_TWO_IMAGES
        else contextlib.nullcontext()
    )
    with refusal:
        network(torch.empty(1, 3, size, size, device="meta"))


@pytest.mark.parametrize("count", [*range(2, 40), 244])
def test_a_batch_of_one_is_refused_with_sizes_that_fit(count: int) -> None:
    for size in range(1, count + 3):
        options = contract.TrainOptions(arch="inception_v3", batch_size=size)
        *_, last = (len(range(count)[start : start + size]) for start in range(0, count, size))
        problem = batch_problem(options, count)
        assert (problem is not None) == (last == 1)
        for fit in map(int, re.findall(r"\d+", (problem or "").partition("--batch-size")[2])):
            assert fit > 1
            fitting = contract.TrainOptions(arch="inception_v3", batch_size=fit)
            assert batch_problem(fitting, count) is None
        other = contract.TrainOptions(arch="densenet121", batch_size=size)
        assert batch_problem(other, count) is None


def test_the_real_data_in_nines_is_refused_in_words() -> None:
    options = contract.TrainOptions(arch="inception_v3", batch_size=9)
    assert batch_problem(options, 244) == (
        "inception_v3 cannot be trained on a batch of one image, which 244 images in batches of 9 "
        "leave; take --batch-size 8 or 10"
    )
    assert batch_problem(options, 1) == "inception_v3 cannot be trained on a single image"


def test_the_script_refuses_it_before_it_builds_the_network(
    tiny_data: Path, tmp_path: Path
) -> None:
    command = [
        *(sys.executable, "-m", "pytorch_train.train", "--arch=inception_v3", "--method=scratch"),
        *(f"--data={tiny_data}", f"--out={tmp_path / 'out'}", "--batch-size=11"),
    ]
    done = subprocess.run(
        command, cwd=PROJECT, capture_output=True, text=True, encoding="utf-8", timeout=60
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        "error: inception_v3 cannot be trained on a batch of one image, which 12 images in batches "
        "of 11 leave; take --batch-size 10 or 12\n"
    )


def test_the_host_refuses_it_before_a_run_and_before_an_image(tiny_settings: Settings) -> None:
    chosen = replace(
        tiny_settings,
        model=replace(tiny_settings.model, arch="inception_v3"),
        train=replace(tiny_settings.train, batch_size=11),
    )
    with pytest.raises(WorkflowError, match="take --batch-size 10 or 12"):
        doing.train(chosen)
    with pytest.raises(WorkflowError, match="take --batch-size 10 or 12"):
        currency.app_build(chosen, "train")
    assert not chosen.train.out.exists()
