"""What is installed: every version, direct and transitive, and the tools beside what runs."""

from __future__ import annotations

import importlib.util
import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass

from workflow.core import shell
from workflow.core.errors import WorkflowError
from workflow.core.settings import PROJECT
from workflow.core.shell_lines import shell_line
from workflow.core.step import Step

OLDEST_PYTHON = "3.10"
CONSTRAINTS = PROJECT / "constraints.txt"


@dataclass(frozen=True)
class Lock(Step):
    """Write constraints.txt anew: a version in it that still fits is kept, without ``upgrade``."""

    title = "lock"
    upgrade: bool = False

    def run(self) -> None:
        require("uv")
        command = module_command("uv", *lock_options(upgrade=self.upgrade))
        if status := shell.passthrough(command, cwd=PROJECT):
            raise WorkflowError(f"uv found no versions (exit status {status})", code=status)

    def shell(self) -> Sequence[str]:
        return [shell_line(["uv", *lock_options(upgrade=self.upgrade)], cwd=PROJECT)]


def lock_options(*, upgrade: bool) -> list[str]:
    """Return what is asked of uv: one file for each Python and system, with markers.

    No package index is named in the file, and one with builds of its own (``+cpu``) does not serve:
    the default build of torch lists most packages, which no other build installs.
    """
    return [
        *("pip", "compile", "--universal", f"--python-version={OLDEST_PYTHON}", "--all-extras"),
        *("--quiet", "--no-annotate", "--custom-compile-command=inv lock"),
        *(("--upgrade",) if upgrade else ()),
        *("--output-file=constraints.txt", "pyproject.toml"),
    ]


def require(*modules: str) -> None:
    """Have these modules of the extra ``dev``, which ./inv brings and a plain installation lacks.

    Raises: WorkflowError with the command that installs them into the environment that runs this.
    """
    lacking = [name for name in modules if importlib.util.find_spec(name) is None]
    if lacking:
        raise WorkflowError(
            f"not installed here: {', '.join(lacking)}; run: {shlex.join(install_command())}"
        )


def install_command() -> list[str]:
    """Return the command that installs the project with the extra, in the locked versions."""
    extra = f"{PROJECT}[dev]"
    return [sys.executable, "-m", "pip", "install", "-c", str(CONSTRAINTS), "-e", extra]


def module_command(name: str, *args: str) -> list[str]:
    """Return the command that runs a module of this environment."""
    return [sys.executable, "-m", name, *args]
