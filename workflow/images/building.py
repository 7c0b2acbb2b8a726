"""Building the Docker images: the base that brings torch, the training and the classifying one."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path

from pytorch_common.contract import SCRATCH, ImageLimits
from pytorch_common.files import hidden_note
from workflow.assets import dataset, pretrained
from workflow.assets.handover import DIGEST_IN_SHELL, accepted_digest, digest_line
from workflow.core.console import note
from workflow.core.errors import WorkflowError
from workflow.core.settings import PROJECT, Settings
from workflow.core.shell_lines import shell_line, show, unquoted
from workflow.images.build_log import BuildLog
from workflow.images.build_spec import (
    CONTEXT_LABEL,
    INFER,
    ROLES,
    TRAIN,
    Build,
    base_build,
    check_wheels,
    context_digest,
    differing_options,
    image_name,
    infer_build,
    train_build,
    write_context,
)

_NO_REGISTRY = (
    "without a registry, name an image of that system that is here (docker images): "
    "INVOKE_IMAGE_OS=NAME"
)
OPTION_PREFIXES = ("TRAIN_", "INFER_")


def build(settings: Settings, roles: Sequence[str] = ROLES) -> None:
    """Build the images of the roles, and before them the base that brings torch.

    The classifying image carries the digest of the network that it accepts, so it is built once
    there is one: with both roles asked for, it is left out where nothing was handed over.

    Raises: WorkflowError where an input is missing or the daemon reports an error.
    """
    if settings.dry:
        show(*dry_lines(settings, roles))
        return
    check_wheels(settings)
    builds = [base_build(settings)]
    for role in roles:
        if role == INFER and TRAIN in roles and not _is_handed_over(settings):
            note(
                f"{image_name(settings, INFER)}: left out; it has the network's digest built in, so"
            )
            note("run: inv train, inv copy-net, then: inv build --image infer")
        else:
            builds.append(app_build(settings, role))
            if role == TRAIN and (passed_over := hidden_note(settings.data.dir)):
                note(passed_over)
    for item in builds:
        _build(item)


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
        raise WorkflowError(f"no image {build.image} here; run: {rebuild}")
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
    """Return the build arguments that become variables of the image, hence measured."""
    return {
        name: value for name, value in build.arguments.items() if name.startswith(OPTION_PREFIXES)
    }


_LIMITS = [f"TRAIN_{field.name.upper()}" for field in fields(ImageLimits)]
"""Settings without a flag: what asks for them asks the next build for them too."""


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


def dry_lines(settings: Settings, roles: Sequence[str]) -> list[str]:
    """Return the shell commands that build the images by hand; nothing needs to be there yet."""
    lines = build_lines(base_build(settings))
    if TRAIN in roles:
        weights = None if settings.train.method == SCRATCH else pretrained.weights_path(settings)
        lines += build_lines(train_build(settings, weights))
    if INFER in roles:
        digest = digest_line(settings.infer)
        build = infer_build(settings, DIGEST_IN_SHELL)
        lines += [digest, *(unquoted(line) for line in build_lines(build))]
    return lines


def build_lines(build: Build) -> list[str]:
    """Return the shell commands that build the image by hand, from the project's folder."""
    arguments = [f"--build-arg={name}={value}" for name, value in build.arguments.items()]
    command = ["docker", "build", "-t", build.image, "-f", build.dockerfile, *arguments]
    if not build.elsewhere:
        return [shell_line([*command, "."], cwd=PROJECT)]
    inside = sorted(name for name, path in build.files.items() if path == PROJECT / name)
    context = Path("context")
    copies = [
        line
        for name, path in build.elsewhere.items()
        for line in (
            shell_line(["mkdir", "-p", (context / name).parent]),
            shell_line(["cp", "-rL", path, context / name]),
            *([] if path.is_file() else [shell_line(_without_hidden(context / name))]),
        )
    ]
    project = shell_line(["tar", "-c", *inside], cwd=PROJECT)
    # A folder that is there already would take the copy into itself.
    empty = [context / name for name in build.folders if name not in build.elsewhere]
    return [
        shell_line(["mkdir", "-p", context, *empty]),
        shell_line(["tar", "-x", "-C", context], stdin=project),
        *copies,
        shell_line([*command, context]),
    ]


def _without_hidden(folder: Path) -> list[str | Path]:
    """Return the command that deletes from a copy what ``list_files`` passes over."""
    return [
        "find",
        folder,
        "-mindepth",
        "1",
        "-name",
        ".*",
        "-prune",
        "-exec",
        "rm",
        "-r",
        "{}",
        "+",
    ]


def _build(build: Build) -> None:
    from workflow.images import daemon

    daemon.refuse_foreign(build.image)
    before = daemon.find_image(build.image)
    log = BuildLog(build.image)
    with tempfile.TemporaryFile() as context:
        sha256 = write_context(build, context)
        context.seek(0)
        try:
            daemon.build(
                context,
                tag=build.image,
                dockerfile=build.dockerfile,
                arguments=build.arguments,
                labels={CONTEXT_LABEL: sha256},
                on_line=log,
            )
        except WorkflowError as error:
            if log.step.startswith("FROM ${OS}"):
                raise WorkflowError(f"{error.message}; {_NO_REGISTRY}") from error
            raise
        finally:
            log.close()
    after = daemon.find_image(build.image)
    if after is None:
        raise WorkflowError(f"{build.image}: the daemon reported no error, but made no image")
    state = "as before" if before and before.id == after.id else "built"
    note(f"{build.image}: {state}, {after.size_bytes / 1e6:.0f} MB, {after.id}")


def _is_handed_over(settings: Settings) -> bool:
    try:
        accepted_digest(settings.infer)
    except WorkflowError:
        return False
    return True


def _argument(name: str, value: str) -> str:
    if name == "TRAIN_EXPORT_NET":
        return "--export-net" if value == "1" else ""
    return f"--{_option(name).replace('_', '-')}={value}"


def _option(name: str) -> str:
    return name.split("_", 1)[1].lower()
