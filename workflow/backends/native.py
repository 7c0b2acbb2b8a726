"""Natively: the script in this very environment."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from pytorch_common.contract import (
    BACKEND_VARIABLE,
    PIPE_CLOSED,
    PROGRESS_VARIABLE,
    RUNTIME_VARIABLES,
)
from workflow.backends.base import Backend
from workflow.backends.job import Job
from workflow.backends.script_lines import ScriptLines
from workflow.core import shell, usage
from workflow.core.console import shown
from workflow.core.errors import WorkflowError
from workflow.core.settings import PROJECT, Settings
from workflow.core.shell_lines import shell_line, unquoted
from workflow.core.usage import Usage
from workflow.gsc import failures


class Native(Backend):
    """Run on every machine, and protect from nothing."""

    name = "native"
    strength = 0

    def is_automatic(self, settings: Settings) -> bool:
        return True

    def run(self, job: Job, *, quiet: bool = False) -> int:
        arguments = job.arguments()
        job.clear()
        return run_native(job.script, arguments, stdin=job.stdin(), quiet=quiet)

    def usage(self, out: Path) -> Iterable[Usage]:
        return usage.below(os.getpid())

    def shell(self, job: Job) -> list[str]:
        command = ["python", shown(job.script), *job.arguments_by_hand()]
        environment = {"PYTHONPATH": str(PROJECT)}
        line = shell_line(command, environment=environment, stdin=job.stdin_by_hand())
        return [*job.preparation_of_native(), unquoted(line)]


BACKENDS = (Native(),)


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
        BACKEND_VARIABLE: Native.name,
        PROGRESS_VARIABLE: "1",
    }


def run_native(
    script: Path, args: Sequence[str], *, stdin: bytes = b"", quiet: bool = False
) -> int:
    """Run the script natively; return its status where it ends without an error of its own.

    Raises: WorkflowError with the script's own line and status where it ends with one, or with how
    it ended otherwise; with status 130 after Ctrl-C. SystemExit where nobody reads the answers.
    """
    lines = ScriptLines()
    try:
        status = shell.stream(
            [sys.executable, str(script), *args],
            lines,
            env=native_environment(dict(os.environ)),
            stdin=stdin,
            quiet=quiet,
        )
    except KeyboardInterrupt:
        raise WorkflowError("interrupted", code=130) from None
    finally:
        lines.close()
    if status == PIPE_CLOSED:
        raise SystemExit(status)
    if lines.error:
        raise WorkflowError(lines.error, code=status or 1)
    if status > 1:
        line = failures.ended(script.name, status, out_of_memory=False)
        raise WorkflowError(line, code=status)
    return status
