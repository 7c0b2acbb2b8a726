"""Showing paths to people: relative to their folder where they are below it."""

from __future__ import annotations

import os
from pathlib import Path


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
