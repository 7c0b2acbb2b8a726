"""Training again from the record, to hold the digest of what comes of it to the claimed one.

Anyone can do it who has the data and the weights, without SGX: it shows that the network is what
the record says, whoever made it.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from dataclasses import fields, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

from pytorch_common.contract import NET_FILE, RECORD_FILE, SCRATCH, TrainOptions
from pytorch_common.files import code_digest
from workflow.assets import pretrained
from workflow.assets.splits import data_digest
from workflow.assets.trained import read_record
from workflow.core.disk import sha256_file
from workflow.core.errors import WorkflowError
from workflow.core.settings import PROJECT, Settings
from workflow.evidence.verdict import FAILED, NOT_CHECKED, OK, Row

Train = Callable[[Settings], object]
"""Trains natively with these settings, into their folder."""

NAME = "trained again"
SAME = "whoever has the same data and weights gets this network: it is what the record says"
PORTABLE = "the record's run took the kernels of its own machine; only --portable fixes them"


def rerun_rows(settings: Settings, folder: Path, train: Train) -> list[Row]:
    """Train as the record in the folder says, and return what that shows.

    ``settings`` name the data and the weights that are at hand.

    Raises: WorkflowError where the record cannot be read or the training fails.
    """
    record = read_record(folder)
    chosen = recorded(settings, record)
    if different := list(differences(chosen, record)):
        return [Row(NAME, FAILED, "; ".join(different), "with other inputs it would show nothing")]
    with tempfile.TemporaryDirectory(prefix="rerun-") as out:
        train(replace(chosen, train=replace(chosen.train, out=Path(out))))
        sha256 = sha256_file(Path(out) / NET_FILE)
    claimed = record["digests"]["net"]
    if sha256 == claimed:
        return [Row(NAME, OK, f"sha256 {sha256}", SAME)]
    found = f"sha256 {sha256}, the record says {claimed}"
    torch, here = str(record.get("versions", {}).get("torch")), version("torch")
    if torch.partition("+")[0] != here.partition("+")[0]:  # the builds share the kernels
        return [Row(NAME, NOT_CHECKED, found, f"by torch {here} here, by torch {torch} there")]
    if not chosen.train.portable:
        return [Row(NAME, NOT_CHECKED, found, PORTABLE)]
    return [Row(NAME, FAILED, found, "the same inputs made another network")]


def recorded(settings: Settings, record: dict[str, Any]) -> Settings:
    """Return the settings by which the record's run was made, natively, with what is at hand.

    Raises: WorkflowError where the record's options are none.
    """
    options = record.get("settings")
    kinds = {field.name: type(field.default) for field in fields(TrainOptions)}
    if not isinstance(options, dict) or not all(
        type(value) is kinds.get(name) for name, value in options.items()
    ):
        raise WorkflowError(f"{RECORD_FILE} has no usable settings, so nothing is trained again")
    own = {name: value for name, value in options.items() if name != "arch"}
    own["portable"] = bool(own.get("portable"))
    return replace(
        settings,
        model=replace(settings.model, arch=str(options.get("arch", ""))),
        train=replace(settings.train, **own),
        machine=replace(settings.machine, backend="native"),
    )


def differences(settings: Settings, record: dict[str, Any]) -> Iterator[str]:
    """Yield in which inputs this machine's differ from those of the record."""
    is_scratch = settings.train.method == SCRATCH
    here = {
        "code": code_digest(PROJECT, "pytorch_common", "pytorch_train"),
        "data": data_digest(settings.data.dir),
        "base_weights": None if is_scratch else sha256_file(pretrained.base_weights(settings)),
    }
    for name, found in here.items():
        wanted = record["digests"].get(name)
        if found != wanted:
            yield f"{name.replace('_', ' ')}: expected {wanted}, got {found}"
