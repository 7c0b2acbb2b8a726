"""Notes to the person, on standard error, and answers, on standard output."""

from __future__ import annotations

import sys

from workflow.paths import shorten


def note(line: str) -> None:
    """Print one line of progress to standard error."""
    print(shorten(line), file=sys.stderr, flush=True)  # noqa: T201


def answer(line: str) -> None:
    """Print one line of the answer to standard output."""
    print(line, flush=True)  # noqa: T201
