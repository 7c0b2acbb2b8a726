"""A place to run that nobody thought of is one new file beside the others, and nothing else."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.conftest import copy_project

MOON = '''
"""On the moon, which is here."""

from __future__ import annotations

from typing import Any

from workflow.backends.job import Job
from workflow.backends.native import Native
from workflow.core.console import note
from workflow.core.settings import Settings


class Moon(Native):
    """Run far away."""

    name = "moon"
    strength = 9

    def is_automatic(self, settings: Settings) -> bool:
        return False

    def run(self, job: Job, *, quiet: bool = False) -> int:
        note(f"liftoff with {job.script.name}")
        return super().run(job, quiet=quiet)

    def shell(self, job: Job) -> list[str]:
        return ["# to the moon", *super().shell(job)]

    def facts(self, settings: Settings, role: str) -> dict[str, Any]:
        return {}


BACKENDS = (Moon(),)
'''


def inv(project: Path, *args: str) -> subprocess.CompletedProcess[str]:
    program = str(project / "workflow" / "core" / "program.py")
    return subprocess.run(
        [sys.executable, "-B", program, "--search-root", str(project), *args],
        cwd=project,
        env={**os.environ, "PYTHONPATH": ""},
        capture_output=True,
        text=True,
    )


def test_a_new_backend_is_one_file(tmp_path: Path, tiny_data: Path, random_weights: Path) -> None:
    project = tmp_path / "project"
    copy_project(project)
    (project / "workflow" / "backends" / "moon.py").write_text(MOON)
    train = [
        *("train", "--backend", "moon", "--arch", "squeezenet1_1", "--epochs", "1"),
        *("--threads", "1", f"--data={tiny_data}", f"--weights={random_weights}"),
    ]
    done = inv(project, *train)
    assert done.returncode == 0, done.stderr
    said = done.stderr.splitlines()
    assert said[0].startswith("backend moon: not protected")
    assert said[1] == "liftoff with train.py"
    assert (project / "out" / "train" / "net.pt").is_file()

    dry = inv(project, "--dry", *train).stdout.splitlines()
    assert dry[0] == "# to the moon"
    assert dry[1].startswith("PYTHONPATH=")

    titles = inv(project, "--dry", "all", "--backend=moon").stdout.splitlines()
    assert [line for line in titles if line.startswith("# [")] == [
        *("# [1/5] download-model", "# [2/5] fetch-hymenoptera", "# [3/5] train"),
        *("# [4/5] copy-net", "# [5/5] classify"),
    ]
    refused = inv(project, "train", "--backend", "mars")
    assert (refused.returncode, refused.stderr) == (
        1,
        "machine.backend: expected one of auto, moon, sgx, direct, docker, native, got mars\n",
    )
