"""Fine-tuning, and handing the network over to the classifying side."""

from __future__ import annotations

import dataclasses
import json
import shutil
import zipfile
from pathlib import Path
from typing import Any

from pytorch_common.contract import (
    HISTORY_FILE,
    NET_FILE,
    RECORD_FILE,
    SCRATCH,
    available_threads,
    record_problem,
)
from pytorch_common.files import code_digest, sha256_file, tree_digest, write_atomically
from workflow import dataset, model
from workflow.errors import WorkflowError
from workflow.notes import note
from workflow.paths import shown
from workflow.run import TRAIN_SCRIPT, UNPROTECTED, run_native
from workflow.settings import PROJECT, Settings

SCRATCH_FOLDER = "scratch"
"""Where the comparison with training from scratch is written, below the folder of net.pt."""


def train(settings: Settings, *, resume: bool = False) -> None:
    """Fine-tune the network and write net.pt, history.json and record.json.

    With ``resume`` a run that was stopped is gone on with, and one that ended is left as it is.

    Raises: WorkflowError where an input is missing or the script fails.
    """
    dataset.check(settings.data)
    if resume and is_up_to_date(settings):
        note(f"{settings.train.out}: already trained with these settings, verified")
        return
    weights = None if settings.train.method == SCRATCH else model.base_weights(settings)
    note(UNPROTECTED)
    args = [*train_args(settings, weights), *(["--resume"] if resume else [])]
    status = run_native(str(TRAIN_SCRIPT), args)
    if status:
        raise WorkflowError(f"train.py ended with status {status}", code=status)


def compare_scratch(settings: Settings, *, resume: bool = False) -> None:
    """Train the same network from random weights too, into a folder below, as the tutorial does.

    Raises: WorkflowError where an input is missing or the script fails.
    """
    out = settings.train.out / SCRATCH_FOLDER
    note(f"for comparison, the same network from scratch: {shown(out)}")
    beside = dataclasses.replace(settings.train, method=SCRATCH, out=out)
    train(dataclasses.replace(settings, train=beside), resume=resume)


def train_args(settings: Settings, weights: Path | None) -> list[str]:
    """Return the script's arguments; every option is given, none left to a default."""
    options = dataclasses.asdict(settings.train_options)
    paths = {"data": settings.data.dir, "out": settings.train.out, "weights": weights}
    options["cache_mb"] = settings.train.cache_mb
    return [
        f"--{name.replace('_', '-')}={shown(value) if isinstance(value, Path) else value}"
        for name, value in {**paths, **options}.items()
        if value is not None
    ]


def is_up_to_date(settings: Settings) -> bool:
    """Tell whether net.pt is what these settings, weights, images and code would make."""
    try:
        record = read_record(settings.train.out)
        check_net(settings.train.out / NET_FILE, record)
    except WorkflowError:
        return False
    options = settings.train_options
    options = dataclasses.replace(options, threads=options.threads or available_threads())
    scratch = options.method == SCRATCH
    expected = {
        "base_weights": None if scratch else sha256_file(model.base_weights(settings)),
        "data": tree_digest(settings.data.dir),
        "code": code_digest(PROJECT, "pytorch_common", "pytorch_train"),
    }
    digests = {name: record["digests"].get(name) for name in expected}
    same = record.get("settings") == dataclasses.asdict(options) and digests == expected
    return same and (settings.train.out / HISTORY_FILE).is_file()


def copy_net(settings: Settings) -> Path:
    """Copy the trained network, with its record, to where the classifying side reads it.

    Raises: WorkflowError where there is none, or it is not the one that the record describes.
    """
    source, target = settings.train.out / NET_FILE, settings.infer.net
    record = read_record(settings.train.out)
    check_net(source, record)
    target.parent.mkdir(parents=True, exist_ok=True)
    if target.is_file() and sha256_file(target) == record["digests"]["net"]:
        note(f"{target}: already there, verified")
    else:
        write_atomically(target, source.read_bytes())
        check_net(target, record)
        note(f"{target}: copied and verified")
    shutil.copyfile(settings.train.out / RECORD_FILE, record_beside(target))
    return target


def record_beside(net: Path) -> Path:
    """Return where the record of a handed-over network lies."""
    return net.with_name(RECORD_FILE)


def read_record(folder: Path) -> dict[str, Any]:
    """Return the record of training in the folder.

    Raises: WorkflowError where there is none or it is none.
    """
    path = folder / RECORD_FILE
    try:
        record = json.loads(path.read_text())
    except FileNotFoundError as error:
        raise WorkflowError(f"{path} is missing; run: inv train") from error
    except (OSError, ValueError) as error:
        raise WorkflowError(f"{path} cannot be read ({error}); run: inv train") from error
    if problem := record_problem(record):
        raise WorkflowError(f"{path} is no record of training: {problem}; run: inv train")
    return dict(record)


def check_net(net: Path, record: dict[str, Any]) -> None:
    """Refuse a network that is not, byte for byte, the one that the record describes.

    Raises: WorkflowError that tells a half-written file from a foreign one.
    """
    if not net.is_file():
        raise WorkflowError(f"{net} is missing; run: inv train")
    expected, got = record["digests"]["net"], sha256_file(net)
    if got != expected:
        kind = "another network" if zipfile.is_zipfile(net) else "damaged or half-written"
        raise WorkflowError(
            f"{net} is {kind}: the record says sha256 {expected}, it has {got}; run: inv train"
        )
