"""The checks of the code: style, types, tests."""

from __future__ import annotations

import os

from workflow.core import shell
from workflow.core.console import note
from workflow.core.errors import WorkflowError
from workflow.core.settings import PROJECT
from workflow.tools import environment
from workflow.tools.environment import module_command

FUZZ_VARIABLE = "FUZZ_INPUTS"
FUZZ_TESTS = ("tests/enclave/test_hostile_images.py", "-k", "mutants")
PARALLEL = ("--numprocesses=auto", "--maxprocesses=8")
"""A worker for each processor, up to eight: each holds a torch of its own, half a gigabyte."""


def lint_commands(*, fix: bool) -> list[list[str]]:
    """Return the commands that check, or mend, style and types."""
    check = ["check", "--fix"] if fix else ["check"]
    layout = ["format"] if fix else ["format", "--check"]
    ruff = (module_command("ruff", *options) for options in (check, layout))
    return [*ruff, module_command("mypy")]


def test_command(*, fast: bool, real: bool, docker: bool, only: str | None) -> list[str]:
    """Return the command that runs the tests."""
    marks = ["not real", "not docker", *(["not slow"] if fast else [])]
    if real or docker:
        marks = [name for name, asked in (("docker", docker), ("real", real)) if asked]
    selection = (" or " if real or docker else " and ").join(marks)
    selected = ["-m", selection, *(["-k", only] if only else [])]
    if real:  # one of them measures time
        return module_command("pytest", *selected)
    # The tests of a file share the images that it builds; the long files come last, side by side.
    dist = ["--dist=loadfile", "--no-loadscope-reorder"] if docker else ["--dist=worksteal"]
    return module_command("pytest", *PARALLEL, *dist, *selected)


def lint(*, fix: bool = False) -> None:
    """Check style and types.

    Raises: WorkflowError with the status of the first check that fails.
    """
    environment.require("ruff", "mypy")
    for command in lint_commands(fix=fix):
        _run(command)


def test(
    *, fast: bool = False, real: bool = False, docker: bool = False, only: str | None = None
) -> None:
    """Check style and types, then run the tests.

    Raises: WorkflowError with the status of the first check that fails.
    """
    environment.require("ruff", "mypy", "pytest", "xdist")
    if not (real or docker or only):
        lint()
        note("more tests run with: inv test --real (real data set), inv test --docker (a daemon)")
    _run(test_command(fast=fast, real=real, docker=docker, only=only))


def fuzz() -> None:
    """Read ten times as many mutants of images as the plain tests do.

    Raises: WorkflowError with the status of the tests where they fail.
    """
    environment.require("pytest")
    os.environ.setdefault(FUZZ_VARIABLE, "20000")
    _run(module_command("pytest", *FUZZ_TESTS))


def _run(command: list[str]) -> None:
    if status := shell.passthrough(command, cwd=PROJECT):
        raise WorkflowError(f"{command[2]} failed (exit status {status})", code=status)
