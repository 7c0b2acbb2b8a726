"""Containers run, watched and cleared away."""

from __future__ import annotations

import itertools
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import PROJECT, SOCKETS
from workflow.core.errors import WorkflowError
from workflow.core.usage import Usage
from workflow.images import container_run, daemon
from workflow.images.container_spec import ContainerSpec, Mount

pytestmark = [pytest.mark.docker, *SOCKETS]
USER = "10001:10001"


def shell(image: str, script: str, **more: Any) -> ContainerSpec:
    return ContainerSpec(image, USER, ("/bin/sh", "-c", script), **more)


def outcome(spec: ContainerSpec) -> tuple[int, list[str], list[str]]:
    out: list[str] = []
    err: list[str] = []
    return container_run.run(spec, out.append, err.append).status, out, err


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


@pytest.mark.parametrize("is_here", [True, False])
def test_what_a_running_container_takes_is_seen(
    is_here: bool, tiny_image: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not is_here:
        monkeypatch.setattr(container_run, "is_in_container", lambda pid, container: False)
    seen: list[Usage] = []
    spec = shell(
        tiny_image,
        "sleep 1; echo ready; sleep 2",
        mounts=(Mount(tmp_path, "/out"),),
    )
    take = partial(look_at, tmp_path, seen)
    assert container_run.run(spec, take, take).status == 0
    assert container_run.usage(tmp_path) == []
    assert all(each.resident_bytes for each in seen)
    assert sum(each.threads for each in seen) >= 1
    assert all(bool(each.mapped_bytes) == is_here for each in seen)


def look_at(folder: Path, seen: list[Usage], line: str) -> None:
    seen += container_run.usage(folder)


@pytest.mark.parametrize(
    ("stats", "expected"),
    [
        ({"usage": 9, "stats": {"inactive_file": 2, "total_inactive_file": 4}}, 5),
        ({"usage": 9, "stats": {"inactive_file": 2}}, 7),
        ({}, 0),
    ],
)
def test_docker_says_what_a_container_elsewhere_takes(stats: Any, expected: int) -> None:
    said = {"memory_stats": stats, "pids_stats": {"current": 3}}
    assert container_run.usage_of(said) == Usage(0, expected, 3)


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
