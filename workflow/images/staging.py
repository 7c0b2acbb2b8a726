"""Images on their way into a container: copies that it may read, and the list of their names."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from pytorch_common.contract import IMAGE_LIMITS, IMAGE_SUFFIXES, LIST_FILE, ImageLimits
from pytorch_common.files import is_hidden, notes_on, printable, walk
from workflow.core.console import note


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
