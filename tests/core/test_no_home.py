"""Without HOME, as a user without a name: every task works, or says in a line what it lacks."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import PROGRAM, PROJECT
from tests.steps.dry_runs import TASKS
from workflow.core.errors import WorkflowError
from workflow.gsc import signer_key

NAMELESS = """
import pwd, runpy, sys
def unknown(uid):
    raise KeyError(uid)
pwd.getpwuid = unknown
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def inv(*args: str) -> subprocess.CompletedProcess[str]:
    program = str(PROGRAM)
    environ = {name: value for name, value in os.environ.items() if name != "HOME"}
    return subprocess.run(
        [sys.executable, "-c", NAMELESS, program, "--search-root", str(PROJECT), *args],
        cwd=PROJECT,
        env={**environ, "DOCKER_HOST": "unix:///nonexistent"},
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=60,
    )


def test_the_list_is_shown() -> None:
    done = inv("--list")
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("name", TASKS)
def test_every_task_prints_its_commands(name: str) -> None:
    done = inv("--dry", name, *TASKS[name])
    assert "Traceback" not in done.stderr
    assert done.returncode == 0 or done.stderr.count("\n") == 1


def test_a_path_in_a_home_that_is_none_is_one_line() -> None:
    done = inv("train", "--out", "~/mine")
    assert (done.returncode, done.stdout, done.stderr) == (
        1,
        "",
        "train.out: no home folder for ~/mine; set HOME, or give a full path\n",
    )


def test_a_key_is_made_in_no_folder_called_tilde(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(WorkflowError, match="no home folder for the signing key; set HOME"):
        signer_key.ensure_key(Path("~/.config/gramine/enclave-key.pem"))
    assert list(tmp_path.iterdir()) == []
