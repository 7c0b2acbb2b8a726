"""Two runs do not write to one folder at a time, and a killed one bars nobody."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import PROJECT
from workflow.core.errors import WorkflowError
from workflow.core.locks import alone_in

HOLD = """
import sys, time
from pathlib import Path
from workflow.core.locks import alone_in
with alone_in(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


def test_a_second_run_is_refused_until_the_first_ends_or_is_killed(tmp_path: Path) -> None:
    folder = tmp_path / "out"
    command = [sys.executable, "-c", HOLD, str(folder)]
    with subprocess.Popen(command, cwd=PROJECT, stdout=subprocess.PIPE, text=True) as first:
        assert first.stdout is not None
        assert first.stdout.readline() == "held\n"
        refused = f"{folder}: another run is writing there; wait for its end"
        with pytest.raises(WorkflowError, match=refused), alone_in(folder):
            pass
        with alone_in(tmp_path / "elsewhere"):
            pass
        first.kill()
    with alone_in(folder), pytest.raises(WorkflowError), alone_in(folder):
        pass
    assert list(folder.iterdir()) == []
