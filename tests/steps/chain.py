"""The whole chain in a folder of its own, its tasks called as a person calls them."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.conftest import PROJECT
from workflow.images import daemon


@dataclass(frozen=True)
class Chain:
    """A folder of its own for everything, and how the tasks are called in it."""

    folder: Path
    data: Path
    variables: dict[str, str]

    def start(self, *args: str, **variables: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "invoke", "--search-root", str(PROJECT), *args],
            cwd=self.folder,
            env={**os.environ, **self.variables, **variables},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def inv(self, *args: str, **variables: str) -> subprocess.CompletedProcess[str]:
        process = self.start(*args, **variables)
        out, err = process.communicate(timeout=900)
        return subprocess.CompletedProcess(args, process.returncode, out, err)

    def succeeds(self, *args: str) -> subprocess.CompletedProcess[str]:
        done = self.inv(*args)
        assert done.returncode == 0, done.stderr
        return done


def chain_in(folder: Path, real_data: Path, names: tuple[str, str], base: str) -> Chain:
    """Return a chain on the base, or skip where no daemon answers."""
    if problem := daemon.problem():
        pytest.skip(problem)
    variables = {
        "INVOKE_MACHINE_BACKEND": "docker",
        "INVOKE_IMAGE_BASE": base,
        "INVOKE_IMAGE_OS": os.environ.get("INVOKE_IMAGE_OS", "debian:12"),
        "INVOKE_IMAGE_TRAIN": names[0],
        "INVOKE_IMAGE_INFER": names[1],
        "INVOKE_MODEL_ARCH": "squeezenet1_1",
        "INVOKE_MODEL_WEIGHTS": str(real_data / "squeezenet1_1-imagenet.pth"),
        "INVOKE_DATA_DIR": str(real_data / "hymenoptera_data"),
        "INVOKE_TRAIN_EPOCHS": "1",
        "INVOKE_TRAIN_THREADS": "2",
        "INVOKE_TRAIN_OUT": str(folder / "train"),
        "INVOKE_INFER_NET": str(folder / "infer" / "net.pt"),
        "INVOKE_INFER_OUT": str(folder / "result"),
    }
    return Chain(folder, real_data / "hymenoptera_data", variables)
