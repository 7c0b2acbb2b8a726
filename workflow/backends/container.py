"""A script in a container: who it runs as, what it may touch, what its lines mean."""

from __future__ import annotations

import contextlib
import os
from abc import abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from pytorch_common.contract import ANSWER_PREFIX
from workflow.backends.base import Backend
from workflow.backends.job import Job
from workflow.backends.script_lines import ScriptLines, reason_of
from workflow.core.console import answer, note, shown
from workflow.core.disk import GIB, check_disk
from workflow.core.errors import WorkflowError
from workflow.core.ownership import is_ours
from workflow.core.settings import Settings
from workflow.core.shell_lines import shell_line, unquoted
from workflow.core.step import Look
from workflow.core.usage import Usage
from workflow.gsc import failures
from workflow.images.build_spec import check_wheels, image_name
from workflow.images.container_spec import ContainerSpec, docker_run

IMAGE_USER = 10001
"""User and group of the images; the base dockerfiles make them."""
AGAIN = 3
"""What part of the room is enough where an earlier chain is here: its images are replaced one by
one."""


class ContainerBackend(Backend):
    """What all backends with a container have in common."""

    image_steps: ClassVar[tuple[str, ...]] = ("build",)
    room_bytes = 3 * GIB
    """Of Docker's disk, for the base with torch (1.2 GB, and twice that while it is built) and the
    two images on top."""

    @abstractmethod
    def adapted(
        self, spec: ContainerSpec, settings: Settings, *, is_here: bool = True
    ) -> ContainerSpec:
        """Return the container with what this backend adds: variables, devices, profile.

        Not ``is_here``, it is as if all of it were on this machine: to be shown.

        Raises: WorkflowError where a device is missing.
        """

    @abstractmethod
    def last_image(self, settings: Settings) -> str:
        """Return the image that is here where an earlier chain was."""

    def image(self, settings: Settings, role: str) -> str:
        """Return the name of the image that is run."""
        return image_name(settings, role)

    def before(self, settings: Settings, image: str) -> None:
        """Look, and say, what is due before the image runs."""

    def place(self, settings: Settings) -> list[Look]:
        return [check_daemon]

    def making(self, settings: Settings) -> list[Look]:
        return [lambda: check_wheels(settings), lambda: self.check_room(settings)]

    def check_room(self, settings: Settings) -> None:
        """Refuse a Docker without room for the images that this backend's steps make.

        Raises: WorkflowError.
        """
        from workflow.images import daemon

        is_again = daemon.find_image(self.last_image(settings)) is not None
        needed_bytes = self.room_bytes // AGAIN if is_again else self.room_bytes
        folder = Path(daemon.facts()["folder"])
        if folder.is_dir():  # of a daemon in another machine it is not here
            check_disk(folder, needed_bytes, f"the images of the backend {self.name}")

    def run(self, job: Job, *, quiet: bool = False) -> int:
        image, arguments = self.runnable(job.settings, job.role)
        self.before(job.settings, image)
        if job.is_alone:
            stop_left_over(job.out)
        job.clear()
        with (
            job.inputs() as inputs,
            lent(job.folders(sealed=self.seals), this_person()) as user,
        ):
            mounts = job.mounts(inputs, sealed=self.seals)
            plain = ContainerSpec(image, user, tuple(arguments), mounts=mounts)
            spec = self.adapted(plain, job.settings)
            return run_container(spec, is_shielded=bool(self.mode), quiet=quiet)

    def usage(self, out: Path) -> Iterable[Usage]:
        from workflow.images import container_run

        return container_run.usage(out)

    def shell(self, job: Job) -> list[str]:
        mounts = job.mounts(job.inputs_by_hand(), sealed=self.seals)
        image = self.image(job.settings, job.role)
        plain = ContainerSpec(image, "$(id -u):$(id -g)", mounts=mounts)
        line = shell_line(docker_run(self.adapted(plain, job.settings, is_here=False)))
        return [*job.preparation(sealed=self.seals), unquoted(line)]

    def facts(self, settings: Settings, role: str) -> dict[str, Any]:
        image = self.image(settings, role)
        return {
            "backend": self.name,
            "image": image,
            "image_id": self.image_id(settings, role),
        }

    def image_id(self, settings: Settings, role: str) -> str | None:
        from workflow.images import daemon

        image = daemon.find_image(self.image(settings, role))
        return image.id if image else None


def run_container(spec: ContainerSpec, *, is_shielded: bool, quiet: bool = False) -> int:
    """Run the container; return its status where it ends without an error of its own.

    Raises: WorkflowError with the script's or Gramine's own line, explained, and its status; with
    status 130 after Ctrl-C.
    """
    from workflow.images import container_run

    lines = ScriptLines()

    def stdout(line: str) -> None:
        # Gramine sends both streams on this one, so that answers are marked there.
        if is_shielded and not line.startswith(ANSWER_PREFIX):
            lines(line)
        elif not quiet:
            lines.close()
            answer(line.removeprefix(ANSWER_PREFIX) if is_shielded else line)

    try:
        ended = container_run.run(spec, stdout, lines)
    except KeyboardInterrupt:
        raise WorkflowError("interrupted", code=130) from None
    finally:
        lines.close()
    if lines.changed and ended.status == 0:
        note(failures.changed(spec.image, lines.changed))
    if reason := reason_of(spec.image, ended, lines, is_shielded=is_shielded):
        raise WorkflowError(reason, code=ended.status)
    return ended.status


def stop_left_over(out: Path) -> None:
    """Stop the container of a killed run that still writes there."""
    from workflow.images import container_run

    if container_run.remove_left_over(out):
        note(f"{shown(out)}: the container of a killed run was still here, and is stopped")


def check_daemon() -> None:
    """Refuse a machine without a Docker daemon that answers.

    Raises: WorkflowError.
    """
    from workflow.images import daemon

    daemon.facts()


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


def this_person() -> Person:
    """Return who runs this task, as the daemon at hand wants it."""
    from workflow.images import daemon

    rootless = bool(daemon.facts()["rootless"])
    return person(dict(os.environ), os.getuid(), os.getgid(), rootless=rootless)


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


def _inside(folders: Sequence[Path]) -> Iterator[Path]:
    for folder in folders:
        yield from (folder, *folder.rglob("*"))


def _give(paths: Iterable[Path], uid: int, gid: int) -> None:
    for path in paths:
        os.chown(path, uid, gid, follow_symlinks=False)
