"""The files that settings stand in, those that invoke reads; each value with its place.

invoke itself would end in a traceback where one of them is damaged, so they are read here.
"""

from __future__ import annotations

import json
import os
import runpy
import traceback
from collections.abc import Iterable, Mapping
from itertools import pairwise
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

from workflow.core.errors import WorkflowError
from workflow.core.settings import PROJECT

SYSTEM = "/etc/invoke"
USER = "~/.invoke"
OWN = str(PROJECT / "invoke")
SUFFIXES = (".yaml", ".yml", ".json", ".py")
"""The first that is there counts. Source: invoke.config.Config."""


class Entry(NamedTuple):
    """A key of a file, and what stands under it."""

    name: str
    value: Any
    place: str
    """The file, and the line where the format tells it: ``invoke.yaml:3``."""


class Section(list[Entry]):
    """What stands in a file, or under one of its keys: keys with values."""


def sections(named: str | None = None) -> list[tuple[str, Any, str, bool]]:
    """Return name, content and place of each section, the weakest first, and whether it is ours.

    Those of the project and of the file that is ``named`` are; the user's and the system's serve
    other projects too.

    Raises: WorkflowError with the place where a file cannot be read.
    """
    files = [(_find(SYSTEM), False), (_find(USER), False), (_find(OWN), True)]
    files.append((Path(named) if named else None, True))
    return [(*entry, is_ours) for path, is_ours in files if path for entry in read(path)]


def read(path: Path) -> Section:
    """Return what stands in the file at its top level.

    Raises: WorkflowError with the place.
    """
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise WorkflowError(
            f"{path}:{line}: expected text in UTF-8, got another encoding"
        ) from error
    except OSError as error:
        raise WorkflowError(f"{path} cannot be read: {error.strerror}") from error
    parsers = {".json": _json, ".py": _python}
    content = parsers.get(path.suffix, _yaml)(path, text)
    if not isinstance(content, Section):
        raise WorkflowError(f"{path}: expected sections with keys, got {content!r}")
    return content


def _find(prefix: str) -> Path | None:
    """Return the file that counts; one in a folder that is closed to this user is not there."""
    names = (os.path.expanduser(prefix + suffix) for suffix in SUFFIXES)  # noqa: PTH111 - no home
    return next((Path(name) for name in names if os.path.exists(name)), None)  # noqa: PTH110


def _yaml(path: Path, text: str) -> Any:
    import yaml

    def place(mark: Any) -> str:
        return f"{path}:{mark.line + 1}"

    def entries(node: Any, depth: int) -> Any:
        if depth == 0 or not isinstance(node, yaml.MappingNode):
            return loader.construct_object(node, deep=True)
        return _section(
            Entry(str(key.value), entries(value, depth - 1), place(key.start_mark))
            for key, value in node.value
        )

    try:
        loader = yaml.SafeLoader(text)
        root = loader.get_single_node()
        return Section() if root is None else entries(root, 2)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        reason = " ".join(f"{error.problem or error.context}".split())
        raise WorkflowError(f"{place(mark)}: not YAML: {reason}") from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise WorkflowError(f"{path}: not YAML: {' '.join(str(error).split())}") from error


def _json(path: Path, text: str) -> Any:
    def entries(pairs: list[tuple[str, Any]]) -> Section:
        return _section(Entry(name, value, str(path)) for name, value in pairs)

    try:
        return json.loads(text, object_pairs_hook=entries)
    except json.JSONDecodeError as error:
        raise WorkflowError(f"{path}:{error.lineno}: not JSON: {error.msg}") from error


def _python(path: Path, text: str) -> Any:
    try:
        names = runpy.run_path(str(path))
    except Exception as error:
        lines = [
            frame.lineno
            for frame in traceback.extract_tb(error.__traceback__)
            if frame.filename == str(path)
        ]
        line = error.lineno if isinstance(error, SyntaxError) else (lines or [1])[-1]
        reason = " ".join(str(error).split())
        raise WorkflowError(f"{path}:{line}: {type(error).__name__}: {reason}") from error
    return _section(
        Entry(name, _plain(value, path), str(path))
        for name, value in names.items()
        if not name.startswith("_") and not isinstance(value, ModuleType)
    )


def _plain(value: Any, path: Path) -> Any:
    if not isinstance(value, Mapping):
        return value
    return _section(Entry(str(name), each, str(path)) for name, each in value.items())


def _section(entries: Iterable[Entry]) -> Section:
    """Return the entries; a name that stands there twice is refused, not lost in silence."""
    found = Section(entries)
    for first, second in pairwise(sorted(found, key=lambda entry: entry.name)):
        if first.name == second.name:
            raise WorkflowError(f"{second.place}: {second.name} stands there twice; keep one")
    return found
