"""Which files an enclave opens, seen by running its job under Gramine with all of them let through.

GSC trusts every file of an image. Here the graminized image is run through `manifests/exercises`:
its job, in every way in which it will be run, in direct mode. The same exercise with the finished
manifest then shows that nothing is missing. Neither run is in an enclave, neither leaves a file.
"""

from __future__ import annotations

import posixpath
import re
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pytorch_common.contract import (
    CHECKPOINTS_DIR,
    HANDOVER_DIR,
    IN_DIR,
    OUT_DIR,
    RUNTIME_DIR,
    RUNTIME_PACK,
    RUNTIME_VARIABLE,
)
from pytorch_common.files import listing_digest
from workflow.core.console import note
from workflow.core.errors import WorkflowError
from workflow.core.settings import Settings
from workflow.gsc import manifest
from workflow.gsc.checkout import seccomp_profile
from workflow.images.container_spec import ContainerSpec, Mount
from workflow.images.packing import folder_files, write_pack

SCRATCH_FOLDERS = ("/tmp", OUT_DIR, HANDOVER_DIR, CHECKPOINTS_DIR, RUNTIME_DIR)  # noqa: S108
ARGUMENTS = "argv"
EMPTY_PACK_DIGEST = listing_digest("")
TOLD_LINES = 12

_CALL = re.compile(
    r"trace: ---- (open|openat|stat|lstat|newfstatat|access|faccessat|faccessat2)"
    r'\((?:AT_FDCWD, )?"(.+?)"[^"]*\) (?:= 0x[0-9a-f]+|\.\.\.)$'
)
"""Of Gramine's log of system calls, those that found something, or that may block: they are logged
before anything is known (``open("/proc/self/environ", O_RDONLY, 1000) ...``). Source:
libos_parser.c."""
_TOLD = re.compile(r"^(\(\S+:\d+:\w+\) )?\[.*\] (trace|debug|warning): ")
"""How a line of Gramine's own begins that is no error."""


@dataclass(frozen=True)
class Opened:
    """Hold the paths that a job opened, folders and passing files among them."""

    before: frozenset[str]
    """Until it opened its pack: what must be trusted file by file."""
    after: frozenset[str]
    looked_at: frozenset[str] = frozenset()
    """What it only looked for then, and found: Python does so with the source of what is compiled,
    torch with a program of its own."""


def exercise_manifest(settled: Mapping[str, Any], *, is_trace: bool) -> manifest.Manifest:
    """Return the manifest of an exercise: the image's own, but for its arguments and its mounts.

    Everything is written into memory. To trace, any file is let through, and each call is logged.
    """
    made = manifest.merge(settled, {})
    made["loader"] = {**made["loader"], "argv_src_file": f"file:{IN_DIR}/{ARGUMENTS}"}
    mounts = [{"type": "tmpfs", "path": path} for path in SCRATCH_FOLDERS]
    made["fs"] = {**made["fs"], "mounts": mounts}
    made["fs"].pop("insecure__keys", None)
    if is_trace:
        made["loader"]["log_level"] = "trace"
        variables = {**made["loader"]["env"], RUNTIME_VARIABLE: EMPTY_PACK_DIGEST}
        made["loader"]["env"] = variables
        made["sgx"] = {
            **made["sgx"],
            "file_check_policy": manifest.ANY_FILE,
            "trusted_files": [],
        }
    return made


def parse(lines: Iterable[str]) -> Opened:
    """Return what was opened, by Gramine's log.

    Raises: WorkflowError where the log shows no job that opened its pack.
    """
    before: set[str] = set()
    after: set[str] = set()
    looked_at: set[str] = set()
    opened = before
    for line in lines:
        if not (call := _CALL.search(line)):
            continue
        path = posixpath.normpath(posixpath.join("/app", call[2]))
        if path == RUNTIME_PACK:
            opened = after
        if call[1].startswith("open"):
            opened.add(path)
        elif opened is after:
            looked_at.add(path)
    if opened is before:
        raise WorkflowError(
            "the trace shows no job that opens its pack: is Gramine another than the pinned one? "
            "Without a trace: inv gsc-build --full-list"
        )
    return Opened(frozenset(before), frozenset(after), frozenset(looked_at))


def trace(settings: Settings, image: str, settled: Mapping[str, Any], role: str) -> Opened:
    """Run the image's exercise and return what it opens.

    Raises: WorkflowError where it fails.
    """
    made = exercise_manifest(settled, is_trace=True)
    return parse(exercise(settings, image, made, role, with_pack=False))


def exercise(
    settings: Settings, image: str, made: Mapping[str, Any], role: str, *, with_pack: bool = True
) -> list[str]:
    """Run the exercise of the role in a graminized image, and return its lines.

    Raises: WorkflowError with its last lines where it fails.
    """
    from workflow.images import container_run

    lines: list[str] = []
    with tempfile.TemporaryDirectory(prefix="enclave-finetune-") as name:
        folder = Path(name)
        write_inputs(folder, made, role)
        mounts = [
            Mount(folder / "entrypoint.manifest", manifest.IN_IMAGE, read_only=True),
            Mount(folder / "in", IN_DIR, read_only=True),
        ]
        if not with_pack:
            mounts.append(Mount(folder / "empty.tar", RUNTIME_PACK, read_only=True))
        spec = ContainerSpec(
            image,
            user="",
            environment={"GRAMINE_MODE": "direct", "LC_ALL": "C"},
            mounts=tuple(mounts),
            seccomp=seccomp_profile(settings),
        )
        ended = container_run.run(spec, lines.append, lines.append)
    said = [line for line in lines if not _TOLD.match(line)]
    if ended.status:
        for line in said[-TOLD_LINES:]:
            note(f"  | {line}")
        raise WorkflowError(
            f"{image}: its exercise ended with status {ended.status} (manifests/exercises/"
            f"{role}.py); its last lines stand above. Without one: inv gsc-build --full-list"
        )
    return lines


def write_inputs(folder: Path, made: Mapping[str, Any], role: str) -> None:
    """Write what the container is given: manifest, exercise, images and their packs, no runtime."""
    from workflow.gsc.exercise_images import SETS, draw_exercise_images  # and Pillow with it

    inputs = folder / "in"
    inputs.mkdir()
    (folder / "entrypoint.manifest").write_bytes(manifest.dumps(made))
    (inputs / "exercise.py").write_bytes(manifest.exercise(role).read_bytes())
    (inputs / ARGUMENTS).write_bytes(b"python3\0" + f"{IN_DIR}/exercise.py\0".encode())
    draw_exercise_images(inputs)
    for name in SETS:
        with (inputs / f"{name}.tar").open("wb") as file:
            write_pack(folder_files(inputs / name), file)
    with (folder / "empty.tar").open("wb") as file:
        write_pack((), file)
    for path in (folder, *folder.rglob("*")):  # the image's user reads them, whatever the umask
        path.chmod(0o755 if path.is_dir() else 0o644)
