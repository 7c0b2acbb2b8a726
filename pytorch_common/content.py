"""The bytes of one image file, from wherever its name leads: a plain file, of a bounded size."""

from __future__ import annotations

import io
import os
import stat
import time
from pathlib import Path
from typing import Callable

from pytorch_common.errors import RunError

MEGABYTE = 10**6
READ_SECONDS = 2.0
"""How long the parts of a file may be gone through, in seconds of this thread's processor."""
REREAD_BYTES = 1 << 28
"""Of a TIFF in strips or tiles Pillow 9.4 reads 64 KiB at the beginning of each, however small."""
BUSY = "takes too long to read: damaged, or made so"

_KINDS = (
    (stat.S_ISDIR, "a folder, not an image"),
    (stat.S_ISFIFO, "a named pipe, not an image"),
    (stat.S_ISSOCK, "a socket, not an image"),
    (stat.S_ISCHR, "a device, not an image"),
    (stat.S_ISBLK, "a device, not an image"),
)


class ImageError(RunError):
    """Say why one file cannot be read as an image; the others still can."""


Look = Callable[[bytes], object]
"""What is shown the bytes of a file once they are read."""
Read = Callable[[Path, int, Look], bytes]
"""How the bytes of a file are had, of so many megabytes at most."""


def unseen(data: bytes) -> None:
    """Look at nothing."""


def read_content(path: Path, most_mb: int, look: Look = unseen) -> bytes:
    """Return the file's bytes, of which ``look`` keeps none; nothing but a plain file is opened.

    Raises: ImageError where it cannot be read, is of another kind, empty, or too large.
    """
    try:
        _refuse_other_kinds(path.stat().st_mode)
        # Without waiting: by now it may be another file.
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
        with open(handle, "rb", buffering=0) as file:  # noqa: PTH123 - a descriptor, not a name
            _refuse_other_kinds(os.fstat(handle).st_mode)
            size = os.fstat(handle).st_size
            data = file.read(min(size, most_mb * MEGABYTE) + 1)
    except FileNotFoundError as error:
        raise ImageError("no such file") from error
    except OSError as error:
        raise ImageError(f"damaged or unreadable: {error.strerror}") from error
    refuse_too_large(max(size, len(data)), most_mb)
    look(data)
    return data


def refuse_too_large(size: int, most_mb: int) -> None:
    """Raise ImageError where a file has more bytes than the limit."""
    if size > most_mb * MEGABYTE:
        raise ImageError(f"too large a file: {size / MEGABYTE:.0f} MB, the limit is {most_mb}")


def _refuse_other_kinds(mode: int) -> None:
    for is_kind, what in _KINDS:
        if is_kind(mode):
            raise ImageError(what)


class Content(io.BytesIO):
    """The file's bytes for Pillow: no reader goes through them for ever, or over and over.

    From memory, because of a file whose name it knows Pillow maps the pixels of a TIFF in the shape
    that they have once turned: stripes. Source: its TiffImagePlugin and ImageFile.load.
    """

    def __init__(self, data: bytes) -> None:
        super().__init__(data)
        self._bytes_left = 2 * len(data) + REREAD_BYTES
        self._reads = 0
        self._end = time.thread_time() + READ_SECONDS

    def read(self, size: int | None = -1) -> bytes:
        """Return the next bytes.

        Raises: ImageError where there have been too many, or for too long.
        """
        data = super().read(size)
        self._bytes_left -= len(data)
        self._reads += 1
        is_time_to_look = self._reads % 64 == 0
        if self._bytes_left < 0 or (is_time_to_look and time.thread_time() > self._end):
            raise ImageError(BUSY)
        return data
