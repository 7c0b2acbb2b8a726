"""Packs written: a tar archive with an index, the same bytes for the same files.

``pytorch_common.pack`` has the format and reads it. As a program, ``packing.py FOLDER TARGET``
packs the folder, hidden names aside, and prints its canonical digest; with ``--names`` it packs the
files of it that standard input names, a line each: name in the pack, tab, path in the folder.
"""

from __future__ import annotations

import argparse
import io
import sys
import tarfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import IO

from pytorch_common.errors import RunError
from pytorch_common.files import list_files, listing_digest, listing_line, sha256_file
from pytorch_common.pack import BLOCK, INDEX, UTF8


def write_pack(
    files: Iterable[tuple[str, Path]],
    target: IO[bytes],
    sha256_file: Callable[[Path], str] = sha256_file,
) -> str:
    """Write the files under their names; return the canonical digest of a folder of them.

    A content that several names have is there once; the other members are hard links to it.
    ``sha256_file`` may remember digests.

    Raises: RunError where a file changed in the meantime.
    """
    named = sorted((name.encode(*UTF8), path) for name, path in files)
    members: list[tuple[tarfile.TarInfo, Path]] = []
    first: dict[str, tuple[bytes, int, int]] = {}
    index, listing, end = [], [], 0
    for name, path in named:
        sha256, size = sha256_file(path), path.stat().st_size
        member = _member(name, size)
        if sha256 in first:
            member.type, member.size = tarfile.LNKTYPE, 0
            member.linkname = first[sha256][0].decode(*UTF8)
        head = len(_header(member))
        _, size, start = first.setdefault(sha256, (name, size, end + head))
        line = listing_line(name.decode(*UTF8), sha256)
        listing.append(line)
        index.append(line.replace("  ", f" {size} {start} ", 1))
        members.append((member, path))
        end += head + _filled(member.size)
    text = "".join(index).encode(*UTF8)
    _add(target, _member(INDEX.encode(), len(text)), io.BytesIO(text))
    for member, path in members:
        with path.open("rb") as file:
            _add(target, member, file)
    target.write(bytes(2 * BLOCK))
    return listing_digest("".join(listing))


def folder_files(root: Path) -> Iterator[tuple[str, Path]]:
    """Yield name and path of each file below the folder that counts for its canonical digest."""
    return ((path.relative_to(root).as_posix(), path) for path in list_files(root))


def _member(name: bytes, size: int) -> tarfile.TarInfo:
    """Return a member without time and owner."""
    member = tarfile.TarInfo(name.decode(*UTF8))
    member.size, member.mode = size, 0o644
    return member


def _header(member: tarfile.TarInfo) -> bytes:
    """Return the member's header; of GNU's kind, which any tar reads and names of any bytes fit."""
    return member.tobuf(tarfile.GNU_FORMAT, *UTF8)


def _add(target: IO[bytes], member: tarfile.TarInfo, content: IO[bytes]) -> None:
    target.write(_header(member))
    left = member.size
    while left:
        part = content.read(min(left, 1 << 20))
        if not part:
            raise RunError(f"{member.name}: changed while it was packed")
        target.write(part)
        left -= len(part)
    target.write(bytes(_filled(member.size) - member.size))


def _filled(size: int) -> int:
    return -(-size // BLOCK) * BLOCK


def main() -> None:
    """Pack a folder; print its canonical digest."""
    parser = argparse.ArgumentParser(prog="packing.py", description=main.__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("target", type=Path)
    parser.add_argument("--names", action="store_true", help="take the files that stdin names")
    args = parser.parse_args()
    if not args.folder.is_dir():
        parser.error(f"{args.folder}: no such folder")
    files: Iterable[tuple[str, Path]]
    if args.names:
        lines = sys.stdin.buffer.read().decode(*UTF8).split("\n")  # whatever the locale is
        named = (line.split("\t") for line in lines if line)
        files = ((name, args.folder / path) for name, path in named)
    else:
        files = folder_files(args.folder)
    with args.target.open("wb") as file:
        print(write_pack(files, file))  # noqa: T201


if __name__ == "__main__":
    main()
