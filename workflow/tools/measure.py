"""Running a program and saying what it took: seconds, processor seconds, memory."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pytorch_common.contract import RUNTIME_VARIABLES
from workflow.backends.native import native_environment
from workflow.core import shell
from workflow.core.errors import WorkflowError
from workflow.core.settings import PROJECT

BENCHMARKS = PROJECT / "benchmarks"
PREFIX = "::measured "


@dataclass(frozen=True)
class Measured:
    """Say what one run of a program took."""

    wall_s: float
    """From its start to its end, Python's own start included."""
    cpu_s: float
    """Processor seconds, all threads together."""
    peak_mb: float
    """Most memory held at one time."""
    answer: str
    """The last line of its standard output."""


def ours(script: str, args: Sequence[str]) -> Measured:
    """Run one of our scripts as the tasks run it, and measure it."""
    return measured(script, args, native_environment(dict(os.environ)))


def usual(script: str, args: Sequence[str]) -> Measured:
    """Run a yardstick in the caller's plain environment, and measure it.

    Only the waiting of threads is set as for ours: otherwise another program's noise slows the
    yardstick down far more than it slows us.
    """
    waiting = {name: RUNTIME_VARIABLES[name] for name in ("GOMP_SPINCOUNT",)}
    return measured(script, args, {**waiting, **os.environ, "PYTHONPATH": str(PROJECT)})


def measured(script: str, args: Sequence[str], env: Mapping[str, str]) -> Measured:
    """Run the script and return what it took.

    Raises: WorkflowError with its last line where it fails.
    """
    command = [sys.executable, str(BENCHMARKS / "measured.py"), script, *args]
    started = time.monotonic()
    done = shell.capture(command, cwd=PROJECT, env=env)
    wall_s = time.monotonic() - started
    lines = done.stderr.splitlines() or [f"exit status {done.returncode}"]
    if done.returncode or not lines[-1].startswith(PREFIX):
        reason = [line for line in lines if not line.startswith(PREFIX)][-1:]
        raise WorkflowError(f"{script} failed: {' '.join(reason)}", code=done.returncode or 1)
    figures = json.loads(lines[-1].removeprefix(PREFIX))
    answer = (done.stdout.splitlines() or [""])[-1]
    return Measured(wall_s, figures["cpu_s"], figures["peak_mb"], answer)
