"""What the value of a setting can be: its kinds and its words; and what a verifier accepts."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

from pytorch_common.contract import IMAGE_SIZES
from workflow.core.errors import WorkflowError

ARCHITECTURES = tuple(IMAGE_SIZES)
PYPI = "pypi"
AUTO = "auto"
BASES = ("debian12", "debian12-apt", "ubuntu18.04")
"""What the images stand on: a base dockerfile each."""
DEBIANS = ("debian12", "debian12-apt")
"""Those that are of Debian's packages, of one moment of snapshot.debian.org."""
NO_SNAPSHOT = "none"
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


@dataclass(frozen=True)
class EvidenceSettings:
    """Say what a verifier accepts, and whom it asks about processors."""

    collateral_service: str = ""
    """URL of a PCCS, or of Intel's PCS; empty asks nobody."""
    lock: PathText = NONE
    """File of the enclaves that are accepted; empty takes manifests/measurement.lock if there."""
    mrenclave: str = ""
    """Accepted MRENCLAVEs, with commas between them; empty leaves them to the lock."""
    mrsigner: str = ""
    """Accepted MRSIGNERs, with commas between them."""
    isv_prod_id: int = -1
    """Accepted product id of the signer; -1 accepts any."""
    isv_svn: int = 0
    """Lowest accepted security version of the enclave."""
    accept_tcb: str = ""
    """TCB statuses accepted beside UpToDate, and SMT, DynamicPlatform, CachedKeys."""
    advisories: str = ""
    """Intel's advisories about the processor that are accepted, with commas between them."""
    ppids: PathText = NONE
    """File of the machines that are accepted, a PPID a line; empty accepts any."""

    def __post_init__(self) -> None:
        for name, least in (("isv_prod_id", -1), ("isv_svn", 0)):
            if (value := getattr(self, name)) < least:
                raise WorkflowError(f"evidence.{name}: expected {least} or more, got {value}")


def one_of(name: str, value: str, known: tuple[str, ...]) -> None:
    """Refuse a value that is none of these.

    Raises: WorkflowError with the setting's name.
    """
    if value not in known:
        raise WorkflowError(f"{name}: expected one of {', '.join(known)}, got {value}")


def check_snapshot(name: str, value: str) -> None:
    """Refuse what is no moment of snapshot.debian.org.

    Raises: WorkflowError with the setting's name.
    """
    if not re.fullmatch(rf"(?:\d{{8}}T\d{{6}}Z|{NO_SNAPSHOT})?", value, re.ASCII):
        raise WorkflowError(
            f"{name}: expected a moment as 20260824T000000Z, or {NO_SNAPSHOT}, got {value!r}"
        )


def check_image_name(name: str, value: str) -> None:
    """Refuse what Docker would refuse, and a tag: the tag tells the backends apart."""
    if not re.fullmatch(r"[a-z0-9]+(?:[._/-]+[a-z0-9]+)*", value):
        raise WorkflowError(
            f"{name}: expected a Docker image's name in lower case without a tag, got {value!r}"
        )
