"""An image built again from nothing, under a name of its own, measured and deleted."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace

from workflow.core.console import note
from workflow.core.settings import Settings
from workflow.core.shell_lines import shell_line, unquoted
from workflow.gsc import graminize, inventory, runtime_pack
from workflow.gsc.inventory import Inventory
from workflow.gsc.modes import SGX, signed_name, tools_name, unsigned_name
from workflow.gsc.sign_image import measure_line
from workflow.images.build_run import build_image, build_lines
from workflow.images.build_spec import Build, base_build, image_name

SUFFIX = "-reproduced"
"""How the names end of images that are built again, and deleted."""


def renamed(settings: Settings) -> Settings:
    """Return the settings in which the two images have names that no other task takes."""
    image = settings.image
    named = replace(image, train=image.train + SUFFIX, infer=image.infer + SUFFIX)
    return replace(settings, image=named)


def anew(settings: Settings, app: Build) -> Build:
    """Return how the image is built, standing on a base that is built again too."""
    base = base_again(settings).image
    return replace(app, arguments={**app.arguments, "BASE": base})


def base_again(settings: Settings) -> Build:
    """Return how the base is built again."""
    base = base_build(settings)
    return replace(base, image=base.image + SUFFIX)


def measured_anew(settings: Settings, apps: Mapping[str, Build]) -> list[Inventory]:
    """Build the base and the images without a cache, and return what each is made of.

    ``settings`` are those with other names. All that was made is deleted, however it ends.

    Raises: WorkflowError where one cannot be built.
    """
    from workflow.images import daemon

    made = []
    with _passing(base_again(settings)) as left:
        left += build_image(base_again(settings), no_cache=True)
        for role, app in apps.items():
            unsigned, tools = unsigned_name(app.image), tools_name(app.image)
            with _passing(app, unsigned, tools) as layers, _no_files(settings, role):
                layers += build_image(app, no_cache=True)
                graminize.graminize(settings, SGX, role, no_cache=True)
                made.append(inventory.take(tools if daemon.find_image(tools) else unsigned, role))
                note(f"{role}: MRENCLAVE {made[-1].mrenclave}")
    return made


def lines_anew(settings: Settings, apps: Mapping[str, Build]) -> list[str]:
    """Return the shell commands that do the same, and print each MRENCLAVE."""
    base = base_again(settings)
    lines, images = build_lines(base, no_cache=True), [base.image]
    for role, app in apps.items():
        made = [unsigned_name(app.image)]
        if runtime_pack.is_wanted(settings.gsc):
            made = [tools_name(app.image), *made]
        lines += map(unquoted, build_lines(app, no_cache=True))
        lines += graminize.graminize_lines(settings, SGX, role, no_cache=True)
        lines.append(measure_line(made[0]))
        images = [*made, app.image, *images]
    return [*lines, shell_line(["docker", "rmi", *images])]


@contextmanager
def _passing(build: Build, *others: str) -> Iterator[list[str]]:
    """Delete the images in the end, and those of the steps that are put into the list."""
    from workflow.images.leftovers import remove_images

    layers: list[str] = []
    try:
        yield layers
    finally:
        remove_images([*others, build.image], layers)


@contextmanager
def _no_files(settings: Settings, role: str) -> Iterator[None]:
    """Delete what GSC and its tasks write down of an image on the way."""
    app = image_name(settings, role)
    try:
        yield
    finally:
        for folder in (graminize.SETTLED / app, settings.gsc.dir / "build" / signed_name(app)):
            shutil.rmtree(folder, ignore_errors=True)
        runtime_pack.index_file(unsigned_name(app)).unlink(missing_ok=True)
