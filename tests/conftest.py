"""What several tests need: tiny images, tiny weights, the real data where it is at hand."""

from __future__ import annotations

import gc
import os
import random
import shutil
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from PIL import Image

from workflow.core.settings import (
    DataSettings,
    InferSettings,
    MachineSettings,
    ModelSettings,
    Settings,
    TrainSettings,
)

# Workers side by side have more threads than processors: one that waits must not spin meanwhile.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

PROJECT = Path(__file__).resolve().parents[1]
PROGRAM = PROJECT / "workflow" / "core" / "program.py"
"""What ./inv runs."""
SMALL_OS = "debian:12"
LEFT_OUT = (
    *(".venv", ".git", "out", "model", "hymenoptera_*", "__pycache__", ".*_cache"),
    *("net.pt", "record.json", "run.json", "encrypted", "context"),
)
"""What may lie beside the project's own files, anywhere; GSC's checkout only at the top."""


def copy_project(target: Path) -> None:
    """Copy the project as it comes from git."""
    left_out = shutil.ignore_patterns(*LEFT_OUT)

    def ignored(folder: str, names: list[str]) -> set[str]:
        return left_out(folder, names) | ({"gsc"} if Path(folder) == PROJECT else set())

    shutil.copytree(PROJECT, target, ignore=ignored)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Keep each file in one worker with ``--dist=loadfile``, and all that sign images in one.

    A signing sweeps up what another, killed one left on the daemon, whichever test it is of.
    """
    from xdist.scheduler import LoadFileScheduling

    class FileScheduling(LoadFileScheduling):  # type: ignore[misc]
        def _split_scope(self, nodeid: str) -> str:
            file = nodeid.split("::")[0]
            return "tests/gsc" if file.startswith("tests/gsc/") else file

    return FileScheduling(config, log) if config.getoption("dist") == "loadfile" else None


def paint(path: Path, colour: tuple[int, int, int], seed: int) -> None:
    """Write a noisy image of mostly one colour: as easy to learn as can be."""
    noise = random.Random(seed)  # noqa: S311 - a picture, not a secret
    pixels = bytes(
        max(0, min(255, c + noise.randint(-40, 40))) for _ in range(4800) for c in colour
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.frombytes("RGB", (80, 60), pixels).save(path)


@pytest.fixture(scope="session")
def tiny_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return an ImageFolder tree: reds and greens, 6 a class to train, 3 to validate."""
    root = tmp_path_factory.mktemp("tiny")
    colours = {"green": (30, 160, 40), "red": (190, 40, 30)}
    for split, count in (("train", 6), ("val", 3)):
        for name, colour in colours.items():
            for index in range(count):
                paint(root / split / name / f"{index}.png", colour, seed=hash_of(split, index))
    return root


def hash_of(split: str, index: int) -> int:
    """Return a seed that differs by split and index, the same in every run."""
    return index + (1000 if split == "val" else 0)


@pytest.fixture(scope="session")
def random_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the state_dict of a squeezenet1_1 that has learned nothing."""
    import torch
    from torchvision import models

    torch.manual_seed(1)
    path = tmp_path_factory.mktemp("weights") / "squeezenet1_1-random.pth"
    torch.save(models.squeezenet1_1(weights=None).state_dict(), path)
    return path


@pytest.fixture(scope="session")
def content(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Return the content of a network as train.py writes it."""
    import torch

    from pytorch_common.checkpoint import save_net
    from pytorch_common.contract import TrainOptions
    from pytorch_common.network import build_network
    from pytorch_common.preprocess import preprocessing

    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("content") / "net.pt"
    save_net(
        path,
        build_network("squeezenet1_1", 2, "full").state_dict(),
        classes=["ants", "bees"],
        preprocess=preprocessing(224),
        settings=vars(TrainOptions(arch="squeezenet1_1", method="full")),
    )
    loaded = torch.load(path, weights_only=True)
    return {**loaded, "state_dict": dict(loaded["state_dict"])}


@pytest.fixture
def any_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hand over what is no network, in tests that look at files and digests alone."""
    from workflow.steps import copy_net

    monkeypatch.setattr(copy_net, "check_schema", lambda net, record: None)


@pytest.fixture
def tiny_settings(tiny_data: Path, random_weights: Path, tmp_path: Path) -> Settings:
    """Return settings by which one epoch is trained natively, within a second."""
    return Settings(
        model=ModelSettings(arch="squeezenet1_1", weights=str(random_weights)),
        data=DataSettings(dir=tiny_data),
        train=TrainSettings(out=tmp_path / "train", epochs=1, threads=1),
        infer=InferSettings(net=tmp_path / "infer" / "net.pt", out=tmp_path / "result", threads=1),
        machine=MachineSettings(backend="native"),
    )


@pytest.fixture(scope="session")
def signing_key() -> rsa.RSAPrivateKey:
    """Return a key as SGX takes it; making one takes a second."""
    return rsa.generate_private_key(public_exponent=3, key_size=3072)


@pytest.fixture(scope="session")
def frozen() -> None:
    """Take what is there already, torch above all, out of each later sweep."""
    gc.collect()
    gc.freeze()


@pytest.fixture
def swept(frozen: None) -> Iterator[None]:
    """Sweep up the sockets that the docker package leaves to be collected, before a later test.

    For modules that have ``SOCKETS`` among their marks.
    """
    yield
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()


SOCKETS = (
    pytest.mark.usefixtures("swept"),
    pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning"),
)


@pytest.fixture(scope="session", autouse=True)
def client_is_closed() -> Iterator[None]:
    """Close the connection to the daemon that the tests of one process share."""
    yield
    from workflow.images import daemon

    if daemon.client.cache_info().currsize:
        daemon.client().close()
        daemon.client.cache_clear()


@pytest.fixture(scope="session")
def tiny_image() -> Iterator[str]:
    """Return the name of a small image with a shell, of this process alone, or skip."""
    from workflow.images import daemon

    if problem := daemon.problem():
        pytest.skip(problem)
    if daemon.find_image(SMALL_OS) is None:
        pytest.skip(f"no image {SMALL_OS} here to build tiny ones on")
    name = f"shieldtest_tiny{os.getpid()}"
    # Of this process in content too: the daemon knows equal images, and their containers, as one.
    variables = f"ENV GREETING=hello\nENV TEST_PROCESS={os.getpid()}\n"
    dockerfile = f"FROM {SMALL_OS}\n{variables}USER 10001:10001\n"
    daemon.build_files(
        {"Dockerfile": dockerfile.encode()},
        tag=name,
        labels={"shieldtest": "tiny"},
        on_line=lambda line: None,
    )
    yield name
    daemon.remove_image(name)


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Return the folder of the real data set and weights, or skip."""
    folder = Path(os.environ.get("REAL_DATA", PROJECT.parent / "shared" / "data"))
    if not (folder / "hymenoptera_data").is_dir():
        pytest.skip(f"no real data in {folder} (name its folder in REAL_DATA)")
    return folder
