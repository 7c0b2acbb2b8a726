"""The comparisons that `inv bench` makes: with the yardsticks, and with ten times the images."""

from __future__ import annotations

import json
import statistics
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from pytorch_common.contract import (
    FEATURE_EXTRACT,
    FULL,
    RESULT_JSON_FILE,
    available_threads,
)
from workflow.assets import dataset, splits, trained
from workflow.backends.classify_job import INFER_SCRIPT, infer_arguments
from workflow.backends.train_job import TRAIN_SCRIPT, train_arguments
from workflow.core.console import note, shown
from workflow.core.errors import WorkflowError
from workflow.core.settings import Settings
from workflow.tools.measure import BENCHMARKS, Measured, ours, usual

Row = dict[str, Any]
METHODS = (FEATURE_EXTRACT, FULL)
YARDSTICK_ARCHITECTURES = ("squeezenet1_0", "squeezenet1_1")
STREAMED = "as they are, none kept"
TIMES = 10
"""How many times the images are taken to see what a larger data set costs."""


def compare_training(methods: Sequence[str], settings: Settings, rounds: int) -> list[Row]:
    """Time the tutorial's loop, ours and the bare passes, for each method.

    With random weights, so that nothing needs to be downloaded.
    """
    check(settings)
    rows = []
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        weights = Path(folder) / "random.pth"
        usual(str(BENCHMARKS / "random_weights.py"), [settings.arch, str(weights)])
        for method in methods:
            chosen = with_train(settings, method=method, out=Path(folder) / "out")
            yards, owns, limits = [], [], []
            for number in range(rounds):
                note(f"{method}, round {number + 1}/{rounds}: the tutorial's loop")
                yards.append(tutorial(chosen, weights))
                note(f"{method}, round {number + 1}/{rounds}: train.py")
                owns.append(ours(str(TRAIN_SCRIPT), train_arguments(chosen, weights)))
                note(f"{method}, round {number + 1}/{rounds}: bare passes")
                limits.append(_bare_passes_s(chosen))
            what = f"{method}, {settings.arch}, {settings.train.epochs} epochs"
            limit_s = statistics.median(limits)
            rows += compared(what, yards, owns)
            rows[-1]["to_limit"] = round(rows[-1]["seconds"] / limit_s, 3)
            rows.append({"what": what, "who": "bare passes", "seconds": round(limit_s, 2)})
    return rows


def compare_classifying(settings: Settings, rounds: int) -> list[Row]:
    """Time the usual single-image script and ours: one image from cold, and all of validation.

    Raises: WorkflowError where the two do not agree on every label and, to 1e-4, probability.
    """
    dataset.check_folder(settings.data)
    net_sha256 = trained.accepted_net(settings.infer.net)
    images = [str(path) for path in splits.image_files(settings.data.dir / "val")]
    rows, net = [], str(settings.infer.net)
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        # The yardstick, as training, applies no profile.
        infer = replace(settings.infer, out=Path(folder), ignore_profiles=True)
        chosen_settings = replace(settings, infer=infer)
        args = [*infer_arguments(chosen_settings, net_sha256)[:-1], *images]
        for name, chosen in (("one image, from cold", images[:1]), ("all in one call", images)):
            yards, owns = [], []
            for number in range(rounds):
                note(f"{name}, round {number + 1}/{rounds}")
                yards.append(usual(str(BENCHMARKS / "single_image.py"), [net, *chosen]))
                owns.append(ours(str(INFER_SCRIPT), args[: len(args) - len(images) + len(chosen)]))
            rows += compared(f"{name} ({len(chosen)})", yards, owns)
            for row in rows[-2:]:
                row["images_a_second"] = round(len(chosen) / row["seconds"], 2)
        result = json.loads((Path(folder) / RESULT_JSON_FILE).read_text(encoding="utf-8"))
        rows[-1]["agreement"] = agreement(json.loads(yards[-1].answer), result["results"])
    return rows


def compare_scale(methods: Sequence[str], settings: Settings, rounds: int) -> list[Row]:
    """Train on the images as they are and on ten times as many, with random weights.

    The few are also trained on with nothing kept in memory: beyond the budget of ``--cache-mb``
    all the others are worked on like that. Seconds are those of the record: without the start of
    Python, which takes as long for one image as for many.
    """
    dataset.check_folder(settings.data)
    rows: list[Row] = []
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        weights, scaled = Path(folder) / "random.pth", Path(folder) / "scaled"
        usual(str(BENCHMARKS / "random_weights.py"), [settings.arch, str(weights)])
        multiply(settings.data.dir, scaled)
        for method in methods:
            chosen = with_train(settings, method=method, out=Path(folder) / "out")
            runs = scales(chosen, scaled)
            seconds: dict[str, list[float]] = {name: [] for name in runs}
            peaks: dict[str, list[float]] = {name: [] for name in runs}
            for number in range(rounds):
                for name, run in runs.items():
                    note(f"{method}, round {number + 1}/{rounds}: {name}")
                    done = ours(str(TRAIN_SCRIPT), train_arguments(run, weights))
                    record = trained.read_record(run.train.out)
                    seconds[name].append(record["elapsed_s"])
                    peaks[name].append(done.peak_mb)
            streamed = statistics.median(seconds[STREAMED])
            rows += [
                {
                    "what": f"{method}, {settings.arch}, {settings.train.epochs} epochs",
                    "images": name,
                    "cache_MB": run.train.cache_mb,
                    "seconds": round(statistics.median(seconds[name]), 2),
                    "times_the_seconds": round(statistics.median(seconds[name]) / streamed, 2),
                    "peak_MB": round(statistics.median(peaks[name])),
                }
                for name, run in runs.items()
            ]
    return rows


def scales(settings: Settings, scaled: Path) -> dict[str, Settings]:
    """Return the runs that are compared, by what is trained on."""
    return {
        STREAMED: with_train(settings, cache_mb=0),
        "as they are": settings,
        f"{TIMES} times": replace(settings, data=replace(settings.data, dir=scaled)),
    }


def multiply(data: Path, target: Path) -> None:
    """Make a data set of TIMES as many images: in each class so many links to all of them."""
    for folder in (path for path in data.glob("*/*") if path.is_dir()):
        many = target / folder.relative_to(data)
        many.mkdir(parents=True)
        for number in range(TIMES):
            (many / str(number)).symlink_to(folder)


def agreement(expected: Sequence[dict[str, float]], results: Sequence[dict[str, Any]]) -> str:
    """Hold our results to the yardstick's and say how far apart they are.

    Raises: WorkflowError where a label differs, or a probability by more than 1e-4.
    """
    apart = 0.0
    for probabilities, result in zip(expected, results, strict=True):
        if result["label"] != max(probabilities, key=lambda name: probabilities[name]):
            raise WorkflowError(f"{result['image']}: the label is not the yardstick's")
        for entry in result["top"]:
            apart = max(apart, abs(entry["probability"] - probabilities[entry["label"]]))
    if apart > 1e-4:
        raise WorkflowError(f"probabilities differ by {apart:.1e}, expected 1e-4 at most")
    return f"all {len(results)} labels, probabilities to {apart:.0e}"


def compared(what: str, yards: Sequence[Measured], owns: Sequence[Measured]) -> list[Row]:
    """Return a row for the yardstick and one for ours: medians, and the ratio in each round."""

    def row(who: str, runs: Sequence[Measured]) -> Row:
        return {
            "what": what,
            "who": who,
            "seconds": round(statistics.median(run.wall_s for run in runs), 2),
            "processor_seconds": round(statistics.median(run.cpu_s for run in runs), 2),
            "peak_MB": round(statistics.median(run.peak_mb for run in runs)),
        }

    ratios = [own.wall_s / yard.wall_s for own, yard in zip(owns, yards, strict=True)]
    work = [own.cpu_s / yard.cpu_s for own, yard in zip(owns, yards, strict=True)]
    return [
        row("yardstick", yards),
        {
            **row("ours", owns),
            "ratio": round(statistics.median(ratios), 3),
            "ratio_of_processor_seconds": round(statistics.median(work), 3),
        },
    ]


def tutorial(settings: Settings, weights: Path) -> Measured:
    return usual(str(BENCHMARKS / "tutorial_train.py"), tutorial_args(settings, weights))


def tutorial_args(settings: Settings, weights: Path) -> list[str]:
    """Return the arguments of the yardstick of training."""
    options = settings.train_options
    args = {
        "data": settings.data.dir,
        "weights": weights,
        "arch": options.arch,
        "method": options.method,
        "epochs": options.epochs,
        "seed": options.seed,
        "threads": options.threads,
    }
    return [
        f"--{name}={shown(value) if isinstance(value, Path) else value}"
        for name, value in args.items()
    ]


def _bare_passes_s(settings: Settings) -> float:
    """Return the seconds of the passes that the whole run asks for."""
    counts = {
        split: len(splits.image_files(settings.data.dir / split)) for split in ("train", "val")
    }
    args = {
        "arch": settings.arch,
        "method": settings.train.method,
        "threads": settings.train.threads,
        **counts,
    }
    run = ours(str(BENCHMARKS / "limits.py"), [f"--{name}={value}" for name, value in args.items()])
    figures = json.loads(run.answer)
    epochs = settings.train.epochs
    val_epochs = 1 if figures["val_passes"] == "once" else epochs
    return float(epochs * figures["train_s"] + val_epochs * figures["val_s"])


def check(settings: Settings) -> None:
    dataset.check_folder(settings.data)
    if settings.arch not in YARDSTICK_ARCHITECTURES:
        known = ", ".join(YARDSTICK_ARCHITECTURES)
        raise WorkflowError(f"model.arch: the yardstick knows {known}, got {settings.arch}")


def with_train(settings: Settings, **train: Any) -> Settings:
    """Return the settings with these of training, threads 0 made this machine's number."""
    threads = settings.train.threads or available_threads()
    return replace(settings, train=replace(settings.train, threads=threads, **train))
