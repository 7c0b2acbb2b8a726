"""Deleting what the tasks made."""

from __future__ import annotations

import shutil
from pathlib import Path

from workflow import dataset
from workflow.notes import note
from workflow.report import CURVES_FILE, REPORT_FILE
from workflow.settings import PROJECT, Settings
from workflow.training import record_beside


def clean(settings: Settings, *, downloads: bool = False) -> None:
    """Delete results, networks and records, with ``downloads`` weights and images too.

    Folders that a setting moved out of the project lose only the files that the tasks write.
    """
    for path in (*made(settings), *(downloaded() if downloads else ())):
        if path.is_dir():
            shutil.rmtree(path)
        elif path.exists():
            path.unlink()
        else:
            continue
        note(f"deleted {path}")


def made(settings: Settings) -> list[Path]:
    """Return what the work tasks write."""
    train, infer = settings.train.out, settings.infer
    return [
        *(train / name for name in ("net.pt", "history.json", "record.json")),
        *train.glob("net.pt.epoch-*"),
        *(train / name for name in (REPORT_FILE, CURVES_FILE)),
        *(infer.out / name for name in ("result.txt", "result.json")),
        *(infer.net, record_beside(infer.net)),
        PROJECT / "out",
    ]


def downloaded() -> list[Path]:
    """Return the project's own folders of weights and images; folders elsewhere are kept."""
    return [PROJECT / "pytorch_train" / "model", dataset.HYMENOPTERA, dataset.SAMPLE]
