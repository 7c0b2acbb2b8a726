"""Reading what a stranger sent: every length is looked at first, every fault is one line."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

from pytorch_common.contract import is_sha256
from pytorch_common.files import printable
from workflow.core.errors import WorkflowError

KIB, MIB = 1 << 10, 1 << 20
MOST_DEPTH = 32
"""Levels of JSON within each other; ours has 8."""
MOST_VALUES = 10_000_000
"""Values in one piece of JSON: 100,000 results have 3 million."""
SHOWN_CHARS = 80


def shown_value(value: object) -> str:
    """Return a stranger's value as one short line of printable ASCII."""
    text = printable(ascii(value) if isinstance(value, str) else value)
    return text if len(text) <= SHOWN_CHARS else text[:SHOWN_CHARS] + "…"


def read_file(path: Path, most_bytes: int) -> bytes:
    """Return the file's bytes.

    Raises: WorkflowError where it is missing, no file, or longer than that.
    """
    if not path.is_file():
        raise WorkflowError(f"{printable(path)} is missing, or no file")
    try:
        with path.open("rb") as file:
            data = file.read(most_bytes + 1)
    except OSError as error:
        raise WorkflowError(f"{printable(path)} cannot be read: {error.strerror}") from error
    if len(data) > most_bytes:
        raise WorkflowError(f"{printable(path)}: expected at most {most_bytes} bytes, got more")
    return data


def parse_json(data: bytes, what: str) -> Any:
    """Return what the JSON says; what two readers could read in two ways is refused.

    Raises: WorkflowError for a name that stands twice, a number that is none, other encodings, and
        for more levels or values than anybody needs.
    """
    if data.count(b",") + data.count(b"[") + data.count(b"{") > MOST_VALUES:
        raise WorkflowError(f"{what}: more than {MOST_VALUES} values")
    try:
        content = json.loads(
            data.decode("utf-8"),
            object_pairs_hook=_unique,
            parse_constant=_refuse_constant,
            parse_float=_finite,
        )
    except RecursionError as error:
        raise WorkflowError(f"{what}: more than {MOST_DEPTH} levels of JSON") from error
    except ValueError as error:
        raise WorkflowError(f"{what}: not JSON: {shown_value(str(error))}") from error
    _refuse_depth(content, what)
    if b"\\u" in data:
        _refuse_half_letters(content, what)
    return content


def _refuse_half_letters(content: Any, what: str) -> None:
    """Refuse text with half of a surrogate pair: no encoding can write it again."""
    try:
        json.dumps(content, ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        raise WorkflowError(f"{what}: not JSON: half of a letter") from error


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a name stands there twice")
    return found


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is no number")


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError("a number is too large")
    return value


def _refuse_depth(content: Any, what: str) -> None:
    level = [content]
    for _ in range(MOST_DEPTH):
        level = [
            inner
            for value in level
            if isinstance(value, (dict, list))
            for inner in (value.values() if isinstance(value, dict) else value)
            if isinstance(inner, (dict, list))
        ]
        if not level:
            return
    raise WorkflowError(f"{what}: more than {MOST_DEPTH} levels of JSON")


def same(one: Any, other: Any) -> bool:
    """Tell whether two JSON values are the same; unlike Python's ``==``, 1 is not true."""
    return json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)


def members(
    value: Any, what: str, names: tuple[str, ...], *, optional: tuple[str, ...] = ()
) -> dict[str, Any]:
    """Return the object, which has these members and no others.

    Raises: WorkflowError naming what is missing or too much.
    """
    if not isinstance(value, dict):
        raise WorkflowError(f"{what}: expected an object, got {type(value).__name__}")
    if missing := set(names) - value.keys():
        raise WorkflowError(f"{what}: {', '.join(sorted(missing))} is missing")
    if unknown := value.keys() - set(names) - set(optional):
        raise WorkflowError(f"{what}: unknown member {shown_value(min(unknown))}")
    return value


def expect(value: Any, expected: Any, what: str) -> None:
    """Refuse any other value.

    Raises: WorkflowError with what was expected and got.
    """
    if not same(value, expected):
        raise WorkflowError(f"{what}: expected {shown_value(expected)}, got {shown_value(value)}")


def sha256_of(value: Any, what: str, algorithm: str = "sha256") -> str:
    """Return the digest of a digest set that has this one alone.

    Raises: WorkflowError where it is no such set.
    """
    digest = members(value, what, (algorithm,))[algorithm]
    if not is_sha256(digest):
        raise WorkflowError(f"{what}: expected 64 lower-case hex digits, got {shown_value(digest)}")
    return str(digest)


def named(value: Any, name: str, what: str, algorithm: str = "sha256") -> str:
    """Return the digest of a resource descriptor that has this name, and nothing but a digest.

    Raises: WorkflowError where it is another.
    """
    descriptor = members(value, what, ("name", "digest"))
    expect(descriptor["name"], name, f"{what}.name")
    return sha256_of(descriptor["digest"], f"{what}.digest", algorithm)
