"""Digests of files and folders, and writing a file whole or not at all. Standard library only."""

from __future__ import annotations

import contextlib
import hashlib
import os
from pathlib import Path
from typing import Iterable, Iterator

CHUNK_BYTES = 1 << 20


def sha256_file(path: Path) -> str:
    """Return the SHA-256 of the file's content, as 64 lower-case hex digits."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


def is_hidden(path: Path, root: Path) -> bool:
    """Tell whether a name from below the folder to the path, its own too, begins with a dot.

    Such names are passed over in data sets and folders of images: notebooks, Macs and version
    control leave them there (``.ipynb_checkpoints``, ``._bee.jpg``).
    """
    return any(name.startswith(".") for name in path.relative_to(root).parts)


def hidden_note(root: Path) -> str:
    """Return the line that says how many names below the folder are passed over, else nothing.

    A hidden folder counts once, with all that lies in it.
    """
    count = 0
    for _, folders, names in os.walk(root, followlinks=True):
        count += sum(name.startswith(".") for name in (*folders, *names))
        folders[:] = [name for name in folders if not name.startswith(".")]
    return f"{root}: names with a leading dot are passed over ({count} here)" if count else ""


def list_files(root: Path) -> Iterator[Path]:
    """Yield every file below the folder, sorted by the path's bytes.

    Those behind links too, but no hidden ones.
    """
    walk = os.walk(root, followlinks=True)
    paths = (Path(folder, name) for folder, _, names in walk for name in names)
    files = (path for path in paths if not is_hidden(path, root) and path.is_file())
    return iter(sorted(files, key=lambda path: os.fsencode(path.relative_to(root).as_posix())))


def sha256_listing(root: Path, files: Iterable[Path]) -> str:
    """Return the listing that ``sha256sum`` prints for the files: digest, two spaces, path."""
    return "".join(f"{sha256_file(path)}  {path.relative_to(root).as_posix()}\n" for path in files)


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
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
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
