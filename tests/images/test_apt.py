"""dockerfiles/apt.sh: the sources of one moment, and the list of what was installed."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

from tests.conftest import PROJECT
from tests.images.test_build_spec import dockerfile
from workflow.core.errors import WorkflowError
from workflow.core.settings import ImageSettings, Settings
from workflow.core.values import DEBIANS
from workflow.images.build_spec import base_build

STAMP = "20260824T000000Z"
PROGRAMS = {
    "apt-get": 'echo "$@" >> "$LOG"',
    "apt-cache": "printf 'Package: a\\nVersion: 1\\nArchitecture: all\\nSHA256: %064d\\n\\n' 7",
    "dpkg-query": "printf 'b 2 amd64\\na 1 all\\n'",
    "rm": 'test "${2#/var}" != "$2" || exec /bin/rm "$@"',
}


def run_apt(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Run the script with programs that only take notes, in folders below this one."""
    programs = folder / "bin"
    programs.mkdir()
    for name, line in PROGRAMS.items():
        (programs / name).write_text(f"#!/bin/sh\n{line}\n")
        (programs / name).chmod(0o755)
    apt = folder / "apt"
    apt.mkdir()
    (apt / "sources.list").write_text("deb http://deb.debian.org/debian/ bookworm main\n")
    variables = {"ETC_APT": apt, "PACKAGE_LIST": folder / "list", "LOG": folder / "log"}
    return subprocess.run(
        ["sh", str(PROJECT / "dockerfiles" / "apt.sh"), *words],
        env={
            "PATH": f"{programs}:{os.environ['PATH']}",
            **{k: str(v) for k, v in variables.items()},
        },
        capture_output=True,
        text=True,
    )


def test_the_sources_are_those_of_the_moment(tmp_path: Path) -> None:
    done = run_apt(tmp_path, STAMP, "python3")
    assert (done.returncode, done.stderr) == (0, "")
    assert not (tmp_path / "apt" / "sources.list").exists()
    text = (tmp_path / "apt" / "sources.list.d" / "debian.sources").read_text()
    stanzas = [dict(line.split(": ") for line in each.splitlines()) for each in text.split("\n\n")]
    same = {
        "Types": "deb",
        "Components": "main",
        "Check-Valid-Until": "no",
        "Signed-By": "/usr/share/keyrings/debian-archive-keyring.gpg",
    }
    at = "http://snapshot.debian.org/archive"
    assert [each for each in stanzas if each] == [
        {"URIs": f"{at}/debian/{STAMP}", "Suites": "bookworm bookworm-updates", **same},
        {"URIs": f"{at}/debian-security/{STAMP}", "Suites": "bookworm-security", **same},
    ]
    looked, _, installed, _ = (tmp_path / "log").read_text().splitlines()
    assert looked == "indextargets"
    assert installed.endswith("install -y --no-install-recommends python3")


def test_without_a_moment_the_image_s_own_sources_stand(tmp_path: Path) -> None:
    assert run_apt(tmp_path, "", "python3").returncode == 0
    assert (tmp_path / "apt" / "sources.list").exists()
    assert not (tmp_path / "apt" / "sources.list.d").exists()


def test_what_is_installed_is_written_down(tmp_path: Path) -> None:
    run_apt(tmp_path, "", "python3")
    assert (tmp_path / "list").read_text() == f"a 1 all {7:064d}\nb 2 amd64 -\n"


def test_what_is_no_moment_is_refused(tmp_path: Path) -> None:
    done = run_apt(tmp_path, "yesterday", "python3")
    assert done.returncode == 1
    assert "expected a moment as 20260824T000000Z, got yesterday" in done.stderr


@pytest.mark.parametrize("base", DEBIANS)
@pytest.mark.parametrize(
    ("os_image", "snapshot", "argument"),
    [
        ("", "", None),
        ("debian:12", "", ""),
        ("debian:12", STAMP, STAMP),
        ("", "20270101T000000Z", "20270101T000000Z"),
        ("", "none", ""),
    ],
)
def test_the_moment_goes_with_the_system(
    base: str, os_image: str, snapshot: str, argument: str | None
) -> None:
    image = ImageSettings(base=base, os=os_image, snapshot=snapshot)
    assert base_build(Settings(image=image)).arguments.get("SNAPSHOT") == argument


@pytest.mark.parametrize("base", DEBIANS)
def test_a_dockerfile_pins_system_and_moment(base: str) -> None:
    text = dockerfile(f"base-{base}")
    assert re.search(r"^ARG OS=debian:12-slim@sha256:[0-9a-f]{64}$", text, re.MULTILINE)
    assert f"ARG SNAPSHOT={STAMP}\n" in text
    assert text.count("ARG SNAPSHOT\n") == text.count('apt.sh "${SNAPSHOT}" ')
    assert "apt-get" not in text


def test_a_setting_that_is_no_moment_is_refused() -> None:
    with pytest.raises(WorkflowError, match=r"image\.snapshot: expected a moment"):
        Settings(image=ImageSettings(snapshot="2026-08-24"))
