"""Notes to the person, on standard error, answers, on standard output, and how both show paths."""

from __future__ import annotations

import json
import os
import re
import sys
from pathlib import Path

from pytorch_common.contract import PIPE_CLOSED

_CONTROL = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[ -/]*[0-~])")
"""What begins with an escape: a control sequence, a title, or another function. Source: ECMA-48."""


def note(line: str) -> None:
    """Print one line of progress to standard error."""
    print(shorten(line), file=sys.stderr, flush=True)  # noqa: T201


def answer(line: str) -> None:
    """Print one line of the answer to standard output, escaping what its encoding lacks.

    Raises: SystemExit with PIPE_CLOSED where nobody reads it any more, as in ``| head``.
    """
    try:
        print(printable(line, sys.stdout.encoding), flush=True)  # noqa: T201
    except BrokenPipeError:
        # What is left in the buffer goes nowhere, instead of failing once more at the end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(PIPE_CLOSED) from None


def plain(text: str) -> str:
    """Return the text without what a program put into it for a terminal: colours, cursor moves."""
    return _CONTROL.sub("", text)


def answer_json(text: str) -> None:
    """Print JSON as the answer; where the encoding lacks a letter, with JSON's own escapes."""
    encoding = sys.stdout.encoding or "utf-8"
    is_whole = text.encode(encoding, "replace").decode(encoding) == text
    answer(text if is_whole else json.dumps(json.loads(text), indent=2))


def printable(line: str, encoding: str | None) -> str:
    """Return the line with escapes for what the encoding lacks: letters, bytes of file names."""
    encoding = encoding or "utf-8"
    return line.encode(encoding, "backslashreplace").decode(encoding)


def is_colourful() -> bool:
    """Tell whether the answer goes to a terminal whose owner has nothing against colours."""
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR")


def red(text: str) -> str:
    """Return the text in red, for a terminal."""
    return f"\033[31m{text}\033[0m"


def shown(path: Path) -> str:
    """Return the path as the caller would type it."""
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)


def shorten(text: str) -> str:
    """Return the text with every path below the caller's folder relative to it."""
    try:
        folder = str(Path.cwd()).rstrip(os.sep)
    except FileNotFoundError:  # somebody removed it
        return text
    return text.replace(folder + os.sep, "") if folder else text
