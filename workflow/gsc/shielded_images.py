"""The shielded images that are here: whether they are of today, and what weakens them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from workflow.core.console import note
from workflow.core.errors import WorkflowError
from workflow.core.settings import Settings
from workflow.gsc import manifest
from workflow.gsc.measurement import measure, sealing_differences
from workflow.gsc.modes import SGX, Mode, signed_name, unsigned_name
from workflow.images.build_spec import LABEL, ROLES, image_name
from workflow.images.currency import MissingImageError, check_is_current

if TYPE_CHECKING:
    from workflow.images.daemon import Image

MODE_LABEL = LABEL + "mode"
INSECURE_LABEL = LABEL + "insecure"
MANIFEST_LABEL = LABEL + "manifest"
APP_LABEL = LABEL + "app"
"""What a settled image says of itself: its mode, the insecure options in it, the digest of its
manifest's sources, the id of the image that it was made from."""
TOOLS_LABEL = LABEL + "tools"
"""And where it was made smaller, the image that has the signer."""


def current_unsigned(settings: Settings, role: str, mode: Mode) -> Image:
    """Return the unsigned image, which must be made of today's image and manifests.

    Raises: WorkflowError with the task that makes it so.
    """
    from workflow.images import daemon

    image = image_name(settings, role)
    name = unsigned_name(mode.app_name(image))
    app, unsigned = daemon.find_image(image), daemon.find_image(name)
    edmm = " --edmm" if settings.gsc.edmm else ""
    again = f"run: inv gsc-build --image {role} --backend {mode.name}{edmm}, then: inv sign{edmm}"
    if app is None:
        raise MissingImageError(image, f"no image {image} here; run: inv build --image {role}")
    if unsigned is None:
        raise MissingImageError(name, f"no image {name} here; {again}")
    if unsigned.labels.get(APP_LABEL) != app.id:
        raise WorkflowError(f"{name} was made from another {image} than today's; {again}")
    if unsigned.labels.get(MODE_LABEL) != mode.name:
        raise WorkflowError(f"{name} was not made for the backend {mode.name}; {again}")
    sources = manifest.sources_digest(settings.gsc, role, mode, _insecure(unsigned))
    if unsigned.labels.get(MANIFEST_LABEL) != sources:
        raise WorkflowError(
            f"{name} is of other manifests than today's, or of another --edmm; {again}"
        )
    return unsigned


def check_signer(unsigned: Image) -> str:
    """Return the image that has the signer for an unsigned one.

    Raises: WorkflowError where it was deleted.
    """
    from workflow.images import daemon

    tools = unsigned.labels.get(TOOLS_LABEL, unsigned.name)
    if daemon.find_image(tools) is None:
        raise WorkflowError(f"the image that signs {unsigned.name} is gone; run: inv gsc-build")
    return tools


def current_image(settings: Settings, role: str, mode: Mode) -> str:
    """Return the name of the signed image to run, which must be the unsigned one of today, signed.

    Raises: WorkflowError with the task that makes it so.
    """
    from workflow.images import daemon

    unsigned = current_unsigned(settings, role, mode)
    name = signed_name(mode.app_name(image_name(settings, role)))
    signed = daemon.find_image(name)
    edmm = " --edmm" if settings.gsc.edmm else ""
    again = f"run: inv sign --image {role} --backend {mode.name}{edmm}"
    if signed is None:
        raise MissingImageError(name, f"{name} is not here; {again}")
    if not signed.is_built_on(unsigned):
        raise WorkflowError(f"{name} is an older one; {again}")
    if not signed.is_one_layer_on(unsigned):
        raise WorkflowError(
            f"{name} is not as it was signed: a layer, a variable or a label was added or changed; "
            f"{again}"
        )
    return name


def runnable(settings: Settings, role: str, mode: Mode) -> tuple[str, list[str]]:
    """Return the signed image to run, and the arguments by which the run differs from it.

    Raises: WorkflowError where it is missing, not of today, or sealed with other options.
    """
    app = mode.app_name(image_name(settings, role))
    is_sealed = "insecure-args" not in insecure_options(app)
    arguments = check_is_current(settings, role, sealed=is_sealed)
    return current_image(settings, role, mode), arguments


def insecure_options(app: str) -> list[str]:
    """Return the insecure options that are built into a graminized image."""
    from workflow.images import daemon

    image = daemon.find_image(signed_name(app))
    return _insecure(image) if image else []


def warn_of_weaknesses(image: str) -> None:
    """Say, before a signed image runs in an enclave, which insecure options it has built in."""
    if options := insecure_options(image.removeprefix("gsc-")):
        note(
            f"{image} has insecure options built in: {', '.join(options)}; do not count on it to "
            "keep this machine's owner out"
        )


def check_can_hand_over(settings: Settings) -> None:
    """Before a run under SGX, hold the two signed images to what sealing depends on.

    Raises: WorkflowError naming the differences: the second enclave could not open the network.
    """
    from workflow.images import daemon

    apps = [SGX.app_name(image_name(settings, role)) for role in ROLES]
    signed = [app for app in apps if daemon.find_image(signed_name(app))]
    if len(signed) < len(apps):
        return
    one, other = (measure(settings.gsc, app) for app in signed)
    if different := sealing_differences(one, other):
        raise WorkflowError(
            f"{one.image} and {other.image} could not open each other's files: "
            f"{'; '.join(different)}; sign both with one key: inv sign"
        )


def _insecure(image: Image) -> list[str]:
    return [option for option in image.labels.get(INSECURE_LABEL, "").split(",") if option]
