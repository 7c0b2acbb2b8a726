"""The Docker daemon, and its images: built and looked at."""

from __future__ import annotations

import contextlib
import io
import os
import tarfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import IO, Any

import docker
import docker.errors
import docker.utils

from workflow.core.console import note, plain
from workflow.core.errors import WorkflowError
from workflow.images import daemon_config
from workflow.images.build_spec import LABEL
from workflow.images.daemon_config import credentials, errors_in_one_line, one_line

OnLine = Callable[[str], None]

PROBE_TIMEOUT_S = 10
LOG_TAIL_LINES = 20
_STARTS = ("Entrypoint", "Cmd", "WorkingDir", "Volumes", "Healthcheck", "StopSignal")


class MissingFileError(WorkflowError):
    """Say that an image does not have the file."""


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
    starts: Mapping[str, Any] = field(default_factory=dict)
    """What else a container of it starts with: its program, folder and volumes."""

    def is_built_on(self, base: Image) -> bool:
        """Tell whether this image is the base with layers on top of it."""
        return self.layers[: len(base.layers)] == base.layers

    def is_one_layer_on(self, base: Image) -> bool:
        """Tell whether this image is the base with one layer of files, and starts as it does."""
        mine, theirs = (
            (image.labels, image.environment, image.user, image.starts) for image in (self, base)
        )
        return self.layers[:-1] == base.layers and mine == theirs


def problem() -> str | None:
    """Say in one line why no daemon can be used, None where one can."""
    try:
        _connect().close()
    except WorkflowError as error:
        return str(error.message)
    return None


def facts() -> dict[str, Any]:
    """Return the daemon's version, API version, security options and data folder.

    Raises: WorkflowError where there is none.
    """
    with errors_in_one_line():
        version, info = client().version(), client().info()
    return {
        "version": version["Version"],
        "api_version": version["ApiVersion"],
        "rootless": any("rootless" in option for option in info.get("SecurityOptions") or []),
        "folder": info.get("DockerRootDir", ""),
    }


def find_image(name: str) -> Image | None:
    """Return the image of this name or id, None where there is none here."""
    with errors_in_one_line():
        try:
            attributes = client().images.get(name).attrs
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
        starts={name: config.get(name) or None for name in _STARTS},
    )


def refuse_foreign(name: str) -> None:
    """Refuse to take the name of an image that no task made: none carries a label of ours.

    Raises: WorkflowError that says how to keep it, and how to name ours.
    """
    image = find_image(name)
    if image and not any(label.startswith(LABEL) for label in image.labels):
        raise WorkflowError(
            f"image {name} was made by no task, so none takes its name; give it another (docker "
            f"tag {name} NEW, docker rmi {name}), or name ours: image.train, image.infer"
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
    with errors_in_one_line():
        with credentials():
            chunks = client().api.build(
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
            # The daemon colours what a step writes to standard error, and programs colour more.
            for line in plain(str(chunk.get("stream", ""))).splitlines():
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
    with errors_in_one_line():
        client().api.tag(image, repository, version or "latest", force=True)


def remove_image(name: str) -> None:
    """Take the name from an image, and delete the image where it has no other."""
    with errors_in_one_line(), contextlib.suppress(docker.errors.ImageNotFound):
        client().images.remove(name, force=True)


def read_file(image: str, path: str) -> bytes:
    """Return the content of a file in an image, without running anything of it.

    Raises: WorkflowError where the image or the file is missing.
    """
    with errors_in_one_line():
        container = client().api.create_container(image, command=["none"])["Id"]
        try:
            stream, _ = client().api.get_archive(container, path)
            archive = io.BytesIO(b"".join(stream))
        except docker.errors.NotFound as error:
            raise MissingFileError(f"{image} has no file {path}") from error
        finally:
            client().api.remove_container(container, force=True)
    with tarfile.open(fileobj=archive) as tar:
        member = tar.extractfile(tar.next() or path)
        if member is None:
            raise MissingFileError(f"{image}: {path} is no file")
        return member.read()


@cache
def client() -> docker.DockerClient:
    """Return the client for all that follows: a training may be silent for hours."""
    _connect().close()
    if fault := daemon_config.fault(daemon_config.config_file(os.environ)):
        note(f"{fault}; going on without its registries and proxies")
    return docker.from_env(timeout=None)  # type: ignore[arg-type]


def _connect() -> docker.DockerClient:
    """Return a client of a daemon that answers.

    Raises: WorkflowError where none does in time, or Docker's settings cannot be used.
    """
    with errors_in_one_line():
        try:
            docker.utils.parse_host(os.environ.get("DOCKER_HOST"))
        except ValueError as error:
            raise docker.errors.DockerException(f"Invalid address: {error}") from error
        with credentials():
            client = docker.from_env(timeout=PROBE_TIMEOUT_S)
        client.ping()
    return client
