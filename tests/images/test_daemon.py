"""The Docker daemon at work: images built and read, containers run, watched and cleared away."""

from __future__ import annotations

import itertools
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import docker
import pytest

from tests.conftest import PROJECT, SMALL_OS, SOCKETS
from workflow.core.errors import WorkflowError
from workflow.core.settings import ImageSettings, Settings
from workflow.images import build_spec, building, container_run, daemon
from workflow.images.container_spec import ContainerSpec, Mount

pytestmark = [pytest.mark.docker, *SOCKETS]

USER = "10001:10001"


@pytest.fixture(scope="module")
def client(tiny_image: str) -> Iterator[Any]:
    client = docker.from_env()
    yield client
    client.close()


@pytest.fixture
def left(client: Any, tiny_image: str) -> Iterator[list[Any]]:
    """Hold the test to leaving no container of the image, running or not."""
    yield []
    assert client.containers.list(all=True, filters={"ancestor": tiny_image}) == []


def shell(image: str, script: str, **more: Any) -> ContainerSpec:
    return ContainerSpec(image, USER, ("/bin/sh", "-c", script), **more)


def outcome(spec: ContainerSpec) -> tuple[int, list[str], list[str]]:
    out: list[str] = []
    err: list[str] = []
    return container_run.run(spec, out.append, err.append).status, out, err


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
        building._build(build_spec.base_build(settings))
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
        building._build(broken)
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


def test_lines_of_both_streams_come_as_they_are_written_and_the_status_is_kept(
    tiny_image: str, left: list[Any]
) -> None:
    events: list[tuple[str, str, float]] = []

    def take(stream: str) -> daemon.OnLine:
        return lambda line: events.append((stream, line, time.monotonic()))

    script = "echo one; sleep .5; echo two >&2; sleep .5; printf 'three\\r\\nfour'; exit 7"
    ended = container_run.run(shell(tiny_image, script), take("out"), take("err"))
    assert (ended.status, ended.out_of_memory) == (7, False)
    assert [event[:2] for event in events] == [
        *(("out", "one"), ("err", "two"), ("out", "three"), ("out", "four"))
    ]
    assert all(b[2] - a[2] > 0.25 for a, b in itertools.pairwise(events[:3]))


def test_inside_there_is_no_network_no_writable_root_and_no_capability(
    tiny_image: str, left: list[Any], tmp_path: Path
) -> None:
    tmp_path.chmod(0o777)
    script = """
tail -n +3 /proc/net/dev | cut -d: -f1 | tr -d ' '
touch /etc/x 2>/dev/null || echo read-only
touch /tmp/x /out/x && echo writable
touch /in/x 2>/dev/null || echo in is read-only
grep -E 'CapEff|NoNewPrivs' /proc/self/status | tr '\\t' ' '
id -u
echo $GREETING $MINE
"""
    (tmp_path / "in").mkdir(mode=0o777)
    mounts = (Mount(tmp_path, "/out"), Mount(tmp_path / "in", "/in", read_only=True))
    spec = shell(tiny_image, script, mounts=mounts, environment={"MINE": "too"})
    assert outcome(spec) == (
        0,
        [
            *("lo", "read-only", "writable", "in is read-only"),
            *("CapEff: 0000000000000000", "NoNewPrivs: 1", "10001", "hello too"),
        ],
        [],
    )
    facts = (tmp_path / "x").stat()
    assert (facts.st_uid, facts.st_gid) == (10001, 10001)


def test_bytes_that_are_no_text_do_not_end_the_run(tiny_image: str, left: list[Any]) -> None:
    assert outcome(shell(tiny_image, "printf '\\377x\\n'")) == (0, ["\ufffdx"], [])


def test_a_container_that_is_killed_from_outside_says_137(
    tiny_image: str, client: Any, left: list[Any]
) -> None:
    def kill(line: str) -> None:
        (container,) = client.containers.list(filters={"ancestor": tiny_image})
        container.kill()

    ended = container_run.run(shell(tiny_image, "echo up; exec sleep 60"), kill, print)
    assert (ended.status, ended.out_of_memory) == (137, False)


def test_an_error_in_the_taking_of_lines_stops_the_container(
    tiny_image: str, left: list[Any]
) -> None:
    def stop(line: str) -> None:
        raise RuntimeError(line)

    with pytest.raises(RuntimeError, match="up"):
        container_run.run(shell(tiny_image, "echo up; exec sleep 60"), stop, stop)


def test_ctrl_c_before_the_daemon_answers_leaves_nothing_either(
    tiny_image: str, left: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    api, made = daemon.client().api, []
    create = api.create_container

    def interrupted(*args: Any, **options: Any) -> None:
        made.append(create(*args, **options)["Id"])
        raise KeyboardInterrupt

    monkeypatch.setattr(api, "create_container", interrupted)
    with pytest.raises(KeyboardInterrupt):
        container_run.run(shell(tiny_image, "true"), print, print)
    assert len(made) == 1


@pytest.mark.parametrize(
    ("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)]
)
def test_a_signal_stops_the_container_and_leaves_nothing(
    number: int, status: int, tiny_image: str, left: list[Any]
) -> None:
    code = f"""
import sys
from workflow.images import container_run
from workflow.images.container_spec import ContainerSpec
spec = ContainerSpec({tiny_image!r}, {USER!r}, ("/bin/sh", "-c", "echo up; exec sleep 60"))
try:
    container_run.run(spec, lambda line: print(line, flush=True), print)
except KeyboardInterrupt:
    sys.exit(130)
"""
    runner = subprocess.Popen(
        [sys.executable, "-c", code], cwd=PROJECT, stdout=subprocess.PIPE, text=True
    )
    assert runner.stdout is not None
    with runner.stdout as lines:
        assert lines.readline() == "up\n"
        runner.send_signal(number)
        assert runner.wait(20) == status


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"image": "shieldtest_none"}, "No such image: shieldtest_none"),
        ({"mounts": (Mount(Path("/none/at/all"), "/out"),)}, "/none/at/all"),
        ({"arguments": ("/no/such/program",)}, "/no/such/program"),
    ],
)
def test_what_cannot_be_started_is_one_line(
    change: dict[str, Any], reason: str, tiny_image: str, left: list[Any]
) -> None:
    facts: dict[str, Any] = {"image": tiny_image, "user": USER, "arguments": ("true",)}
    with pytest.raises(WorkflowError) as caught:
        container_run.run(ContainerSpec(**{**facts, **change}), print, print)
    assert caught.value.message.startswith("docker: ")
    assert reason in caught.value.message
    assert "\n" not in caught.value.message


def test_the_daemon_describes_itself(tiny_image: str) -> None:
    facts = daemon.facts()
    assert set(facts) == {"version", "api_version", "rootless", "folder"}
    assert re.fullmatch(r"\d+\.\d+", facts["api_version"])
    assert daemon.problem() is None
