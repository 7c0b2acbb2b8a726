"""A backend: a place where the scripts run, and what is known of each."""

from __future__ import annotations

import importlib
import pkgutil
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path
from typing import Any, ClassVar

from workflow.backends.job import Job
from workflow.core.console import note
from workflow.core.errors import WorkflowError
from workflow.core.settings import GscSettings, Settings
from workflow.core.step import Look
from workflow.core.usage import Usage
from workflow.core.values import AUTO
from workflow.gsc.modes import Mode
from workflow.images.currency import MissingImageError

WAY_OUT = (
    "; or name another backend, which does not protect: --backend native, or "
    "INVOKE_MACHINE_BACKEND=native"
)


class Backend(ABC):
    """Say what one place to run needs, how it runs a script, and what it promises."""

    name: ClassVar[str]
    strength: ClassVar[int]
    """How far it protects, beside the others; the strongest stands first in every list."""
    image_steps: ClassVar[tuple[str, ...]] = ()
    """The documented steps that make the image which it runs."""
    mode: ClassVar[Mode | None] = None
    """Of Gramine, where it runs a shielded image."""
    seals: ClassVar[bool] = False
    """The network leaves the training encrypted."""

    def speaks(self, gsc: GscSettings) -> bool:
        """Tell whether it is of the kind of GSC that is set."""
        return True

    def is_automatic(self, settings: Settings) -> bool:
        """Tell whether it is the one for this machine where none is named."""
        return False

    def place(self, settings: Settings) -> list[Look]:
        """Return the looks at what keeps it from running here, its image aside."""
        return []

    def making(self, settings: Settings) -> list[Look]:
        """Return the looks at what the steps need that make its images."""
        return []

    def runnable(self, settings: Settings, role: str) -> tuple[str, list[str]]:
        """Return the image that is run and the arguments by which the run differs from it.

        Raises: WorkflowError where it is missing, not of today, or sealed with other options.
        """
        return "", []

    def image_id(self, settings: Settings, role: str) -> str | None:
        """Return the id of the image that is run, None where there is none."""
        return None

    def usage(self, out: Path) -> Iterable[Usage]:
        """Return what each process of the job that writes there takes now."""
        return ()

    @abstractmethod
    def run(self, job: Job, *, quiet: bool = False) -> int:
        """Run the script to its end; return its status where it ends without an error of its own.

        With ``quiet`` its answers are not printed.

        Raises: WorkflowError with the script's own line and status where it ends with one, or with
        how it ended otherwise; with status 130 after Ctrl-C.
        """

    @abstractmethod
    def shell(self, job: Job) -> list[str]:
        """Return the shell commands that run the script by hand."""

    def facts(self, settings: Settings, role: str) -> dict[str, Any]:
        """Return what this machine knows of the image that ran, nothing where there is none."""
        return {}

    def warning(self) -> str:
        """Return the one plain line of what it does not protect from, empty where it does."""
        return (
            f"backend {self.name}: not protected, this machine's owner can read and change "
            "everything"
        )


@cache
def known() -> tuple[Backend, ...]:
    """Return every backend, the strongest first: those of each module here that has BACKENDS."""
    names = [module.name for module in pkgutil.iter_modules([str(Path(__file__).parent)])]
    modules = (importlib.import_module(f"{__package__}.{name}") for name in names)
    found = (backend for module in modules for backend in getattr(module, "BACKENDS", ()))
    return tuple(sorted(found, key=lambda backend: -int(backend.strength)))


def names() -> list[str]:
    """Return the names that --backend takes, the strongest first."""
    return list(dict.fromkeys(backend.name for backend in known()))


def check_name(settings: Settings) -> None:
    """Refuse a backend that does not exist.

    Raises: WorkflowError with those that do.
    """
    if settings.machine.backend not in (AUTO, *names()):
        expected = ", ".join((AUTO, *names()))
        raise WorkflowError(
            f"machine.backend: expected one of {expected}, got {settings.machine.backend}"
        )


def serving(settings: Settings) -> list[Backend]:
    """Return the backends of the GSC that is set, the strongest first."""
    return [backend for backend in known() if backend.speaks(settings.gsc)]


def pick(settings: Settings) -> Backend:
    """Return the backend to run in: the named one, else sgx on a machine for it, else native.

    Whether it can run here is not looked at: ``place`` does that, and nothing falls back.
    """
    named = settings.machine.backend
    return next(
        backend
        for backend in serving(settings)
        if backend.name == named or (named == AUTO and backend.is_automatic(settings))
    )


def pick_shielded(settings: Settings) -> Backend:
    """Return the backend that images are shielded for: the named one, else the one to run in.

    Where that is none of a GSC, it is the one for trying.

    Raises: WorkflowError for a named backend without GSC.
    """
    shielded = [backend for backend in serving(settings) if backend.mode]
    named = settings.machine.backend
    if named == AUTO:
        fitting = (backend for backend in shielded if backend.is_automatic(settings))
        return next(fitting, shielded[-1])
    for backend in shielded:
        if backend.name == named:
            return backend
    raise WorkflowError(f"--backend: a shielded image is for {either(shielded)}, not for {named}")


def check_runnable(settings: Settings, backend: Backend, role: str, mend: str) -> None:
    """Refuse to begin without an image that can be run; ``mend`` makes one where there is none.

    Raises: WorkflowError with what mends it.
    """
    try:
        backend.runnable(settings, role)
    except MissingImageError as error:
        raise WorkflowError(f"no image {error.image} here; run: {mend}") from error


def announce(settings: Settings, backend: Backend) -> None:
    """Say which backend is taken where none was named, and how far it protects."""
    if warning := backend.warning():
        note(warning)
    elif settings.machine.backend == AUTO:
        note(f"backend {backend.name}, since this machine has an SGX device")


def way_out(settings: Settings, backend: Backend) -> str:
    """Return what else can be named where a backend that was not named lacks something here."""
    is_choice_of_ours = settings.machine.backend == AUTO
    return WAY_OUT if is_choice_of_ours and not backend.warning() else ""


def either(backends: Sequence[Backend]) -> str:
    """Return the names with ``or`` between them."""
    return " or ".join(backend.name for backend in backends)
