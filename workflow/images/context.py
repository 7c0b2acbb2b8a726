"""The build context of an image: written as a tar, and its digest."""

from __future__ import annotations

import tarfile
import tempfile
from pathlib import Path
from typing import IO

from pytorch_common.errors import RunError
from pytorch_common.files import listing_digest, listing_line
from workflow.core.disk import sha256_file, tree_digest
from workflow.core.errors import WorkflowError
from workflow.images.build_spec import Build
from workflow.images.packing import folder_files, write_pack


def write_context(build: Build, target: IO[bytes]) -> None:
    """Write the build context as a tar that depends on names and contents alone.

    No time, owner or mode of this machine reaches the daemon, so that the same sources give the
    same layers, and nothing but what is listed does.

    Raises: WorkflowError where a folder that is packed changed in the meantime.
    """
    with tarfile.open(fileobj=target, mode="w|", format=tarfile.PAX_FORMAT) as tar:
        for name in build.folders:
            folder = tarfile.TarInfo(name)
            folder.type, folder.mode = tarfile.DIRTYPE, 0o755
            tar.addfile(folder)
        for name, path in sorted(build.files.items()):
            with path.open("rb") as file:
                _add(tar, name, path.stat().st_size, file)
        for name, path in build.packs.items():
            with tempfile.TemporaryFile() as pack:
                if _packed(path, pack) not in build.arguments.values():
                    raise WorkflowError(f"{path}: changed while it was packed; run the same again")
                size = pack.tell()
                pack.seek(0)
                _add(tar, name, size, pack)


def _packed(folder: Path, target: IO[bytes]) -> str:
    try:
        return write_pack(folder_files(folder), target, sha256_file)
    except RunError as error:
        raise WorkflowError(f"{error}; run the same again") from error


def _add(tar: tarfile.TarFile, name: str, size: int, content: IO[bytes]) -> None:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode = size, 0o644
    tar.addfile(entry, content)


def context_digest(build: Build) -> str:
    """Return the digest of a listing of the build context, where a folder stands for its pack."""
    digests = {name: sha256_file(path) for name, path in build.files.items()}
    digests.update((name, tree_digest(path)) for name, path in build.packs.items())
    lines = [listing_line(name, digests[name]) for name in sorted(digests)]
    return listing_digest("".join([*(f"{name}/\n" for name in build.folders), *lines]))
