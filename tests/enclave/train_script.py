"""Running the real training script with few options."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.enclave.forked import run_script
from workflow.images.packing import folder_files, write_pack

OPTIONS = ["--arch=squeezenet1_1", "--epochs=2", "--batch-size=4", "--threads=1"]


def command(data: Path, weights: Path, out: Path, *more: str) -> list[str]:
    module = [sys.executable, "-m", "pytorch_train.train"]
    return [*module, f"--data={data}", f"--weights={weights}", f"--out={out}", *OPTIONS, *more]


def train(data: Path, weights: Path, out: Path, *more: str) -> subprocess.CompletedProcess[str]:
    args = command(data, weights, out, *more)[3:]
    done = run_script("pytorch_train.train", args)
    out_text, err_text = (stream.decode() for stream in (done.stdout, done.stderr))
    return subprocess.CompletedProcess(done.args, done.returncode, out_text, err_text)


def pack(folder: Path, target: Path) -> Path:
    """Make the pack of a data set."""
    with target.open("wb") as file:
        write_pack(folder_files(folder), file)
    return target
