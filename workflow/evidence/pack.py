"""One file to send: a plain tar, the same bytes for the same evidence, read as a stranger's.

A header is taken only where it is, byte for byte, the one that this module writes for a known name
and a size within its bound. So there are no links, no paths, no compression and no second file of
a name, and any tar program still opens it.
"""

from __future__ import annotations

import json
import os
import re
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import BinaryIO

from pytorch_common.contract import (
    CLAIMS_FILE,
    HISTORY_FILE,
    MODEL_SIGNATURE_FILE,
    NET_FILE,
    PROOFS_FILE,
    PUBLIC_KEY_FILE,
    QUOTE_FILE,
    RECORD_FILE,
    RESULT_JSON_FILE,
)
from pytorch_common.files import printable
from workflow.assets.trained import COLLATERAL_FILE
from workflow.core.errors import WorkflowError
from workflow.evidence.claims import CLAIMS_MOST_BYTES, KEY_MOST_BYTES
from workflow.evidence.collateral import COLLATERAL_MOST_BYTES
from workflow.evidence.quotes import QUOTE_MOST_BYTES
from workflow.evidence.reading import KIB, MIB
from workflow.evidence.results import RESULT_MOST_BYTES
from workflow.evidence.verification import MODEL_SIGNATURE_MOST_BYTES, RECORD_MOST_BYTES

TRAIN, INFER = "train", "infer"
ABOUT_FILE = "about.json"
SCHEMA = "enclave-finetune/evidence/1"
ABOUT = json.dumps(
    {"schema": SCHEMA, "verify": "inv verify FILE", "format": "docs/evidence-format.md"}, indent=2
).encode()
"""The first file: who opens the pack without this project reads what it is."""
NET_MOST_BYTES = 4096 * MIB
_COMMON = {
    CLAIMS_FILE: CLAIMS_MOST_BYTES,
    COLLATERAL_FILE: COLLATERAL_MOST_BYTES,
    PUBLIC_KEY_FILE: KEY_MOST_BYTES,
    QUOTE_FILE: QUOTE_MOST_BYTES,
}
_TRAIN = {
    HISTORY_FILE: RECORD_MOST_BYTES,
    MODEL_SIGNATURE_FILE: MODEL_SIGNATURE_MOST_BYTES,
    NET_FILE: NET_MOST_BYTES,
    RECORD_FILE: RECORD_MOST_BYTES,
}
_INFER = {PROOFS_FILE: 4 * RESULT_MOST_BYTES, RESULT_JSON_FILE: RESULT_MOST_BYTES}
MOST_BYTES: Mapping[str, int] = {
    ABOUT_FILE: KIB,
    **{f"{TRAIN}/{name}": most for name, most in {**_COMMON, **_TRAIN}.items()},
    **{f"{INFER}/{name}": most for name, most in {**_COMMON, **_INFER}.items()},
}
"""Every name that a pack may have, and how long that file may be."""
_BLOCK, _CHUNK = 512, MIB
_END = bytes(2 * _BLOCK)


def found(folder: Path, part: str, *, net: bool) -> dict[str, Path]:
    """Return what of the folder goes into a pack, by its name there; the network where asked."""
    names = [name.partition("/")[2] for name in MOST_BYTES if name.startswith(f"{part}/")]
    paths = {f"{part}/{name}": folder / name for name in names if net or name != NET_FILE}
    return {name: path for name, path in paths.items() if path.is_file()}


def write(target: Path, files: Mapping[str, Path]) -> None:
    """Write the pack, whole or not at all; times, owners and rights of the files stay out.

    Raises: WorkflowError where a file is longer than a pack may hold.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as pack:
            pack.write(_header(ABOUT_FILE, len(ABOUT)) + ABOUT + _padding(len(ABOUT)))
            for name in sorted(files):
                _add(pack, name, files[name])
            pack.write(_END)
            pack.flush()
            os.fsync(pack.fileno())
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)


def _add(pack: BinaryIO, name: str, path: Path) -> None:
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        if size > MOST_BYTES[name]:
            raise WorkflowError(f"{path}: expected at most {MOST_BYTES[name]} bytes, got {size}")
        pack.write(_header(name, size))
        if _copy(file, pack, size):
            raise WorkflowError(f"{path} changed while it was packed; run the same command again")
        pack.write(_padding(size))


def unpack(path: Path, folder: Path) -> None:
    """Put what is in the pack into the folder.

    Raises: WorkflowError where it is no pack of this project.
    """
    name = printable(path)
    with path.open("rb") as pack:
        before = ""
        while (header := pack.read(_BLOCK)) != _END[:_BLOCK]:
            part, size = _parse_header(header, name)
            if part <= before or (not before and part != ABOUT_FILE):
                raise WorkflowError(f"{name}: {part}: twice, or not in the order of a pack")
            _extract(pack, folder / part, size, f"{name}: {part}")
            before = part
        if pack.read(_BLOCK + 1) != _END[_BLOCK:]:
            raise WorkflowError(f"{name}: something comes after its end")
    if not before or (folder / ABOUT_FILE).read_bytes() != ABOUT:
        raise WorkflowError(f"{name}: expected {SCHEMA} in {ABOUT_FILE}")


def _parse_header(header: bytes, what: str) -> tuple[str, int]:
    """Return name and size, where the header is the one that is written for them."""
    part = header[:100].rstrip(b"\0").decode("ascii", "backslashreplace")
    digits = re.fullmatch(rb"([0-7]{11})\0", header[124:136])
    if part not in MOST_BYTES or not digits:
        raise WorkflowError(f"{what}: no pack of evidence, or {printable(part)[:80]!r} is no part")
    size = int(digits[1], 8)
    if size > MOST_BYTES[part]:
        raise WorkflowError(f"{what}: {part}: expected at most {MOST_BYTES[part]} bytes")
    if header != _header(part, size):
        raise WorkflowError(f"{what}: {part}: not as a pack has it")
    return part, size


def _extract(pack: BinaryIO, target: Path, size: int, what: str) -> None:
    target.parent.mkdir(exist_ok=True)
    with target.open("xb") as file:
        left = _copy(pack, file, size)
    padding = _padding(size)
    if left or pack.read(len(padding)) != padding:
        raise WorkflowError(f"{what}: the pack is truncated")


def _copy(source: BinaryIO, target: BinaryIO, size: int) -> int:
    """Copy so many bytes, and return how many were not there."""
    while size and (chunk := source.read(min(size, _CHUNK))):
        target.write(chunk)
        size -= len(chunk)
    return size


def _header(name: str, size: int) -> bytes:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode, entry.mtime = size, 0o644, 0
    return entry.tobuf(tarfile.USTAR_FORMAT, "ascii", "strict")


def _padding(size: int) -> bytes:
    return bytes(-size % _BLOCK)
