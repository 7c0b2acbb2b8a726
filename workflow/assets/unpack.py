"""Unpacking a zip, or copying a folder, that others made: allowed files only, all or nothing."""

from __future__ import annotations

import os
import shutil
import stat
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from io import FileIO
from pathlib import Path, PurePosixPath
from typing import IO

from workflow.core.errors import WorkflowError, root_cause
from workflow.core.locks import locked
from workflow.core.ownership import LITTER

MAX_FILES = 1000
MAX_BYTES = 200 * 2**20
MAX_RATIO = 100
"""Unpacked to packed size. Photographs hardly shrink; deflate itself ends at about 1030."""
AGES = ("new", "old")
"""How the names of the two folders end that are beside the target while it is replaced."""
_CHUNK_BYTES = 1 << 20
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_ENCRYPTED_FLAG = 0x1
# What zipfile raises on a damaged archive: a field out of range is a ValueError or an EOFError.
_DAMAGE = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, ValueError)


class _RefusedError(Exception):
    """Say which entry is refused and why."""


@dataclass(frozen=True)
class _Member:
    path: PurePosixPath
    size_bytes: int
    open: Callable[[], IO[bytes]]


def unpack_zip(
    archive: Path,
    target: Path,
    allowed: Callable[[PurePosixPath], bool],
    *,
    root: str,
    check: Callable[[Path], None],
    max_files: int = MAX_FILES,
    max_bytes: int = MAX_BYTES,
) -> None:
    """Unpack the archive's folder ``root`` to the target, replacing what is there.

    ``allowed`` sees each file's path below ``root``. ``check`` sees the unpacked folder before it
    takes the target's place, and raises to keep it from that.

    Raises: WorkflowError where the archive is damaged or holds anything that is not allowed.
    """

    def fill(folder: Path) -> None:
        with zipfile.ZipFile(archive) as file:
            _refuse_bomb(file.infolist(), archive.stat().st_size)
            _write(_select(_zip_members(file, root), allowed, max_files, max_bytes), folder)

    _build(archive, target, fill, check)


def copy_tree(
    source: Path,
    target: Path,
    allowed: Callable[[PurePosixPath], bool],
    check: Callable[[Path], None],
    *,
    max_files: int = MAX_FILES,
    max_bytes: int = MAX_BYTES,
) -> None:
    """Copy the folder to the target, replacing what is there; links in it are refused.

    ``allowed`` and ``check`` are those of unpack_zip.

    Raises: WorkflowError where the folder holds anything that is not allowed.
    """
    here, there = (Path(os.path.realpath(path)) for path in (source, target))
    if here.is_relative_to(there) or there.is_relative_to(here):
        raise WorkflowError(f"{source}: expected a folder apart from {target}; copy it elsewhere")

    def fill(folder: Path) -> None:
        members = _folder_members(here, PurePosixPath())
        _write(_select(members, allowed, max_files, max_bytes), folder)

    _build(source, target, fill, check)


def _build(
    origin: Path, target: Path, fill: Callable[[Path], None], check: Callable[[Path], None]
) -> None:
    """Fill a temporary sibling, check it, and let it take the target's place."""
    new, old = (target.with_name(f".{target.name}.enclave-finetune.{age}") for age in AGES)
    with locked(target):
        try:
            with _in_one_line(target):
                _clear_after_kill(target, new, old)
                new.mkdir()
            with _in_one_line(origin):
                fill(new)
            check(new)
            with _in_one_line(target):
                _take_place(new, target, old)
        finally:
            _remove(new)


def _clear_after_kill(target: Path, new: Path, old: Path) -> None:
    if os.path.lexists(old) and not os.path.lexists(target):
        old.rename(target)
    _remove(old)
    _remove(new)


def _take_place(new: Path, target: Path, old: Path) -> None:
    if os.path.lexists(target):
        target.rename(old)
    try:
        new.rename(target)
    except OSError:
        if os.path.lexists(old):
            old.rename(target)
        raise
    _remove(old)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


@contextmanager
def _in_one_line(path: Path) -> Iterator[None]:
    """Turn what can go wrong with the file or folder into one line about it."""
    try:
        yield
    except _RefusedError as error:
        raise WorkflowError(f"{path}: {error}; give a clean copy with --source") from error
    except _DAMAGE as error:
        mend = "take another one, with --source"
        raise WorkflowError(f"{path}: expected a sound zip, got: {error}; {mend}") from error
    except OSError as error:
        where = error.filename or path
        raise WorkflowError(f"{where}: {root_cause(error)}; mend that and run it again") from error


def _refuse_bomb(entries: Iterable[zipfile.ZipInfo], packed_bytes: int) -> None:
    unpacked_bytes = sum(info.file_size for info in entries)
    if unpacked_bytes > MAX_RATIO * packed_bytes:
        growth = unpacked_bytes // packed_bytes
        raise _RefusedError(f"expected to grow {MAX_RATIO} times at most, got {growth} times")


def _zip_members(file: zipfile.ZipFile, root: str) -> Iterator[_Member]:
    for info in file.infolist():
        path = _plain_path(info.orig_filename)
        _refuse_unusual(info)
        if info.is_dir() or LITTER & set(path.parts):
            continue
        if not path.is_relative_to(root):
            raise _RefusedError(f"expected files below {root}/ only, got {info.filename!r}")
        yield _Member(path.relative_to(root), info.file_size, partial(file.open, info))


def _folder_members(folder: Path, below: PurePosixPath) -> Iterator[_Member]:
    for path in sorted(folder.iterdir()):
        relative, status = _plain_path(str(below / path.name)), path.lstat()
        if LITTER & set(relative.parts):
            continue
        if stat.S_ISDIR(status.st_mode):
            yield from _folder_members(path, relative)
        elif stat.S_ISREG(status.st_mode):
            yield _Member(relative, status.st_size, partial(FileIO, path))
        else:
            raise _RefusedError(f"expected files and folders, got a link or device: {relative}")


def _plain_path(name: str) -> PurePosixPath:
    parts = name.removesuffix("/").split("/")
    is_strange = "\\" in name or name[1:2] == ":" or not name.isprintable()
    if is_strange or not {"", ".", ".."}.isdisjoint(parts):
        raise _RefusedError(f"expected plain relative names, got {name!r}")
    return PurePosixPath(name)


def _refuse_unusual(info: zipfile.ZipInfo) -> None:
    name = repr(info.filename)
    if stat.S_IFMT(info.external_attr >> 16) not in (0, stat.S_IFREG, stat.S_IFDIR):
        raise _RefusedError(f"expected files and folders, got a link or device: {name}")
    if info.flag_bits & _ENCRYPTED_FLAG:
        raise _RefusedError(f"expected no encryption, got {name}, which is encrypted")
    if info.compress_type not in _METHODS:
        method = f"compression method {info.compress_type}"
        raise _RefusedError(f"expected stored or deflated entries, got {name} with {method}")


def _select(
    members: Iterable[_Member],
    allowed: Callable[[PurePosixPath], bool],
    max_files: int,
    max_bytes: int,
) -> list[_Member]:
    """Return the members if all of them may be written, and together are not too much."""
    chosen: dict[str, _Member] = {}
    total_bytes = 0
    for member in members:
        name = str(member.path)
        if not allowed(member.path):
            raise _RefusedError(f"got {name!r}, which does not belong there")
        if name.casefold() in chosen:
            raise _RefusedError(f"expected each name once, got {name!r} twice or in other case")
        chosen[name.casefold()] = member
        total_bytes += member.size_bytes
        if len(chosen) > max_files or total_bytes > max_bytes:
            raise _RefusedError(f"expected {max_files} files, {max_bytes} bytes at most, got more")
    if not chosen:
        raise _RefusedError("expected files, got none")
    return list(chosen.values())


def _write(members: Iterable[_Member], folder: Path) -> None:
    for member in members:
        path = folder / member.path
        path.parent.mkdir(parents=True, exist_ok=True)
        with member.open() as stream, path.open("xb") as file:
            _copy_exactly(stream, file, member.size_bytes)
            file.flush()
            os.fsync(file.fileno())


def _copy_exactly(stream: IO[bytes], file: IO[bytes], size_bytes: int) -> None:
    """Copy the declared size; a stream that holds more is left after one byte of it."""
    left_bytes = size_bytes
    while left_bytes >= 0 and (chunk := stream.read(min(_CHUNK_BYTES, left_bytes + 1))):
        left_bytes -= len(chunk)
        file.write(chunk)
    if left_bytes:
        raise _RefusedError(f"expected {size_bytes} bytes in {file.name!r}, got more or fewer")
