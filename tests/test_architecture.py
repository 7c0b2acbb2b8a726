"""Who may import whom. The picture stands in docs/layout.md."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.architecture import (
    arrows,
    comparisons,
    dialect_comparisons,
    dry_reads,
    figures,
    floors,
    imported,
    modules,
)
from tests.conftest import PROJECT

ROOMS = (
    *("workflow", "pytorch_common", "pytorch_train", "pytorch_infer", "converters"),
    "benchmarks",
)
HEAVY = {"torch", "torchvision", "numpy"}
SHARED_WITH_HOST = {
    *("pytorch_common.contract", "pytorch_common.files", "pytorch_common.places"),
    *("pytorch_common.pack", "pytorch_common.errors"),
    "pytorch_common.trainable",
}
ENCLAVE_PACKAGES = {"torch", "torchvision", "PIL", "cryptography", "pytorch_common"}
OPTIONAL = {"pi_heif"}
"""Imported where it is installed, which it is in no image."""


def rooms() -> list[str]:
    """Return the rooms of workflow/ from the top down, as the layout page has them."""
    page = (PROJECT / "docs" / "layout.md").read_text(encoding="utf-8")
    tree = page.split("```")[1]
    return re.findall(r"^    (\w+)/ ", tree, re.MULTILINE)


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
        shared = {each for each in imported(path) if each.startswith(tuple(SHARED_WITH_HOST))}
        assert top(imported(path) - shared) <= set(sys.stdlib_module_names), path


def test_the_rooms_are_those_of_the_page() -> None:
    folders = {path.parent.name for path in (PROJECT / "workflow").glob("*/__init__.py")}
    assert set(rooms()) == folders
    assert not [path for path in (PROJECT / "workflow").glob("*.py") if path.read_text()]


def test_a_room_imports_those_below_it_alone() -> None:
    order = rooms()
    level = {room: number for number, room in enumerate(order)}
    level["tools"] = level["steps"]  # neither stands on the other
    for name, below in arrows(PROJECT).items():
        if name.startswith("workflow."):
            room = name.split(".")[1]
            for other in (each.split(".")[1] for each in below if each.startswith("workflow.")):
                assert other == room or level[other] > level[room], f"{name} imports from {other}"


def test_no_modules_stand_in_a_circle() -> None:
    assert floors(arrows(PROJECT))


def test_tests_mirror_the_rooms() -> None:
    folders = {path.parent.name for path in (PROJECT / "tests").glob("*/__init__.py")}
    assert folders == {*rooms(), "enclave"}


@pytest.mark.parametrize("room", ["pytorch_common", "pytorch_train", "pytorch_infer"])
def test_no_file_of_the_enclave_side_is_too_long(room: str) -> None:
    for path in files(room):
        assert len(path.read_text(encoding="utf-8").splitlines()) <= 250, path


@pytest.mark.parametrize("room", ["tasks", "workflow", "tests"])
def test_no_file_and_no_function_is_too_long(room: str) -> None:
    paths = [PROJECT / "tasks.py"] if room == "tasks" else files(room)
    for path in paths:
        text = path.read_text(encoding="utf-8")
        assert len(text.splitlines()) <= 250, path
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and node.name != "main":
                lines = (node.end_lineno or 0) - node.lineno + 1
                assert lines <= 40, f"{path}: {node.name} has {lines} lines"


def test_only_backends_know_each_other_by_name() -> None:
    for name, path in modules(PROJECT).items():
        if name.startswith(("workflow.", "tasks")) and not name.startswith("workflow.backends."):
            assert list(comparisons(path)) == [], name


def test_only_the_two_that_speak_a_dialect_compare_it() -> None:
    speaking = {name for name, path in modules(PROJECT).items() if list(dialect_comparisons(path))}
    assert speaking == {"workflow.backends.gramine", "workflow.backends.graphene"}


def test_dry_is_decided_in_one_place() -> None:
    reading = {name for name, path in modules(PROJECT).items() if dry_reads(path)}
    assert reading == {"workflow.core.task"}


def test_the_figures_can_be_printed() -> None:
    done = subprocess.run(
        [sys.executable, "tests/architecture.py"], cwd=PROJECT, capture_output=True, text=True
    )
    assert [int(line.split()[0]) for line in done.stdout.splitlines()] == list(
        figures(PROJECT).values()
    )


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
