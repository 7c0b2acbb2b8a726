"""The launcher, with a Python that only writes down what it is asked."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.conftest import PROJECT

# Stands in for python3 and for .venv/bin/python: knows the few calls that the launcher makes.
STUB = """#!/bin/sh
case "$1" in */workflow/program.py) shift; echo "invoke $*"; exit ;; esac
printf '%s\\n' "$*" >> "$STUB_LOG"
case "$*" in
    "-c import sys; sys.exit(sys.version_info < (3, 10))") exit "${STUB_TOO_OLD:-0}" ;;
    --version) echo "Python 3.12.0" ;;
    "-m venv --clear "*)
        [ -z "${STUB_NO_VENV:-}" ] || { echo "ensurepip is not available" >&2; exit 1; }
        rm -rf "$4"; mkdir -p "$4/bin"; cp "$0" "$4/bin/python" ;;
    "- "*) cat > /dev/null; exit "${STUB_INDEX:-0}" ;;
    "-m pip install "*) sleep "${STUB_PIP_S:-0}"; exit "${STUB_PIP:-0}" ;;
    *) echo "unexpected: $*" >&2; exit 99 ;;
esac
"""


class Launcher:
    """A copy of the launcher in a folder of its own, with the stub as its Python."""

    def __init__(self, folder: Path) -> None:
        self.project = folder / "a project"
        self.project.mkdir()
        shutil.copy(PROJECT / "inv", self.project)
        (self.project / "pyproject.toml").write_text("pins = 1\n")
        self.log = folder / "log"
        self.stub = folder / "python3.99"
        self.stub.write_text(STUB)
        self.stub.chmod(0o755)

    def start(self, *args: str, **variables: str) -> subprocess.Popen[str]:
        self.log.unlink(missing_ok=True)
        return subprocess.Popen(
            [str(self.project / "inv"), *args],
            env={**os.environ, "PYTHON": str(self.stub), "STUB_LOG": str(self.log), **variables},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def run(self, *args: str, **variables: str) -> tuple[int, str, str]:
        process = self.start(*args, **variables)
        out, err = process.communicate(timeout=30)
        return process.returncode, out, err

    def calls(self) -> list[str]:
        """Return what was asked of Python, shortened to its first two words."""
        lines = self.log.read_text().splitlines() if self.log.exists() else []
        return [" ".join(line.split()[:2]) for line in lines if not line.startswith(("-c", "--v"))]


@pytest.fixture
def launcher(tmp_path: Path) -> Launcher:
    return Launcher(tmp_path)


def test_the_first_call_installs_and_every_later_one_only_hands_over(launcher: Launcher) -> None:
    status, out, err = launcher.run("train", "--epochs", "2")
    assert (status, out) == (0, f"invoke --search-root {launcher.project} train --epochs 2\n")
    assert launcher.calls() == ["-m venv", f"- {'https://download.pytorch.org/whl/cpu'}", "-m pip"]
    assert "making .venv with Python 3.12.0" in err
    assert "minutes" in err

    assert launcher.run("--list") == (0, f"invoke --search-root {launcher.project} --list\n", "")
    assert launcher.calls() == []
    assert sorted(path.name for path in launcher.project.iterdir()) == [
        *(".venv", "inv", "pyproject.toml")
    ]


def test_the_cpu_index_is_used_where_it_answers(launcher: Launcher) -> None:
    launcher.run()
    assert "--extra-index-url https://download.pytorch.org/whl/cpu" in launcher.log.read_text()


def test_the_default_index_serves_where_it_does_not(launcher: Launcher) -> None:
    _, _, err = launcher.run(STUB_INDEX="1")
    assert "--extra-index-url" not in launcher.log.read_text()
    assert "CPU index of torch does not answer" in err


def test_changed_pins_are_installed_over_the_old_ones(launcher: Launcher) -> None:
    launcher.run()
    (launcher.project / "pyproject.toml").write_text("pins = 2\n")
    _, _, err = launcher.run()
    assert "pyproject.toml has changed" in err
    assert [call for call in launcher.calls() if "http" not in call] == ["-m pip"]
    launcher.run()
    assert launcher.calls() == []


def test_a_failed_installation_is_said_and_begun_anew_by_the_next_call(launcher: Launcher) -> None:
    status, out, err = launcher.run(STUB_PIP="1")
    assert (status, out) == (1, "")
    assert "Run ./inv again" in err.splitlines()[-1]
    assert launcher.run()[0] == 0
    assert "-m venv" in launcher.calls()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_installation_is_begun_anew(launcher: Launcher, number: int) -> None:
    process = launcher.start(STUB_PIP_S="30")
    while "-m pip" not in launcher.calls():
        time.sleep(0.02)
    os.killpg(process.pid, number)
    process.communicate(timeout=10)
    assert process.returncode != 0
    status, out, _ = launcher.run("--list")
    assert (status, out.split()[0]) == (0, "invoke")
    assert "-m venv" in launcher.calls()
    assert not (launcher.project / ".venv.lock").exists()


def test_two_at_once_install_once(launcher: Launcher) -> None:
    first = launcher.start(STUB_PIP_S="2")
    while "-m pip" not in launcher.calls():
        time.sleep(0.02)
    second = subprocess.Popen(
        [str(launcher.project / "inv"), "--list"],
        env={**os.environ, "PYTHON": str(launcher.stub), "STUB_LOG": str(launcher.log)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    out, err = second.communicate(timeout=20)
    first.communicate(timeout=10)
    assert "is installing; waiting" in err
    assert out.startswith("invoke ")
    assert launcher.calls().count("-m pip") == 1


def test_what_is_missing_is_one_line(launcher: Launcher) -> None:
    status, _, err = launcher.run(STUB_TOO_OLD="1")
    assert (status, err.count("\n")) == (1, 1)
    assert f"PYTHON={launcher.stub} is no Python 3.10 or later" in err
    status, _, err = launcher.run(STUB_NO_VENV="1")
    assert status == 1
    assert "apt-get install python3-venv" in err.splitlines()[-1]


def test_no_python_at_all(launcher: Launcher, tmp_path: Path) -> None:
    tools = tmp_path / "bin"
    tools.mkdir()
    for name in ("sh", "dirname", "mkdir", "cat", "rm", "sleep", "cksum"):
        (tools / name).symlink_to(shutil.which(name) or name)
    status, _, err = launcher.run(PYTHON="", PATH=str(tools))
    assert (status, err.count("\n")) == (1, 1)
    assert "no Python 3.10 or later found" in err
