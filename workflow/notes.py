"""Notes to the person, on standard error, and answers, on standard output."""

from __future__ import annotations

import os
import sys

from workflow.paths import shorten


def note(line: str) -> None:
    """Print one line of progress to standard error."""
    print(shorten(line), file=sys.stderr, flush=True)  # noqa: T201


def answer(line: str) -> None:
    """Print one line of the answer to standard output."""
    print(line, flush=True)  # noqa: T201


def is_colourful() -> bool:
    """Tell whether the answer goes to a terminal whose owner has nothing against colours."""
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR")


def red(text: str) -> str:
    """Return the text in red, for a terminal."""
    return f"\033[31m{text}\033[0m"
