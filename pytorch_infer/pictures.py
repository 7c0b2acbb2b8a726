"""Which images are to be classified: files, folders, lists of names."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Iterator, Sequence, Tuple

from pytorch_common import contract
from pytorch_common.errors import RunError
from pytorch_common.files import is_hidden, notes_on, walk
from pytorch_common.script import note

ADDRESS = "://"

Picture = Tuple[str, Path]
"""The name as it is shown, and the path."""


def named_paths(names: Sequence[str]) -> Iterator[Picture]:
    """Yield each name that was given, as it is to be shown, and the path of its file or folder."""
    for name in names:
        listing = os.path.join(name, contract.LIST_FILE)  # noqa: PTH118 - as below
        if name == "-":
            yield from listed_paths(sys.stdin.buffer.read(), None)
        elif os.path.isfile(listing):  # noqa: PTH113 - a Path raises for a name that is too long
            yield from listed_paths(Path(listing).read_bytes(), Path(name))
        else:
            yield shown(name), Path(name)


def listed_paths(listing: bytes, folder: Path | None) -> Iterator[Picture]:
    """Yield the names of a list, which end in NUL bytes and are looked up in the folder.

    Raises: RunError for a name that leads out of the folder.
    """
    for name in (os.fsdecode(entry) for entry in listing.split(b"\0") if entry):
        if folder and os.pardir in Path(name).parts:
            raise RunError(f"{contract.LIST_FILE}: a name leads out of the folder: {name}")
        yield shown(name), folder / name.lstrip("/") if folder else Path(name)


def images_at(name: str, path: Path) -> Iterator[Picture]:
    """Yield the image, or the images below the folder, that the path is; named as it is named."""
    if not os.path.isdir(path):  # noqa: PTH112 - a Path raises for a name that is too long
        yield name, path
        return
    images = images_below(path)
    for line in notes_on(path, images):
        note(line)
    for image in images:
        yield str(Path(name) / image.relative_to(path)), image


def images_below(folder: Path) -> list[Path]:
    """Return what ends like an image below the folder, sorted; no hidden ones.

    A folder in it that cannot be listed comes along, for a line of its own.
    """
    paths = (path for path in walk(folder) if not is_hidden(path, folder))
    return sorted(
        path for path in paths if path.suffix.lower() in contract.IMAGE_SUFFIXES or path.is_dir()
    )


def shown(name: str) -> str:
    """Return the name as results show it: a path without needless parts, an address as it is."""
    return name if ADDRESS in name else str(Path(name))
