"""What the value of a setting can be: its kinds and its words."""

from __future__ import annotations

import os
import re
from pathlib import Path

from pytorch_common.contract import IMAGE_SIZES
from workflow.core.errors import WorkflowError

ARCHITECTURES = tuple(IMAGE_SIZES)
PYPI = "pypi"
AUTO = "auto"
BASES = ("debian12", "debian12-apt", "ubuntu18.04")
"""What the images stand on: a base dockerfile each."""
INSECURE_OPTIONS = (
    "insecure-args",
    "allow-all-but-log",
    "debug-enclave",
    "host-env",
    "allowed-files",
    "log-level",
    "insecure-keys",
    "insecure-options",
    "old-torch",
)
"""What weakens an enclave, each refused unless it is asked for by name."""
HOME_KEY = Path(os.path.expanduser("~/.config/gramine/enclave-key.pem"))  # noqa: PTH111
"""Where Gramine's own tools make it, outside of every build context; with the ``~`` where this user
has no home. Source: gramine-sgx-sign."""
GRAMINE = "gramine"
GRAPHENE = "graphene"


class PathText(str):
    """A path that may be left out; what is read from a setting or a flag is absolute, or empty."""

    def is_path(self) -> bool:
        """Tell whether it names a file or folder here."""
        return bool(self)


class Source(PathText):
    """Where something comes from: a URL, a path, or one of our own words."""

    def is_path(self) -> bool:
        """Tell whether it names a file or folder here."""
        return bool(self) and "://" not in self and self != PYPI


NONE = PathText()
PUBLISHED = Source()


def one_of(name: str, value: str, known: tuple[str, ...]) -> None:
    """Refuse a value that is none of these.

    Raises: WorkflowError with the setting's name.
    """
    if value not in known:
        raise WorkflowError(f"{name}: expected one of {', '.join(known)}, got {value}")


def check_image_name(name: str, value: str) -> None:
    """Refuse what Docker would refuse, and a tag: the tag tells the backends apart."""
    if not re.fullmatch(r"[a-z0-9]+(?:[._/-]+[a-z0-9]+)*", value):
        raise WorkflowError(
            f"{name}: expected a Docker image's name in lower case without a tag, got {value!r}"
        )
