"""What reading a folder of images from anywhere comes to: ``inv bench --what images``."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Sequence
from typing import Any

from workflow.core.console import shown
from workflow.core.errors import WorkflowError
from workflow.core.settings import Settings
from workflow.tools.comparisons import Row
from workflow.tools.measure import BENCHMARKS, ours

SCRIPT = BENCHMARKS / "read_images.py"
MOST_SECONDS = 10
MOST_MB = 1074
"""A gibibyte."""


def read_images(settings: Settings, rounds: int) -> list[Row]:
    """Read every file of the folder and return a row for each kind of outcome.

    Raises: WorkflowError where there are none, or one ends in a traceback or a crash, or takes
    more than ten seconds of processor or a gibibyte.
    """
    folder = settings.data.dir
    if not folder.is_dir():
        raise WorkflowError(f"{folder}: no such folder; give one with --data")
    found: list[dict[str, Any]] = []
    for _ in range(rounds):
        found += json.loads(ours(str(SCRIPT), arguments(settings)).answer)
    if not found:
        raise WorkflowError(f"{folder}: no files in it")
    bad = [
        f"{each['file']}: {each['outcome']} ({each['seconds']} s, {each['mb']} MB)"
        for each in found
        if each["outcome"].startswith(("TRACEBACK", "CRASHED"))
        or each["seconds"] > MOST_SECONDS
        or each["mb"] > MOST_MB
    ]
    if bad:
        raise WorkflowError(f"{len(bad)} of {len(found)} files: {bad[0]}")
    kinds: dict[str, list[dict[str, Any]]] = {}
    for each in found:
        kinds.setdefault(kind_of(each["outcome"]), []).append(each)
    rows = [row(kind, kinds[kind]) for kind in sorted(kinds, key=lambda kind: -len(kinds[kind]))]
    return [row("all", found), *rows]


def arguments(settings: Settings) -> list[str]:
    """Return the script's arguments."""
    limits = dataclasses.asdict(settings.limits)
    options = (f"--{name.replace('_', '-')}={value}" for name, value in limits.items())
    return [shown(settings.data.dir), *options]


def kind_of(outcome: str) -> str:
    """Return the outcome without what differs from file to file."""
    return re.sub(r"-?\d+", "N", outcome)


def row(kind: str, files: Sequence[dict[str, Any]]) -> Row:
    """Return how many files there are of a kind, and the slowest and the greediest of them."""
    slowest = max(files, key=lambda each: each["seconds"])
    greediest = max(files, key=lambda each: each["mb"])
    return {
        "outcome": kind,
        "files": len(files),
        "seconds_a_file": round(sum(each["seconds"] for each in files) / len(files), 3),
        "slowest": f"{slowest['seconds']} s, {name(slowest)}",
        "most_memory": f"{greediest['mb']} MB, {name(greediest)}",
    }


def name(each: dict[str, Any]) -> str:
    """Return the file's own name, without a table's lines in it."""
    return str(each["file"]).rpartition("/")[2].replace("|", "\\|")
