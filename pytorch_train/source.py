"""Where the images to train on lie: in a folder, or in one file, the pack of such a folder.

A file of a pack is called as if the pack were the folder: ``data.tar/train/bees/1.jpg``.
"""

from __future__ import annotations

from pathlib import Path
from typing import Iterable, Protocol

from pytorch_common.content import (
    ImageError,
    Look,
    read_content,
    refuse_too_large,
    unseen,
)
from pytorch_common.contract import DATA_SUFFIXES
from pytorch_common.errors import RunError
from pytorch_common.files import (
    is_file_or_raises,
    is_hidden,
    passed_over_note,
    printable,
    suffixes_note,
    tree_digest,
    walk,
)
from pytorch_common.pack import Pack, PackError


class Source(Protocol):
    """What a data set is read from; hidden names are passed over."""

    def classes(self, split: Path) -> list[str]:
        """Return the names of the folders in the split, sorted."""

    def files(self, folder: Path) -> list[Path]:
        """Return what lies below a folder of a class."""

    def read(self, path: Path, most_mb: int, look: Look = unseen) -> bytes:
        """Return the bytes of a file; raise ImageError where it cannot be had or is too large."""

    def passed_over(self, split: Path, taken: Iterable[Path]) -> str:
        """Return the line that counts what else is in the split, else nothing."""

    def digest(self, root: Path) -> str:
        """Return the canonical digest of the data set."""


class Folders:
    """Data sets in folders."""

    def classes(self, split: Path) -> list[str]:
        """Return the names of the folders in the split, sorted."""
        folders = (path for path in split.iterdir() if path.is_dir())
        return sorted(path.name for path in folders if not is_hidden(path, split))

    def files(self, folder: Path) -> list[Path]:
        """Return what lies below a folder of a class.

        Raises: OSError where a folder in it cannot be listed.
        """
        paths = [path for path in walk(folder) if not is_hidden(path, folder)]
        for path in paths:
            is_file_or_raises(path)
        return paths

    def read(self, path: Path, most_mb: int, look: Look = unseen) -> bytes:
        """Return the bytes of a file; raise ImageError where it cannot be had or is too large."""
        return read_content(path, most_mb, look)

    def passed_over(self, split: Path, taken: Iterable[Path]) -> str:
        """Return the line that counts what else is in the split, else nothing."""
        return passed_over_note(split, taken)

    def digest(self, root: Path) -> str:
        """Return the canonical digest of the data set; every file is read for it."""
        return tree_digest(root)


FOLDERS = Folders()


class Packed:
    """The data set of one pack, of which the index alone is read before the images are."""

    def __init__(self, path: Path, sha256: str = "") -> None:
        """Open the pack; with a digest it must be that data set.

        Raises: PackError as ``Pack`` does, RunError for a hidden name: with it the pack would be
        another data set than the folder that comes of it.
        """
        self._pack, self._path = Pack(path, sha256), path
        self._classes: dict[tuple[str, str], list[str]] = {}
        for name in self._pack.entries:
            if name.startswith(".") or "/." in name:
                raise RunError(f"{printable(path)}: {printable(name)} is hidden; pack it anew")
            split, _, rest = name.partition("/")
            label, is_in_class, _ = rest.partition("/")
            if is_in_class:
                self._classes.setdefault((split, label), []).append(name)

    def classes(self, split: Path) -> list[str]:
        """Return the names of the folders in the split, sorted."""
        return sorted(label for name, label in self._classes if name == split.name)

    def files(self, folder: Path) -> list[Path]:
        """Return what lies below a folder of a class."""
        names = self._classes[folder.parent.name, folder.name]
        return [self._path / name for name in names]

    def read(self, path: Path, most_mb: int, look: Look = unseen) -> bytes:
        """Return the bytes of a file, held to the index.

        Raises: ImageError where it is too large, cut short or changed.
        """
        name = path.relative_to(self._path).as_posix()
        refuse_too_large(self._pack.entries[name].size, most_mb)
        try:
            data = self._pack.read(name)
        except PackError as error:
            raise ImageError("cut short or changed since it was packed") from error
        look(data)
        return data

    def passed_over(self, split: Path, taken: Iterable[Path]) -> str:
        """Return the line that counts what else is in the split, else nothing."""
        below = f"{split.name}/"
        others = {
            self._path / name
            for name in self._pack.entries
            if name.startswith(below) and not is_image_of_class(name)
        }
        return suffixes_note(split, others - set(taken))

    def digest(self, root: Path) -> str:
        """Return the canonical digest of the data set; its index has it."""
        return self._pack.digest


def is_image_of_class(name: str) -> bool:
    """Tell whether the name is that of an image which is taken: most of a large pack are."""
    return name.lower().endswith(DATA_SUFFIXES) and name.count("/") > 1


def source_of(data: Path, sha256: str = "") -> Source:
    """Return what the data set is read from: a file, or what is called so, must be a pack.

    Raises: RunError where it is no pack, or not of the data set with this digest.
    """
    # By the name too: an enclave does not measure its pack, so the host could put a folder there,
    # whose images it may change between their digest and their use.
    is_pack = data.suffix == ".tar" or data.is_file()
    return Packed(data, sha256) if is_pack else FOLDERS
