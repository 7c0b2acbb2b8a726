"""Whose a file is: a task writes over, and deletes, what a task made, never a person's own."""

from __future__ import annotations

import base64
import json
import os
import pwd
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from pathlib import Path

from pytorch_common.contract import (
    CLAIMS_FILE,
    MODEL_SIGNATURE_FILE,
    NET_FILE,
    PROOFS_FILE,
    PUBLIC_KEY_FILE,
    QUOTE_FILE,
    RECORD_FILE,
    RESULT_JSON_FILE,
    RESULT_TEXT_FILE,
)
from workflow.core.errors import WorkflowError
from workflow.core.settings import PROJECT

MARKS = (
    b'"schema": "enclave-finetune/',
    b"enclave-finetune/net/",
    b"enclave-finetune/checkpoint/",
    b'content="enclave-finetune"',
    b"Software\0enclave-finetune",
    b"# Of enclave-finetune: ",
    b"GRAFS_PF",
)
"""What the head of every file that a task writes has in it: JSON by its schema, networks and
checkpoints by their format, pages and pictures by their generator, GSC's config.yaml by its first
line; and how each file of an encrypted mount begins (source: Gramine, common/src/protected_files).
The project's name alone is no mark: a person's file may name a path of the checkout."""
HEAD_BYTES = 4096
CLAIM_MARK = b'"urn:enclave-finetune:'
CLAIM_BYTES = 1 << 20
"""What a signed statement of ours has in its payload, and how long its line is at most."""
SPEAKERS = {
    NET_FILE: RECORD_FILE,
    RESULT_TEXT_FILE: RESULT_JSON_FILE,
    **dict.fromkeys((PUBLIC_KEY_FILE, QUOTE_FILE, MODEL_SIGNATURE_FILE, PROOFS_FILE), CLAIMS_FILE),
}
"""The JSON beside it that speaks for a damaged network, for a text of answers alone, and for what
else is evidence; not for a network of another name, which may be a person's."""
LITTER = {"__MACOSX", ".DS_Store", "Thumbs.db"}
"""What file managers leave; nobody's."""
NAMED_AT_MOST = 3
"""Of a person's files in the way; no more of them are looked for."""


def is_ours(path: Path) -> bool:
    """Tell whether a task made the file, as its head says, or the JSON that belongs to it."""
    speaker = path.with_name(SPEAKERS.get(path.name, path.name))
    return path.is_file() and (_is_marked(path) or _is_marked(speaker))


def _is_marked(path: Path) -> bool:
    if not path.is_file():
        return False
    with path.open("rb") as file:
        head = file.read(HEAD_BYTES)
    # Gramine leaves an empty file where it may not write; there is nothing in it to be lost.
    is_claim = path.suffix == Path(CLAIMS_FILE).suffix and _is_claim(path)
    return not head or is_claim or any(mark in head for mark in MARKS)


def _is_claim(path: Path) -> bool:
    """Tell whether the first line has a statement of ours in it, signed or not."""
    with path.open("rb") as file:
        line = file.readline(CLAIM_BYTES)
    try:
        return CLAIM_MARK in base64.b64decode(json.loads(line)["dsseEnvelope"]["payload"])
    except (ValueError, LookupError, TypeError, RecursionError):
        return False


def refuse_foreign(paths: Iterable[Path], *, instead: str) -> None:
    """Refuse to write over what no task made.

    ``instead`` says where a task could write.

    Raises: WorkflowError naming the first such file.
    """
    for path in paths:
        if os.path.lexists(path) and not is_ours(path):
            raise WorkflowError(
                f"{path}: no task made it, so none touches it; move it away, or {instead}"
            )


def refuse_unfit(folder: Path, setting: str) -> None:
    """Refuse a folder that is none, or that no task may take for its own.

    That is the project, whatever it lies in, and a home folder.

    Raises: WorkflowError naming the setting.
    """
    nearest = next(place for place in (folder, *folder.parents) if os.path.lexists(place))
    place = Path(os.path.realpath(folder))  # a link to itself is no error here
    if not nearest.is_dir():
        raise WorkflowError(f"{setting}: expected a folder, but {nearest} is none")
    if place == PROJECT or place in PROJECT.parents:
        what = "the project's own folder" if place == PROJECT else "a folder around the project"
    elif place in _homes():
        what = "a home folder"
    else:
        return
    raise WorkflowError(f"{setting}: {folder} is {what}, and never written to; name one below it")


def refuse_to_replace(folder: Path, is_known: Callable[[Path], bool], *, instead: str) -> None:
    """Refuse to replace a folder unless all that is in it was made by a task.

    ``is_known`` tells so of a file, ``instead`` says where a task could write.

    Raises: WorkflowError naming the folder and what is in it.
    """
    if folder.is_symlink():
        what = "a link"
    elif os.path.lexists(folder) and not folder.is_dir():
        what = "no folder"
    elif folder.is_mount():
        what = "a mount point"
    elif strangers := list(islice((e for e in entries(folder) if not is_known(e)), NAMED_AT_MOST)):
        names = ", ".join(str(path.relative_to(folder)) for path in strangers)
        what = f"not a task's alone ({names})"
    else:
        return
    raise WorkflowError(f"{folder} is {what}, so it is not replaced; {instead}")


def free_place(folder: Path) -> Path:
    """Return a name like the folder's under which there is nothing yet."""
    number = 2
    while os.path.lexists(free := folder.with_name(f"{folder.name}-{number}")):
        number += 1
    return free


def entries(folder: Path) -> Iterator[Path]:
    """Yield all that lies below the folder but folders and litter; links are not followed."""
    for root, folders, names in os.walk(folder):
        folders[:] = sorted(set(folders) - LITTER)
        linked = [name for name in folders if Path(root, name).is_symlink()]
        yield from (Path(root, name) for name in sorted([*names, *linked]) if name not in LITTER)


def _homes() -> set[Path]:
    named = [entry.pw_dir for entry in pwd.getpwall()]
    return {Path(home).resolve() for home in (os.path.expanduser("~"), *named)}  # noqa: PTH111
