"""A copy of the launcher, with a Python and a uv that only write down what they are asked."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.conftest import PROJECT

# Stands in for python3 and for .venv/bin/python: knows the few calls that the launcher makes.
STUB = """#!/bin/sh
case "$1" in */workflow/core/program.py) shift; echo "invoke $*"; exit ;; esac
printf '%s\\n' "$*" >> "$STUB_LOG"
case "$*" in
    "-c import sys; sys.exit(sys.version_info < (3, 10))") exit "${STUB_TOO_OLD:-0}" ;;
    --version) echo "Python 3.12.0" ;;
    "-m venv --clear "*)
        [ -z "${STUB_NO_VENV:-}" ] || { echo "ensurepip is not available" >&2; exit 1; }
        rm -rf "$4"; mkdir -p "$4/bin"; cp "$0" "$4/bin/python" ;;
    "- "*) cat > /dev/null; exit "${STUB_INDEX:-0}" ;;
    "-m pip install "*)
        # Not in a child: dash swallows an interrupt that meets it while it starts one.
        [ -z "${STUB_PIP_S:-}" ] || exec sleep "$STUB_PIP_S"
        exit "${STUB_PIP:-0}" ;;
    *) echo "unexpected: $*" >&2; exit 99 ;;
esac
"""
UV = """#!/bin/sh
printf 'uv %s\\n' "$*" >> "$STUB_LOG"
exit "${STUB_UV:-0}"
"""
TOOLS = ("sh", "readlink", "dirname", "mkdir", "cat", "rm", "cp", "sleep", "cksum", "sed")
"""All that the launcher and the stub call: what else is on this machine, uv above all, is not."""


class Launcher:
    """A copy of the launcher in a folder of its own, with the stub as its Python."""

    def __init__(self, folder: Path) -> None:
        self.project = folder / "a project"
        self.project.mkdir()
        shutil.copy(PROJECT / "inv", self.project)
        (self.project / "pyproject.toml").write_text("pins = 1\n")
        (self.project / "constraints.txt").write_text("versions = 1\n")
        self.tools = folder / "bin"
        self.tools.mkdir()
        for name in TOOLS:
            (self.tools / name).symlink_to(shutil.which(name) or name)
        self.log = folder / "log"
        self.stub = folder / "python3.99"
        self.stub.write_text(STUB)
        self.stub.chmod(0o755)

    @property
    def environment(self) -> dict[str, str]:
        named = {"PYTHON": str(self.stub), "STUB_LOG": str(self.log), "PATH": str(self.tools)}
        return {**os.environ, **named}

    def put_uv(self, folder: Path | None = None) -> None:
        path = (folder or self.tools) / "uv"
        path.write_text(UV)
        path.chmod(0o755)

    def start(
        self, *args: str, command: Path | None = None, user: int | None = None, **variables: str
    ) -> subprocess.Popen[str]:
        self.log.unlink(missing_ok=True)
        if user is not None:
            self.log.touch()
            self.log.chmod(0o666)
        return subprocess.Popen(
            [str(command or self.project / "inv"), *args],
            user=user,
            env={**self.environment, **variables},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def run(
        self, *args: str, command: Path | None = None, user: int | None = None, **variables: str
    ) -> tuple[int, str, str]:
        process = self.start(*args, command=command, user=user, **variables)
        out, err = process.communicate(timeout=30)
        return process.returncode, out, err

    def calls(self) -> list[str]:
        """Return what was asked of Python, shortened to its first two words."""
        lines = self.log.read_text().splitlines() if self.log.exists() else []
        return [" ".join(line.split()[:2]) for line in lines if not line.startswith(("-c", "--v"))]

    def installations(self) -> list[str]:
        """Return the whole lines by which pip or uv was asked to install."""
        lines = self.log.read_text().splitlines() if self.log.exists() else []
        return [line for line in lines if "pip install" in line]


@pytest.fixture
def launcher(tmp_path: Path) -> Launcher:
    return Launcher(tmp_path)
