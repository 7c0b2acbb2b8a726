"""Fine-tune the network in the backend that is asked for: out/train/net.pt."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial

from pytorch_common.contract import (
    FEATURE_EXTRACT,
    FULL,
    SCRATCH,
)
from workflow.assets import dataset, pins, pretrained
from workflow.backends.base import Backend, announce, check_runnable, pick, way_out
from workflow.backends.train_job import (
    SCRATCH_FOLDER,
    TrainJob,
    checkpoints,
    is_up_to_date,
    training_results,
    write_down,
)
from workflow.core.console import note, shown
from workflow.core.disk import check_disk
from workflow.core.errors import WorkflowError
from workflow.core.locks import alone_in
from workflow.core.ownership import refuse_foreign, refuse_unfit
from workflow.core.settings import Settings
from workflow.core.step import Look, Step, perform
from workflow.images.build_spec import TRAIN
from workflow.steps.options import everything_before

TIMES_THE_WEIGHTS = {FEATURE_EXTRACT: 2, FULL: 10, SCRATCH: 10}
"""What a training writes: the network, and three checkpoints (two are kept, the next is written) of
what changes, its best and its velocities: of the head alone, or of all."""


@dataclass(frozen=True)
class Train(Step):
    """Fine-tune, and write net.pt, history.json and record.json.

    With ``resume`` a run that was stopped is gone on with.
    """

    title = "train"
    resume: bool = False
    quiet: bool = False
    """No answer is printed."""

    @property
    def backend(self) -> Backend:
        """Return where it runs."""
        return pick(self.settings)

    @property
    def job(self) -> TrainJob:
        """Return what the backend is asked to run."""
        return TrainJob(self.settings, self.resume)

    def reads(self) -> Iterable[Look]:
        return inputs(self.settings)

    def writes(self) -> Iterable[Look]:
        return (partial(check_place, self.settings),)

    def place(self) -> Iterable[Look]:
        mend = everything_before(self.title, self.settings)
        look = partial(check_runnable, self.settings, self.backend, TRAIN, mend)
        return (*self.backend.place(self.settings), look)

    def way_out(self) -> str:
        return way_out(self.settings, self.backend)

    def is_done(self) -> bool:
        return is_up_to_date(self.settings, self.backend)

    def done(self) -> str:
        return f"{self.settings.train.out}: already trained with these settings, verified"

    def run(self) -> None:
        announce(self.settings, self.backend)
        with alone_in(self.settings.train.out):
            if status := self.backend.run(self.job, quiet=self.quiet):
                raise WorkflowError("train.py failed; its lines stand above", code=status)
            write_down(self.settings, self.backend)

    def shell(self) -> Sequence[str]:
        return self.backend.shell(self.job)


@dataclass(frozen=True)
class TrainTwice(Step):
    """Train the same network from random weights too, into a folder below, as the tutorial does."""

    title = "train --compare-scratch"
    train: Train

    @property
    def beside(self) -> Train:
        """Return the training from scratch."""
        settings = self.settings
        out = settings.train.out / SCRATCH_FOLDER
        train = replace(settings.train, method=SCRATCH, out=out)
        machine = replace(settings.machine, backend=self.train.backend.name)
        return replace(self.train, settings=replace(settings, train=train, machine=machine))

    def reads(self) -> Iterable[Look]:
        return (self._check, *self.train.reads())

    def writes(self) -> Iterable[Look]:
        return (*self.train.writes(), *self.beside.writes())

    def run(self) -> None:
        perform(self.train)
        note(f"for comparison, the same network from scratch: {shown(self.beside.job.out)}")
        perform(self.beside)

    def shell(self) -> Sequence[str]:
        self._check()
        return [*self.train.shell(), *self.beside.shell()]

    def _check(self) -> None:
        if self.train.backend.mode:
            raise WorkflowError(
                "--compare-scratch: a sealed image has one method built in; compare with --backend "
                'docker or native and an --out of its own, or see "train" in docs/steps.md'
            )


def inputs(settings: Settings) -> list[Look]:
    """Return the looks at what is trained on, and at the room for what comes of it."""
    is_scratch = settings.train.method == SCRATCH
    return [
        partial(dataset.check_trainable, settings.data, settings.train_options),
        *([] if is_scratch else [partial(pretrained.base_weights, settings)]),
        partial(check_room, settings),
    ]


def check_room(settings: Settings) -> None:
    """Refuse a disk without room for what a training writes.

    Raises: WorkflowError.
    """
    weights_bytes = pins.WEIGHTS[settings.arch].max_bytes
    needed_bytes = TIMES_THE_WEIGHTS[settings.train.method] * weights_bytes
    check_disk(settings.train.out, needed_bytes, "a training")


def check_place(settings: Settings) -> None:
    """Refuse to train into a folder where a person's own files have the names of ours.

    Into the data set neither: a run would change what it is trained on.

    Raises: WorkflowError naming the first of them.
    """
    train, data = settings.train, settings.data.dir
    refuse_unfit(train.out, "train.out")
    if data in (train.out, *train.out.parents):
        raise WorkflowError(
            f"train.out: {train.out} lies in the data set {data}; name one beside it"
        )
    written = [*training_results(train), *checkpoints(train)]
    refuse_foreign(written, instead="name another folder: --out")


def train_again(settings: Settings) -> None:
    """Train as the settings say, whatever lies there."""
    perform(Train(settings, again=True))
