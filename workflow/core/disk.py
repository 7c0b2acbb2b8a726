"""Files on a disk: digests taken once a task, and room looked at before it is needed."""

from __future__ import annotations

import shutil
import time
from functools import cache
from pathlib import Path

from pytorch_common import files
from workflow.core.errors import WorkflowError

_CLOCK_S = 1.0
"""A file that was changed so lately could be changed again without a trace in its times."""


def sha256_file(path: Path) -> str:
    """Return the SHA-256 of the file's content, as 64 lower-case hex digits.

    It is remembered as long as the file is the same by inode, size and times; the kernel sets the
    time of change (ctime) at each change, and nobody else can.
    """
    status = path.stat()
    if time.time() - status.st_ctime < _CLOCK_S:
        return files.sha256_file(path)
    identity = (status.st_dev, status.st_ino, status.st_size)
    return _sha256_file(path, identity, status.st_mtime_ns, status.st_ctime_ns)


def tree_digest(root: Path) -> str:
    """Return the canonical digest of a folder, as ``pytorch_common.files.tree_digest`` does."""
    listing = "".join(
        files.listing_line(path.relative_to(root).as_posix(), sha256_file(path))
        for path in files.list_files(root)
    )
    return files.listing_digest(listing)


@cache
def _sha256_file(path: Path, identity: tuple[int, int, int], mtime_ns: int, ctime_ns: int) -> str:
    return files.sha256_file(path)


GIB = 2**30


def check_disk(folder: Path, needed_bytes: int, what_for: str) -> None:
    """Refuse a disk with too little room where a folder lies or is going to.

    Raises: WorkflowError.
    """
    place = nearest(folder / "in it")
    free = shutil.disk_usage(place).free
    if free < needed_bytes:
        raise WorkflowError(
            f"{place}: {_size(free)} free, expected {_size(needed_bytes)} for {what_for}"
        )


def nearest(path: Path) -> Path:
    """Return the lowest folder above the path that is there."""
    return next(folder for folder in path.parents if folder.is_dir())


def _size(size_bytes: int) -> str:
    return f"{size_bytes / GIB:.1f} GiB" if size_bytes >= GIB else f"{size_bytes / 2**20:.0f} MiB"
