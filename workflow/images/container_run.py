"""Containers on the Docker daemon: run to their end, or taken away."""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import docker.errors
import docker.types

from pytorch_common.contract import OUT_DIR
from workflow.core.shell import exit_on_signals
from workflow.core.usage import Usage, is_in_container, of_tree
from workflow.images.container_spec import ContainerSpec
from workflow.images.daemon import OnLine, client
from workflow.images.daemon_config import errors_in_one_line

OUR_LABEL = "enclave-finetune.run"
"""Each container of ours has it: the folder of the run's results, or the image where none is."""


@dataclass(frozen=True)
class Ended:
    """Say how a container ended."""

    status: int
    out_of_memory: bool
    """The kernel killed it for want of memory."""


def run(spec: ContainerSpec, on_stdout: OnLine, on_stderr: OnLine, *, secret: bytes = b"") -> Ended:
    """Run a container to its end, handing over its lines as they come, and remove it.

    ``secret`` is its standard input: out of this process's memory into the container's. Ctrl-C, a
    signal to end and an error in the taking of lines stop and remove the container too.

    Raises: WorkflowError where it cannot be started.
    """
    api = client().api
    # Named here, so that one is found whose making was interrupted before the daemon named it.
    container = f"enclave-finetune-{uuid.uuid4().hex}"
    with errors_in_one_line(), exit_on_signals():
        try:
            _create(spec, container)
            output = api.attach(container, stdout=True, stderr=True, stream=True, demux=True)
            # Before the start: then the end of this process, however it ends, is that of the input.
            pipe = _standard_input(container) if spec.reads_secret else None
            api.start(container)
            if pipe:
                _feed(pipe, secret)
            _deliver(output, on_stdout, on_stderr)
            status = int(api.wait(container)["StatusCode"])
            state = api.inspect_container(container)["State"]
        finally:
            with contextlib.suppress(docker.errors.NotFound):
                api.remove_container(container, force=True, v=True)
    return Ended(status, bool(state.get("OOMKilled")))


def remove_left_over(what: Path | str) -> int:
    """Stop and remove the containers that a killed task runner left: a folder's, or an image's.

    Returns how many there were.
    """
    with errors_in_one_line():
        label = f"{OUR_LABEL}={what}"
        found = client().api.containers(all=True, filters={"label": label})
        for container in found:
            with contextlib.suppress(docker.errors.NotFound):
                client().api.remove_container(container, force=True, v=True)
    return len(found)


def usage(folder: Path | str) -> list[Usage]:
    """Return what each process of the container takes that writes to the folder; none, nothing.

    Where its processes are not to be seen from here, as with a daemon in another machine, it is
    what Docker says of the container.

    Raises: WorkflowError where the daemon does not answer, or the container has ended meanwhile.
    """
    api = client().api
    found: list[Usage] = []
    with errors_in_one_line():
        for container in api.containers(filters={"label": f"{OUR_LABEL}={folder}"}):
            pid = int(api.inspect_container(container)["State"]["Pid"])
            if is_in_container(pid, container["Id"]):
                found += of_tree(pid)
            else:
                found.append(usage_of(api.stats(container, stream=False, one_shot=True)))
    return found


def usage_of(stats: Mapping[str, Any]) -> Usage:
    """Return what Docker says that a container takes: without the files that may be dropped again.

    Source: Docker, docs/api/v1.41, ContainerStats; inactive_file is of control groups version 2.
    """
    memory = stats.get("memory_stats", {})
    facts = memory.get("stats", {})
    dropped = facts.get("total_inactive_file", facts.get("inactive_file", 0))
    return Usage(0, memory.get("usage", 0) - dropped, stats.get("pids_stats", {}).get("current", 0))


def _create(spec: ContainerSpec, name: str) -> None:
    api = client().api
    host = api.create_host_config(
        mounts=[
            docker.types.Mount(mount.target, str(mount.source), "bind", read_only=mount.read_only)
            for mount in spec.mounts
        ],
        devices=[f"{device.source}:{device.target}:rw" for device in spec.devices],
        group_add=list(spec.groups),
        security_opt=[*spec.security_options, *_seccomp(spec)],
        cap_drop=["ALL"],
        network_mode="none",
        read_only=True,
        tmpfs={"/tmp": ""},  # noqa: S108 - the container's own
        log_config=docker.types.LogConfig(type="none") if spec.reads_secret else None,
        ulimits=[docker.types.Ulimit(name="core", soft=0, hard=0)] if spec.reads_secret else None,
    )
    api.create_container(
        spec.image,
        name=name,
        command=list(spec.arguments) or None,
        environment=dict(spec.environment),
        entrypoint=[spec.entrypoint] if spec.entrypoint else None,
        user=spec.user or None,
        stdin_open=spec.reads_secret,
        labels={OUR_LABEL: _written_folder(spec)},
        host_config=host,
    )


def _standard_input(container: str) -> Any:
    return client().api.attach_socket(container, params={"stdin": 1, "stream": 1})


def _feed(pipe: Any, data: bytes) -> None:
    """Write all of it, and close the pipe."""
    # By the way to the daemon it is a socket, or a file to read from around one.
    socket = getattr(pipe, "_sock", pipe)
    with contextlib.closing(socket), contextlib.closing(pipe):
        socket.sendall(data)


def _written_folder(spec: ContainerSpec) -> str:
    """Return the folder that the run's results are written to, by which it is found again."""
    return next((str(mount.source) for mount in spec.mounts if mount.target == OUT_DIR), spec.image)


def _seccomp(spec: ContainerSpec) -> list[str]:
    """Return the profile's text as the daemon takes it; the command line takes its path."""
    if spec.seccomp is None:
        return []
    profile = spec.seccomp.read_text(encoding="utf-8", errors="replace")
    return [f"seccomp={profile}"]


def _deliver(output: Iterator[tuple[bytes | None, bytes | None]], *takers: OnLine) -> None:
    """Hand each whole line of the two streams to its taker, the unfinished last ones at the end."""
    rests = [b"", b""]
    for pieces in output:
        for index, piece in enumerate(pieces):
            *lines, rests[index] = (rests[index] + (piece or b"")).split(b"\n")
            for line in lines:
                takers[index](line.decode(errors="replace").rstrip("\r"))
    for taker, rest in zip(takers, rests, strict=True):
        if rest:
            taker(rest.decode(errors="replace"))
