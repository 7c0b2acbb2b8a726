"""Without a Docker daemon: one line, whatever is asked of it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import PROJECT, SOCKETS
from workflow.images import daemon
from workflow.tools import doctor_shielded

pytestmark = [*SOCKETS]

ASKED = {
    "find": "daemon.find_image('x')",
    "build": "daemon.build_files({}, tag='x', labels={}, on_line=print)",
    "run": "container_run.run(ContainerSpec('x', '1:1'), print, print)",
    "describe": "daemon.facts()",
}


@pytest.mark.parametrize(
    ("host", "reason"),
    [
        ("unix:///nonexistent", "No such file or directory"),
        ("tcp://127.0.0.1:9", "Connection refused"),
    ],
)
def test_no_daemon_is_one_line_with_the_reason(
    host: str, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_HOST", host)
    said = f"no Docker daemon answers ({host}: {reason}); start it, or look: inv doctor"
    assert daemon.problem() == said
    (check,) = doctor_shielded.docker_checks()
    assert (check.state, check.found) == ("missing", f"no Docker daemon answers ({host}: {reason})")


@pytest.mark.parametrize(
    "host", ["nonsense", "http+nonsense://x", "ssh://x.invalid", "tcp://x:abc", "tcp://[::1"]
)
def test_a_daemons_address_that_is_none_is_one_line(
    host: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_HOST", host)
    said = daemon.problem()
    assert said is not None
    assert "\n" not in said
    assert said.startswith(f"no Docker daemon answers ({host}: ")


@pytest.mark.parametrize("what", ASKED)
def test_whatever_is_asked_of_it(what: str, tmp_path: Path) -> None:
    code = f"""
import os
os.environ["DOCKER_HOST"] = "unix:///nonexistent"
from workflow.images import daemon
from workflow.images import container_run
from workflow.images.container_spec import ContainerSpec
from workflow.core.errors import WorkflowError
try:
    {ASKED[what]}
except WorkflowError as error:
    print(error.message)
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=PROJECT, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == (
        "no Docker daemon answers (unix:///nonexistent: No such file or directory); "
        "start it, or look: inv doctor\n"
    )
