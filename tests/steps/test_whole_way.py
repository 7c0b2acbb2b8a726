"""`inv all` up to a step, and the one command that a missing image names."""

from __future__ import annotations

import importlib
import re
import shlex
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

import tasks
from tests import doing
from tests.conftest import PROGRAM, PROJECT
from tests.steps.dry_runs import dry
from workflow.backends import base
from workflow.core.errors import WorkflowError
from workflow.core.settings import MachineSettings, Settings
from workflow.core.step import Step, perform
from workflow.gsc import checkout
from workflow.images import daemon
from workflow.steps.all import All

DOCUMENTED = (
    *("download-model", "fetch-hymenoptera", "build", "gsc-build", "sign", "info"),
    *("train", "copy-net", "classify", "clean-result"),
)


@pytest.mark.parametrize("name", DOCUMENTED)
def test_a_documented_step_is_one_file_with_one_shape(name: str) -> None:
    module = importlib.import_module(f"workflow.steps.{name.replace('-', '_')}")
    (kind,) = (each for each in vars(module).values() if is_step_of(each, name, module.__name__))
    assert kind.run is not Step.run
    assert kind.shell is not Step.shell
    assert name in tasks.ns.task_names


def is_step_of(each: object, name: str, module: str) -> bool:
    is_here = isinstance(each, type) and issubclass(each, Step) and each.__module__ == module
    return is_here and each.__name__ == name.title().replace("-", "")  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("backend", "before", "titles"),
    [
        ("native", "train", ["download-model", "fetch-hymenoptera"]),
        ("docker", "train", ["download-model", "fetch-hymenoptera", "build --image train"]),
        (
            "docker",
            "classify",
            [
                *("download-model", "fetch-hymenoptera", "build --image train", "train"),
                *("copy-net", "build --image infer"),
            ],
        ),
        ("direct", "sign", ["download-model", "fetch-hymenoptera", "build --image train"]),
    ],
)
def test_all_goes_as_far_as_it_is_asked_to(
    backend: str, before: str, titles: list[str], project: Path
) -> None:
    lines = dry(project, "all", f"--backend={backend}", f"--before={before}")
    found = [line.split("] ")[1] for line in lines if line.startswith("# [")]
    expected = [*titles, *(["gsc-build --image train"] if backend == "direct" else [])]
    assert found == expected


def test_a_step_that_is_not_on_the_way_is_one_line(tiny_settings: Settings) -> None:
    with pytest.raises(WorkflowError) as caught:
        perform(All(tiny_settings, before="sign"))
    assert caught.value.message == (
        "--before: expected one of download-model, fetch-hymenoptera, train, copy-net, classify, "
        "got sign"
    )


@pytest.mark.parametrize("backend", ["docker", "direct", "sgx"])
def test_without_its_image_a_step_names_the_one_command_that_makes_it(
    backend: str, tiny_settings: Settings, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(daemon, "facts", lambda: {"folder": "/", "rootless": False})
    monkeypatch.setattr(daemon, "find_image", lambda name: None)
    monkeypatch.setattr(checkout, "check_checkout", lambda gsc: None)
    machine = MachineSettings(backend=backend, sgx_device="/dev/null")  # type: ignore[arg-type]
    flags = {"train.epochs": ("--epochs", "3"), "train.out": ("--out", "elsewhere")}
    with pytest.raises(WorkflowError) as caught:
        doing.train(replace(tiny_settings, machine=machine, flags=flags))
    command = f"inv all --backend {backend} --epochs 3 --before train"
    assert caught.value.message == f"no image pytorch_train here; run: {command}"
    lines = dry(project, *shlex.split(command)[1:])
    made = base.pick(replace(tiny_settings, machine=machine)).image_steps
    assert [line.split("] ")[1] for line in lines if line.startswith("# [")] == [
        *("download-model", "fetch-hymenoptera"),
        *(f"{step} --image train" for step in made),
    ]
    assert any("TRAIN_EPOCHS=3" in line for line in lines)


def test_the_list_has_the_documented_order() -> None:
    program = [sys.executable, str(PROGRAM), "--search-root", str(PROJECT), "--list"]
    done = subprocess.run(program, capture_output=True, text=True, check=True)
    listed = re.findall(r"^  ([a-z-]+)  ", done.stdout, re.MULTILINE)
    assert listed[:10] == list(DOCUMENTED)
    assert listed == list(tasks.ns.tasks)
