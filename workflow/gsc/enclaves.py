"""The shielded images that are here: what they measure to, whether they are of today."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from pytorch_common.files import write_atomically
from workflow.backends import base
from workflow.core import shell
from workflow.gsc import commands, manifest
from workflow.images.building import check_is_current
from workflow.core.shell_lines import shell_line, show
from workflow.core.errors import WorkflowError
from workflow.gsc.commands import Measurement
from workflow.gsc.checkout import check_checkout, environment
from workflow.images.build_spec import LABEL, ROLES, image_name
from workflow.core.console import answer, is_colourful, note, red
from workflow.core.settings import PROJECT, GscSettings, Settings

if TYPE_CHECKING:
    from workflow.images.daemon import Image

MODE_LABEL = LABEL + "mode"
INSECURE_LABEL = LABEL + "insecure"
MANIFEST_LABEL = LABEL + "manifest"
APP_LABEL = LABEL + "app"
"""What a settled image says of itself: its backend, the insecure options in it, the digest of its
manifest's sources, the id of the image that it was made from."""

MEASUREMENTS = PROJECT / "out" / "measurements"


def info(
    settings: Settings, mode: str, roles: Sequence[str] = ROLES, *, as_json: bool = False
) -> None:
    """Print and save what each signed image measures to; red where it is weakened.

    Raises: WorkflowError where an image is missing or not signed.
    """
    names = [commands.app_name(image_name(settings, role), mode) for role in roles]
    if settings.dry:
        asked = [commands.info_command(name) for name in names]
        show(*(shell_line(command, cwd=settings.gsc.dir) for command in asked))
        return
    check_checkout(settings.gsc)
    found = [(measure(settings.gsc, name), insecure_options(name)) for name in names]
    for measurement, insecure in found:
        save_measurement(measurement, insecure)
    if as_json:
        facts = [{**asdict(measurement), "insecure": insecure} for measurement, insecure in found]
        answer(json.dumps(facts, indent=2))
        return
    for measurement, insecure in found:
        for line in info_table(measurement, mode, insecure):
            answer(line)


def measure(checkout: GscSettings, image: str) -> Measurement:
    """Return what the signed image measures to.

    Raises: WorkflowError where it is missing or not signed.
    """
    done = shell.capture(commands.info_command(image), cwd=checkout.dir, env=environment())
    if done.returncode:
        lines = (done.stdout + done.stderr).splitlines()
        raise WorkflowError(f"gsc info-image {commands.signed_name(image)}: {commands.failure(lines)}")
    return commands.parse_info(commands.signed_name(image), done.stdout)


def info_table(measurement: Measurement, mode: str, insecure: Sequence[str]) -> list[str]:
    """Return the measurement for people, a line a fact."""
    debug = "yes: a debugger reads its memory" if measurement.debug else "no"
    weak = ", ".join(insecure) or "none"
    rows = (
        ("image", measurement.image, False),
        ("backend", f"{mode}" + ("" if mode == "sgx" else ": not protected"), mode != "sgx"),
        ("MRENCLAVE", measurement.mr_enclave, False),
        ("MRSIGNER", measurement.mr_signer, False),
        ("product, SVN", f"{measurement.isv_prod_id}, {measurement.isv_svn}", False),
        ("debug enclave", debug, measurement.debug),
        ("insecure options", weak, bool(insecure)),
        ("signed on", measurement.date, False),
    )
    colour = is_colourful()
    return [f"{name:<18}{red(value) if bad and colour else value}" for name, value, bad in rows] + [
        ""
    ]


def save_measurement(measurement: Measurement, insecure: Sequence[str]) -> Path:
    """Write the measurement down for later runs and for whoever verifies them."""
    path = MEASUREMENTS / f"{measurement.image.replace('/', '_').replace(':', '-')}.json"
    facts = {**asdict(measurement), "insecure": list(insecure)}
    write_atomically(path, (json.dumps(facts, indent=2) + "\n").encode())
    return path


def sealing_differences(one: Measurement, other: Measurement) -> list[str]:
    """Return in what two enclaves differ, of that on which opening each other's files depends."""
    mine, theirs = one.sealing(), other.sealing()
    return [
        f"{name} {mine[name]} and {theirs[name]}" for name in mine if mine[name] != theirs[name]
    ]


def check_can_hand_over(settings: Settings) -> None:
    """Before a run under SGX, hold the two signed images to what sealing depends on.

    Raises: WorkflowError naming the differences: the second enclave could not open the network.
    """
    from workflow.images import daemon

    names = [image_name(settings, role) for role in ROLES]
    signed = [name for name in names if daemon.find_image(commands.signed_name(name))]
    if len(signed) < len(names):
        return
    one, other = (measure(settings.gsc, name) for name in signed)
    if different := sealing_differences(one, other):
        raise WorkflowError(
            f"{one.image} and {other.image} could not open each other's files: "
            f"{'; '.join(different)}; sign both with one key: inv sign"
        )


def current_unsigned(settings: Settings, role: str, mode: str) -> Image:
    """Return the unsigned image, which must be made of today's image and manifests.

    Raises: WorkflowError with the task that makes it so.
    """
    from workflow.images import daemon

    image = image_name(settings, role)
    app = daemon.find_image(image)
    unsigned = daemon.find_image(commands.unsigned_name(commands.app_name(image, mode)))
    again = f"run: inv gsc-build --image {role} --backend {mode}, then: inv sign"
    if app is None:
        raise WorkflowError(f"no image {image} here; run: inv build --image {role}")
    if unsigned is None:
        name = commands.unsigned_name(commands.app_name(image, mode))
        raise WorkflowError(f"no image {name} here; {again}")
    insecure = _insecure(unsigned)
    if unsigned.labels.get(APP_LABEL) != app.id:
        raise WorkflowError(f"{unsigned.name} was made from another {image} than today's; {again}")
    if unsigned.labels.get(MODE_LABEL) != mode:
        raise WorkflowError(f"{unsigned.name} was not made for the backend {mode}; {again}")
    sources = manifest.sources_digest(role, mode, insecure, settings.gsc.dialect)
    if unsigned.labels.get(MANIFEST_LABEL) != sources:
        raise WorkflowError(f"{unsigned.name} is of other manifests than today's; {again}")
    return unsigned


def current_image(settings: Settings, role: str, mode: str) -> str:
    """Return the name of the signed image to run, which must be the unsigned one of today, signed.

    Raises: WorkflowError with the task that makes it so.
    """
    from workflow.images import daemon

    unsigned = current_unsigned(settings, role, mode)
    name = commands.signed_name(commands.app_name(image_name(settings, role), mode))
    signed = daemon.find_image(name)
    again = f"run: inv sign --image {role} --backend {mode}"
    if signed is None:
        raise WorkflowError(f"{name} is not here; {again}")
    if not signed.is_built_on(unsigned):
        raise WorkflowError(f"{name} is an older one; {again}")
    if not signed.is_one_layer_on(unsigned):
        raise WorkflowError(
            f"{name} is not as it was signed: a layer, a variable or a label was added or changed; "
            f"{again}"
        )
    return name


def runnable(settings: Settings, role: str, backend: str) -> tuple[str, list[str]]:
    """Return the image to run in a container, and the arguments by which the run differs from it.

    Raises: WorkflowError where it is missing, not of today, or sealed with other options.
    """
    image = image_name(settings, role)
    name = commands.app_name(image, backend)
    is_shielded = backend in base.SHIELDED
    is_sealed = is_shielded and "insecure-args" not in insecure_options(name)
    arguments = check_is_current(settings, role, sealed=is_sealed)
    return (current_image(settings, role, backend) if is_shielded else image), arguments


def insecure_options(name: str) -> list[str]:
    """Return the insecure options that are built into a graminized image."""
    from workflow.images import daemon

    image = daemon.find_image(commands.signed_name(name))
    return _insecure(image) if image else []


def warn_of_weaknesses(image: str) -> None:
    """Say, before a signed image runs in an enclave, which insecure options it has built in."""
    if options := insecure_options(image.removeprefix("gsc-")):
        note(
            f"{image} has insecure options built in: {', '.join(options)}; do not count on it to "
            "keep this machine's owner out"
        )


def _insecure(image: Image) -> list[str]:
    return [option for option in image.labels.get(INSECURE_LABEL, "").split(",") if option]
