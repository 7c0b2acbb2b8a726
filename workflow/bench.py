"""How fast training and classifying are, beside a plain reading of the tutorial: `inv bench`."""

from __future__ import annotations

import json
import statistics
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from pytorch_common.contract import FEATURE_EXTRACT, FULL, RESULT_JSON_FILE, available_threads
from workflow import classification, dataset, handover, model, training
from workflow.commands import shell_line, show
from workflow.errors import WorkflowError
from workflow.measure import BENCHMARKS, Measured, ours, usual
from workflow.notes import answer, note
from workflow.paths import shown
from workflow.run import INFER_SCRIPT, TRAIN_SCRIPT
from workflow.settings import Settings

Row = dict[str, Any]
METHODS = (FEATURE_EXTRACT, FULL)
YARDSTICK_ARCHITECTURES = ("squeezenet1_0", "squeezenet1_1")


def bench(
    settings: Settings, what: str, *, rounds: int, method: str = "", as_json: bool = False
) -> None:
    """Run our scripts and the yardsticks in turn, and print a table with the ratios, or JSON.

    ``method`` is the one to train by; empty takes feature extraction and full fine-tuning.

    Raises: WorkflowError where ``what`` is no benchmark, an input is missing or a run fails.
    """
    if method and method not in METHODS:
        raise WorkflowError(f"method: expected one of {', '.join(METHODS)}, got {method}")
    methods = (method,) if method else METHODS
    kinds: dict[str, Callable[[Settings, int], list[Row]]] = {
        "train": partial(bench_training, methods),
        "classify": bench_classifying,
        "accuracy": partial(bench_accuracy, methods),
    }
    if what not in kinds:
        raise WorkflowError(f"what: expected one of {', '.join(kinds)}, got {what}")
    if rounds < 1:
        raise WorkflowError(f"rounds: expected 1 or more, got {rounds}")
    if settings.dry:
        show(*timed_lines(settings, what, methods))
        return
    rows = kinds[what](settings, rounds)
    if as_json:
        answer(json.dumps({"what": what, "rows": rows}, indent=2))
    else:
        for line in table(rows):
            answer(line)


def timed_lines(settings: Settings, what: str, methods: Sequence[str]) -> list[str]:
    """Return the shell commands of one round, to be timed by hand."""
    if what == "classify":
        image = settings.data.dir / "val"
        yard = shell_line(["python", BENCHMARKS / "single_image.py", settings.infer.net, image])
        set_digest, ours = classification.classify_lines(settings, "native", [shown(image)])
        return [f"time {yard}", set_digest, f"time {ours}"]
    weights = model.weights_path(settings)
    lines = []
    for method in methods:
        chosen = _with(settings, method=method, out=settings.train.out)
        script = BENCHMARKS / "tutorial_train.py"
        yard = shell_line(["python", script, *_tutorial_args(chosen, weights)])
        lines += [
            f"time {yard}",
            *(f"time {line}" for line in training.train_lines(chosen, "native")),
        ]
    return lines


def bench_training(methods: Sequence[str], settings: Settings, rounds: int) -> list[Row]:
    """Time the tutorial's loop, ours and the bare passes, for each method.

    With random weights, so that nothing needs to be downloaded.
    """
    _check(settings)
    rows = []
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        weights = Path(folder) / "random.pth"
        usual(str(BENCHMARKS / "random_weights.py"), [settings.arch, str(weights)])
        for method in methods:
            chosen = _with(settings, method=method, out=Path(folder) / "out")
            yards, owns, limits = [], [], []
            for number in range(rounds):
                note(f"{method}, round {number + 1}/{rounds}: the tutorial's loop")
                yards.append(_tutorial(chosen, weights))
                note(f"{method}, round {number + 1}/{rounds}: train.py")
                owns.append(ours(str(TRAIN_SCRIPT), training.train_args(chosen, weights)))
                note(f"{method}, round {number + 1}/{rounds}: bare passes")
                limits.append(_bare_passes_s(chosen))
            what = f"{method}, {settings.arch}, {settings.train.epochs} epochs"
            limit_s = statistics.median(limits)
            rows += _compared(what, yards, owns)
            rows[-1]["to_limit"] = round(rows[-1]["seconds"] / limit_s, 3)
            rows.append({"what": what, "who": "bare passes", "seconds": round(limit_s, 2)})
    return rows


def bench_classifying(settings: Settings, rounds: int) -> list[Row]:
    """Time the usual single-image script and ours: one image from cold, and all of validation.

    Raises: WorkflowError where the two do not agree on every label and, to 1e-4, probability.
    """
    dataset.check(settings.data)
    net_sha256 = handover.accepted_net(settings.infer.net)
    images = [str(path) for path in dataset.image_files(settings.data.dir / "val")]
    rows, net = [], str(settings.infer.net)
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        infer = replace(settings.infer, out=Path(folder))
        args = [*classification.infer_args(infer, net_sha256)[:-1], *images]
        for name, chosen in (("one image, from cold", images[:1]), ("all in one call", images)):
            yards, owns = [], []
            for number in range(rounds):
                note(f"{name}, round {number + 1}/{rounds}")
                yards.append(usual(str(BENCHMARKS / "single_image.py"), [net, *chosen]))
                owns.append(ours(str(INFER_SCRIPT), args[: len(args) - len(images) + len(chosen)]))
            rows += _compared(f"{name} ({len(chosen)})", yards, owns)
        result = json.loads((Path(folder) / RESULT_JSON_FILE).read_text())
        rows[-1]["agreement"] = agreement(json.loads(yards[-1].answer), result["results"])
    return rows


def bench_accuracy(methods: Sequence[str], settings: Settings, rounds: int) -> list[Row]:
    """Train with as many seeds as rounds, the tutorial's loop and ours; compare the accuracies."""
    _check(settings)
    weights = model.base_weights(settings)
    count = len(dataset.image_files(settings.data.dir / "val"))
    rows = []
    for method in methods:
        yards, owns, usual_right, our_right = [], [], [], []
        with tempfile.TemporaryDirectory(prefix="bench-") as folder:
            for seed in range(rounds):
                chosen = _with(settings, method=method, out=Path(folder), seed=seed)
                yards.append(_tutorial(chosen, weights))
                usual_right.append(max(json.loads(yards[-1].answer)["val_correct"]))
                owns.append(ours(str(TRAIN_SCRIPT), training.train_args(chosen, weights)))
                metrics = handover.read_record(chosen.train.out)["metrics"]
                our_right.append(metrics["best_val_correct"])
                note(f"{method}, seed {seed}: yardstick {usual_right[-1]}, ours {our_right[-1]}")
        what = f"{method}, {settings.arch}, {settings.train.epochs} epochs"
        for row, right in zip(_compared(what, yards, owns), (usual_right, our_right), strict=True):
            rows.append({**row, **accuracies(right, count)})
    return rows


def accuracies(right: Sequence[int], count: int) -> Row:
    """Return how many were right with each seed, their mean share and its standard error."""
    shares = [number / count for number in right]
    error = statistics.stdev(shares) / len(shares) ** 0.5 if len(shares) > 1 else 0.0
    return {
        f"right_of_{count},_by_seed": ", ".join(map(str, right)),
        "mean": round(statistics.mean(shares), 4),
        "standard_error": round(error, 4),
    }


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


def table(rows: Sequence[Row]) -> list[str]:
    """Return the rows as a Markdown table; a column that a row does not have stays empty."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    lines = [[name.replace("_", " ") for name in names], ["---"] * len(names)]
    lines += [[str(row.get(name, "")) for name in names] for row in rows]
    return ["| " + " | ".join(line) + " |" for line in lines]


def _compared(what: str, yards: Sequence[Measured], owns: Sequence[Measured]) -> list[Row]:
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


def _tutorial(settings: Settings, weights: Path) -> Measured:
    return usual(str(BENCHMARKS / "tutorial_train.py"), _tutorial_args(settings, weights))


def _tutorial_args(settings: Settings, weights: Path) -> list[str]:
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
        split: len(dataset.image_files(settings.data.dir / split)) for split in ("train", "val")
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


def _check(settings: Settings) -> None:
    dataset.check(settings.data)
    if settings.arch not in YARDSTICK_ARCHITECTURES:
        known = ", ".join(YARDSTICK_ARCHITECTURES)
        raise WorkflowError(f"model.arch: the yardstick knows {known}, got {settings.arch}")


def _with(settings: Settings, **train: Any) -> Settings:
    threads = settings.train.threads or available_threads()
    return replace(settings, train=replace(settings.train, threads=threads, **train))
