"""The launcher, with a Python that only writes down what it is asked."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.launcher_world import Launcher, launcher  # noqa: F401


def test_the_first_call_installs_and_every_later_one_only_hands_over(launcher: Launcher) -> None:
    status, out, err = launcher.run("train", "--epochs", "2")
    assert (status, out) == (0, f"invoke --search-root {launcher.project} train --epochs 2\n")
    assert launcher.calls() == ["-m venv", f"- {'https://download.pytorch.org/whl/cpu'}", "-m pip"]
    assert "making .venv with Python 3.12.0" in err
    assert "minutes" in err

    assert launcher.run("--list") == (0, f"invoke --search-root {launcher.project} --list\n", "")
    assert launcher.calls() == []
    assert sorted(path.name for path in launcher.project.iterdir()) == [
        *(".venv", "constraints.txt", "inv", "pyproject.toml")
    ]


def test_the_cpu_index_is_used_where_it_answers(launcher: Launcher) -> None:
    launcher.run()
    assert "--extra-index-url https://download.pytorch.org/whl/cpu" in launcher.log.read_text()


def test_the_default_index_serves_where_it_does_not(launcher: Launcher) -> None:
    _, _, err = launcher.run(STUB_INDEX="1")
    assert "--extra-index-url" not in launcher.log.read_text()
    assert "CPU index of torch does not answer" in err


@pytest.mark.parametrize("name", ["pyproject.toml", "constraints.txt"])
def test_changed_pins_are_installed_over_the_old_ones(launcher: Launcher, name: str) -> None:
    launcher.run()
    (launcher.project / name).write_text("pins = 2\n")
    _, _, err = launcher.run()
    assert "pyproject.toml or constraints.txt has changed" in err
    assert [call for call in launcher.calls() if "http" not in call] == ["-m pip"]
    launcher.run()
    assert launcher.calls() == []


def test_a_failed_installation_is_said_and_begun_anew_by_the_next_call(launcher: Launcher) -> None:
    status, out, err = launcher.run(STUB_PIP="1")
    assert (status, out) == (1, "")
    assert "Run ./inv again" in err.splitlines()[-1]
    assert launcher.run()[0] == 0
    assert "-m venv" in launcher.calls()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_installation_is_begun_anew(launcher: Launcher, number: int) -> None:
    process = launcher.start(STUB_PIP_S="30")
    while "-m pip" not in launcher.calls():
        time.sleep(0.02)
    os.killpg(process.pid, number)
    process.communicate(timeout=10)
    assert process.returncode != 0
    status, out, _ = launcher.run("--list")
    assert (status, out.split()[0]) == (0, "invoke")
    assert "-m venv" in launcher.calls()
    assert not list(launcher.project.glob(".venv.*"))


def test_two_at_once_install_once(launcher: Launcher) -> None:
    first = launcher.start(STUB_PIP_S="2")
    while "-m pip" not in launcher.calls():
        time.sleep(0.02)
    second = subprocess.Popen(
        [str(launcher.project / "inv"), "--list"],
        env=launcher.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    out, err = second.communicate(timeout=20)
    first.communicate(timeout=10)
    assert "is installing; waiting" in err
    assert out.startswith("invoke ")
    assert launcher.calls().count("-m pip") == 1


def test_what_is_missing_is_one_line(launcher: Launcher) -> None:
    status, _, err = launcher.run(STUB_TOO_OLD="1")
    assert (status, err.count("\n")) == (1, 1)
    assert f"PYTHON={launcher.stub} is no Python 3.10 or later" in err
    status, _, err = launcher.run(STUB_NO_VENV="1")
    assert status == 1
    assert "apt-get install python3-venv" in err.splitlines()[-1]


def test_no_python_at_all(launcher: Launcher) -> None:
    status, _, err = launcher.run(PYTHON="")
    assert (status, err.count("\n")) == (1, 1)
    assert "no Python 3.10 or later found" in err


def test_a_link_to_the_launcher_works_and_touches_nothing_beside_itself(
    launcher: Launcher, tmp_path: Path
) -> None:
    home = tmp_path / "home"
    mine = home / ".venv" / "mine"
    mine.mkdir(parents=True)
    (home / "inv").symlink_to(os.path.relpath(launcher.project / "inv", home))
    (tmp_path / "inv").symlink_to("home/inv")
    for link in (home / "inv", tmp_path / "inv"):
        done = launcher.run("--list", command=link)
        assert done[:2] == (0, f"invoke --search-root {launcher.project} --list\n")
    assert mine.exists()


@pytest.mark.parametrize("name", ["pyproject.toml", "constraints.txt"])
def test_no_pyproject_or_constraints_no_action(launcher: Launcher, name: str) -> None:
    (launcher.project / name).unlink()
    status, out, err = launcher.run()
    assert (status, out, err.count("\n")) == (1, "", 1)
    assert f"no {name} in" in err
    assert not (launcher.project / ".venv").exists()


@pytest.mark.parametrize("is_link", [False, True])
def test_an_environment_of_a_persons_is_named_and_left(
    launcher: Launcher, tmp_path: Path, is_link: bool
) -> None:
    place = launcher.project / ".venv"
    mine = tmp_path / "mine" if is_link else place
    (mine / "bin").mkdir(parents=True)
    (mine / "bin" / "python").write_text("#!/bin/sh\nexit 1\n")
    (mine / "bin" / "python").chmod(0o755)
    if is_link:
        (mine / ".installed").write_text("of another checkout")
        place.symlink_to(mine)
    before = sorted(path.name for path in mine.rglob("*"))
    status, _, err = launcher.run()
    assert (status, err.count("\n")) == (1, 1)
    assert f"{place} was not made by ./inv" in err
    assert sorted(path.name for path in mine.rglob("*")) == before

    python = '#!/bin/sh\n[ "$1" = -c ] && exit; shift; echo "mine: $*"\n'
    (mine / "bin" / "python").write_text(python)
    done = launcher.run("--list")
    assert done == (0, f"mine: --search-root {launcher.project} --list\n", "")


def test_a_moved_or_copied_project_is_installed_anew(launcher: Launcher, tmp_path: Path) -> None:
    launcher.run()
    shutil.copytree(launcher.project, tmp_path / "copied", symlinks=True)
    launcher.project.rename(tmp_path / "moved")
    for name in ("moved", "copied"):
        launcher.project = tmp_path / name
        status, out, err = launcher.run("--list")
        assert (status, out) == (0, f"invoke --search-root {tmp_path / name} --list\n")
        assert "making .venv" in err
        assert launcher.run("--list")[2] == ""


@pytest.fixture
def shared_launcher() -> Iterator[Launcher]:
    """Make a launcher in a folder that every user may enter, unlike pytest's own."""
    if os.getuid() != 0:
        pytest.skip("only root becomes another user")
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        yield Launcher(Path(folder))


@pytest.mark.parametrize("is_installed", [False, True])
def test_a_checkout_that_cannot_be_written_is_one_line(
    shared_launcher: Launcher, is_installed: bool
) -> None:
    launcher = shared_launcher
    if is_installed:
        launcher.run()
        assert launcher.run("--list", user=12345)[0] == 0  # nothing is to be written
        (launcher.project / ".venv" / "bin" / "python").chmod(0o700)
    status, out, err = launcher.run(user=12345)
    assert (status, out, err.count("\n")) == (1, "", 1)
    assert "nothing can be installed here: cannot create directory" in err
    assert "Permission denied" in err


def test_another_users_installation_is_waited_for(shared_launcher: Launcher) -> None:
    launcher = shared_launcher
    lock = launcher.project / ".venv.lock"
    lock.mkdir()
    (lock / "pid").write_text(f"{os.getpid()}\n")
    os.chown(launcher.project, 12345, 12345)
    process = launcher.start(user=12345)
    time.sleep(1.5)
    assert process.poll() is None
    shutil.rmtree(lock)
    out, err = process.communicate(timeout=20)
    assert "is installing; waiting" in err
    assert out.startswith("invoke ")
