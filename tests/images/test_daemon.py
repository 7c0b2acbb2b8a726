"""The Docker daemon at work: images built, described and read."""

from __future__ import annotations

import re
from typing import Any

import pytest

from tests import doing
from tests.conftest import PROJECT, SMALL_OS, SOCKETS
from workflow.core.errors import WorkflowError
from workflow.core.settings import ImageSettings, Settings
from workflow.images import build_run, build_spec, daemon

pytestmark = [pytest.mark.docker, *SOCKETS]
USER = "10001:10001"


def test_an_image_is_described_and_a_missing_one_is_none(tiny_image: str) -> None:
    image, base = daemon.find_image(tiny_image), daemon.find_image(SMALL_OS)
    assert image is not None
    assert base is not None
    assert re.fullmatch(r"sha256:[0-9a-f]{64}", image.id)
    assert daemon.find_image(image.id) is not None
    assert (image.name, image.user) == (tiny_image, USER)
    assert (dict(image.labels), image.environment["GREETING"]) == ({"shieldtest": "tiny"}, "hello")
    assert image.is_built_on(base)
    assert daemon.find_image("shieldtest_none") is None


def test_an_image_with_a_layer_on_top_is_built_on_the_other_not_the_reverse(
    tiny_image: str,
) -> None:
    name = f"{tiny_image}-more"
    files = {"Dockerfile": f"FROM {tiny_image}\nCOPY x /x\n".encode(), "x": b"1"}
    daemon.build_files(files, tag=name, labels={}, on_line=lambda line: None)
    try:
        more, less = daemon.find_image(name), daemon.find_image(tiny_image)
        assert more is not None
        assert less is not None
        assert (more.is_built_on(less), less.is_built_on(more)) == (True, False)
        assert daemon.read_file(name, "/x") == b"1"
        daemon.tag(name, f"{name}:second")
        second = daemon.find_image(f"{name}:second")
        assert second is not None
        assert second.id == more.id
    finally:
        for each in (f"{name}:second", name, name):
            daemon.remove_image(each)
    assert daemon.find_image(name) is None


def test_the_name_of_a_persons_image_is_not_taken(tiny_image: str) -> None:
    with pytest.raises(WorkflowError, match=f"image {tiny_image} was made by no task"):
        daemon.refuse_foreign(tiny_image)
    daemon.refuse_foreign(f"{tiny_image}_absent")
    ours = f"{tiny_image}_ours"
    daemon.build_files(
        {"Dockerfile": f"FROM {tiny_image}\n".encode()},
        tag=ours,
        labels={"enclave-finetune.context": "x"},
        on_line=lambda line: None,
    )
    daemon.refuse_foreign(ours)
    daemon.remove_image(ours)


def test_a_failed_build_ends_with_the_daemons_own_line_after_the_logs_tail(
    tiny_image: str,
) -> None:
    name, seen = f"{tiny_image}-bad", list[str]()
    script = "for i in 1 2 3; do echo line $i; done; exit 3"
    files = {"Dockerfile": f"FROM {tiny_image}\nRUN {script}\n".encode()}
    with pytest.raises(WorkflowError) as caught:
        daemon.build_files(files, tag=name, labels={}, on_line=seen.append)
    *tail, last = str(caught.value.message).splitlines()
    assert [line for line in tail if "line" in line][-3:] == [
        *("  | line 1", "  | line 2", "  | line 3")
    ]
    assert last == (
        f"{name}: docker build: The command '/bin/sh -c {script}' returned a non-zero code: 3"
    )
    assert "line 2" in seen
    assert daemon.find_image(name) is None


def test_colours_of_what_runs_in_a_build_stay_out_of_our_lines(tiny_image: str) -> None:
    """The daemon itself colours what a step writes to standard error."""
    name, seen = f"{tiny_image}-bad", list[str]()
    script = r"printf '\033[1;31mred\033[0m \033]0;title\007and \033(Bplain\n' >&2; exit 3"
    files = {"Dockerfile": f"FROM {tiny_image}\nRUN {script}\n".encode()}
    with pytest.raises(WorkflowError) as caught:
        daemon.build_files(files, tag=name, labels={}, on_line=seen.append)
    assert "  | red and plain" in str(caught.value.message).splitlines()
    assert "red and plain" in seen
    assert "\x1b" not in "".join([str(caught.value.message), *seen])
    assert daemon.one_line("\x1b[91ma\n\x1b[0m b") == "a b"


def test_a_missing_base_is_one_line(tiny_image: str) -> None:
    files = {"Dockerfile": b"FROM shieldtest.invalid/none\n"}
    with pytest.raises(WorkflowError) as caught:
        daemon.build_files(files, tag="shieldtest_x", labels={}, on_line=lambda line: None)
    last = str(caught.value.message).splitlines()[-1]
    assert last.startswith("shieldtest_x: docker build: ")
    assert "shieldtest.invalid" in last


def test_without_a_registry_the_line_names_the_setting(tiny_image: str) -> None:
    settings = Settings(image=ImageSettings(base="debian12-apt", os="shieldtest.invalid/none"))
    with pytest.raises(WorkflowError) as caught:
        doing.build(settings, roles=())
    assert (
        str(caught.value.message)
        .splitlines()[-1]
        .endswith(
            "; without a registry, name an image of that system that is here (docker images): "
            "INVOKE_IMAGE_OS=NAME"
        )
    )
    broken = build_spec.Build("shieldtest_x", "Dockerfile", {}, {"Dockerfile": PROJECT / "inv"})
    with pytest.raises(WorkflowError) as caught:
        build_run.build_image(broken)
    assert "INVOKE_IMAGE_OS" not in str(caught.value.message)


@pytest.mark.parametrize(
    ("path", "reason"), [("/none", "has no file /none"), ("/etc", "/etc is no file")]
)
def test_what_cannot_be_read_in_an_image_is_one_line(
    path: str, reason: str, tiny_image: str, left: list[Any]
) -> None:
    with pytest.raises(WorkflowError, match=reason) as caught:
        daemon.read_file(tiny_image, path)
    assert "\n" not in caught.value.message


def test_reading_a_file_leaves_no_container(tiny_image: str, left: list[Any]) -> None:
    assert b"Debian" in daemon.read_file(tiny_image, "/usr/lib/os-release")


def test_the_daemon_describes_itself(tiny_image: str) -> None:
    facts = daemon.facts()
    assert set(facts) == {"version", "api_version", "rootless", "folder"}
    assert re.fullmatch(r"\d+\.\d+", facts["api_version"])
    assert daemon.problem() is None
