"""The whole way from nothing to a classified image: every step of the documentation, in order."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from itertools import takewhile
from pathlib import Path

from pytorch_common.contract import SCRATCH
from workflow.assets import dataset, pretrained, splits
from workflow.backends.base import Backend, announce, pick, way_out
from workflow.core.console import note, shown
from workflow.core.errors import WorkflowError
from workflow.core.settings import Settings
from workflow.core.step import Look, Step, perform, problem
from workflow.core.values import Source
from workflow.images.build_spec import INFER, ROLES, TRAIN
from workflow.steps import clean_result, copy_net, train
from workflow.steps.build import Build
from workflow.steps.classify import Classify, expand
from workflow.steps.copy_net import CopyNet
from workflow.steps.download_model import DownloadModel
from workflow.steps.fetch_hymenoptera import FetchHymenoptera
from workflow.steps.gsc_build import GscBuild
from workflow.steps.info import Info
from workflow.steps.sign import Sign
from workflow.steps.train import Train


@dataclass(frozen=True)
class All(Step):
    """Do the steps one after the other; each is skipped where its output is there, verified."""

    images: tuple[str, ...] = ()
    """To classify; none takes a validation image."""
    before: str = ""
    """Stop before this step; empty goes to the end."""

    title = "all"

    @cached_property
    def backend(self) -> Backend:
        """Return where it all runs."""
        return pick(self.settings)

    @cached_property
    def settled(self) -> Settings:
        """Return the settings with the backend named."""
        machine = replace(self.settings.machine, backend=self.backend.name)
        return replace(self.settings, machine=machine)

    def steps(self) -> tuple[Step, ...]:
        """Return the steps in their order."""
        settings, again = self.settled, self.again
        return (
            self.first_model(),
            self.first_images(),
            *self.image_steps(TRAIN),
            Train(settings, again=again),
            CopyNet(settings, self.backend),
            *self.image_steps(INFER),  # it carries the digest of the network that it accepts
            Classify(settings, self.images) if self.images else ClassifyExample(settings),
        )

    def first_model(self) -> Step:
        """Return the step that brings the weights."""
        settings = self.settled
        if settings.train.method == SCRATCH or settings.model.weights:
            return Given(settings, "download-model")
        return DownloadModel(settings, again=self.again)

    def first_images(self) -> Step:
        """Return the step that brings the images to train on."""
        data = self.settled.data
        if data.dir == dataset.HYMENOPTERA or data.source:
            return FetchHymenoptera(self.settled, again=self.again)
        return Given(self.settled, "fetch-hymenoptera", partial(dataset.check, data))

    def image_steps(self, role: str) -> tuple[Step, ...]:
        """Return the steps that make the role's image for the backend: none natively."""
        settings, mode, again, roles = self.settled, self.backend.mode, self.again, (role,)
        steps: tuple[Step, ...] = (Build(settings, roles),)
        if mode:
            steps += (
                GscBuild(settings, mode, roles, again=again),
                Sign(settings, mode, roles, again=again),
                Info(settings, mode, roles),
            )
        return tuple(step for step in steps if step.task in self.backend.image_steps)

    def reads(self) -> Iterable[Look]:
        return (
            self._check_before,
            partial(check_images, self.settled, self.images),
            *inputs(self.settled),
        )

    def writes(self) -> Iterable[Look]:
        settings = self.settled
        return (
            partial(train.check_place, settings),
            partial(copy_net.check_place, settings.infer.net),
            partial(clean_result.check_place, settings.infer),
        )

    def place(self) -> Iterable[Look]:
        looks = self.backend.place(self.settled)
        if not self._is_made():
            looks.append(partial(train.check_room, self.settled))
            looks.extend(self.backend.making(self.settled))
        return looks

    def way_out(self) -> str:
        return way_out(self.settings, self.backend)

    def run(self) -> None:
        announce(self.settings, self.backend)
        for title, step in self._titled():
            note(title)
            perform(step)

    def shell(self) -> Sequence[str]:
        self._check_before()
        announce(self.settings, self.backend)
        return [line for title, step in self._titled() for line in (f"# {title}", *step.shell())]

    def _titled(self) -> list[tuple[str, Step]]:
        steps = list(takewhile(lambda step: step.task != self.before, self.steps()))
        return [
            (f"[{number}/{len(steps)}] {step.title}", step)
            for number, step in enumerate(steps, start=1)
        ]

    def _check_before(self) -> None:
        """Refuse a step that is not on the way.

        Raises: WorkflowError.
        """
        known = list(dict.fromkeys(step.task for step in self.steps()))
        if self.before and self.before not in known:
            raise WorkflowError(f"--before: expected one of {', '.join(known)}, got {self.before}")

    def _is_made(self) -> bool:
        """Tell whether both images are of today, so that no step before a run has work to do."""
        looks = [partial(self.backend.runnable, self.settled, role) for role in ROLES]
        return bool(self.backend.image_steps) and not self.again and not any(map(problem, looks))


@dataclass(frozen=True)
class ClassifyExample(Classify):
    """Classify a validation image, which is here once the step before has brought the images."""

    def chosen(self) -> tuple[str, ...]:
        return (example(self.settings.data.dir),)


@dataclass(frozen=True)
class Given(Step):
    """Take what a person has, which no task brings."""

    task_name: str = ""
    look: Look = lambda: None

    @property
    def title(self) -> str:
        return self.task_name

    def run(self) -> None:
        self.look()

    def shell(self) -> Sequence[str]:
        return []


def inputs(settings: Settings) -> list[Look]:
    """Return the looks at weights and images of one's own, and at where others are fetched to."""
    data, official = settings.data, pretrained.official_file(settings)
    is_own_model = settings.train.method != SCRATCH and settings.model.weights
    is_own_data = data.dir != dataset.HYMENOPTERA and not data.source
    own = partial(dataset.check_trainable, data, settings.train_options)
    return [
        *([partial(pretrained.base_weights, settings)] if is_own_model else []),
        own if is_own_data else partial(dataset.check_place, data),
        partial(check_source, "model.source", settings.model.source, official),
        partial(check_source, "data.source", data.source, data.dir),
    ]


def check_source(name: str, source: str, target: Path) -> None:
    """Refuse a source that is to be here and is not, while nothing of it is at the target.

    Raises: WorkflowError.
    """
    if Source(source).is_path() and not Path(source).exists() and not target.exists():
        raise WorkflowError(f"{name}: no such file or folder: {source}")


def check_images(settings: Settings, images: Sequence[str]) -> None:
    """Refuse images to classify that are not here, unless they are going to be fetched.

    Raises: WorkflowError naming them.
    """
    data = settings.data.dir
    if data.is_file() and not images:
        raise WorkflowError(f"--image: expected images to classify; {data} is a pack, not a folder")
    absent = [
        name
        for image in images
        for name in expand(image)
        if not Path(name).exists()
        and (data.exists() or not Path.cwd().joinpath(name).is_relative_to(data))
    ]
    if absent:
        raise WorkflowError(f"--image: no such file or folder: {', '.join(absent)}")


def example(data: Path) -> str:
    """Return a validation image of the last class: a bee, in hymenoptera_data."""
    split = data / "val"
    if not split.is_dir():
        return "bee.jpg"
    return shown(splits.image_files(split / splits.class_names(split)[-1])[0])
