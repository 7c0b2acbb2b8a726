"""Reading the settings: default, then invoke.yaml, then INVOKE_…, then a task's flag."""

from __future__ import annotations

import difflib
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import fields, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from pytorch_common.contract import ImageLimits
from workflow.core import config_files
from workflow.core.config_files import Entry, Section
from workflow.core.console import note
from workflow.core.errors import WorkflowError
from workflow.core.settings import (
    PROJECT,
    DataSettings,
    GscSettings,
    ImageSettings,
    InferSettings,
    MachineSettings,
    ModelSettings,
    Settings,
    TrainSettings,
)
from workflow.core.values import EvidenceSettings, PathText, Source

_INVOKE_KEYS = {"debug", "run", "runners", "sudo", "tasks", "timeouts"}

_SECTIONS: dict[str, Any] = {
    "model": ModelSettings(),
    "data": DataSettings(),
    "train": TrainSettings(),
    "infer": InferSettings(),
    "limits": ImageLimits(),
    "machine": MachineSettings(),
    "image": ImageSettings(),
    "gsc": GscSettings(),
    "evidence": EvidenceSettings(),
}
_NAMES = [f"{name}.{key.name}" for name, section in _SECTIONS.items() for key in fields(section)]


def defaults() -> dict[str, dict[str, Any]]:
    """Return every default by section and key."""
    return {
        name: {key.name: getattr(section, key.name) for key in fields(section)}
        for name, section in _SECTIONS.items()
    }


def read(
    config: Mapping[str, Any],
    flags: Mapping[str, Any] | None = None,
    *,
    check: Callable[[Settings], object] = lambda settings: None,
) -> Settings:
    """Build the settings from the files, the environment and a task's flags.

    ``config`` is invoke's, which knows the file that ``--config`` names. ``check`` looks at what
    rooms above know of settings.
    ``flags`` maps ``section.key`` to the flag's value; None stands for a flag that is not given.
    A relative path of a flag starts from the caller's folder, any other from the project's.

    Raises: WorkflowError for a key that does not exist or a value that cannot be, with its place.
    """
    refuse_unknown_variables(os.environ)
    refuse_empty_flags(flags or {})
    given = [
        *from_files(getattr(config, "_runtime_path", None)),
        *from_environment(os.environ),
        *(Entry(name, value, "") for name, value in (flags or {}).items() if value is not None),
    ]
    sections = dict(_SECTIONS)
    for name, value, place in given:
        section, key = name.split(".")
        base = PROJECT if place else Path.cwd()
        with _placed(place):
            cast = _cast(name, value, getattr(sections[section], key), base)
        sections[section] = replace(sections[section], **{key: cast})
    try:
        settings = Settings(**sections)
        check(settings)
        return settings
    except WorkflowError as error:
        message = str(error.message)
        places = {name: place for name, _, place in given if f"{name.split('.')[1]}:" in message}
        raise WorkflowError(_at(", ".join(filter(None, places.values())), message)) from error


def from_files(named: str | None = None) -> list[Entry]:
    """Return what the files set, the strongest last; ``named`` is the file of ``--config``.

    What is not ours is refused in our own files, and passed over in the user's and the system's.

    Raises: WorkflowError with the place.
    """
    given: list[Entry] = []
    for name, content, place, is_ours in config_files.sections(named):
        keys = Section() if content is None else content
        if name in _INVOKE_KEYS or not (is_ours or name in _SECTIONS):
            continue
        with _placed(place):
            _refuse_unknown({name}, set(_SECTIONS), "setting")
        if isinstance(keys, Section):
            given += _settings(name, keys, is_ours=is_ours)
        elif is_ours:
            raise WorkflowError(f"{place}: {name}: expected a section with keys, got {keys!r}")
        else:
            note(f"{place}: {name}: no section with keys, hence passed over")
    return given


def from_environment(environ: Mapping[str, str]) -> list[Entry]:
    """Return what the INVOKE_… variables set."""
    variables = {f"INVOKE_{name.replace('.', '_')}".upper(): name for name in _NAMES}
    return [
        Entry(name, environ[variable], variable)
        for variable, name in variables.items()
        if variable in environ
    ]


def refuse_unknown_variables(environ: Mapping[str, str]) -> None:
    """Refuse an INVOKE_… variable that names no setting: invoke would pass over it in silence.

    Raises: WorkflowError with the nearest name.
    """
    known = {f"INVOKE_{name.replace('.', '_')}".upper() for name in _NAMES}
    own = tuple(f"INVOKE_{key.upper()}" for key in _INVOKE_KEYS)
    given = {name for name in environ if name.startswith("INVOKE_") and not name.startswith(own)}
    _refuse_unknown(given, known, "environment variable")


def refuse_empty_flags(flags: Mapping[str, Any]) -> None:
    """Refuse a flag with nothing in it, as an unset variable of the shell leaves it.

    Raises: WorkflowError naming the setting.
    """
    for name, value in flags.items():
        if value is not None and not str(value).strip():
            raise WorkflowError(f"{name}: its flag is empty; give it a value, or leave it out")


def _settings(section: str, keys: Section, *, is_ours: bool) -> list[Entry]:
    """Return the keys of a section under their full names."""
    given = [entry._replace(name=f"{section}.{entry.name}") for entry in keys]
    if not is_ours:
        return [entry for entry in given if entry.name in _NAMES]
    for entry in given:
        with _placed(entry.place):
            _refuse_unknown({entry.name}, set(_NAMES), "setting")
    return given


@contextmanager
def _placed(place: str) -> Iterator[None]:
    """Have an error begin with the place that it is about."""
    try:
        yield
    except WorkflowError as error:
        raise WorkflowError(_at(place, str(error.message))) from error


def _at(place: str, message: str) -> str:
    return f"{place}: {message}" if place else message


def _refuse_unknown(given: set[str], known: set[str], what: str) -> None:
    for name in sorted(given - known):
        near = difflib.get_close_matches(name, known, n=1)
        hint = f"did you mean {near[0]}?" if near else f"known are {', '.join(sorted(known))}"
        raise WorkflowError(f"unknown {what} {name}; {hint}")


def _cast(name: str, value: Any, default: Any, base: Path) -> Any:
    """Return the value in the type of the default, paths absolute.

    Raises: WorkflowError where the value is not of that type.
    """
    kind = type(default)
    if kind is bool:
        return _truth(name, value)
    if isinstance(value, bool) or value is None or isinstance(value, (list, Mapping)):
        got = "nothing" if value is None else repr(value)
        raise WorkflowError(f"{name}: expected {_KINDS[kind]}, got {got}")
    text = str(value).strip()
    if len(text.splitlines()) > 1 or "\0" in text:
        raise WorkflowError(f"{name}: expected one line of text, got {text!r}")
    if os.path.expanduser(text).startswith("~"):  # noqa: PTH111 - Path's own raises RuntimeError
        raise WorkflowError(f"{name}: no home folder for {text}; set HOME, or give a full path")
    if issubclass(kind, Path):
        if not str(value).strip():
            raise WorkflowError(f"{name}: expected a path, got nothing")
        return Path(os.path.normpath(base / Path(str(value)).expanduser()))
    if issubclass(kind, PathText) and kind(text).is_path():
        text = os.path.normpath(base / Path(text).expanduser())
    try:
        if "://" in text and kind is Source:
            _ = urlsplit(text).port  # what is no URL at all raises, here or there
        return kind(text)
    except ValueError as error:
        raise WorkflowError(f"{name}: expected {_KINDS[kind]}, got {value!r}") from error


def _truth(name: str, value: Any) -> bool:
    """Return true or false for the words that people write for them."""
    word = str(value).strip().lower()
    if word not in _TRUTHS:
        raise WorkflowError(f"{name}: expected true or false, got {value!r}")
    return _TRUTHS[word]


_TRUTHS = {
    **dict.fromkeys(("true", "yes", "on", "1"), True),
    **dict.fromkeys(("false", "no", "off", "0", ""), False),
}

_KINDS: dict[type, str] = {
    int: "a whole number",
    float: "a number",
    str: "text",
    PathText: "a path",
    Source: "a URL or a path",
    type(PROJECT): "a path",
}
