"""One thing that the doctor looked at."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Check:
    """Say what was looked at and what was found."""

    name: str
    """What was looked at."""
    state: str
    """ok, missing (a task makes it, or a stronger backend needs it), insecure (it works,
    but protects less), or bad (nothing works until it is mended)."""
    found: str
    """What is there, in words."""
    mend: str = ""
    """The command that mends it, empty where nothing is to be mended."""
