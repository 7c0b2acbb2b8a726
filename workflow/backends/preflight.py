"""What the steps ahead need, looked at before the first of them: all that is missing, at once."""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import NoReturn

from pytorch_common.contract import FEATURE_EXTRACT, FULL, SCRATCH
from pytorch_common.places import place_problem
from workflow.assets import dataset, pins, pretrained
from workflow.backends import base
from workflow.core.console import note
from workflow.core.errors import WorkflowError
from workflow.core.settings import AUTO, PROJECT, GscSettings, Settings, Source
from workflow.gsc import checkout
from workflow.gsc.commands import app_name, signed_name
from workflow.gsc.signatures import signing_key
from workflow.gsc.signer_key import key_pem, missing_message, open_key
from workflow.images import build_spec

Look = Callable[[], object]
"""Looks at one thing; a WorkflowError says what is wrong with it."""

WAY_OUT = (
    "; or name another backend, which does not protect: --backend native, or "
    "INVOKE_MACHINE_BACKEND=native"
)

GIB = 2**30
TIMES_THE_WEIGHTS = {FEATURE_EXTRACT: 2, FULL: 10, SCRATCH: 10}
"""What a training writes: the network, and three checkpoints (two are kept, the next is written) of
what changes, its best and its velocities: of the head alone, or of all."""
PLAIN_BYTES = 3 * GIB
"""Of Docker's disk, for the base with torch (1.2 GB, and twice that while it is built) and the two
images on top."""
SHIELDED_BYTES = 12 * GIB
"""Of Docker's disk, for these and GSC's: Gramine compiled, and each of ours unsigned and signed."""
AGAIN = 3
"""What part of it is enough where an earlier chain is here: its images are replaced one by one."""


def require(
    settings: Settings, backend: str, *, inputs: Iterable[Look], place: Iterable[Look]
) -> None:
    """Look at everything, and go on where nothing is wrong.

    ``place`` looks at what this backend needs and another may not.

    Raises: WorkflowError with what is wrong; of several things each is a line before it.
    """
    of_inputs, of_place = (list(filter(None, map(problem, looks))) for looks in (inputs, place))
    if problems := list(dict.fromkeys([*of_inputs, *of_place])):
        is_by_auto = settings.machine.backend == AUTO and backend == "sgx"
        *lines, last = refusal(problems, has_way_out=is_by_auto and len(problems) > len(of_inputs))
        for line in lines:
            note(line)
        raise WorkflowError(last)


def problem(look: Look) -> str:
    """Return what is wrong with the thing, empty where nothing is."""
    try:
        look()
    except WorkflowError as error:
        return str(error.message)
    except OSError as error:
        if line := place_problem(error, PROJECT):
            return line
        raise
    return ""


def refusal(problems: Sequence[str], *, has_way_out: bool) -> list[str]:
    """Return the lines for the person, the error's last: what is wrong and what can be done."""
    way_out = WAY_OUT if has_way_out else ""
    if len(problems) == 1:
        return [problems[0] + way_out]
    count = f"{len(problems)} things are in the way, a line each above, and nothing was begun"
    return [*(f"- {line}" for line in problems), count + way_out]


def training(settings: Settings) -> list[Look]:
    """Return the looks at what is trained on, and at the room for what comes of it."""
    is_scratch = settings.train.method == SCRATCH
    return [
        partial(dataset.check_trainable, settings.data, settings.train_options),
        *([] if is_scratch else [partial(pretrained.base_weights, settings)]),
        partial(check_training_disk, settings),
    ]


def running(settings: Settings, backend: str) -> list[Look]:
    """Return the looks at what a script needs to run in the backend, its image aside."""
    looks: dict[str, Look] = {
        "device": partial(base.check_devices, settings),
        "daemon": check_daemon,
        "gsc": partial(checkout.check_checkout, settings.gsc),
        "seccomp": partial(checkout.seccomp_profile, settings),
    }
    needed = {
        "native": (),
        "docker": ("daemon",),
        "direct": ("daemon", "gsc", "seccomp"),
        "sgx": ("device", "daemon", "gsc"),
    }
    return [looks[name] for name in needed[backend]]


def making(settings: Settings, backend: str) -> list[Look]:
    """Return the looks at what the steps before a run need, and at the room for all of them."""
    looks: list[Look] = [partial(check_training_disk, settings)]
    if backend != "native":
        looks += [
            partial(build_spec.check_wheels, settings),
            partial(check_docker_disk, settings, backend),
        ]
    if backend in base.SHIELDED:
        looks += [
            partial(check_gramine, settings.gsc),
            partial(check_key, settings.gsc, signing_key(settings.gsc, backend)),
        ]
    return looks


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


def check_daemon() -> None:
    """Refuse a machine without a Docker daemon that answers.

    Raises: WorkflowError.
    """
    from workflow.images import daemon

    daemon.facts()


def check_gramine(checkout: GscSettings) -> None:
    """Refuse a Gramine image that is named and not here: GSC looks for it after the first builds.

    Raises: WorkflowError.
    """
    from workflow.images import daemon

    path = checkout.dir / "config.yaml"
    if not path.is_file():
        return
    named = gramine_image(path)
    if checkout.gramine_image and checkout.gramine_image != named:
        raise WorkflowError(
            f"{path} names {named or 'no Gramine image'}, but gsc.gramine_image is "
            f"{checkout.gramine_image}; run: inv gsc-setup"
        )
    if named and daemon.find_image(named) is None:
        raise WorkflowError(
            f"no image {named} here, from which {path} takes Gramine; run: inv gsc-setup, which "
            "has GSC compile it, or name one that is here: --gramine-image NAME"
        )


def gramine_image(config: Path) -> str:
    """Return the image from which GSC's config.yaml takes Gramine, empty where it compiles one.

    Raises: WorkflowError where that is no YAML.
    """
    import yaml

    try:
        content = yaml.safe_load(config.read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise WorkflowError(f"{config} cannot be read; run: inv gsc-setup") from error
    gramine = content.get("Gramine") if isinstance(content, dict) else None
    return str(gramine.get("Image") or "") if isinstance(gramine, dict) else ""


def check_key(checkout: GscSettings, key: Path) -> None:
    """Refuse a key that is none for SGX, or that can neither be read nor made.

    One whose pass phrase is going to be asked for is opened then.

    Raises: WorkflowError.
    """
    if not key.exists():
        if checkout.key_is_named and key == checkout.key:
            raise WorkflowError(missing_message(key))
        folder = _nearest(key)
        if not os.access(folder, os.W_OK | os.X_OK):
            raise WorkflowError(f"{key} cannot be made: {folder} cannot be written; name another")
    elif checkout.passphrase_file or not sys.stdin.isatty():
        key_pem(checkout, key)
    else:
        with contextlib.suppress(_AskedForLaterError):
            open_key(key, _ask_later)


def check_disk(folder: Path, needed_bytes: int, what_for: str) -> None:
    """Refuse a disk with too little room where a folder lies or is going to.

    Raises: WorkflowError.
    """
    place = _nearest(folder / "in it")
    free = shutil.disk_usage(place).free
    if free < needed_bytes:
        raise WorkflowError(
            f"{place}: {_size(free)} free, expected {_size(needed_bytes)} for {what_for}"
        )


def check_training_disk(settings: Settings) -> None:
    """Refuse a disk without room for what a training writes.

    Raises: WorkflowError.
    """
    weights_bytes = pins.WEIGHTS[settings.arch].max_bytes
    needed_bytes = TIMES_THE_WEIGHTS[settings.train.method] * weights_bytes
    check_disk(settings.train.out, needed_bytes, "a training")


def check_docker_disk(settings: Settings, backend: str) -> None:
    """Refuse a Docker without room for the images that the backend's steps make.

    Raises: WorkflowError.
    """
    from workflow.images import daemon

    last, needed = build_spec.base_name(settings), PLAIN_BYTES
    if backend in base.SHIELDED:
        last, needed = signed_name(app_name(settings.image.train, backend)), SHIELDED_BYTES
    if daemon.find_image(last):
        needed //= AGAIN
    folder = Path(daemon.facts()["folder"])
    if folder.is_dir():  # of a daemon in another machine it is not here
        check_disk(folder, needed, f"the images of the backend {backend}")


class _AskedForLaterError(Exception):
    """Say that the pass phrase is not asked for yet."""


def _ask_later() -> NoReturn:
    raise _AskedForLaterError


def _size(size_bytes: int) -> str:
    return f"{size_bytes / GIB:.1f} GiB" if size_bytes >= GIB else f"{size_bytes / 2**20:.0f} MiB"


def _nearest(path: Path) -> Path:
    """Return the lowest folder above the path that is there."""
    return next(folder for folder in path.parents if folder.is_dir())
