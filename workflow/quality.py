"""The checks of the code: style, types, tests."""

from __future__ import annotations

import sys

from workflow import shell
from workflow.errors import WorkflowError
from workflow.notes import note
from workflow.settings import PROJECT


def lint_commands(*, fix: bool) -> list[list[str]]:
    """Return the commands that check, or mend, style and types."""
    check = ["check", "--fix"] if fix else ["check"]
    layout = ["format"] if fix else ["format", "--check"]
    return [_module("ruff", *check), _module("ruff", *layout), _module("mypy")]


def test_command(*, fast: bool, real: bool, only: str | None) -> list[str]:
    """Return the command that runs the tests."""
    marks = ["not real", *(["not slow"] if fast else [])]
    selection = ["-m", "real" if real else " and ".join(marks)]
    return _module("pytest", *selection, *(["-k", only] if only else []))


def lint(*, fix: bool = False) -> None:
    """Check style and types.

    Raises: WorkflowError with the status of the first check that fails.
    """
    for command in lint_commands(fix=fix):
        _run(command)


def test(*, fast: bool = False, real: bool = False, only: str | None = None) -> None:
    """Check style and types, then run the tests.

    Raises: WorkflowError with the status of the first check that fails.
    """
    if not (real or only):
        lint()
        note("the tests on the real data set run with: inv test --real")
    _run(test_command(fast=fast, real=real, only=only))


def _module(name: str, *args: str) -> list[str]:
    return [sys.executable, "-m", name, *args]


def _run(command: list[str]) -> None:
    if status := shell.passthrough(command, cwd=PROJECT):
        raise WorkflowError(f"{command[2]} failed (exit status {status})", code=status)
