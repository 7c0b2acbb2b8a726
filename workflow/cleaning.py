"""Deleting what the tasks made."""

from __future__ import annotations

import shutil
from pathlib import Path

from workflow import dataset
from workflow.commands import shell_line, show
from workflow.handover import ENCRYPTED_FOLDER, RUN_FILE, record_beside
from workflow.locks import RUN_LOCK
from workflow.notes import note
from workflow.report import CURVES_FILE, REPORT_FILE
from workflow.settings import PROJECT, Settings


def clean(settings: Settings, *, downloads: bool = False) -> None:
    """Delete results, networks and records, with ``downloads`` weights and images too.

    Folders that a setting moved out of the project lose only the files that the tasks write.
    """
    paths = [*made(settings), *(downloaded() if downloads else ())]
    if settings.dry:
        show(shell_line(["rm", "-rf", *paths]))
        return
    for path in paths:
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
        *(train / name for name in ("net.pt", "history.json", "record.json", RUN_FILE)),
        *(train / name for name in (REPORT_FILE, CURVES_FILE)),
        *train.glob("net.pt.epoch-*"),
        train / RUN_LOCK,
        train / ENCRYPTED_FOLDER,
        *(infer.out / name for name in ("result.txt", "result.json")),
        *(infer.net, record_beside(infer.net), infer.net.with_name(RUN_FILE)),
        infer.net.with_name(ENCRYPTED_FOLDER),
        PROJECT / "out",
    ]


def downloaded() -> list[Path]:
    """Return the project's own folders of weights and images; folders elsewhere are kept."""
    return [PROJECT / "pytorch_train" / "model", dataset.HYMENOPTERA, dataset.SAMPLE]
