"""One run of one of the two scripts: what it is given, wherever it runs, and what it leaves."""

from __future__ import annotations

import contextlib
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from workflow.core.settings import Settings
from workflow.core.shell_lines import shell_line
from workflow.images.container_spec import Mount


def removal(paths: Sequence[Path]) -> list[str]:
    """Return the shell command that deletes what is there of an earlier run, if anything is."""
    return [shell_line(["rm", *paths])] if paths else []


@dataclass(frozen=True)
class Job(ABC):
    """What a backend is asked to run."""

    settings: Settings
    role: ClassVar[str]
    """Which of the two images it runs in."""
    is_alone: ClassVar[bool] = False
    """No other run writes there: a container that still does is that of a run that was killed."""

    @property
    @abstractmethod
    def script(self) -> Path:
        """Return the script, for a run without image."""

    @property
    @abstractmethod
    def out(self) -> Path:
        """Return the folder that it writes its results to."""

    @abstractmethod
    def arguments(self) -> list[str]:
        """Return the script's arguments in a run without image, all that they name verified.

        Raises: WorkflowError where it is missing or damaged.
        """

    @abstractmethod
    def arguments_by_hand(self) -> list[str]:
        """Return the same for a person to type; nothing needs to be there yet."""

    @abstractmethod
    def clear(self) -> None:
        """Delete what an earlier run left, so that nothing of it outlives this one."""

    @abstractmethod
    def mounts(self, inputs: Path | None, *, sealed: bool) -> tuple[Mount, ...]:
        """Return what a container is given; ``inputs`` is the folder of the images to classify.

        The hand-over is a folder of its own where it is an encrypted mount.
        """

    @abstractmethod
    def folders(self, *, sealed: bool) -> list[Path]:
        """Return the folders that a container writes to."""

    @abstractmethod
    def preparation(self, *, sealed: bool) -> list[str]:
        """Return the shell commands before a container that is run by hand."""

    def preparation_of_native(self) -> list[str]:
        """Return the shell commands before a run without image by hand."""
        return []

    def stdin(self) -> bytes:
        """Return what a run without image reads."""
        return b""

    def stdin_by_hand(self) -> str | None:
        """Return the shell command that writes it."""
        return None

    @contextlib.contextmanager
    def inputs(self) -> Iterator[Path | None]:
        """Yield the folder of what a container is given to read."""
        yield None

    def inputs_by_hand(self) -> Path | None:
        """Return that folder where a person makes it."""
        return None
