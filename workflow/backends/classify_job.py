"""A run of pytorchexample.py: what it is given, the copies of the images, what it leaves."""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from pytorch_common.contract import (
    CLAIMS_FILE,
    HANDOVER_DIR,
    IMAGE_LIMITS,
    IMAGE_SUFFIXES,
    IN_DIR,
    LIST_FILE,
    NET_FILE,
    OUT_DIR,
    PROOFS_FILE,
    PUBLIC_KEY_FILE,
    QUOTE_FILE,
    RESULT_JSON_FILE,
    RESULT_TEXT_FILE,
    ImageLimits,
)
from pytorch_common.files import is_hidden, notes_on, printable, walk
from workflow.assets.trained import (
    DIGEST_IN_SHELL,
    accepted_net,
    digest_line,
    encrypted_net,
    left_by_verifiers,
)
from workflow.backends.job import Job, removal
from workflow.core.console import note, shown
from workflow.core.settings import PROJECT, InferSettings, Settings
from workflow.core.shell_lines import shell_line
from workflow.images.build_spec import INFER
from workflow.images.container_spec import Mount

INFER_SCRIPT = PROJECT / "pytorch_infer" / "pytorchexample.py"


@dataclass(frozen=True)
class ClassifyJob(Job):
    """Run pytorchexample.py."""

    names: tuple[str, ...] = ()
    """Of the images, as the person named them."""
    role: ClassVar[str] = INFER

    @property
    def script(self) -> Path:
        return INFER_SCRIPT

    @property
    def out(self) -> Path:
        return self.settings.infer.out

    def arguments(self) -> list[str]:
        return infer_arguments(self.settings, accepted_net(self.settings.infer.net))

    def arguments_by_hand(self) -> list[str]:
        return infer_arguments(self.settings, DIGEST_IN_SHELL)

    def clear(self) -> None:
        for path in [*results(self.settings.infer), *left_by_verifiers(self.out)]:
            path.unlink(missing_ok=True)

    def mounts(self, inputs: Path | None, *, sealed: bool) -> tuple[Mount, ...]:
        net = self.settings.infer.net
        if sealed:
            # Writable, because Gramine opens an encrypted file for writing even to read it.
            handover = Mount(encrypted_net(net.parent).parent, HANDOVER_DIR)
        else:
            handover = Mount(net, f"{HANDOVER_DIR}/{NET_FILE}", read_only=True)
        images = (Mount(inputs, IN_DIR, read_only=True),) if inputs else ()
        return (Mount(self.out, OUT_DIR), handover, *images)

    def folders(self, *, sealed: bool) -> list[Path]:
        handover = [encrypted_net(self.settings.infer.net.parent).parent] if sealed else []
        return [self.out, *handover]

    def preparation(self, *, sealed: bool) -> list[str]:
        folder = self.inputs_by_hand()
        listing = ["printf", r"%s\0", *map(inner_name, self.names)]
        return [
            shell_line(["mkdir", "-p", self.out, folder]),
            *removal(left_by_verifiers(self.out)),
            *copy_lines(self.names, folder),
            shell_line(listing, stdout=folder / LIST_FILE),
        ]

    def preparation_of_native(self) -> list[str]:
        return [*removal(left_by_verifiers(self.out)), digest_line(self.settings.infer)]

    def stdin(self) -> bytes:
        return b"".join(os.fsencode(name) + b"\0" for name in self.names)

    def stdin_by_hand(self) -> str | None:
        return shell_line(["printf", r"%s\0", *self.names])

    @contextlib.contextmanager
    def inputs(self) -> Iterator[Path | None]:
        with staged(self.names, self.out.parent, self.settings.limits) as folder:
            yield folder

    def inputs_by_hand(self) -> Path:
        return self.out.parent / "in"


def infer_arguments(settings: Settings, net_sha256: str) -> list[str]:
    """Return pytorchexample.py's arguments; the images' names come on standard input."""
    infer = settings.infer
    limits = dataclasses.asdict(settings.limits).items()
    return [
        *(f"--net={shown(infer.net)}", f"--net-sha256={net_sha256}", f"--out={shown(infer.out)}"),
        *(f"--top-k={infer.top_k}", f"--threads={infer.threads}"),
        *(f"--{name.replace('_', '-')}={value}" for name, value in limits),
        *(["--ignore-profiles=1"] if infer.ignore_profiles else []),
        *("--image", "-"),
    ]


def results(infer: InferSettings) -> list[Path]:
    """Return the files that classifying leaves; the claims, by which the rest is known, last."""
    evidence = (PUBLIC_KEY_FILE, QUOTE_FILE, PROOFS_FILE, CLAIMS_FILE)
    return [infer.out / name for name in (RESULT_TEXT_FILE, RESULT_JSON_FILE, *evidence)]


def inner_name(name: str) -> str:
    """Return the name under which the script looks for the image below /in, and shows it.

    The person's own, but for one that leads upwards, which becomes absolute.
    """
    return os.path.abspath(name) if os.pardir in Path(name).parts else name  # noqa: PTH100


@contextlib.contextmanager
def staged(
    names: Sequence[str], beside: Path, limits: ImageLimits = IMAGE_LIMITS
) -> Iterator[Path]:
    """Yield a folder with copies of the images, readable for the container, and their list.

    A name that leads to nothing stays in the list alone, so that the result says so.
    """
    beside.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".in-", dir=beside) as temporary:
        folder = Path(temporary)
        inside = [inner_name(name) for name in names]
        for name, inner in zip(names, inside, strict=True):
            _stage(Path(name), folder / inner.lstrip("/"), limits)
        listing = b"".join(os.fsencode(inner) + b"\0" for inner in inside)
        (folder / LIST_FILE).write_bytes(listing)
        (folder / LIST_FILE).chmod(0o644)
        for path in (folder, *folder.rglob("*")):
            if path.is_dir():
                path.chmod(0o755)
        yield folder


def copy_lines(names: Sequence[str], folder: Path) -> list[str]:
    """Return the shell commands that put copies of the images into the folder by hand."""
    return [_copy_line(name, folder / inner_name(name).lstrip("/")) for name in names]


def _copy_line(name: str, target: Path) -> str:
    if not os.path.isdir(name):  # noqa: PTH112 - a Path raises for a name that is too long
        return shell_line(["install", "-D", "-m", "644", name, target])
    make = shell_line(["mkdir", "-p", target.parent])
    return f"{make} && {shell_line(['cp', '-r', name, target])}"


def _stage(source: Path, target: Path, limits: ImageLimits) -> None:
    """Copy a file, or the images of a folder, to where the script looks for it."""
    if not os.path.isdir(source):  # noqa: PTH112 - a Path raises for a name that is too long
        _stage_file(source, target, limits)
        return
    target.mkdir(parents=True, exist_ok=True)
    images = [
        path
        for path in walk(source)
        if path.suffix.lower() in IMAGE_SUFFIXES and not is_hidden(path, source)
    ]
    for line in notes_on(source, images):
        note(line)
    for path in images:
        _stage_file(path, target / path.relative_to(source), limits)


def _stage_file(source: Path, target: Path, limits: ImageLimits) -> None:
    """Copy a plain file; of one that may not be read leave one that may not be read either.

    Of one that is too large only the size comes along.
    """
    try:
        status = source.stat()
        if not stat.S_ISREG(status.st_mode):
            raise PermissionError(errno.EACCES, "not a plain file")
        source.open("rb").close()
    except OSError as error:
        if isinstance(error, PermissionError):
            note(f"{printable(source)}: not copied: {error.strerror}")
            target.parent.mkdir(parents=True, exist_ok=True)
            target.touch(mode=0)
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    if status.st_size > limits.file_mb * 10**6:
        target.touch()
        os.truncate(target, status.st_size)
    else:
        shutil.copyfile(source, target)
    target.chmod(0o644)
