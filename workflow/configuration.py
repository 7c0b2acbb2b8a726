"""Reading the settings: default, then invoke.yaml, then INVOKE_…, then a task's flag."""

from __future__ import annotations

import difflib
import os
from collections.abc import Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from pytorch_common.contract import ImageLimits
from workflow.errors import WorkflowError
from workflow.settings import (
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
}


def defaults() -> dict[str, dict[str, str]]:
    """Return every default as text by section, for invoke to merge files and environment into.

    As text, because invoke casts an environment variable to the default's type and takes any text
    but "" and "0" for true; ``read`` casts, and knows what a number is.
    """
    return {
        name: {key.name: str(getattr(section, key.name)) for key in fields(section)}
        for name, section in _SECTIONS.items()
    }


def read(config: Mapping[str, Any], flags: Mapping[str, Any] | None = None) -> Settings:
    """Build the settings from invoke's merged configuration and a task's flags.

    ``flags`` maps ``section.key`` to the flag's value; None stands for a flag that is not given.
    A relative path of a flag starts from the caller's folder, any other from the project's.

    Raises: WorkflowError for a key that does not exist or a value that cannot be.
    """
    refuse_unknown_variables(os.environ)
    _refuse_unknown(set(config) - _INVOKE_KEYS, set(_SECTIONS), "setting")
    sections: dict[str, Any] = {
        name: _section(name, default, config.get(name, {})) for name, default in _SECTIONS.items()
    }
    for name, value in (flags or {}).items():
        section, key = name.split(".")
        if value is not None:
            cast = _cast(name, value, getattr(sections[section], key), Path.cwd())
            sections[section] = replace(sections[section], **{key: cast})
    return Settings(**sections, dry=bool(config.get("run", {}).get("dry")))


def refuse_unknown_variables(environ: Mapping[str, str]) -> None:
    """Refuse an INVOKE_… variable that names no setting: invoke would pass over it in silence.

    Raises: WorkflowError with the nearest name.
    """
    known = {
        f"INVOKE_{section}_{key}".upper() for section, keys in defaults().items() for key in keys
    }
    own = tuple(f"INVOKE_{key.upper()}" for key in _INVOKE_KEYS)
    given = {name for name in environ if name.startswith("INVOKE_") and not name.startswith(own)}
    _refuse_unknown(given, known, "environment variable")


def _section(name: str, default: Any, given: Any) -> Any:
    """Return the section with the given values in place of its defaults."""
    if not hasattr(given, "keys"):
        raise WorkflowError(f"{name}: expected a section with keys, got {given!r}")
    known = {f"{name}.{key.name}" for key in fields(default)}
    _refuse_unknown({f"{name}.{key}" for key in given}, known, "setting")
    values = {
        key: _cast(f"{name}.{key}", given[key], getattr(default, key), PROJECT) for key in given
    }
    return replace(default, **values)


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
        raise WorkflowError(f"{name}: expected {_KINDS[kind]}, got {value!r}")
    if issubclass(kind, Path):
        return Path(os.path.normpath(base / Path(str(value)).expanduser()))
    try:
        return kind(str(value).strip())
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
    type(PROJECT): "a path",
}
