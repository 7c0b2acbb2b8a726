"""Exercises in a plain container: the scripts on a base image, everything in memory."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.conftest import PROJECT, SMALL_OS
from workflow.core.settings import ImageSettings, Settings
from workflow.gsc import tracing
from workflow.images import daemon
from workflow.images.build_run import build_image
from workflow.images.build_spec import base_build

BUILT = "debian12-apt"
BASES = (BUILT, "debian12")
CODE = ("pytorch_common", "pytorch_train", "pytorch_infer")
WEIGHTS = "/weights.pth"


def base_image(base: str) -> str:
    """Return the image of a base: that of Debian's packages is built, another has to be here."""
    if problem := daemon.problem():
        pytest.skip(problem)
    name = f"enclave-finetune-base:{base}"
    if base == BUILT:
        build_image(base_build(Settings(image=ImageSettings(base=base, os=SMALL_OS))))
    elif daemon.find_image(name) is None:
        pytest.skip(f"no {name} here; run: inv build --base {base}")
    return name


def inputs(folder: Path, role: str) -> Path:
    """Write what an exercise reads; return the folder that is /in."""
    folder.mkdir()
    tracing.write_inputs(folder, {}, role)
    return folder / "in"


def python(image: str, given: Path, weights: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Run Python in a container of the image; standard error comes with standard output."""
    mounts = {given: "/in", weights: WEIGHTS} | {PROJECT / name: f"/app/{name}" for name in CODE}
    variables = {
        "PYTHONPATH": "/app",
        "PYTHONDONTWRITEBYTECODE": "1",
        "TRAIN_ARCH": "squeezenet1_1",
        "TRAIN_WEIGHTS": WEIGHTS,
        "TRAIN_THREADS": "1",
        "TRAIN_CHECKPOINTS": "/checkpoints",
        "INFER_THREADS": "1",
    }
    return subprocess.run(
        [
            *("docker", "run", "--rm", "--network=none", "--read-only", "--workdir=/app"),
            *(f"--tmpfs={folder}" for folder in tracing.SCRATCH_FOLDERS),
            *(f"--volume={source}:{target}:ro" for source, target in mounts.items()),
            *(f"--env={name}={value}" for name, value in variables.items()),
            *("--user=0", "--entrypoint=python3", image, *words),
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=600,
    )
