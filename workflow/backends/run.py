"""Running one of the two scripts: natively, or in a container of any backend."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from pytorch_common.contract import (
    ANSWER_PREFIX,
    BACKEND_VARIABLE,
    PIPE_CLOSED,
    PROGRESS_VARIABLE,
    RUNTIME_VARIABLES,
)
from workflow.backends import base
from workflow.backends.script_lines import ScriptLines, reason_of
from workflow.core import shell
from workflow.core.console import answer, note
from workflow.core.errors import WorkflowError
from workflow.core.ownership import is_ours
from workflow.core.settings import GRAPHENE, PROJECT, MachineSettings, Settings
from workflow.gsc import checkout, gramine
from workflow.images.container_spec import ContainerSpec, Device, Mount

TRAIN_SCRIPT = PROJECT / "pytorch_train" / "train.py"
INFER_SCRIPT = PROJECT / "pytorch_infer" / "pytorchexample.py"

IMAGE_USER = 10001
"""User and group of the images; the base dockerfiles make them."""
AESM_SOCKET = "/var/run/aesmd/aesm.socket"
"""Where Gramine looks for AESM. Source: Gramine, host_platform.c."""
SGX_DEVICE = "/dev/sgx_enclave"
"""Where Gramine looks for the SGX device. Source: Gramine, host_framework.c."""

_QUIET_SHELL = {"LC_ALL": "C"}
"""For the shell that starts Gramine: GSC sets a locale that is not in the image, and the shell
warns of it. The enclave gets the measured variables alone."""


def native_command(script: str, args: Sequence[str]) -> list[str]:
    """Return the command that runs a script in this very environment."""
    return [sys.executable, script, *args]


def native_environment(environ: dict[str, str]) -> dict[str, str]:
    """Return the environment of a native run: the caller's, less what would change the script.

    TRAIN_… and INFER_… variables belong to images; here every option is on the command line.
    """
    kept = {
        name: value
        for name, value in environ.items()
        if not name.startswith(("TRAIN_", "INFER_", "RUN_", "PYTHON"))
    }
    return {
        **RUNTIME_VARIABLES,
        **kept,
        "PYTHONPATH": str(PROJECT),
        "PYTHONDONTWRITEBYTECODE": "1",
        BACKEND_VARIABLE: "native",
        PROGRESS_VARIABLE: "1",
    }


def run_native(script: str, args: Sequence[str], *, stdin: bytes = b"", quiet: bool = False) -> int:
    """Run the script natively; return its status where it ends without an error of its own.

    Raises: WorkflowError with the script's own line and status where it ends with one, or with how
    it ended otherwise; with status 130 after Ctrl-C. SystemExit where nobody reads the answers.
    """
    lines = ScriptLines()
    try:
        status = shell.stream(
            native_command(script, args),
            lines,
            env=native_environment(dict(os.environ)),
            stdin=stdin,
            quiet=quiet,
        )
    except KeyboardInterrupt:
        raise WorkflowError("interrupted", code=130) from None
    finally:
        lines.close()
    if status == PIPE_CLOSED:
        raise SystemExit(status)
    if lines.error:
        raise WorkflowError(lines.error, code=status or 1)
    if status > 1:
        line = gramine.ended(Path(script).name, status, out_of_memory=False)
        raise WorkflowError(line, code=status)
    return status


@dataclass(frozen=True)
class Person:
    """Say who runs the task, and as whom the containers run for it."""

    uid: int
    gid: int
    """Whose the files under out/ are in the end."""
    run_uid: int
    run_gid: int
    """Of the container's process, as the container sees it: never root, but where Docker itself
    runs without root and its root is the person."""
    lends: bool
    """The folders are given to the container's user for the time of the run."""


def person(environ: dict[str, str], uid: int, gid: int, *, rootless: bool) -> Person:
    """Return who runs the task: under sudo, whoever called it."""
    if rootless:
        return Person(uid, gid, 0, 0, lends=False)
    if uid != 0:
        return Person(uid, gid, uid, gid, lends=False)
    if environ.get("SUDO_UID", "0") != "0":
        uid, gid = int(environ["SUDO_UID"]), int(environ.get("SUDO_GID", environ["SUDO_UID"]))
        return Person(uid, gid, uid, gid, lends=True)
    return Person(0, 0, IMAGE_USER, IMAGE_USER, lends=True)


def container_spec(
    settings: Settings,
    backend: str,
    image: str,
    *,
    user: str,
    mounts: Sequence[Mount] = (),
    arguments: Sequence[str] = (),
) -> ContainerSpec:
    """Return what a container of the backend is given; nothing is looked at but devices.

    Raises: WorkflowError under sgx without a device.
    """
    spec = ContainerSpec(image, user, tuple(arguments), mounts=tuple(mounts))
    if backend == "docker":
        variables = {**RUNTIME_VARIABLES, BACKEND_VARIABLE: "docker", PROGRESS_VARIABLE: "1"}
        return replace(spec, environment=variables)
    if settings.gsc.dialect == GRAPHENE:
        return _with_graphene(spec, backend)
    if backend == "direct":
        return replace(
            spec,
            environment={"GRAMINE_MODE": "direct", **_QUIET_SHELL},
            seccomp=checkout.seccomp_profile(settings),
        )
    return _with_sgx(spec, settings.machine, is_dry=settings.dry)


def run_container(spec: ContainerSpec, backend: str, *, quiet: bool = False) -> int:
    """Run the container; return its status where it ends without an error of its own.

    Raises: WorkflowError with the script's or Gramine's own line, explained, and its status; with
    status 130 after Ctrl-C.
    """
    from workflow.images import container_run

    lines = ScriptLines()

    def stdout(line: str) -> None:
        if backend in base.SHIELDED and not line.startswith(ANSWER_PREFIX):
            lines(line)
        elif not quiet:
            lines.close()
            answer(line.removeprefix(ANSWER_PREFIX) if backend in base.SHIELDED else line)

    try:
        ended = container_run.run(spec, stdout, lines)
    except KeyboardInterrupt:
        raise WorkflowError("interrupted", code=130) from None
    finally:
        lines.close()
    if lines.changed and ended.status == 0:
        note(gramine.changed(spec.image, lines.changed))
    if reason := reason_of(spec.image, ended, lines, is_shielded=backend in base.SHIELDED):
        raise WorkflowError(reason, code=ended.status)
    return ended.status


@contextlib.contextmanager
def lent(folders: Sequence[Path], who: Person) -> Iterator[str]:
    """Make the folders, give them to the container's user where need be, and take them back.

    Yields ``UID:GID`` for the container.
    """
    for folder in folders:
        folder.mkdir(parents=True, exist_ok=True)
    # What no task made stays its owner's all the while.
    foreign = {path for path in _inside(folders) if not is_ours(path)} - {*folders}
    try:
        if who.lends:
            _give(set(_inside(folders)) - foreign, who.run_uid, who.run_gid)
        yield f"{who.run_uid}:{who.run_gid}"
    finally:
        if who.lends:
            _give(set(_inside(folders)) - foreign, who.uid, who.gid)


def this_person() -> Person:
    """Return who runs this task, as the daemon at hand wants it."""
    from workflow.images import daemon

    rootless = bool(daemon.facts()["rootless"])
    return person(dict(os.environ), os.getuid(), os.getgid(), rootless=rootless)


def _inside(folders: Sequence[Path]) -> Iterator[Path]:
    for folder in folders:
        yield from (folder, *folder.rglob("*"))


def _give(paths: Iterable[Path], uid: int, gid: int) -> None:
    for path in paths:
        os.chown(path, uid, gid, follow_symlinks=False)


def _with_graphene(spec: ContainerSpec, backend: str) -> ContainerSpec:
    """Return what old Graphene is given: its mode by a variable, or its two devices and AESM."""
    if backend == "direct":
        return replace(spec, environment={"GSC_PAL": "Linux"})
    devices = tuple(Device(path, path) for path in base.GRAPHENE_DEVICES)
    return replace(
        spec, devices=devices, mounts=(*spec.mounts, Mount(Path(AESM_SOCKET), AESM_SOCKET))
    )


def _with_sgx(spec: ContainerSpec, machine: MachineSettings, *, is_dry: bool) -> ContainerSpec:
    """Return what SGX is given: devices and AESM, as named or found; dry, as if all were here."""
    enclave, provision = base.enclave_device(machine), base.provision_device(machine)
    if is_dry:
        enclave = enclave or machine.sgx_device or SGX_DEVICE
        provision = provision or machine.provision_device
    if enclave is None:
        raise WorkflowError("backend sgx: no SGX device; look: inv doctor")
    devices = [Device(enclave, SGX_DEVICE)]
    if provision:
        devices.append(Device(provision, base.PROVISION_DEVICES[0]))
    mounts = spec.mounts
    if is_dry or machine.aesm_socket.is_socket():
        mounts = (*mounts, Mount(machine.aesm_socket, AESM_SOCKET))
    owners = {
        str(path.stat().st_gid) for device in devices if (path := Path(device.source)).exists()
    }
    groups = tuple(sorted(owners - {"0"}))
    return replace(
        spec, environment=_QUIET_SHELL, devices=tuple(devices), mounts=mounts, groups=groups
    )
