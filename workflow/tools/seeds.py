"""Accuracies over several seeds: those of the yardstick, and ours."""

from __future__ import annotations

import json
import math
import statistics
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import NamedTuple

from pytorch_common.contract import HISTORY_FILE, available_threads
from workflow.assets import pretrained, splits
from workflow.backends.train_job import TRAIN_SCRIPT, train_arguments
from workflow.core.console import note
from workflow.core.settings import Settings
from workflow.tools.comparisons import Row, check, tutorial, with_train
from workflow.tools.measure import ours


class Outcome(NamedTuple):
    """Say what came of training with one seed."""

    right: int
    """Validation images right in the best epoch."""
    train_loss: float
    """Mean loss of the training images in the last epoch."""


def compare_accuracy(methods: Sequence[str], settings: Settings, rounds: int) -> list[Row]:
    """Train with as many seeds as rounds, the tutorial's loop and ours; compare the accuracies.

    The first seed is that of the settings, the others follow it.
    Several seeds run side by side where one leaves processors free: ``--threads 1``.
    """
    check(settings)
    weights = pretrained.base_weights(settings)
    count = len(splits.image_files(settings.data.dir / "val"))
    rows = []
    for method in methods:
        chosen = with_train(settings, method=method)
        at_once = max(1, available_threads() // chosen.train.threads)
        with (
            tempfile.TemporaryDirectory(prefix="bench-") as folder,
            ThreadPoolExecutor(at_once) as pool,
        ):
            train_both = partial(_train_both, chosen, weights, Path(folder))
            seeds = range(settings.train.seed, settings.train.seed + rounds)
            usual_outcomes, our_outcomes = zip(*pool.map(train_both, seeds), strict=True)
        what = {"what": f"{method}, {settings.arch}, {settings.train.epochs} epochs"}
        yard, own = accuracies(usual_outcomes, count), accuracies(our_outcomes, count)
        rows.append({**what, "who": "yardstick", **yard})
        rows.append({**what, "who": "ours", **own, "standard_errors_apart": apart(yard, own)})
    return rows


def _train_both(
    settings: Settings, weights: Path, folder: Path, seed: int
) -> tuple[Outcome, Outcome]:
    """Train with the seed, the tutorial's loop and ours, and return what came of each."""
    chosen = with_train(settings, seed=seed, out=folder / str(seed))
    usual_history = json.loads(tutorial(chosen, weights).answer)
    ours(str(TRAIN_SCRIPT), train_arguments(chosen, weights))
    history = json.loads((chosen.train.out / HISTORY_FILE).read_text(encoding="utf-8"))["epochs"]
    both = (
        Outcome(max(usual_history["val_correct"]), usual_history["train_loss"][-1]),
        Outcome(max(epoch["val_correct"] for epoch in history), history[-1]["train_loss"]),
    )
    rights = f"yardstick {both[0].right}, ours {both[1].right}"
    note(f"{settings.train.method}, seed {seed}: {rights}")
    return both


def accuracies(outcomes: Sequence[Outcome], count: int) -> Row:
    """Return how many of ``count`` were right with each seed, their mean share and its error.

    Beside it the mean training loss of the last epoch, on which a difference would show first.
    """
    share = [outcome.right / count for outcome in outcomes]
    loss = [outcome.train_loss for outcome in outcomes]
    return {
        f"right_of_{count},_by_seed": ", ".join(str(outcome.right) for outcome in outcomes),
        "mean": round(statistics.mean(share), 4),
        "standard_error": round(standard_error(share), 4),
        "last_training_loss": f"{statistics.mean(loss):.4f} ± {standard_error(loss):.4f}",
    }


def standard_error(values: Sequence[float]) -> float:
    """Return the standard error of the mean, 0 of a single value."""
    return statistics.stdev(values) / len(values) ** 0.5 if len(values) > 1 else 0.0


def apart(yard: Row, own: Row) -> float:
    """Return how much better ours is than the yardstick, in standard errors of the difference."""
    error = math.hypot(yard["standard_error"], own["standard_error"])
    return round((own["mean"] - yard["mean"]) / error, 2) if error else 0.0
