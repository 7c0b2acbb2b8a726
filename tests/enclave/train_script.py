"""Running the real training script with few options."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.conftest import PROJECT

OPTIONS = ["--arch=squeezenet1_1", "--epochs=2", "--batch-size=4", "--threads=1"]


def command(data: Path, weights: Path, out: Path, *more: str) -> list[str]:
    module = [sys.executable, "-m", "pytorch_train.train"]
    return [*module, f"--data={data}", f"--weights={weights}", f"--out={out}", *OPTIONS, *more]


def train(*args: Any, **kwargs: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(*args), cwd=PROJECT, capture_output=True, text=True, timeout=120, **kwargs
    )
