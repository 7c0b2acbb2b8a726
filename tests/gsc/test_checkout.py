"""GSC's checkout: whole or not there, at the version that was run, and no other in silence."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from tests import doing
from tests.conftest import PROJECT
from tests.gsc import gsc_stand_in
from workflow.core.errors import WorkflowError
from workflow.core.settings import GscSettings, Settings
from workflow.gsc import checkout, commands
from workflow.gsc.commands import DIALECTS
from workflow.tools import doctor_shielded, gsc_setup


@pytest.fixture
def upstream(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Have a repository in GSC's place; return its commit, which is the pinned one."""
    commit = gsc_stand_in.install(tmp_path / "upstream")
    here = replace(DIALECTS["gramine"], repository=str(tmp_path / "upstream"), commit=commit)
    monkeypatch.setitem(DIALECTS, "gramine", here)
    monkeypatch.setattr(gsc_setup, "fetch", lambda *asset, source: None)
    return commit


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(gsc=GscSettings(dir=tmp_path / "gsc"))


def git(folder: Path, *words: str) -> str:
    who = ("-c", "user.name=x", "-c", "user.email=x@example.org")
    command = ["git", "-C", str(folder), *who, *words]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return done.stdout.strip()


def setup_says(settings: Settings) -> str:
    with pytest.raises(WorkflowError) as caught:
        doing.gsc_setup(settings)
    said = str(caught.value.message)
    assert "\n" not in said
    return said


def test_a_checkout_is_made_whole_and_then_left_alone(upstream: str, settings: Settings) -> None:
    settings.gsc.dir.mkdir()
    for _ in range(2):
        doing.gsc_setup(settings)
        assert checkout.version(settings.gsc) == upstream
        assert checkout.gsc_problem(settings.gsc) == ""
        assert doctor_shielded.gsc_check(settings).state == "ok"
    assert sorted(path.name for path in settings.gsc.dir.parent.iterdir()) == ["gsc", "upstream"]


@pytest.mark.parametrize("how", ["newer", "changed", "without history"])
def test_another_gsc_is_refused_with_both_versions_until_it_is_asked_for_by_name(
    how: str, upstream: str, settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    doing.gsc_setup(settings)
    folder = settings.gsc.dir
    if how == "newer":
        git(folder, "commit", "--allow-empty", "-m", "newer")
        found, keep = git(folder, "rev-parse", "HEAD"), ""
    elif how == "changed":
        (folder / "gsc").write_text("another")
        found, keep = f"{upstream}-dirty", f"git -C {folder} stash && "
    else:
        (folder / ".git").rename(folder.parent / "gone")
        found, keep = "unknown", ""
    changes = f", with changes (git -C {folder} status)" if how == "changed" else ""
    said = (
        f"{folder} is GSC at {found.removesuffix('-dirty')}{changes}, not at {upstream}; "
        f"run: {keep}git -C {folder} checkout {upstream}, or ask for it by name: "
        f"INVOKE_GSC_COMMIT={found}"
    )
    assert setup_says(settings) == said
    with pytest.raises(WorkflowError) as caught:
        checkout.check_checkout(settings.gsc)
    assert caught.value.message == said
    check = doctor_shielded.gsc_check(settings)
    assert (check.state, f"{check.found}; run: {check.mend}") == ("missing", said)

    capsys.readouterr()
    asked = replace(settings, gsc=replace(settings.gsc, commit=found))
    checkout.check_checkout(asked.gsc)
    never = f"{folder}: GSC at {found}, as asked for; this project was never run with it"
    assert capsys.readouterr().err == f"{never}\n"
    assert doctor_shielded.gsc_check(asked).state == "insecure"


def test_a_part_of_a_commit_names_it_and_a_copy_is_not_taken_for_what_is_above_it(
    upstream: str, settings: Settings
) -> None:
    doing.gsc_setup(replace(settings, gsc=replace(settings.gsc, commit=upstream[:7])))
    assert commands.untried(replace(settings.gsc, commit=upstream[:7])) == ""
    with pytest.raises(WorkflowError, match=r"gsc\.commit: expected a commit's hash, got 'v1\.9'"):
        Settings(gsc=GscSettings(commit="v1.9"))
    inside = GscSettings(dir=PROJECT / "workflow")
    assert checkout.version(inside) == "unknown"


def test_a_folder_with_something_else_in_it_is_never_touched(
    upstream: str, settings: Settings
) -> None:
    folder = settings.gsc.dir
    (folder / ".git").mkdir(parents=True)
    (folder / "mine.txt").write_text("mine")
    assert setup_says(settings) == (
        f"{folder} is there, but no whole GSC; move it away and set up anew: "
        f"mv {folder} {folder}.old && inv gsc-setup; or name another folder in gsc.dir"
    )
    assert (folder / "mine.txt").read_text() == "mine"


def test_a_clone_that_fails_is_one_line_and_leaves_nothing(
    upstream: str, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    nowhere = replace(DIALECTS["gramine"], repository="/nonexistent")
    monkeypatch.setitem(DIALECTS, "gramine", nowhere)
    said = setup_says(settings)
    assert said.startswith("git clone --quiet /nonexistent failed (exit status 128), its lines ")
    assert said.endswith(
        f"a copy of GSC serves too: git clone COPY {settings.gsc.dir} && inv gsc-setup"
    )
    assert sorted(path.name for path in settings.gsc.dir.parent.iterdir()) == ["upstream"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_setup_that_is_killed_leaves_no_half_of_a_checkout(
    number: signal.Signals, tmp_path: Path
) -> None:
    slow = tmp_path / "bin" / "git"
    slow.parent.mkdir()
    slow.write_text("#!/bin/sh\nmkdir -p $4/.git && echo started && exec sleep 60\n")
    slow.chmod(0o755)
    process = subprocess.Popen(
        [sys.executable, "-m", "invoke", "--search-root", str(PROJECT), "gsc-setup"],
        cwd=tmp_path,
        env={
            **os.environ,
            "PATH": f"{slow.parent}:{os.environ['PATH']}",
            "INVOKE_GSC_DIR": str(tmp_path / "gsc"),
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    assert process.stdout is not None
    with process.stdout:
        assert process.stdout.readline() == b"started\n"
        os.killpg(process.pid, number)
        process.wait(30)
    left = {path.name for path in tmp_path.iterdir()} - {"bin"}
    assert "gsc" not in left
    if number != signal.SIGKILL:
        assert left == set()


@pytest.mark.docker
@pytest.mark.usefixtures("swept")
@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")
def test_an_image_to_take_gramine_from_is_looked_for(
    upstream: str, settings: Settings, tiny_image: str
) -> None:
    named = replace(settings, gsc=replace(settings.gsc, gramine_image="no-such-gramine"))
    assert setup_says(named) == (
        "no image no-such-gramine here to take Gramine from; docker images lists those that "
        "are, and without --gramine-image inv gsc-build makes one"
    )
    assert not settings.gsc.dir.exists()
    doing.gsc_setup(replace(named, gsc=replace(named.gsc, gramine_image=tiny_image)))
    assert f'Image: "{tiny_image}"' in (settings.gsc.dir / "config.yaml").read_text()
