"""How fast training and classifying are, beside a plain reading of the tutorial: `inv bench`."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from workflow.assets import pretrained
from workflow.backends.classify_job import ClassifyJob
from workflow.backends.gramine import Direct
from workflow.backends.native import Native
from workflow.backends.train_job import TrainJob
from workflow.core.console import answer, shown
from workflow.core.errors import WorkflowError
from workflow.core.settings import PROJECT, Settings
from workflow.core.shell_lines import shell_line
from workflow.core.step import Look, Step
from workflow.tools import comparisons, image_bench, seeds, start_bench
from workflow.tools.comparisons import METHODS, Row
from workflow.tools.measure import BENCHMARKS

SCALED = PROJECT / "out" / "scaled"
"""Where the commands of a dry run put ten times the images."""


KINDS: dict[str, Callable[[Sequence[str], Settings, int], list[Row]]] = {
    "train": comparisons.compare_training,
    "classify": lambda methods, *rest: comparisons.compare_classifying(*rest),
    "accuracy": seeds.compare_accuracy,
    "scale": comparisons.compare_scale,
    "start": lambda methods, *rest: start_bench.compare_starts(*rest),
    "images": lambda methods, *rest: image_bench.read_images(*rest),
}


@dataclass(frozen=True)
class Bench(Step):
    """Run our scripts and the yardsticks in turn, and print a table with the ratios, or JSON."""

    title = "bench"
    what: str
    rounds: int
    method: str
    """To train by; empty takes feature extraction and full fine-tuning."""
    as_json: bool

    @property
    def methods(self) -> Sequence[str]:
        """Return the methods to train by."""
        return (self.method,) if self.method else METHODS

    def reads(self) -> Iterable[Look]:
        return (self._check,)

    def run(self) -> None:
        rows = KINDS[self.what](self.methods, self.settings, self.rounds)
        if self.as_json:
            answer(json.dumps({"what": self.what, "rows": rows}, indent=2))
        else:
            for line in table(rows):
                answer(line)

    def shell(self) -> Sequence[str]:
        self._check()
        return timed_lines(self.settings, self.what, self.methods)

    def _check(self) -> None:
        if self.method and self.method not in METHODS:
            raise WorkflowError(f"method: expected one of {', '.join(METHODS)}, got {self.method}")
        if self.what not in KINDS:
            raise WorkflowError(f"what: expected one of {', '.join(KINDS)}, got {self.what}")
        if self.rounds < 1:
            raise WorkflowError(f"rounds: expected 1 or more, got {self.rounds}")


def timed_lines(settings: Settings, what: str, methods: Sequence[str]) -> list[str]:
    """Return the shell commands of one round, to be timed by hand."""
    if what == "images":
        command = ["python", str(image_bench.SCRIPT), *image_bench.arguments(settings)]
        return [f"time {shell_line(command, environment={'PYTHONPATH': str(PROJECT)})}"]
    if what == "start":
        jobs = (TrainJob(settings), ClassifyJob(settings, (shown(settings.data.dir / "val"),)))
        return [f"time {line}" for job in jobs for line in Direct().shell(job)]
    if what == "classify":
        image = settings.data.dir / "val"
        yard = shell_line(["python", BENCHMARKS / "single_image.py", settings.infer.net, image])
        set_digest, ours = Native().shell(ClassifyJob(settings, (shown(image),)))
        return [f"time {yard}", set_digest, f"time {ours}"]
    weights = pretrained.weights_path(settings)
    lines = scaled_lines(settings) if what == "scale" else []
    for method in methods:
        chosen = comparisons.with_train(settings, method=method, out=settings.train.out)
        if what == "scale":
            runs = list(comparisons.scales(chosen, SCALED).values())
        else:
            script = BENCHMARKS / "tutorial_train.py"
            yard = shell_line(["python", script, *comparisons.tutorial_args(chosen, weights)])
            lines.append(f"time {yard}")
            runs = [chosen]
        lines += [f"time {line}" for run in runs for line in Native().shell(TrainJob(run))]
    return lines


def scaled_lines(settings: Settings) -> list[str]:
    """Return the shell commands that make ten times the images, as links."""
    data, target = shell_line([settings.data.dir]), shell_line([SCALED])
    numbers = " ".join(map(str, range(comparisons.TIMES)))
    return [
        f"for class in {data}/*/*/; do to={target}/${{class#{data}/}}; "
        f'mkdir -p "$to"; for copy in {numbers}; do ln -sfn "$class" "$to$copy"; done; done'
    ]


def table(rows: Sequence[Row]) -> list[str]:
    """Return the rows as a Markdown table; a column that a row does not have stays empty."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    lines = [[name.replace("_", " ") for name in names], ["---"] * len(names)]
    lines += [[str(row.get(name, "")) for name in names] for row in rows]
    return ["| " + " | ".join(line) + " |" for line in lines]
