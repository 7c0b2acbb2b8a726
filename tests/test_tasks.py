"""The tasks as a person meets them: the list, the help, what an error looks like."""

from __future__ import annotations

import copy
import inspect
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest
from invoke import Program

import tasks
from tests.conftest import PROJECT

NAMES = sorted(tasks.ns.task_names)


def inv(*args: str, cwd: Path = PROJECT, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "invoke", "--search-root", str(PROJECT), *args],
        cwd=cwd,
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        timeout=120,
    )


def test_the_list_answers_in_under_half_a_second() -> None:
    times = []
    for _ in range(3):
        started = time.monotonic()
        assert inv("--list").returncode == 0
        times.append(time.monotonic() - started)
    assert min(times) < 0.5


def test_the_list_reads_like_the_documented_steps() -> None:
    shown = inv("--list").stdout
    for name in NAMES:
        line = next(line for line in shown.splitlines() if line.split()[:1] == [name])
        assert len(line.split()) > 3
    steps = re.findall(r"^  ([a-z-]+) +(\d+)\. ", shown, re.MULTILINE)
    assert [name for name, _ in sorted(steps, key=lambda step: int(step[1]))] == [
        *("download-model", "fetch-hymenoptera", "build", "gsc-build", "sign", "info"),
        *("train", "copy-net", "classify", "clean-result"),
    ]


@pytest.mark.parametrize("name", NAMES)
def test_every_flag_has_a_help_text(name: str) -> None:
    task = tasks.ns[name]
    parameters = list(inspect.signature(task.body).parameters)[1:]
    assert set(parameters) == set(task.help)
    assert task.auto_shortflags is False


@pytest.mark.parametrize(
    ("args", "variables", "line"),
    [
        (["train", "--epochs", "0"], {}, "epochs: expected 1 or more, got 0"),
        (
            ["train", "--data", "/no/such", "--method", "scratch"],
            {},
            "/no/such: no such folder; give --data a folder",
        ),
        (["classify"], {}, "no image given; run: inv classify --image PATH"),
        (["classify", "--image", "x", "--net", "/no/net.pt"], {}, "run: inv train, then: inv copy"),
        (["train"], {"INVOKE_TRAIN_EPOCHS": "few"}, "train.epochs: expected a whole number"),
        (["train"], {"INVOKE_TRAIN_EPOCH": "3"}, "did you mean INVOKE_TRAIN_EPOCHS?"),
        (["copy-net", "--out", "/no"], {}, "/no/record.json is missing; run: inv train"),
    ],
)
def test_an_error_is_one_line_and_status_1(
    args: list[str], variables: dict[str, str], line: str
) -> None:
    done = inv(*args, **variables)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.count("\n") == 1
    assert line in done.stderr


def flags_with_a_value() -> list[tuple[str, str]]:
    """Return every flag of every task that takes a value."""
    return [
        (name, parameter.name.replace("_", "-"))
        for name in NAMES
        for parameter in list(inspect.signature(tasks.ns[name].body).parameters.values())[1:]
        if not isinstance(parameter.default, bool)
    ]


@pytest.mark.parametrize(("name", "flag"), flags_with_a_value())
@pytest.mark.parametrize("text", ["", " "])
def test_an_empty_flag_is_an_error_and_no_default(
    name: str, flag: str, text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    program = Program(namespace=copy.deepcopy(tasks.ns))  # invoke takes the help out of its tasks
    with pytest.raises(SystemExit) as caught:
        program.run(["inv", "--dry", name, f"--{flag}={text}"])
    printed = capsys.readouterr()
    assert (caught.value.code, printed.out) == (1, "")
    assert printed.err.count("\n") == 1


def test_lint_and_test_are_the_projects_own_commands() -> None:
    from workflow.tools import quality

    assert [command[2:] for command in quality.lint_commands(fix=False)] == [
        *(["ruff", "check"], ["ruff", "format", "--check"], ["mypy"])
    ]
    command = quality.test_command(fast=True, real=False, docker=False, only="x")
    marks = "not real and not docker and not slow"
    assert command[2:5] == ["pytest", *quality.PARALLEL]
    assert command[5:] == ["--dist=worksteal", "-m", marks, "-k", "x"]
    command = quality.test_command(fast=False, real=True, docker=False, only=None)
    assert command[2:] == ["pytest", "-m", "real"]
    command = quality.test_command(fast=False, real=True, docker=True, only=None)
    assert command[2:] == ["pytest", "-m", "docker or real"]
    command = quality.test_command(fast=False, real=False, docker=True, only=None)
    assert command[5:] == ["--dist=loadfile", "--no-loadscope-reorder", "-m", "docker"]


@pytest.mark.parametrize("asked", ["test", "lint", "fuzz"])
def test_without_the_tools_one_line_names_the_command(
    asked: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from workflow.core.errors import WorkflowError
    from workflow.tools import quality

    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(WorkflowError) as caught:
        getattr(quality, asked)()
    assert re.fullmatch(
        r"not installed here: [\w, ]+; run: .* -m pip install -c \S*constraints.txt -e .*\[dev\]'?",
        caught.value.message,
    )


def test_a_failing_check_keeps_its_status(monkeypatch: pytest.MonkeyPatch) -> None:
    from workflow.core.errors import WorkflowError
    from workflow.tools import quality

    failing = [sys.executable, "-c", "raise SystemExit(3)"]
    monkeypatch.setattr(quality, "test_command", lambda **_: failing)
    with pytest.raises(WorkflowError) as caught:
        quality.test(only="x")
    assert caught.value.code == 3


def test_fuzzing_reads_ten_times_as_many_mutants(monkeypatch: pytest.MonkeyPatch) -> None:
    from workflow.core import shell
    from workflow.tools import quality

    ran: list[tuple[list[str], str]] = []
    monkeypatch.setenv("FUZZ_INPUTS", "")
    monkeypatch.delenv("FUZZ_INPUTS")

    def run(command: list[str], *, cwd: Path) -> int:
        ran.append((command[3:], os.environ["FUZZ_INPUTS"]))
        return 0

    monkeypatch.setattr(shell, "passthrough", run)
    quality.fuzz()
    assert ran == [(["tests/enclave/test_hostile_images.py", "-k", "mutants"], "20000")]
