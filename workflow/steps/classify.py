"""Classify images with the network that was handed over: out/infer/result.txt."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from pytorch_common.contract import RESULT_JSON_FILE
from workflow.assets.trained import accepted_digest, encrypted_net, not_handed_over, read_run
from workflow.backends.base import (
    Backend,
    announce,
    check_runnable,
    pick,
    serving,
    way_out,
)
from workflow.backends.classify_job import ClassifyJob
from workflow.core.console import answer_json, note
from workflow.core.errors import WorkflowError
from workflow.core.settings import Settings
from workflow.core.step import Look, Step
from workflow.images.build_spec import INFER
from workflow.steps.clean_result import check_place
from workflow.steps.options import everything_before


@dataclass(frozen=True)
class Classify(Step):
    """Classify files, folders and glob patterns; write result.txt and result.json, print one."""

    title = "classify"
    images: tuple[str, ...] = ()
    as_json: bool = False
    quiet: bool = False
    """None is printed."""

    @property
    def backend(self) -> Backend:
        """Return where it runs."""
        return pick(self.settings)

    @property
    def job(self) -> ClassifyJob:
        """Return what the backend is asked to run.

        Raises: WorkflowError where there is nothing to classify.
        """
        images = self.chosen()
        if not images:
            raise WorkflowError(
                "no image given; run: inv classify --image PATH (file, folder or glob)"
            )
        names = tuple(name for image in images for name in expand(image))
        return ClassifyJob(self.settings, names)

    def chosen(self) -> tuple[str, ...]:
        """Return what is to be classified, as the person named it."""
        return self.images

    def reads(self) -> Iterable[Look]:
        _ = self.job
        return (partial(check_opens, self.settings, self.backend),)

    def writes(self) -> Iterable[Look]:
        return (partial(check_place, self.settings.infer),)

    def place(self) -> Iterable[Look]:
        mend = everything_before(self.title, self.settings)
        look = partial(check_runnable, self.settings, self.backend, INFER, mend)
        return (*self.backend.place(self.settings), look)

    def way_out(self) -> str:
        return way_out(self.settings, self.backend)

    def run(self) -> None:
        announce(self.settings, self.backend)
        if line := not_handed_over(self.settings):
            note(line)
        status = self.backend.run(self.job, quiet=self.as_json or self.quiet)
        result = self.settings.infer.out / RESULT_JSON_FILE
        if self.as_json and result.is_file():
            answer_json(result.read_text(encoding="utf-8").rstrip("\n"))
        if status and not result.is_file():
            raise WorkflowError("pytorchexample.py failed; its lines stand above", code=status)
        if status:
            line = "not every file was an image; the lines above name them"
            raise WorkflowError(line, code=status)

    def shell(self) -> Sequence[str]:
        return self.backend.shell(self.job)


def expand(image: str) -> list[str]:
    """Return the paths that a pattern matches; anything else stays as it is.

    A path that is not there is left to the script, which says so in a line of the result.
    """
    if "://" in image:
        return [image]  # no address is fetched, and the result says so
    path = str(Path(os.path.expanduser(image)))  # noqa: PTH111 - there may be no home
    if glob.has_magic(path) and not os.path.lexists(path):
        return sorted(glob.glob(path, recursive=True)) or [path]  # noqa: PTH207 - absolute too
    return [path]


def check_opens(settings: Settings, backend: Backend) -> None:
    """Refuse a network that was handed over in a form that the backend cannot open.

    Raises: WorkflowError, and where there is no network or not the recorded one.
    """
    accepted_digest(settings.infer)
    can_open, how = readable_in(settings)
    if backend.name not in can_open:
        raise WorkflowError(
            f"the network that was handed over is {how}, which the backend {backend.name} cannot "
            f"open; classify with --backend {' or '.join(can_open)}, or run: inv train --backend "
            f"{backend.name}, then: inv copy-net"
        )


def readable_in(settings: Settings) -> tuple[tuple[str, ...], str]:
    """Return the backends that can open the network which was handed over, and how it came."""
    net = settings.infer.net
    run = read_run(net.parent)
    plain = tuple(each.name for each in serving(settings) if not each.seals)
    if encrypted_net(net.parent).is_file() and run["encrypted"]:
        others = plain if net.is_file() else ()
        return (str(run["backend"]), *others), f"sealed by a {run['backend']} run"
    return plain, "plain"
