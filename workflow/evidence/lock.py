"""The lock: the enclaves that a source gives, written by `inv reproduce --write`, and read.

TOML, the same bytes for the same enclaves, to be committed. An entry without the three tables of
what it is made of is one that a person wrote: it can be accepted, and not compared part by part.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import tomli
import tomli_w

from workflow.core.errors import WorkflowError
from workflow.core.settings import PROJECT
from workflow.core.values import EvidenceSettings
from workflow.evidence.reading import KIB, members, read_file, shown_value
from workflow.gsc.inventory import Inventory

LOCK = PROJECT / "manifests" / "measurement.lock"
SCHEMA = "enclave-finetune/measurement/1"
MOST_BYTES = 1024 * KIB
ROLES = ("train", "infer")
HEAD = (
    "# Of enclave-finetune: inv reproduce --write writes over it as long as this line is here.\n"
    "# The enclaves of this source. inv reproduce builds them again and names what differs.\n"
)
NAMED = ("mrsigner", "isv_prod_id", "isv_svn")
PARTS = ("manifest", "files", "packages")
"""What an enclave is made of, files by folder; what all of them have stands in `shared`."""

Entry = dict[str, Any]


def lock_path(chosen: EvidenceSettings) -> Path | None:
    """Return the lock that is named, or the project's own where it has one."""
    if chosen.lock:
        return Path(chosen.lock)
    return LOCK if LOCK.is_file() else None


def read_entries(path: Path) -> tuple[list[Entry], Entry]:
    """Return the lock's enclaves, and what they share.

    Raises: WorkflowError where it cannot be read.
    """
    content = _toml(read_file(path, MOST_BYTES), str(path))
    lock = members(content, str(path), ("schema", "enclave"), optional=("shared",))
    if lock["schema"] != SCHEMA:
        raise WorkflowError(f"{path}: expected schema {SCHEMA}")
    if not isinstance(lock["enclave"], list):
        raise WorkflowError(f"{path}: expected a list of [[enclave]]")
    found = []
    for number, entry in enumerate(lock["enclave"], start=1):
        what = f"{path}: enclave {number}"
        known = members(entry, what, ("role", "mrenclave"), optional=(*NAMED, *PARTS))
        if known["role"] not in ROLES:
            raise WorkflowError(f"{what}: role: expected train or infer")
        found.append(known)
    return found, members(lock.get("shared", {}), f"{path}: shared", (), optional=PARTS)


def read_lock(path: Path, role: str) -> Inventory | None:
    """Return the enclave of the role that `inv reproduce --write` wrote, None where there is none.

    Raises: WorkflowError where the lock cannot be read.
    """
    entries, shared = read_entries(path)
    for entry in entries:
        if entry["role"] == role and "manifest" in entry:
            return _inventory(entry, shared, str(path))
    return None


def by_hand(path: Path) -> list[Entry]:
    """Return the entries of a lock that a person wrote, which stay as they are."""
    return [entry for entry in read_entries(path)[0] if not entry.keys() & set(PARTS)]


def lock_text(made: Iterable[Inventory], kept: Iterable[Entry] = ()) -> str:
    """Return the lock's text: these enclaves, one of a role, after entries that a person wrote."""
    enclaves = sorted(made, key=lambda each: ROLES.index(each.role))
    shared = {part: _shared(getattr(each, part) for each in enclaves) for part in PARTS}
    entries = [*kept, *(_entry(each, shared) for each in enclaves)]
    tables = _tables(shared)
    content = {"schema": SCHEMA, "enclave": entries, **({"shared": tables} if tables else {})}
    return HEAD + tomli_w.dumps(content)


def _entry(made: Inventory, shared: Mapping[str, Mapping[str, str]]) -> Entry:
    own = {part: dict(getattr(made, part).items() - shared[part].items()) for part in PARTS}
    return {
        "role": made.role,
        "mrenclave": made.mrenclave,
        "isv_prod_id": made.isv_prod_id,
        "isv_svn": made.isv_svn,
        "manifest": {},
        **_tables(own),
    }


def _shared(parts: Iterable[Mapping[str, str]]) -> dict[str, str]:
    """Return what is the same in all of several, nothing where there is one."""
    first, *others = parts
    return {
        name: value
        for name, value in first.items()
        if others and all(other.get(name) == value for other in others)
    }


def _tables(parts: Mapping[str, Mapping[str, str]]) -> dict[str, Any]:
    """Return the parts as they stand in the lock: sorted, the files by folder, none empty."""
    found: dict[str, Any] = {part: dict(sorted(parts[part].items())) for part in PARTS}
    folders: dict[str, dict[str, str]] = {}
    for path, sha256 in found["files"].items():
        folder, name = posixpath.split(path)
        folders.setdefault(folder, {})[name] = sha256
    found["files"] = dict(sorted(folders.items()))
    return {part: table for part, table in found.items() if table}


def _inventory(entry: Entry, shared: Entry, what: str) -> Inventory:
    """Return the enclave of an entry, with what it shares.

    Raises: WorkflowError where a part is none.
    """
    parts = {}
    for part in PARTS:
        tables = [tables.get(part, {}) for tables in (shared, entry)]
        if part == "files":
            tables = [_joined(each, f"{what}: {part}") for each in tables]
        parts[part] = {
            name: value
            for table in tables
            for name, value in _texts(table, f"{what}: {part}").items()
        }
    return Inventory(
        entry["role"],
        str(entry["mrenclave"]),
        entry.get("isv_prod_id", 0),
        entry.get("isv_svn", 0),
        **parts,
    )


def _joined(folders: Any, what: str) -> dict[str, Any]:
    if not isinstance(folders, dict):
        raise WorkflowError(f"{what}: expected a table")
    return {
        posixpath.join(folder, name): sha256
        for folder, table in folders.items()
        for name, sha256 in _texts(table, what).items()
    }


def _texts(table: Any, what: str) -> dict[str, str]:
    if not isinstance(table, dict):
        raise WorkflowError(f"{what}: expected a table, got {shown_value(table)}")
    for value in table.values():
        if not isinstance(value, str):
            raise WorkflowError(f"{what}: expected texts, got {shown_value(value)}")
    return table


def _toml(data: bytes, what: str) -> Any:
    try:
        return tomli.loads(data.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise WorkflowError(f"{what}: not TOML: {shown_value(str(error))}") from error
