"""The standard streams as a service or a shell may leave them: closed, or on a full disk."""

from __future__ import annotations

import shlex
import subprocess
import sys

import pytest

from tests.conftest import PROGRAM, PROJECT

PROGRAM = shlex.join(
    [
        sys.executable,
        str(PROGRAM),
        "--search-root",
        str(PROJECT),
    ]
)


@pytest.mark.parametrize("task", ["--list", "--dry train", "download-model --arch none"])
@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&-", "<&- >&- 2>&-"])
def test_a_closed_stream_changes_nothing(task: str, closed: str) -> None:
    usual, done = (
        subprocess.run(["sh", "-c", f"{PROGRAM} {task} {streams}"], capture_output=True, timeout=60)
        for streams in ("", closed)
    )
    assert done.returncode == usual.returncode
    assert done.stdout in (usual.stdout, b"")
    assert done.stderr in (usual.stderr, b"")
    assert b"Traceback" not in done.stderr


def test_an_answer_that_did_not_arrive_is_no_success() -> None:
    code = (
        "import sys; from pytorch_common.script import leave\n"
        "class Full:\n    def flush(self): raise OSError(28, 'No space left on device')\n"
        "sys.stdout = Full(); leave(0)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=PROJECT, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (1, "")


@pytest.mark.parametrize("task", ["--list", "--help train", "--version"])
def test_a_full_disk_behind_the_list_is_one_line(task: str) -> None:
    command = f"{PROGRAM} {task} > /dev/full"
    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (1, "standard output: No space left on device\n")
