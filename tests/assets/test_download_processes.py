"""Two runs at once, and a run that is killed."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.assets.fault_server import (  # noqa: F401  (pytest finds the fixtures here)
    CONTENT,
    FaultServer,
    no_proxy_fixture,
    server_fixture,
    stall_after,
)
from tests.conftest import PROJECT
from workflow.assets.download import Asset, fetch

SHA256 = hashlib.sha256(CONTENT).hexdigest()

FETCH = """
import sys
from pathlib import Path
from workflow.assets.download import Asset, fetch
url, sha256, target = sys.argv[1:]
print(fetch(Asset("file.bin", url, sha256, 2**20), Path(target)))
"""


@pytest.fixture
def asset(server: FaultServer) -> Asset:
    return Asset("file.bin", server.url, SHA256, max_bytes=len(CONTENT))


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "models" / "file.bin"


def start_fetch(asset: Asset, target: Path) -> subprocess.Popen[str]:
    """Fetch in a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-c", FETCH, asset.url, asset.sha256, str(target)],
        cwd=PROJECT,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def wait_until(is_so: Callable[[], bool]) -> None:
    deadline_s = time.monotonic() + 10
    while not is_so():
        assert time.monotonic() < deadline_s
        time.sleep(0.01)


def assert_only(target: Path) -> None:
    """Hold that the whole file is there, and nothing beside it."""
    assert target.read_bytes() == CONTENT
    assert list(target.parent.iterdir()) == [target]


def test_of_two_runs_one_fetches_and_the_other_waits(
    server: FaultServer, asset: Asset, target: Path
) -> None:
    server.script(stall_after(5000))
    with start_fetch(asset, target) as first:
        wait_until(lambda: bool(server.requests))
        with start_fetch(asset, target) as second:
            assert second.stderr
            assert second.stderr.readline() == f"{target}: another run is at work on it; waiting\n"
            server.gate.set()
            answers = [run.communicate(timeout=10)[0] for run in (first, second)]
    assert answers == ["True\n", "False\n"]
    assert len(server.requests) == 1
    assert_only(target)


def test_a_killed_download_leaves_no_target_and_is_resumed(
    server: FaultServer, asset: Asset, target: Path
) -> None:
    part = target.with_name(".file.bin.enclave-finetune.part")
    server.script(stall_after(600_000))
    with start_fetch(asset, target) as run:
        wait_until(lambda: part.exists() and part.stat().st_size > 500_000)
        run.send_signal(signal.SIGKILL)
        run.communicate(timeout=10)
    assert not target.exists()
    kept = part.stat().st_size
    assert fetch(asset, target)
    assert server.ranges() == [None, f"bytes={kept}-"]
    assert_only(target)
