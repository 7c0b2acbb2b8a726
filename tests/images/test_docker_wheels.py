"""The default base, built from a folder of wheels: trained in, classified in, small."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from pytorch_common.contract import RUNTIME_VARIABLES
from tests.conftest import PROJECT
from tests.steps.chain import Chain, chain_in
from workflow.core.settings import Settings
from workflow.images import daemon
from workflow.images.build_spec import base_torch

pytestmark = pytest.mark.docker

NAMES = ("wheelstest_train", "wheelstest")
LOCK = PROJECT / "dockerfiles" / "requirements.lock"
DOWNLOAD = (
    *("--require-hashes", "--no-deps", "--only-binary=:all:"),
    *("--python-version=3.11", "--platform=manylinux_2_28_x86_64"),
    "--platform=manylinux2014_x86_64",
)

EVERY_ARCHITECTURE = """
import sys, warnings
warnings.simplefilter("error")
import torch
from pytorch_common.contract import IMAGE_SIZES
from pytorch_common.network import IMAGENET_CLASSES, build_network, logits_and_loss
torch.set_deterministic_debug_mode("error")
for arch in IMAGE_SIZES:
    size = 299 if arch == "inception_v3" else 96
    whole = build_network(arch, IMAGENET_CLASSES, "full")
    number = sum(weight.numel() for weight in whole.parameters())
    network = build_network(arch, 2, "full").train()
    _, loss = logits_and_loss(network, torch.rand(2, 3, size, size), torch.tensor([0, 1]))
    loss.backward()
    print(arch, number, "torchvision" in sys.modules)
"""


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder of the wheels that the lock names, fetched by docs/steps.md's own command."""
    folder = tmp_path_factory.mktemp("wheels")
    pip = [sys.executable, "-m", "pip", "download", "--disable-pip-version-check", *DOWNLOAD]
    done = subprocess.run([*pip, f"--dest={folder}", "-r", LOCK], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture(scope="module")
def trained(
    wheels: Path, real_data: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Chain]:
    chain = chain_in(tmp_path_factory.mktemp("chain"), real_data, NAMES, "debian12")
    chain.succeeds("build", "--image", "train", "--wheels", str(wheels))
    done = chain.succeeds("train")
    assert "is older than" not in done.stderr
    chain.succeeds("copy-net")
    chain.succeeds("build", "--image", "infer", "--wheels", str(wheels))
    yield chain
    for name in NAMES:
        daemon.remove_image(name)


def in_image(*command: str) -> str:
    """Return what the command prints in the training image, which has the base's everything."""
    quick = [f"--env={name}={value}" for name, value in RUNTIME_VARIABLES.items()]
    options = ["--rm", "--network=none", *quick, f"--entrypoint={command[0]}"]
    docker = ["docker", "run", *options, NAMES[0]]
    done = subprocess.run([*docker, *command[1:]], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_base_has_the_torch_that_it_says(trained: Chain) -> None:
    wanted = base_torch(Settings())
    assert in_image("python3", "-c", "import torch; print(torch.__version__)") == f"{wanted}\n"
    base = daemon.find_image("enclave-finetune-base:debian12")
    assert base is not None
    assert base.environment["TORCH_VERSION"] == wanted
    assert base.size_bytes < 900e6
    run = ["docker", "run", "--rm", "--network=none", base.name]
    assert subprocess.run(run, capture_output=True, text=True).stdout == f"{wanted}\n"


def test_every_architecture_takes_a_step_without_the_rest_of_torchvision(trained: Chain) -> None:
    from torchvision.models import get_model_weights

    lines = in_image("python3", "-c", EVERY_ARCHITECTURE).splitlines()
    known = [line.split()[0] for line in lines]
    numbers = [get_model_weights(arch).IMAGENET1K_V1.meta["num_params"] for arch in known]
    assert len(lines) == 7
    assert lines == [f"{arch} {n} False" for arch, n in zip(known, numbers, strict=True)]


def test_it_trains_and_classifies_as_it_should(trained: Chain) -> None:
    record = json.loads((trained.folder / "train" / "record.json").read_text())
    assert record["versions"]["torch"] == base_torch(Settings())
    assert record["metrics"]["best_val_accuracy"] >= 0.85
    done = trained.inv("classify", "--image", str(trained.data / "val"))
    assert done.returncode == 0, done.stderr
    results = json.loads((trained.folder / "result" / "result.json").read_text())["results"]
    right = sum(Path(result["image"]).parent.name == result["label"] for result in results)
    assert (len(results), right) == (153, record["metrics"]["best_val_correct"])
