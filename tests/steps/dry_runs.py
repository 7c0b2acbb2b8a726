"""Running `inv --dry TASK`, and what it is run with for each task."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

TASKS: dict[str, list[str]] = {
    "download-model": [],
    "fetch-hymenoptera": [],
    "build": [],
    "gsc-setup": [],
    "gsc-build": ["--backend=sgx"],
    "sign": ["--backend=sgx"],
    "info": ["--backend=sgx"],
    "train": ["--backend=sgx"],
    "copy-net": [],
    "classify": ["--backend=sgx", "--image=it's a bee.png"],
    "clean-result": [],
    "all": ["--backend=sgx", "--image=it's a bee.png"],
    "demo": ["--backend=docker"],
    "clean": [],
    "report": [],
    "verify": [],
    "collateral": ["--service=https://pccs.example"],
    "evidence-pack": [],
    "reproduce": [],
    "bench": [],
    "size": [],
    "lock": [],
}
OTHERS = {"doctor", "lint", "test"}
"""They look alone, so there is nothing to print instead."""


def listing(folder: Path) -> dict[str, tuple[int, int]]:
    return {
        path.relative_to(folder).as_posix(): (path.lstat().st_mtime_ns, path.lstat().st_size)
        for path in folder.rglob("*")
        if path.suffix != ".pyc" and path.name != "__pycache__"
    }


def dry(project: Path, *args: str, **variables: str) -> list[str]:
    """Return the lines of `inv --dry`, having seen that it changed nothing."""
    home = project.parent / "home"
    before = listing(project.parent)
    done = subprocess.run(
        [sys.executable, "-m", "invoke", "--search-root", str(project), "--dry", *args],
        cwd=project,
        env={
            **os.environ,
            "PYTHONPATH": str(project),
            "PYTHONDONTWRITEBYTECODE": "1",
            "HOME": str(home),
            "DOCKER_HOST": "unix:///nonexistent",
            **variables,
        },
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    assert {
        path: facts
        for path, facts in listing(project.parent).items()
        if path != "the project" and before.get(path) != facts
    } == {}
    return done.stdout.splitlines()
