"""What a container is given, and the `docker run` that a person would type for it. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from workflow.core.console import shown


@dataclass(frozen=True)
class Mount:
    """Bind a folder or a file of the host into the container."""

    source: Path
    target: str
    read_only: bool = False


@dataclass(frozen=True)
class Device:
    """Give a device of the host to the container."""

    source: str
    target: str


@dataclass(frozen=True)
class ContainerSpec:
    """Say what is run and what it may touch: no network, no capability, no writable root."""

    image: str
    user: str
    """``UID:GID`` of the process, seen from the container; empty takes the image's own."""
    arguments: tuple[str, ...] = ()
    entrypoint: str = ""
    """The program that is run; empty takes the image's own."""
    reads_secret: bool = False
    """It is given a secret on its standard input, so nothing of it is logged or dumped."""
    environment: Mapping[str, str] = field(default_factory=dict)
    mounts: tuple[Mount, ...] = ()
    devices: tuple[Device, ...] = ()
    groups: tuple[str, ...] = ()
    """Further groups of the process: those that own the devices."""
    seccomp: Path | None = None
    """Profile of allowed system calls; None takes Docker's own."""
    security_options: tuple[str, ...] = ("no-new-privileges",)


def docker_run(spec: ContainerSpec) -> list[str]:
    """Return the command line that runs the container as ``container_run.run`` does."""
    options = [
        *(["--interactive", "--log-driver=none", "--ulimit=core=0"] if spec.reads_secret else []),
        *([f"--entrypoint={spec.entrypoint}"] if spec.entrypoint else []),
        *([f"--user={spec.user}"] if spec.user else []),
        "--network=none",
        "--read-only",
        "--tmpfs=/tmp",
        "--cap-drop=ALL",
        *(f"--security-opt={option}" for option in spec.security_options),
        *([f"--security-opt=seccomp={shown(spec.seccomp)}"] if spec.seccomp else []),
        *(f"--env={name}={value}" for name, value in spec.environment.items()),
        *(f"--device={device.source}:{device.target}" for device in spec.devices),
        *(f"--group-add={group}" for group in spec.groups),
        *(f"--volume={_volume(mount)}" for mount in spec.mounts),
    ]
    return ["docker", "run", "--rm", *options, spec.image, *spec.arguments]


def _volume(mount: Mount) -> str:
    return f"{mount.source}:{mount.target}" + (":ro" if mount.read_only else "")
