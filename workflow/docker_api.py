"""The Docker daemon: images built and looked at, containers run. The only importer of docker."""

from __future__ import annotations

import contextlib
import io
import signal
import tarfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import IO, Any

import docker
import docker.errors
import docker.types
import requests

from pytorch_common.contract import OUT_DIR
from workflow.containers import ContainerSpec
from workflow.errors import WorkflowError

OnLine = Callable[[str], None]

PROBE_TIMEOUT_S = 10
OUR_LABEL = "enclave-finetune.run"
"""Each container of ours has it, with the folder of the run's results."""
LOG_TAIL_LINES = 20


@dataclass(frozen=True)
class Image:
    """Say what is known of an image here."""

    name: str
    """As it was asked for."""
    id: str
    """``sha256:`` and the digest of its configuration."""
    layers: tuple[str, ...]
    """Digests of its file system's layers, the lowest first."""
    labels: Mapping[str, str]
    environment: Mapping[str, str]
    user: str
    size_bytes: int

    def is_built_on(self, base: Image) -> bool:
        """Tell whether this image is the base with layers on top of it."""
        return self.layers[: len(base.layers)] == base.layers


@dataclass(frozen=True)
class Ended:
    """Say how a container ended."""

    status: int
    out_of_memory: bool
    """The kernel killed it for want of memory."""


def problem() -> str | None:
    """Say in one line why no daemon can be used, None where one can."""
    try:
        _connect().close()
    except WorkflowError as error:
        return str(error.message)
    return None


def daemon() -> dict[str, Any]:
    """Return the daemon's version, API version, security options and data folder.

    Raises: WorkflowError where there is none.
    """
    with _errors_in_one_line():
        version, info = _client().version(), _client().info()
    return {
        "version": version["Version"],
        "api_version": version["ApiVersion"],
        "rootless": any("rootless" in option for option in info.get("SecurityOptions") or []),
        "folder": info.get("DockerRootDir", ""),
    }


def find_image(name: str) -> Image | None:
    """Return the image of this name or id, None where there is none here."""
    with _errors_in_one_line():
        try:
            attributes = _client().images.get(name).attrs
        except docker.errors.ImageNotFound:
            return None
    config = attributes["Config"] or {}
    variables = (entry.partition("=") for entry in config.get("Env") or [])
    return Image(
        name=name,
        id=attributes["Id"],
        layers=tuple(attributes["RootFS"].get("Layers") or ()),
        labels=config.get("Labels") or {},
        environment={name: value for name, _, value in variables},
        user=config.get("User") or "",
        size_bytes=attributes["Size"],
    )


def build(
    context: IO[bytes],
    *,
    tag: str,
    dockerfile: str,
    arguments: Mapping[str, str],
    labels: Mapping[str, str],
    on_line: OnLine,
    no_cache: bool = False,
) -> None:
    """Build an image from a tar of its context, handing over each line of the daemon's log.

    Raises: WorkflowError with the daemon's own error after the log's last lines.
    """
    tail: list[str] = []
    with _errors_in_one_line():
        chunks = _client().api.build(
            fileobj=context,
            custom_context=True,
            tag=tag,
            dockerfile=dockerfile,
            buildargs=dict(arguments),
            labels=dict(labels),
            rm=True,
            forcerm=True,
            nocache=no_cache,
            decode=True,
        )
        for chunk in chunks:
            if "error" in chunk:
                shown = "".join(f"  | {line}\n" for line in tail)
                raise WorkflowError(f"{shown}{tag}: docker build: {one_line(chunk['error'])}")
            for line in str(chunk.get("stream", "")).splitlines():
                if line.strip():
                    tail = [*tail, line][-LOG_TAIL_LINES:]
                    on_line(line)


def build_files(
    files: Mapping[str, bytes], *, tag: str, labels: Mapping[str, str], on_line: OnLine
) -> None:
    """Build an image from files in memory, a Dockerfile among them.

    Raises: WorkflowError with the daemon's own error.
    """
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, data in files.items():
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(data), 0o644
            tar.addfile(entry, io.BytesIO(data))
    buffer.seek(0)
    build(
        buffer,
        tag=tag,
        dockerfile="Dockerfile",
        arguments={},
        labels=labels,
        on_line=on_line,
    )


def tag(image: str, name: str) -> None:
    """Give an image another name."""
    repository, _, version = name.partition(":")
    with _errors_in_one_line():
        _client().api.tag(image, repository, version or "latest", force=True)


def remove_image(name: str) -> None:
    """Take the name from an image, and delete the image where it has no other."""
    with _errors_in_one_line(), contextlib.suppress(docker.errors.ImageNotFound):
        _client().images.remove(name, force=True)


def read_file(image: str, path: str) -> bytes:
    """Return the content of a file in an image, without running anything of it.

    Raises: WorkflowError where the image or the file is missing.
    """
    with _errors_in_one_line():
        container = _client().api.create_container(image, command=["none"])["Id"]
        try:
            stream, _ = _client().api.get_archive(container, path)
            archive = io.BytesIO(b"".join(stream))
        finally:
            _client().api.remove_container(container, force=True)
    with tarfile.open(fileobj=archive) as tar:
        member = tar.extractfile(tar.next() or path)
        if member is None:
            raise WorkflowError(f"{image}: {path} is no file")
        return member.read()


def run(spec: ContainerSpec, on_stdout: OnLine, on_stderr: OnLine) -> Ended:
    """Run a container to its end, handing over its lines as they come, and remove it.

    Ctrl-C, SIGTERM and an error in the taking of lines stop and remove the container too.

    Raises: WorkflowError where it cannot be started.
    """
    api = _client().api
    with _errors_in_one_line(), _sigterm_is_an_exit():
        container = _create(spec)
        try:
            output = api.attach(container, stdout=True, stderr=True, stream=True, demux=True)
            api.start(container)
            _deliver(output, on_stdout, on_stderr)
            status = int(api.wait(container)["StatusCode"])
            state = api.inspect_container(container)["State"]
        finally:
            api.remove_container(container, force=True, v=True)
    return Ended(status, bool(state.get("OOMKilled")))


def remove_left_over(folder: Path) -> int:
    """Stop and remove the containers that a killed task runner left writing to the folder.

    Returns how many there were.
    """
    with _errors_in_one_line():
        label = f"{OUR_LABEL}={folder}"
        found = _client().api.containers(all=True, filters={"label": label})
        for container in found:
            with contextlib.suppress(docker.errors.NotFound):
                _client().api.remove_container(container, force=True, v=True)
    return len(found)


def one_line(text: object) -> str:
    """Return the text with its white space folded, as one line."""
    return " ".join(str(text).split())


def _create(spec: ContainerSpec) -> str:
    api = _client().api
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
    )
    created = api.create_container(
        spec.image,
        command=list(spec.arguments) or None,
        environment=dict(spec.environment),
        user=spec.user,
        labels={OUR_LABEL: _written_folder(spec)},
        host_config=host,
    )
    return str(created["Id"])


def _written_folder(spec: ContainerSpec) -> str:
    """Return the folder that the run's results are written to, by which it is found again."""
    return next((str(mount.source) for mount in spec.mounts if mount.target == OUT_DIR), "")


def _seccomp(spec: ContainerSpec) -> list[str]:
    """Return the profile's text as the daemon takes it; the command line takes its path."""
    return [f"seccomp={spec.seccomp.read_text()}"] if spec.seccomp else []


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


@contextlib.contextmanager
def _sigterm_is_an_exit() -> Iterator[None]:
    def leave(number: int, frame: object) -> None:
        raise SystemExit(128 + number)

    previous = signal.signal(signal.SIGTERM, leave)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, previous)


@cache
def _client() -> docker.DockerClient:
    """Return the client for all that follows: a training may be silent for hours."""
    _connect().close()
    return docker.from_env(timeout=None)  # type: ignore[arg-type]


def _connect() -> docker.DockerClient:
    """Return a client of a daemon that answers.

    Raises: WorkflowError where none does in time.
    """
    with _errors_in_one_line():
        client = docker.from_env(timeout=PROBE_TIMEOUT_S)
        client.ping()
    return client


@contextlib.contextmanager
def _errors_in_one_line() -> Iterator[None]:
    """Turn what the library raises into a line for a person."""
    try:
        yield
    except docker.errors.APIError as error:
        raise WorkflowError(f"docker: {one_line(error.explanation or error)}") from error
    except (docker.errors.DockerException, requests.exceptions.RequestException) as error:
        raise WorkflowError(
            f"no Docker daemon answers ({_reason(error)}); start it, or look: inv doctor"
        ) from error


def _reason(error: BaseException) -> str:
    """Return the innermost reason: ``Permission denied`` rather than a tower of wrappers."""
    text = one_line(error)
    for known in ("Permission denied", "No such file or directory", "Connection refused"):
        if known in text:
            return known
    return text[:200]
