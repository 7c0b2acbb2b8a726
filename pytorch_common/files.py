"""Digests of files and folders, and writing a file whole or not at all. Standard library only."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import itertools
import os
import re
from collections import Counter
from pathlib import Path
from typing import Iterable, Iterator, Sequence

CHUNK_BYTES = 1 << 20
MOST_FOLDERS = 100_000
NAMED_AT_MOST = 10

_ESCAPED = {b"\\": b"\\", b"n": b"\n", b"r": b"\r"}

LFS_POINTER = b"version https://git-lfs.github.com/spec/"
"""How the text begins that stands in a checkout for a file which Git LFS did not fetch."""


def sha256_file(path: Path) -> str:
    """Return the SHA-256 of the file's content, as 64 lower-case hex digits."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


def is_lfs_pointer(path: Path) -> bool:
    """Tell whether the file is what Git LFS leaves in its place; the mend is ``git lfs pull``."""
    with path.open("rb") as file:
        return file.read(len(LFS_POINTER)) == LFS_POINTER


def printable(name: object) -> str:
    """Return the name as one line of valid text, whatever bytes it has: for a person to read."""
    text = str(name).encode("utf-8", "backslashreplace").decode()
    return "".join(char if char.isprintable() else repr(char)[1:-1] for char in text)


def some_of(lines: Sequence[object], most: int = NAMED_AT_MOST) -> str:
    """Return the first few, printable and with commas between them, and how many more there are."""
    more = len(lines) - most
    return ", ".join(map(printable, lines[:most])) + (f" and {more} more" if more > 0 else "")


def lacking_classes(train: Sequence[str], val: Sequence[str]) -> str:
    """Say which classes one of the two splits lacks, nothing where they have the same."""
    differences = {"train": set(val) - set(train), "val": set(train) - set(val)}
    return "; ".join(
        f"{split} lacks {some_of(sorted(names))}" for split, names in differences.items() if names
    )


def is_hidden(path: Path, root: Path) -> bool:
    """Tell whether a name from below the folder to the path, its own too, begins with a dot.

    Such names are passed over in data sets and folders of images: notebooks, Macs and version
    control leave them there (``.ipynb_checkpoints``, ``._bee.jpg``).
    """
    return any(name.startswith(".") for name in path.relative_to(root).parts)


def walk(root: Path) -> Iterator[Path]:
    """Yield every path below the folder that is no folder, those behind links too.

    A link to a folder that it lies in, or that the root lies in, is not followed. In place of what
    is in them hidden folders are yielded, and folders that cannot be listed.

    Raises: OSError where links make more than MOST_FOLDERS of a few.
    """
    real = Path(os.path.realpath(root))
    waiting = [(root, frozenset(_identity(folder) for folder in (real, *real.parents)))]
    for count in itertools.count(1):
        if not waiting:
            return
        if count > MOST_FOLDERS:
            raise OSError(errno.ELOOP, f"more than {MOST_FOLDERS} folders, by links", str(root))
        folder, above = waiting.pop()
        try:
            entries = list(os.scandir(folder))
        except OSError:
            yield folder
            continue
        for entry in entries:
            path = folder / entry.name
            if entry.name.startswith(".") or not os.path.isdir(path):  # noqa: PTH112 - never raises
                yield path
            elif (identity := _identity(path)) not in above:
                waiting.append((path, above | {identity}))


def hidden_note(root: Path) -> str:
    """Return the line that says how many names below the folder are passed over, else nothing.

    A hidden folder counts once, with all that lies in it.
    """
    count = sum(path.name.startswith(".") for path in walk(root) if path != root)
    return f"{root}: names with a leading dot are passed over ({count} here)" if count else ""


def passed_over_note(root: Path, taken: Iterable[Path]) -> str:
    """Return the line that counts, by how they end, what else is below the folder, else nothing."""
    left = set(walk(root)) - {root, *taken}
    return suffixes_note(root, (path for path in left if not is_hidden(path, root)))


def suffixes_note(root: Path, left: Iterable[Path]) -> str:
    """Return the line that counts, by how they end, what is passed over, else nothing."""
    ends = Counter(map(_end, left))
    counts = ", ".join(f"{count} {printable(end)}" for end, count in sorted(ends.items()))
    return f"{printable(root)}: passed over {counts}" if counts else ""


def notes_on(folder: Path, taken: Iterable[Path]) -> Iterator[str]:
    """Yield a line for each kind of what is below the folder and not among what is taken of it."""
    yield from filter(None, (hidden_note(folder), passed_over_note(folder, taken)))


def _end(path: Path) -> str:
    if os.path.isdir(path):  # noqa: PTH112 - never raises
        return "folder that cannot be listed"
    return path.suffix.lower() or "without a suffix"


def _identity(folder: Path) -> tuple[int, int]:
    """Return what a folder is the same by, whatever it is called."""
    try:
        status = os.stat(folder)  # noqa: PTH116 - as all here
    except OSError:
        return 0, hash(folder)
    return status.st_dev, status.st_ino


def list_files(root: Path) -> Iterator[Path]:
    """Yield every file below the folder, sorted by the path's bytes.

    Those behind links too (see ``walk``), but no hidden ones.

    Raises: OSError where a folder in it cannot be listed.
    """
    paths = (path for path in walk(root) if path != root and not is_hidden(path, root))
    files = (path for path in paths if is_file_or_raises(path))
    return iter(sorted(files, key=lambda path: os.fsencode(path.relative_to(root).as_posix())))


def is_file_or_raises(path: Path) -> bool:
    """Tell whether what ``walk`` yields is a file.

    Raises: OSError where it is a folder that cannot be listed: files would be missing.
    """
    if os.path.isdir(path):  # noqa: PTH112 - never raises
        os.scandir(path).close()
    return os.path.isfile(path)  # noqa: PTH113 - never raises


def sha256_listing(root: Path, files: Iterable[Path]) -> str:
    """Return the listing that ``sha256sum`` prints for the files: digest, two spaces, path."""
    return "".join(
        listing_line(path.relative_to(root).as_posix(), sha256_file(path)) for path in files
    )


def listing_line(name: str, sha256: str) -> str:
    """Return a file's line in a listing.

    As ``sha256sum`` of coreutils 9 does, a line with escapes begins with a backslash. Without them
    a name with a line feed in it could pass for the lines of two files.
    """
    escaped = name.replace("\\", r"\\").replace("\n", r"\n").replace("\r", r"\r")
    return f"{'' if escaped == name else chr(92)}{sha256}  {escaped}\n"


def unescaped(name: bytes) -> bytes:
    """Return the name that a line of a listing, or of an index, has with escapes."""
    return re.sub(rb"\\([\\nr])", lambda found: _ESCAPED[found[1]], name)


def listing_digest(listing: str) -> str:
    """Return the SHA-256 of a listing: the canonical digest of the tree that it lists."""
    return hashlib.sha256(listing.encode("utf-8", "surrogateescape")).hexdigest()


def tree_digest(root: Path) -> str:
    """Return the canonical digest of a folder: names and contents, not times or modes.

    The same as, in the folder and with LC_ALL=C,
    ``find -L . -mindepth 1 -name '.*' -prune -o -type f -printf '%P\\0' | sort -z |
    xargs -0 sha256sum | sha256sum``.
    """
    return listing_digest(sha256_listing(root, list_files(root)))


def code_digest(root: Path, *packages: str) -> str:
    """Return the canonical digest of the packages' Python files below the folder: what code ran."""
    files = [path for package in sorted(packages) for path in list_files(root / package)]
    return listing_digest(sha256_listing(root, (path for path in files if path.suffix == ".py")))


def write_atomically(path: Path, data: bytes) -> None:
    """Write the file so that a reader, or a kill at any moment, meets the old one or the new one.

    The temporary sibling is synced to disk before it takes the file's place.
    """
    write_parts_atomically(path, [data])


def write_parts_atomically(path: Path, parts: Iterable[bytes]) -> None:
    """Write the file as ``write_atomically`` does, from parts that are in memory one by one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as file:
            file.writelines(parts)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        error.filename = error.filename or str(path)  # a full disk does not name it
        raise
    finally:
        temporary.unlink(missing_ok=True)
    _sync_folder(path.parent)


def _sync_folder(folder: Path) -> None:
    """Have the new name outlast a power cut too, where the system knows how."""
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
