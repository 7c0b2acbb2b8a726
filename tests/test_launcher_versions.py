"""What the launcher installs: which versions, by which program, with or without the tools."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest

from tests.launcher_world import Launcher, launcher  # noqa: F401


def test_every_version_is_that_of_the_constraints(launcher: Launcher) -> None:
    launcher.run()
    constraints = launcher.project / "constraints.txt"
    (line,) = launcher.installations()
    assert f" --constraint {constraints} --editable {launcher.project}" in line
    assert line.endswith("/a project")  # without an extra


def test_uv_installs_where_it_is_on_the_path(launcher: Launcher) -> None:
    launcher.put_uv()
    status, out, err = launcher.run("--list")
    assert (status, out.split()[0]) == (0, "invoke")
    (line,) = launcher.installations()
    assert line.startswith(
        f"uv pip install --python {launcher.project / '.venv/bin/python'} "
        "--index-strategy unsafe-best-match "
        "--extra-index-url https://download.pytorch.org/whl/cpu "
    )
    assert f" --constraint {launcher.project / 'constraints.txt'} " in line
    assert "failed" not in err
    launcher.run()
    assert launcher.calls() == []


def test_where_uv_fails_pip_installs(launcher: Launcher) -> None:
    launcher.put_uv()
    status, out, err = launcher.run("--list", STUB_UV="2")
    assert (status, out.split()[0]) == (0, "invoke")
    with_uv, with_pip = launcher.installations()
    assert (with_uv.split()[0], with_pip.split()[0]) == ("uv", "-m")
    assert with_uv[with_uv.index("--extra-") :] == with_pip[with_pip.index("--extra-") :]
    assert [line for line in err.splitlines() if "uv failed" in line] == [
        "inv: uv failed, its error stands above; going on with pip"
    ]


def test_a_uv_in_the_environment_itself_is_not_taken(launcher: Launcher) -> None:
    launcher.run("lint")
    launcher.put_uv(launcher.project / ".venv" / "bin")
    (launcher.project / "constraints.txt").write_text("versions = 2\n")
    launcher.run(PATH=f"{launcher.project / '.venv' / 'bin'}:{launcher.tools}")
    assert [line.split()[0] for line in launcher.installations()] == ["-m"]


@pytest.mark.parametrize("args", [["test", "--docker"], ["lint"], ["--dry", "lock"]])
def test_the_tools_come_with_the_task_that_needs_them_and_once(
    launcher: Launcher, args: list[str]
) -> None:
    launcher.run("demo")
    status, out, err = launcher.run(*args)
    assert (status, out.split()[-1]) == (0, args[-1])
    assert "adding the linters and test tools" in err
    (line,) = launcher.installations()
    assert line.endswith("/a project[dev]")
    assert launcher.calls() == ["-m pip"]
    for words in (args, ["demo"], args):
        assert launcher.run(*words)[2] == ""
        assert launcher.calls() == []


def test_a_plain_task_keeps_the_tools(launcher: Launcher, tmp_path: Path) -> None:
    launcher.run("test")
    (launcher.project / "constraints.txt").write_text("versions = 2\n")
    launcher.run("demo")
    assert [line.endswith("[dev]") for line in launcher.installations()] == [True]
    launcher.project.rename(tmp_path / "moved")
    launcher.project = tmp_path / "moved"
    launcher.run("demo")
    assert [line.endswith("[dev]") for line in launcher.installations()] == [True]
    assert launcher.run("test")[2] == ""


def test_where_the_tools_cannot_be_brought_everything_else_works_on(launcher: Launcher) -> None:
    launcher.run("demo")
    status, out, err = launcher.run("lint", STUB_PIP="1")
    assert (status, out) == (1, "")
    assert "Run ./inv again" in err.splitlines()[-1]
    assert launcher.run("demo")[2] == ""
    assert launcher.calls() == []
    assert "adding the linters" in launcher.run("lint")[2]


def test_tools_brought_by_half_are_begun_anew(launcher: Launcher) -> None:
    launcher.run("demo")
    process = launcher.start("lint", STUB_PIP_S="30")
    while "-m pip" not in launcher.calls():
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate(timeout=10)
    assert launcher.run("demo")[0] == 0
    assert "-m venv" in launcher.calls()
