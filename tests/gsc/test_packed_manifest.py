"""A packed image: traced, packed, read back, tried out; one that fails is taken away."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.gsc.test_manifest import made, settled
from workflow.core.errors import WorkflowError
from workflow.core.settings import Settings
from workflow.gsc import manifest, runtime_pack, tracing
from workflow.gsc.tracing import Opened
from workflow.images import daemon

TORCH = "/usr/lib/python3/dist-packages/torch/__init__.py"
OPENED = Opened(frozenset({"/usr/lib/python3.11/os.py"}), frozenset({TORCH, "/app/runtime.tar"}))
UNSIGNED, TOOLS = "gsc-x-unsigned", "gsc-x-tools"


def listed() -> str:
    trusted = settled(made())["sgx"]["trusted_files"]
    return next(entry["sha256"] for entry in trusted if entry["uri"] == f"file:{TORCH}")


class Daemon:
    """Stands for the Docker daemon: writes down what is done with it."""

    def __init__(self, patch: pytest.MonkeyPatch, index: str) -> None:
        self.done: list[Any] = []
        self.files: dict[str, bytes] = {}

        def build_files(files: dict[str, bytes], *, tag: str, **_: object) -> None:
            self.files = files
            self.done.append(f"build {tag}")

        def read_file(image: str, path: str) -> bytes:
            self.done.append(f"read {image} {path}")
            return index.encode()

        def trace(settings: Settings, image: str, full: object, role: str) -> Opened:
            self.done.append(f"trace {role} {image}")
            return OPENED

        patch.setattr(daemon, "find_image", lambda name: None)
        patch.setattr(daemon, "build_files", build_files)
        patch.setattr(daemon, "read_file", read_file)
        patch.setattr(daemon, "remove_image", lambda name: self.done.append(f"remove {name}"))
        patch.setattr(tracing, "trace", trace)


@pytest.fixture(autouse=True)
def measurements(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(runtime_pack, "MEASUREMENTS", tmp_path)
    return tmp_path


def test_a_job_is_traced_and_packed_and_its_pack_read_back(
    monkeypatch: pytest.MonkeyPatch, measurements: Path
) -> None:
    fake = Daemon(monkeypatch, f"{listed()} 5 1024 {TORCH[1:]}\n")
    full = settled(made())
    packed = runtime_pack.packed_manifest(Settings(), UNSIGNED, TOOLS, full, "train")
    assert fake.done == [
        f"trace train {UNSIGNED}",
        f"build {TOOLS}",
        f"read {TOOLS} /gramine/app_files/runtime.index",
    ]
    assert fake.files["packed"] == f"{TORCH[1:]}\t{TORCH[1:]}\n".encode()
    assert fake.files["Dockerfile"].startswith(f"FROM {UNSIGNED}\nUSER root\n".encode())
    assert fake.files["packing.py"] == runtime_pack.PACKING.read_bytes()
    needed = runtime_pack.needed(OPENED, full)
    assert packed == runtime_pack.with_runtime(full, needed, manifest.always_trusted())
    assert (measurements / f"{UNSIGNED}.files").read_text().split() == [listed(), "5", TORCH[1:]]


def test_a_pack_of_another_file_is_refused_and_not_written_down(
    monkeypatch: pytest.MonkeyPatch, measurements: Path
) -> None:
    Daemon(monkeypatch, f"{'1' * 64} 5 1024 {TORCH[1:]}\n")
    with pytest.raises(WorkflowError, match="of the files that GSC listed"):
        runtime_pack.packed_manifest(Settings(), UNSIGNED, TOOLS, settled(made()), "train")
    assert list(measurements.iterdir()) == []


def test_an_image_whose_job_fails_is_taken_away(monkeypatch: pytest.MonkeyPatch) -> None:
    fake = Daemon(monkeypatch, "")

    def fails(settings: Settings, image: str, trial: dict[str, Any], role: str) -> list[str]:
        fake.done.append(f"try {role} {image} {trial['loader']['log_level']}")
        raise WorkflowError("it failed")

    monkeypatch.setattr(tracing, "exercise", fails)
    with pytest.raises(WorkflowError, match="it failed"):
        runtime_pack.try_out(Settings(), UNSIGNED, settled(made()), "infer")
    assert fake.done == [f"try infer {UNSIGNED} warning", f"remove {UNSIGNED}"]
