"""The Docker images: their names, what goes into each, build arguments and context. Pure."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from pytorch_common.contract import (
    DATA_SHA256_VARIABLE,
    EXPORT_VARIABLE,
    NET_SHA256_VARIABLE,
    TORCH_VARIABLE,
    available_threads,
    option_variable,
)
from pytorch_common.files import is_hidden
from workflow.assets.splits import data_digest
from workflow.core.console import shown
from workflow.core.disk import sha256_file
from workflow.core.errors import WorkflowError
from workflow.core.settings import PROJECT, Settings
from workflow.core.values import DEBIANS, NO_SNAPSHOT

TRAIN = "train"
INFER = "infer"
ROLES = (TRAIN, INFER)

LABEL = "enclave-finetune."
CONTEXT_LABEL = LABEL + "context"
"""Digest of the build context that an image was built from."""

DATA_PACK = "pytorch_train/data.tar"
"""In a build context: the data set, in one file."""
DATA_IN_SHELL = "$DATA_SHA256"
"""The data set's digest in the commands of `--dry`, set where its pack is made."""

BASE_IMAGE = "enclave-finetune-base"
LOCK = PROJECT / "dockerfiles" / "requirements.lock"
"""Of the base debian12: each wheel's version and sha256."""

Files = dict[str, Path]
"""Of a build context: the path in it, and the file on this machine."""


@dataclass(frozen=True)
class Build:
    """Say how one image is built."""

    image: str
    dockerfile: str
    """Path of the dockerfile, from the project's folder."""
    arguments: Mapping[str, str]
    files: Files
    folders: tuple[str, ...] = ()
    """Folders that must be in the context though they are empty."""
    elsewhere: Files = field(default_factory=dict)
    """What of the context lies outside the project, a folder or a file each."""
    packs: Files = field(default_factory=dict)
    """What of the context is a pack, and the folder that it is made of."""


def roles(name: str) -> tuple[str, ...]:
    """Return the roles that a task's flag means: train, infer, or all of them.

    Raises: WorkflowError for any other word.
    """
    if name not in (*ROLES, "all"):
        raise WorkflowError(f"--image: expected train, infer or all, got {name}")
    return ROLES if name == "all" else (name,)


def image_name(settings: Settings, role: str) -> str:
    """Return the name of the plain image: the documented ``pytorch_train`` or ``pytorch``."""
    return settings.image.train if role == TRAIN else settings.image.infer


def base_name(settings: Settings) -> str:
    """Return the name of the image that brings torch."""
    return f"{BASE_IMAGE}:{settings.image.base}"


def base_build(settings: Settings) -> Build:
    """Return how the image that brings torch is built."""
    dockerfile = f"dockerfiles/base-{settings.image.base}.dockerfile"
    names = ["dockerfiles/slim.sh", "pytorch_common/architectures.py", dockerfile]
    arguments = {"OS": settings.image.os} if settings.image.os else {}
    if settings.image.base in DEBIANS:
        names.append("dockerfiles/apt.sh")
        arguments.update(snapshot_argument(settings))
    files = {name: PROJECT / name for name in names}
    if settings.image.base == "debian12":
        files["dockerfiles/requirements.lock"] = LOCK
        files.update(_wheels(settings))
        if settings.image.wheels:
            arguments["PIP_OPTIONS"] = "--no-index --find-links=wheels"
    wheels = {"wheels": Path(settings.image.wheels)} if settings.image.wheels else {}
    elsewhere = {name: path for name, path in wheels.items() if path != PROJECT / name}
    return Build(base_name(settings), dockerfile, arguments, files, ("wheels",), elsewhere)


def snapshot_argument(settings: Settings) -> dict[str, str]:
    """Return the build argument that says of which moment Debian's packages are.

    The moment in the dockerfile goes with the image that it pins. Another image's own sources stand
    unless a moment is set.
    """
    if settings.image.snapshot:
        return {"SNAPSHOT": settings.image.snapshot.removeprefix(NO_SNAPSHOT)}
    return {"SNAPSHOT": ""} if settings.image.os else {}


def base_torch(settings: Settings) -> str:
    """Return the version of the base's torch, which its build holds to the truth."""
    path = PROJECT / f"dockerfiles/base-{settings.image.base}.dockerfile"
    text = path.read_text(encoding="utf-8")
    (version,) = re.findall(rf"^ARG {TORCH_VARIABLE}=(.+)$", text, re.MULTILINE)
    return str(version)


def check_wheels(settings: Settings) -> None:
    """Hold the folder of wheels, where one is named, to the lock, before pip does.

    Raises: WorkflowError for the first wheel that is not there.
    """
    if not settings.image.wheels or settings.image.base != "debian12":
        return
    digests = {sha256_file(path) for path in _wheels(settings).values()}
    for line in LOCK.read_text(encoding="utf-8").splitlines():
        name, _, sha256 = line.partition(" --hash=sha256:")
        if sha256 and sha256 not in digests:
            raise WorkflowError(
                f"{settings.image.wheels}: no wheel of {name} with the sha256 of {shown(LOCK)}; "
                "fetch it with the pip download in docs/steps.md"
            )


def train_build(settings: Settings, weights: Path | None, data_sha256: str = "") -> Build:
    """Return how the training image is built; ``weights`` is None from scratch.

    ``data_sha256`` stands in place of the data set's canonical digest, which is not taken then.
    """
    arguments = {
        "BASE": base_name(settings),
        DATA_SHA256_VARIABLE: data_sha256 or data_digest(settings.data.dir),
        "WEIGHTS": _inside(weights) or f"pytorch_train/model/{weights.name}"
        if weights
        else "pytorch_train/model",
        **train_environment(settings),
    }
    files = {
        **_code("pytorch_common", "pytorch_train"),
        **({arguments["WEIGHTS"]: weights} if weights else {}),
    }
    dockerfile = "dockerfiles/pytorch_train.dockerfile"
    files[dockerfile] = PROJECT / dockerfile
    folders = () if weights else ("pytorch_train/model",)
    data = {DATA_PACK: settings.data.dir}
    is_packed = settings.data.dir.is_file()
    if is_packed:
        files.update(data)
    inputs = [DATA_PACK] * is_packed + [arguments["WEIGHTS"]] * bool(weights)
    elsewhere = {name: files[name] for name in inputs if files[name] != PROJECT / name}
    packs = {} if is_packed else data
    name = image_name(settings, TRAIN)
    return Build(name, dockerfile, arguments, files, folders, elsewhere, packs)


def infer_build(settings: Settings, net_sha256: str) -> Build:
    """Return how the classifying image is built, which accepts the one network alone."""
    dockerfile = "dockerfiles/pytorch.dockerfile"
    arguments = {
        "BASE": base_name(settings),
        NET_SHA256_VARIABLE: net_sha256,
        "INFER_TOP_K": str(settings.infer.top_k),
        "INFER_THREADS": str(settings.infer.threads or available_threads()),
        "INFER_IGNORE_PROFILES": "1" if settings.infer.ignore_profiles else "0",
        **_limits(settings, "INFER"),
    }
    files = {**_code("pytorch_common", "pytorch_infer"), dockerfile: PROJECT / dockerfile}
    return Build(image_name(settings, INFER), dockerfile, arguments, files)


def train_environment(settings: Settings) -> dict[str, str]:
    """Return the image variable of every train option; threads 0 becomes this machine's number.

    An enclave has room for so many threads as its manifest says, so the number is settled here.
    """
    options = settings.train_options
    threads = options.thread_count()
    values = dataclasses.asdict(dataclasses.replace(options, threads=threads))
    return {
        **{option_variable(name): str(value) for name, value in values.items()},
        option_variable("cache_mb"): str(settings.train.cache_mb),
        **_limits(settings, "TRAIN"),
        EXPORT_VARIABLE: "1" if settings.train.export_net else "0",
    }


def _limits(settings: Settings, script: str) -> dict[str, str]:
    """Return the variables that say how large an image the script reads."""
    limits = dataclasses.asdict(settings.limits)
    return {f"{script}_{name.upper()}": str(value) for name, value in limits.items()}


def _code(*packages: str) -> Files:
    return {
        path.relative_to(PROJECT).as_posix(): path
        for package in packages
        for path in sorted((PROJECT / package).glob("*.py"))
    }


def _wheels(settings: Settings) -> Files:
    if not settings.image.wheels:
        return {}
    folder = Path(settings.image.wheels)
    wheels = (path for path in folder.glob("*.whl") if not is_hidden(path, folder))
    return {f"wheels/{path.name}": path for path in sorted(wheels)}


def _inside(path: Path | None) -> str | None:
    """Return the path from pytorch_train's folder on, None where it lies elsewhere."""
    if path is None or not path.is_relative_to(PROJECT / "pytorch_train"):
        return None
    return path.relative_to(PROJECT).as_posix()
