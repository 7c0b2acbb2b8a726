"""Whether the image that is here is of today: its code, its inputs, the options built into it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields

from pytorch_common.contract import DATA_SHA256_VARIABLE, SCRATCH, ImageLimits
from workflow.assets import dataset, pretrained
from workflow.assets.trained import accepted_digest
from workflow.core.errors import WorkflowError
from workflow.core.settings import Settings
from workflow.images.build_spec import (
    CONTEXT_LABEL,
    INFER,
    TRAIN,
    Build,
    infer_build,
    train_build,
)
from workflow.images.context import context_digest

OPTION_PREFIXES = ("TRAIN_", "INFER_")
_LIMITS = [f"TRAIN_{field.name.upper()}" for field in fields(ImageLimits)]
"""Settings without a flag: what asks for them asks the next build for them too."""


class MissingImageError(WorkflowError):
    """Say that an image is not here, and which task makes it."""

    def __init__(self, image: str, message: str) -> None:
        """Keep the image's name."""
        super().__init__(message)
        self.image = image


def app_build(settings: Settings, role: str) -> Build:
    """Return how the role's image is built from what is here now, all of it verified.

    Raises: WorkflowError where weights, images or the handed-over network are missing.
    """
    if role == INFER:
        return infer_build(settings, accepted_digest(settings.infer))
    dataset.check_trainable(settings.data, settings.train_options)
    weights = None if settings.train.method == SCRATCH else pretrained.base_weights(settings)
    return train_build(settings, weights)


def check_is_current(settings: Settings, role: str, *, sealed: bool) -> list[str]:
    """Return the arguments by which a run differs from what its image has built in.

    A sealed image takes none, so there a difference is refused; code, images and weights must be
    those of today in any case.

    Raises: WorkflowError that says how to rebuild.
    """
    from workflow.images import daemon

    build = app_build(settings, role)
    image = daemon.find_image(build.image)
    rebuild = f"inv build --image {role}"
    if image is None:
        raise MissingImageError(build.image, f"no image {build.image} here; run: {rebuild}")
    different = differing_options(option_arguments(build), image.environment)
    if role == TRAIN and settings.train.threads == 0:
        different = [entry for entry in different if entry[0] != "TRAIN_THREADS"]
    if different and sealed:
        raise WorkflowError(sealed_message(build.image, different, rebuild))
    serving = [build] if sealed else [build, *_builds_with_weights(settings, role)]
    if image.labels.get(CONTEXT_LABEL) not in [context_digest(each) for each in serving]:
        inputs = "code, images or weights" if role == TRAIN else "code"
        raise WorkflowError(
            f"image {build.image} is of other {inputs} than today's; run: {rebuild}"
        )
    return [argument for entry in different if (argument := _argument(entry[0], entry[1]))]


def _builds_with_weights(settings: Settings, role: str) -> list[Build]:
    """Return the image that serves a run from scratch too: it has weights that are not read."""
    if role != TRAIN or settings.train.method != SCRATCH:
        return []
    try:
        return [train_build(settings, pretrained.base_weights(settings))]
    except WorkflowError:
        return []


def option_arguments(build: Build) -> dict[str, str]:
    """Return the build arguments that are options of a run, and variables of the image.

    Another data set is none: an image can train on its own alone.
    """
    return {
        name: value
        for name, value in build.arguments.items()
        if name.startswith(OPTION_PREFIXES) and name != DATA_SHA256_VARIABLE
    }


def differing_options(
    wanted: Mapping[str, str], environment: Mapping[str, str]
) -> list[tuple[str, str, str]]:
    """Return name, wanted and built-in value of each variable in which an image differs."""
    return [
        (name, value, environment.get(name, "nothing"))
        for name, value in wanted.items()
        if environment.get(name) != value
    ]


def sealed_message(image: str, different: Sequence[tuple[str, str, str]], rebuild: str) -> str:
    """Say in which options a run differs from a sealed image, and how to rebuild it."""
    named = ", ".join(
        f"{_option(name)} {built} (asked for: {wanted})" for name, wanted, built in different
    )
    flags = " ".join(
        f"--{_option(name).replace('_', '-')} {wanted}"
        for name, wanted, _ in different
        if name.startswith("TRAIN_") and name != "TRAIN_EXPORT_NET" and name not in _LIMITS
    )
    if any(name == "TRAIN_EXPORT_NET" and wanted == "1" for name, wanted, _ in different):
        flags = f"{flags} --export-net".strip()
    command = f"{rebuild} {flags}".strip()
    return (
        f"image {image} has built in {named}, and a sealed image takes no arguments; "
        f"run: {command}, then gsc-build and sign"
    )


def _argument(name: str, value: str) -> str:
    if name == "TRAIN_EXPORT_NET":
        return "--export-net" if value == "1" else ""
    return f"--{_option(name).replace('_', '-')}={value}"


def _option(name: str) -> str:
    return name.split("_", 1)[1].lower()
