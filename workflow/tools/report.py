"""A page for people about one training: self-contained, made on this side of the enclave."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pytorch_common.contract import HISTORY_FILE, RECORD_FILE, RESULT_JSON_FILE
from pytorch_common.files import write_atomically
from workflow.assets import dataset, splits, trained
from workflow.backends.train_job import SCRATCH_FOLDER
from workflow.core.console import answer, note, shown
from workflow.core.errors import WorkflowError
from workflow.core.ownership import refuse_foreign
from workflow.core.settings import Settings
from workflow.core.step import Look, Step, perform
from workflow.evidence import verdict as evidence
from workflow.evidence.verifying import verdict_of_training
from workflow.tools.pictures import data_uri, draw_curves, thumbnail

REPORT_FILE = "report.html"
CURVES_FILE = "curves.png"
TEMPLATE = Path(__file__).with_name("report.html.j2")
THUMBNAILS_AT_MOST = 60

RUN_FACTS = ("image", "image_id", "insecure", "measurement")
"""What the host knows of a run beside its record: empty for a native one."""
IMAGE = "Image and measurement"
DIGESTS = "Digests (sha256)"

Json = Mapping[str, Any]
Classify = Callable[[Settings, tuple[str, ...]], Step]


FIGURES = ("epoch", "train_loss", "train_accuracy", "val_loss", "val_accuracy", "elapsed_s")
SHOWN: Mapping[str, type | tuple[type, ...]] = {
    "backend": str,
    "protected_from_host": bool,
    "versions": dict,
    **dict.fromkeys(("settings.arch", "settings.method"), str),
    **dict.fromkeys(("settings.epochs", "images.train", "images.val"), int),
    **dict.fromkeys(("metrics.best_epoch", "metrics.best_val_correct"), int),
    "metrics.best_val_accuracy": (int, float),
}
"""What the page takes from the record, and of what kind it is."""


@dataclass(frozen=True)
class Verdict:
    """Say what the network made of one validation image."""

    path: Path
    true: str
    """The class whose folder it lies in."""
    found: str
    """The most probable class."""
    probability: float
    """Of the class that was found."""


@dataclass(frozen=True)
class Report(Step):
    """Write report.html and curves.png beside the network's record.

    The validation images are classified anew, with the network that was handed over.
    """

    title = "report"
    classify: Classify
    """Makes the step that classifies images quietly."""

    @property
    def pages(self) -> tuple[Path, Path]:
        """Return what it writes."""
        folder = self.settings.train.out
        return (folder / REPORT_FILE, folder / CURVES_FILE)

    def writes(self) -> Iterable[Look]:
        return (lambda: refuse_foreign(self.pages, instead="name another folder: --out"),)

    def run(self) -> None:
        settings, folder = self.settings, self.settings.train.out
        record, history = read_record(folder), read_history(folder)
        if trained.accepted_digest(settings.infer) != record["digests"]["net"]:
            raise WorkflowError(
                f"{settings.infer.net} is not the network of {folder}; run: inv copy-net"
            )
        verdicts = classify_validation(settings, record["classes"], self.classify)
        beside = folder / SCRATCH_FOLDER
        scratch = read_history(beside) if (beside / RECORD_FILE).is_file() else None
        method = str(record.get("settings", {}).get("method", "training"))
        curves = draw_curves(history, scratch, method)
        run = trained.read_run(folder)
        known = {name: run[name] for name in RUN_FACTS if run.get(name)}
        judged = verdict_of_training(settings)
        page = render({**record, **known}, history, scratch, verdicts, curves, judged)
        for path, data in zip(self.pages, (page.encode(), curves), strict=True):
            write_atomically(path, data)
            answer(shown(path))

    def shell(self) -> Sequence[str]:
        val = shown(self.settings.data.dir / "val")
        folder = shown(self.settings.train.out)
        return [
            f"# the page is drawn from this and from {folder} by inv report alone",
            *self.classify(self.settings, (val,)).shell(),
        ]


def read_record(folder: Path) -> Json:
    """Return the record, with all that the page shows in it.

    Raises: WorkflowError naming what is missing.
    """
    record = trained.read_record(folder)
    for name, kind in SHOWN.items():
        value: Any = record
        for part in name.split("."):
            value = value.get(part) if isinstance(value, dict) else None
        if not isinstance(value, kind):
            raise WorkflowError(f"{folder / RECORD_FILE} has no usable {name}; run: inv train")
    return record


def read_history(folder: Path) -> list[dict[str, Any]]:
    """Return the figures of each epoch.

    Raises: WorkflowError where there are none.
    """
    path = folder / HISTORY_FILE
    try:
        epochs = list(json.loads(path.read_text(encoding="utf-8"))["epochs"])
        if not epochs:
            raise ValueError("no epochs")
        return [{name: epoch[name] + 0 for name in FIGURES} for epoch in epochs]  # numbers alone
    except FileNotFoundError as error:
        raise WorkflowError(f"{path} is missing; run: inv train") from error
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise WorkflowError(f"{path} cannot be read ({error}); run: inv train") from error


def classify_validation(
    settings: Settings, classes: Sequence[str], classify: Classify
) -> list[Verdict]:
    """Classify every validation image and return what was made of it.

    With the colours that training saw, unless a sealed image has built in otherwise.

    Raises: WorkflowError where they are of other classes than the network knows.
    """
    dataset.check_folder(settings.data)
    split = settings.data.dir / "val"
    names = splits.class_names(split)
    if names != list(classes):
        raise WorkflowError(
            f"{settings.data.dir}: expected the classes of the network, {', '.join(classes)}, got "
            f"{', '.join(names)}; give the images that it was trained on: --data"
        )
    images = [(path, name) for name in names for path in splits.image_files(split / name)]
    note(f"classifying {len(images)} validation images")
    with tempfile.TemporaryDirectory(prefix="report-") as out:
        is_sealed = trained.encrypted_net(settings.infer.net.parent).is_file()
        ignore_profiles = settings.infer.ignore_profiles or not is_sealed
        infer = replace(settings.infer, out=Path(out), ignore_profiles=ignore_profiles)
        chosen = replace(settings, infer=infer)
        perform(classify(chosen, tuple(str(path) for path, _ in images)))
        results = json.loads((Path(out) / RESULT_JSON_FILE).read_text(encoding="utf-8"))["results"]
    return [
        Verdict(path, name, result["label"], result["probability"])
        for (path, name), result in zip(images, results, strict=True)
    ]


def confusion(classes: Sequence[str], verdicts: Sequence[Verdict]) -> list[list[int]]:
    """Return how many images of each class (a row) were taken for each class (a column)."""
    counts = {(true, found): 0 for true in classes for found in classes}
    for verdict in verdicts:
        counts[verdict.true, verdict.found] += 1
    return [[counts[true, found] for found in classes] for true in classes]


def render(
    record: Json,
    history: Sequence[Json],
    scratch: Sequence[Json] | None,
    verdicts: Sequence[Verdict],
    curves: bytes,
    judged: evidence.Verdict | None = None,
) -> str:
    """Return the page as HTML that needs no other file."""
    from jinja2 import Environment, StrictUndefined

    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    wrong = sorted((each for each in verdicts if each.found != each.true), key=_most_certain_first)
    return environment.from_string(TEMPLATE.read_text(encoding="utf-8")).render(
        record=record,
        is_protected=record["protected_from_host"] and not record.get("insecure"),
        history=history,
        judged=judged,
        nothing_proves=evidence.NOTHING_PROVES,
        scratch_best=max((epoch["val_accuracy"] for epoch in scratch), default=0) if scratch else 0,
        curves=data_uri(curves, "image/png"),
        matrix=list(zip(record["classes"], confusion(record["classes"], verdicts), strict=True)),
        count=len(verdicts),
        wrong=[(each, thumbnail(each.path)) for each in wrong[:THUMBNAILS_AT_MOST]],
        wrong_count=len(wrong),
        facts=[
            (title, list(facts(content)), title in (IMAGE, DIGESTS))
            for title, content in sections(record)
        ],
    )


def sections(record: Json) -> list[tuple[str, Json]]:
    """Return the record in parts with titles; what this version does not know is shown too."""
    image = {name: record[name] for name in RUN_FACTS if name in record}
    parts = {"settings": "Settings", "versions": "Versions", "digests": DIGESTS}
    known = {*parts, *image, "schema", "classes", "metrics"}
    where = {name: value for name, value in record.items() if name not in known}
    *narrow, digests = ((title, record.get(name)) for name, title in parts.items())
    found = [("Where it ran", where), *narrow, (IMAGE, image), digests]
    return [(title, content) for title, content in found if content]


def facts(content: Json, prefix: str = "") -> Iterator[tuple[str, str]]:
    """Yield names and values as text, those of inner parts under their full name."""
    for name, value in content.items():
        full = f"{prefix}{name}".replace("_", " ")
        if isinstance(value, Mapping):
            yield from facts(value, f"{full}: ")
        elif isinstance(value, bool) or value is None:
            yield full, {True: "yes", False: "no", None: "none"}[value]
        else:
            yield full, ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _most_certain_first(verdict: Verdict) -> tuple[float, str]:
    return -verdict.probability, str(verdict.path)
