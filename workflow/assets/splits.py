"""What is in a data set, a folder or the pack of one: its classes, its images, its digest."""

from __future__ import annotations

from pathlib import Path

from pytorch_common.contract import DATA_SUFFIXES
from pytorch_common.files import is_hidden, list_files, printable
from pytorch_common.pack import Pack, PackError
from workflow.core.disk import tree_digest
from workflow.core.errors import WorkflowError


def class_names(split: Path) -> list[str]:
    """Return the names of the class folders, sorted as ImageFolder sorts them; no hidden ones."""
    paths = split.iterdir() if split.is_dir() else ()
    return sorted(path.name for path in paths if path.is_dir() and not is_hidden(path, split))


def image_files(folder: Path) -> list[Path]:
    """Return the files below the folder that end like images, sorted."""
    return [path for path in list_files(folder) if path.suffix.lower() in DATA_SUFFIXES]


def image_counts(data: Path, split: str) -> dict[str, int]:
    """Return how many images each class of the split has, the classes sorted.

    Raises: WorkflowError where a folder cannot be listed, or a file is no pack.
    """
    if data.is_file():
        return _counts_in_pack(data, split)
    folder = data / split
    try:
        return {name: len(image_files(folder / name)) for name in class_names(folder)}
    except OSError as error:
        raise WorkflowError(f"{error.filename}: {error.strerror}") from error


def data_digest(data: Path) -> str:
    """Return the canonical digest of a data set, a folder or the pack of one."""
    return _opened(data).digest if data.is_file() else tree_digest(data)


def _counts_in_pack(path: Path, split: str) -> dict[str, int]:
    counts: dict[str, int] = {}
    for name in _opened(path).entries:
        top, *rest = name.split("/", 2)
        if top == split and len(rest) == 2:
            is_image = name.lower().endswith(DATA_SUFFIXES)
            counts[rest[0]] = counts.get(rest[0], 0) + is_image
    return dict(sorted(counts.items()))


def _opened(path: Path) -> Pack:
    """Return the pack, closed: what its index says.

    Raises: WorkflowError where the file is none.
    """
    try:
        pack = Pack(path)
    except PackError as error:
        raise WorkflowError(f"{error}; expected a folder, or a pack of one") from error
    except OSError as error:
        raise WorkflowError(f"{printable(path)} cannot be read: {error.strerror}") from error
    pack.close()
    return pack
