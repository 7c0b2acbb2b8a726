"""A machine that is looked at before the first step: its daemon, its disk, and what is on it."""

from __future__ import annotations

import io
import shutil
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from tests.gsc import gsc_stand_in
from tests.gsc.shield_world import pem, write_key
from workflow.core.disk import GIB
from workflow.core.errors import WorkflowError
from workflow.core.settings import GscSettings, Settings
from workflow.core.values import PathText
from workflow.gsc.commands import DIALECTS
from workflow.images import daemon
from workflow.steps.all import All

NO_DAEMON = "no Docker daemon answers (Connection refused); start it, or look: inv doctor"


@dataclass
class Docker:
    """Stand in for the daemon."""

    folder: str
    is_here: bool = True
    images: set[str] = field(default_factory=set)

    def facts(self) -> dict[str, Any]:
        if not self.is_here:
            raise WorkflowError(NO_DAEMON)
        return {"folder": self.folder, "rootless": False}

    def find_image(self, name: str) -> str | None:
        self.facts()
        return name if name in self.images else None


@pytest.fixture
def docker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Docker:
    docker = Docker(str(tmp_path))
    monkeypatch.setattr(daemon, "facts", docker.facts)
    monkeypatch.setattr(daemon, "find_image", docker.find_image)
    monkeypatch.setattr("sys.stdin", io.StringIO())
    return docker


@pytest.fixture
def free(monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """Return the disk's free bytes, to be changed."""
    room = {"bytes": 100 * GIB}
    usage = type("Usage", (), {"free": property(lambda _: room["bytes"])})
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage())
    return room


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the steps that were begun, each of which then ends the run."""
    begun: list[str] = []

    def begin(whole_way: All) -> None:
        begun.append(whole_way.steps()[0].title)

    monkeypatch.setattr(All, "run", begin)
    return begun


@pytest.fixture
def ready(
    tiny_settings: Settings,
    tmp_path: Path,
    signing_key: rsa.RSAPrivateKey,
    monkeypatch: pytest.MonkeyPatch,
) -> Settings:
    """Return settings of which nothing is missing in any backend."""
    folder = tmp_path / "gsc"
    commit = gsc_stand_in.install(folder)
    pinned = replace(DIALECTS["gramine"], commit=commit)
    monkeypatch.setitem(DIALECTS, "gramine", pinned)
    (folder / "config.yaml").write_text("Gramine: {Image: gramine-here}\n")
    key = write_key(tmp_path / "key.pem", pem(signing_key))
    machine = replace(tiny_settings.machine, sgx_device=PathText("/dev/null"))
    return replace(tiny_settings, gsc=GscSettings(dir=folder, key=key), machine=machine)


def in_backend(settings: Settings, backend: str) -> Settings:
    return replace(settings, machine=replace(settings.machine, backend=backend))
