"""Running one of the two scripts in a backend, and drawing its progress."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from typing import Any

from pytorch_common.contract import (
    BACKEND_VARIABLE,
    PROGRESS_PREFIX,
    PROGRESS_VARIABLE,
    RUNTIME_VARIABLES,
)
from workflow import shell
from workflow.errors import WorkflowError
from workflow.notes import note
from workflow.settings import PROJECT

TRAIN_SCRIPT = PROJECT / "pytorch_train" / "train.py"
INFER_SCRIPT = PROJECT / "pytorch_infer" / "pytorchexample.py"

UNPROTECTED = "backend native: not protected, this machine's owner can read and change everything"


class ScriptLines:
    """Take a script's standard error: draw its progress, keep its error, print the rest."""

    def __init__(self) -> None:
        self.error = ""
        self._bar: Any = None
        self._label = ""

    def __call__(self, line: str) -> None:
        """Take one line."""
        if line.startswith(PROGRESS_PREFIX):
            self._draw(json.loads(line.removeprefix(PROGRESS_PREFIX)))
        elif line.startswith("error: "):
            self.error = line.removeprefix("error: ")
        else:
            self.close()
            note(line)

    def close(self) -> None:
        """Take the bar from the screen."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None

    def _draw(self, report: dict[str, Any]) -> None:
        from tqdm import tqdm

        if self._bar is None or report["label"] != self._label:
            self.close()
            self._label = report["label"]
            self._bar = tqdm(total=report["total"], desc=self._label, disable=None, leave=False)
        self._bar.update(report["done"] - self._bar.n)


def native_command(script: str, args: Sequence[str]) -> list[str]:
    """Return the command that runs a script in this very environment."""
    return [sys.executable, script, *args]


def native_environment(environ: dict[str, str]) -> dict[str, str]:
    """Return the environment of a native run: the caller's, less what would change the script.

    TRAIN_… and INFER_… variables belong to images; here every option is on the command line.
    """
    kept = {
        name: value
        for name, value in environ.items()
        if not name.startswith(("TRAIN_", "INFER_", "RUN_", "PYTHON"))
    }
    return {
        **RUNTIME_VARIABLES,
        **kept,
        "PYTHONPATH": str(PROJECT),
        "PYTHONDONTWRITEBYTECODE": "1",
        BACKEND_VARIABLE: "native",
        PROGRESS_VARIABLE: "1",
    }


def run_native(script: str, args: Sequence[str], *, stdin: bytes = b"", quiet: bool = False) -> int:
    """Run the script natively; return its status where it ends without an error of its own.

    Raises: WorkflowError with the script's own line and status where it ends with one; with
    status 130 after Ctrl-C.
    """
    lines = ScriptLines()
    try:
        status = shell.stream(
            native_command(script, args),
            lines,
            env=native_environment(dict(os.environ)),
            stdin=stdin,
            quiet=quiet,
        )
    except KeyboardInterrupt:
        raise WorkflowError("interrupted", code=130) from None
    finally:
        lines.close()
    if lines.error:
        raise WorkflowError(lines.error, code=status or 1)
    return status
