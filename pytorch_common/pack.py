"""Many files in one: a tar archive with an index, so that one file is read without the others.

Any tar opens it. Its first member, ``.index``, has a line for each file, sorted by the bytes of the
name: ``SHA256 SIZE OFFSET NAME``. The offset counts from the end of that member; names are escaped
as in a listing of ``sha256sum``. A pack is named by the canonical digest of the folder that it was
made of (``files.tree_digest``). The archive itself may lie with somebody who changes it: the index
is held to the digest when the pack is opened, each file to the index when it is read. Standard
library only.
"""

from __future__ import annotations

import hashlib
import os
import re
import stat
from pathlib import Path
from typing import Iterator, NamedTuple

from pytorch_common.contract import DATA_SHA256_VARIABLE, RUNTIME_PACK, RUNTIME_VARIABLE
from pytorch_common.errors import RunError
from pytorch_common.files import listing_line, printable, unescaped

PACKS = {"/app/pytorch_train/data.tar": DATA_SHA256_VARIABLE, RUNTIME_PACK: RUNTIME_VARIABLE}
"""Those in images, and the variable with the digest that each is held to. An enclave measures the
variable, so it need not measure the pack: whatever the host changes in it is noticed."""

PYTHON_FOLDERS = ("/usr/lib/python3", "/usr/local/lib/python3")
"""How the folders begin that Python imports from: in the pack of an image's runtime they keep their
paths. All other libraries lie at its top, since the loader looks for them by name."""

INDEX = ".index"
BLOCK = 512
"""Bytes of a tar header, and what contents are filled up to. Source: POSIX, ustar."""
MOST_INDEX_BYTES = 1 << 30
"""Some eight million files."""
MOST_NAME_BYTES = 4096
PART_BYTES = 1 << 22
UTF8 = ("utf-8", "surrogateescape")
"""How names are bytes, whatever bytes they are."""

_LINE = re.compile(rb"(\\?)([0-9a-f]{64}) (0|[1-9][0-9]{0,17}) (0|[1-9][0-9]{0,17}) ([^\0\n]+)\n")
"""Of the index; numbers that fit into 64 bits."""
_SIZE = re.compile(rb"[0-7]{11}\0")


class PackError(RunError):
    """Say in one line what is wrong with a pack."""


class Entry(NamedTuple):
    """Say where one file of a pack lies, and what it has to be."""

    sha256: str
    size: int
    """Bytes."""
    start: int
    """Bytes from the beginning of the archive."""


class Pack:
    """A pack that is open: its index was read, nothing else."""

    def __init__(self, path: Path, digest: str = "") -> None:
        """Open the pack; with a digest it must be the pack of that folder and no other.

        Raises: PackError where it is no pack, damaged or another one; OSError where it cannot be
        opened.
        """
        self.path = path
        self._file = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        status = os.fstat(self._file)
        if not stat.S_ISREG(status.st_mode):
            raise self._error("expected a file")
        index = self._index(status.st_size)
        self._base = BLOCK + _filled(len(index))
        self.entries: dict[str, Entry] = {}
        listing = hashlib.sha256()
        for name, entry in self._lines(index, status.st_size):
            self.entries[name] = entry
            listing.update(listing_line(name, entry.sha256).encode(*UTF8))
        self.digest = listing.hexdigest()
        """The canonical digest of the folder that it was made of, as its index has it."""
        if digest and digest != self.digest:
            raise self._error(f"expected the pack of {digest}, got that of {self.digest}")

    def read(self, name: str) -> bytes:
        """Return the content of a file, as it was when the pack was made.

        Raises: PackError where it is not in the pack, cut short or changed.
        """
        return b"".join(self.parts(name))

    def parts(self, name: str) -> Iterator[bytes]:
        """Yield the content of a file in parts; it is held to the index after the last of them.

        Raises: PackError as ``read`` does.
        """
        if name not in self.entries:
            raise self._error(f"{printable(name)} is not in it")
        sha256, left, start = self.entries[name]
        digest = hashlib.sha256()
        while left:
            part = os.pread(self._file, min(left, PART_BYTES), start)
            if not part:
                raise self._error(f"{printable(name)}: cut short by {left} bytes")
            digest.update(part)
            yield part
            start, left = start + len(part), left - len(part)
        if digest.hexdigest() != sha256:
            raise self._error(f"{printable(name)}: changed, not the file that was packed")

    def close(self) -> None:
        """Close the file."""
        os.close(self._file)

    def _index(self, archive_bytes: int) -> bytes:
        """Return the content of the first member."""
        header = os.pread(self._file, BLOCK, 0)
        size = _SIZE.fullmatch(header[124:136])
        if header[:100].rstrip(b"\0") != os.fsencode(INDEX) or not size:
            raise self._error(f"no pack: it does not begin with a member {INDEX}")
        length = int(size[0][:11], 8)
        if length > min(MOST_INDEX_BYTES, archive_bytes - BLOCK):
            raise self._error(f"its index would be {length} bytes long")
        index = b""
        while len(index) < length:
            part = os.pread(self._file, length - len(index), BLOCK + len(index))
            if not part:
                raise self._error("cut short in its index")
            index += part
        return index

    def _lines(self, index: bytes, archive_bytes: int) -> Iterator[tuple[str, Entry]]:
        """Yield the name and entry of each line; a line that cannot be ends it."""
        before, position = b"", 0
        while position < len(index):
            line = _LINE.match(index, position)
            position = line.end() if line else position
            name = unescaped(line[5]) if line and line[1] else line[5] if line else b""
            if not line or not _is_inside(name):
                number = index.count(b"\n", 0, position) + (not line)
                raise self._error(f"line {number} of its index is none of a file in it")
            shown = name.decode(*UTF8)
            if name <= before:
                raise self._error(f"its index is not sorted at {printable(shown)}")
            before = name
            entry = Entry(line[2].decode(), int(line[3]), self._base + int(line[4]))
            if entry.start + entry.size > archive_bytes:
                raise self._error(f"{printable(shown)}: said to lie beyond the end of the archive")
            yield shown, entry

    def _error(self, what: str) -> PackError:
        return PackError(f"{printable(self.path)}: {what}")


def _is_inside(name: bytes) -> bool:
    """Tell whether a name leads to a file below the folder: no way up, no root, nothing empty."""
    parts = name.split(b"/")
    return len(name) <= MOST_NAME_BYTES and not {b"", b".", b".."} & set(parts)


def _filled(size: int) -> int:
    return -(-size // BLOCK) * BLOCK
