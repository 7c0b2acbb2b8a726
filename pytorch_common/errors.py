"""The one error of the scripts that a person can mend: it ends in one line and exit status 1."""

from __future__ import annotations


class RunError(Exception):
    """Say what is wrong, what was expected and what was found, in one line."""
