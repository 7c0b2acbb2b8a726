"""Who may import whom. The picture stands in docs/layout.md."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import PROJECT

ROOMS = (
    *("workflow", "pytorch_common", "pytorch_train", "pytorch_infer", "converters"),
    "benchmarks",
)
HEAVY = {"torch", "torchvision", "numpy"}
SHARED_WITH_HOST = {"pytorch_common.contract", "pytorch_common.files", "pytorch_common.places"}
ENCLAVE_PACKAGES = {"torch", "torchvision", "PIL", "pytorch_common"}
OPTIONAL = {"pi_heif"}
"""Imported where it is installed, which it is in no image."""


def imported(path: Path) -> set[str]:
    """Return every module that the file imports, at its top or inside a function."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module)
            names.update(f"{node.module}.{alias.name}" for alias in node.names)
    return names


def files(room: str) -> list[Path]:
    found = sorted((PROJECT / room).rglob("*.py"))
    assert found
    return found


def top(names: set[str]) -> set[str]:
    return {name.split(".")[0] for name in names}


@pytest.mark.parametrize("room", ROOMS)
def test_nobody_imports_the_tasks(room: str) -> None:
    assert all("tasks" not in top(imported(path)) for path in files(room))


def test_the_host_side_never_imports_torch_nor_more_of_the_enclave_side_than_it_may() -> None:
    for path in [*files("workflow"), PROJECT / "tasks.py"]:
        names = imported(path)
        assert not top(names) & (HEAVY | set(ROOMS[2:])), path
        ours = {name for name in names if name.startswith("pytorch_common")}
        allowed = {name for name in ours if name.startswith(tuple(SHARED_WITH_HOST))}
        assert ours - allowed <= {"pytorch_common"}, path


def test_the_enclave_side_is_standard_library_torch_and_pillow() -> None:
    for room in ("pytorch_common", "pytorch_train", "pytorch_infer"):
        allowed = ENCLAVE_PACKAGES | OPTIONAL | set(sys.stdlib_module_names) | {room}
        for path in files(room):
            assert top(imported(path)) <= allowed, path


def test_docker_is_imported_in_three_places_alone() -> None:
    found = {path.name for path in files("workflow") if "docker" in top(imported(path))}
    assert found == {"daemon.py", "daemon_config.py", "container_run.py"}


def test_what_the_host_shares_is_standard_library_alone() -> None:
    for name in SHARED_WITH_HOST:
        path = PROJECT / (name.replace(".", "/") + ".py")
        assert top(imported(path)) <= set(sys.stdlib_module_names), path


def test_loading_the_tasks_loads_nothing_heavy() -> None:
    code = "import sys, tasks; print(sorted({name.split('.')[0] for name in sys.modules}))"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=PROJECT, capture_output=True, text=True, check=True
    )
    loaded = set(ast.literal_eval(done.stdout))
    assert not loaded & (HEAVY | {"requests", "tqdm", "docker", "matplotlib", "jinja2"})


def test_the_enclave_side_is_python_3_8() -> None:
    for room in ("pytorch_common", "pytorch_train", "pytorch_infer"):
        for path in files(room):
            ast.parse(path.read_text(), feature_version=(3, 8))


@pytest.mark.parametrize("script", ["pytorch_train.train", "pytorch_infer.pytorchexample"])
def test_no_garbage_is_looked_for_while_torch_is_imported(script: str) -> None:
    code = (
        f"import gc; looks = gc.get_stats()[2]['collections']; import {script}; "
        "print([gc.get_stats()[2]['collections'] - looks, gc.get_freeze_count(), gc.isenabled()])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=PROJECT, capture_output=True, text=True, check=True
    )
    looks, left_out, looked_for_afterwards = ast.literal_eval(done.stdout)
    assert looks == 0
    assert left_out > 100_000
    assert looked_for_afterwards
