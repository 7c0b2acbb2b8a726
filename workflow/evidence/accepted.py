"""What the verifier accepts: read out of the settings, the lock and the list of machines."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from workflow.core.errors import WorkflowError
from workflow.core.values import EvidenceSettings
from workflow.evidence.lock import lock_path, read_entries
from workflow.evidence.policy import (
    Advisories,
    AllOf,
    AnyOf,
    LowestSvn,
    Measurement,
    NotDebug,
    Platform,
    Policy,
    Product,
    Signer,
)
from workflow.evidence.quotes import FEATURES, STATUSES
from workflow.evidence.reading import MIB, read_file, shown_value

PPIDS_MOST_BYTES = MIB
_MOST_U16 = 0xFFFF


def policies(chosen: EvidenceSettings, role: str) -> list[Policy]:
    """Return the policies that the settings and the lock come to, for the enclave of this role.

    Raises: WorkflowError where a value, the lock or the list cannot be read.
    """
    found: list[Policy] = [NotDebug(), *_named(chosen)]
    if lock := lock_path(chosen):
        found.append(locked(lock, role))
    found.append(Advisories(frozenset(_words(chosen.advisories))))
    if chosen.ppids:
        found.append(Platform(read_ppids(Path(chosen.ppids))))
    return found


def names_an_enclave(chosen: EvidenceSettings) -> bool:
    """Tell whether anything says which enclave is accepted."""
    return bool(chosen.mrenclave or chosen.mrsigner or lock_path(chosen))


def demands_a_quote(chosen: EvidenceSettings) -> bool:
    """Tell whether the verifier asked for what a quote alone can show.

    The project's own lock, which lies there for every run, does not ask for it.
    """
    named = (chosen.mrenclave, chosen.mrsigner, chosen.lock, chosen.ppids)
    return any(named) or chosen.isv_prod_id >= 0 or chosen.isv_svn > 0


def accepted_tcb(chosen: EvidenceSettings) -> list[str]:
    """Return the TCB statuses and platform features that are accepted beside UpToDate.

    Raises: WorkflowError for a word that is neither.
    """
    words = _words(chosen.accept_tcb)
    for word in words:
        if word not in (*STATUSES, *FEATURES):
            known = ", ".join((*STATUSES[1:], *FEATURES))
            raise WorkflowError(f"accept_tcb: expected of {known}, got {shown_value(word)}")
    return words


def locked(path: Path, role: str) -> Policy:
    """Return the policy that accepts one of the lock's enclaves of this role.

    Raises: WorkflowError where the lock cannot be read, or has no enclave of this role.
    """
    entries = enumerate(read_entries(path)[0], start=1)
    found: list[Policy] = [
        AllOf(list(_entry(entry, f"{path}: enclave {number}")))
        for number, entry in entries
        if entry["role"] == role
    ]
    if not found:
        raise WorkflowError(f"{path}: no enclave of the role {role}")
    return AnyOf(found, name="enclave of the lock")


def _entry(names: dict[str, Any], what: str) -> Iterator[Policy]:
    yield Measurement(frozenset({_measurement(names["mrenclave"], f"{what}: mrenclave")}))
    if "mrsigner" in names:
        yield Signer(frozenset({_measurement(names["mrsigner"], f"{what}: mrsigner")}))
    if "isv_prod_id" in names:
        yield Product(_u16(names["isv_prod_id"], f"{what}: isv_prod_id"))
    if "isv_svn" in names:
        yield LowestSvn(_u16(names["isv_svn"], f"{what}: isv_svn"))


def _named(chosen: EvidenceSettings) -> Iterator[Policy]:
    if words := _words(chosen.mrenclave):
        yield Measurement(frozenset(_measurement(word, "mrenclave") for word in words))
    if words := _words(chosen.mrsigner):
        yield Signer(frozenset(_measurement(word, "mrsigner") for word in words))
    if chosen.isv_prod_id >= 0:
        yield Product(chosen.isv_prod_id)
    if chosen.isv_svn > 0:
        yield LowestSvn(chosen.isv_svn)


def read_ppids(path: Path) -> frozenset[str]:
    """Return the machines of the list: a PPID in hex a line, with remarks after a #.

    Raises: WorkflowError naming the line that is none.
    """
    text = read_file(path, PPIDS_MOST_BYTES).decode("utf-8", "backslashreplace")
    found = set()
    for number, line in enumerate(text.splitlines(), start=1):
        word = line.partition("#")[0].strip().lower()
        if word and not re.fullmatch("[0-9a-f]{32}", word):
            raise WorkflowError(f"{path}:{number}: expected 32 hex digits, got {shown_value(word)}")
        found.add(word)
    if not found - {""}:
        raise WorkflowError(f"{path}: no machine is named in it")
    return frozenset(found - {""})


def _measurement(value: Any, what: str) -> str:
    if not isinstance(value, str) or not re.fullmatch("[0-9a-f]{64}", value.lower()):
        raise WorkflowError(f"{what}: expected 64 hex digits, got {shown_value(value)}")
    return value.lower()


def _u16(value: Any, what: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= _MOST_U16:
        raise WorkflowError(f"{what}: expected from 0 to {_MOST_U16}, got {shown_value(value)}")
    return value


def _words(text: str) -> list[str]:
    return [word for word in re.split(r"[,\s]+", text) if word]
