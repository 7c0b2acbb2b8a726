"""Build the Docker images: the base that brings torch, the training and the classifying one."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from pytorch_common.contract import SCRATCH
from pytorch_common.files import hidden_note
from workflow.assets import pretrained
from workflow.assets.trained import DIGEST_IN_SHELL, accepted_digest, digest_line
from workflow.core.console import note
from workflow.core.shell_lines import unquoted
from workflow.core.step import Look, Step, problem
from workflow.images.build_run import build_image, build_lines
from workflow.images.build_spec import (
    DATA_IN_SHELL,
    INFER,
    ROLES,
    TRAIN,
    base_build,
    check_wheels,
    image_name,
    infer_build,
    train_build,
)
from workflow.images.currency import app_build


@dataclass(frozen=True)
class Build(Step):
    """Build the images of the roles. What is as before costs nothing: Docker's cache decides."""

    roles: tuple[str, ...] = ROLES

    @property
    def title(self) -> str:
        return f"build --image {' '.join(self.roles)}"

    def reads(self) -> Iterable[Look]:
        return (lambda: check_wheels(self.settings),)

    def run(self) -> None:
        """Build them.

        The classifying image carries the digest of the network that it accepts, so it is built
        once there is one: with both asked for, it is left out where nothing was handed over.
        """
        builds = [base_build(self.settings)]
        for role in self.roles:
            if role == INFER and TRAIN in self.roles and self._lacks_network():
                name = image_name(self.settings, INFER)
                note(f"{name}: left out; it has the network's digest built in, so")
                note("run: inv train, inv copy-net, then: inv build --image infer")
            else:
                builds.append(app_build(self.settings, role))
                if role == TRAIN and (passed_over := hidden_note(self.settings.data.dir)):
                    note(passed_over)
        for build in builds:
            build_image(build)

    def shell(self) -> Sequence[str]:
        settings = self.settings
        lines = build_lines(base_build(settings))
        if TRAIN in self.roles:
            is_scratch = settings.train.method == SCRATCH
            weights = None if is_scratch else pretrained.weights_path(settings)
            known = "" if settings.data.dir.is_file() else DATA_IN_SHELL
            lines += build_lines(train_build(settings, weights, known))
        if INFER in self.roles:
            build = infer_build(settings, DIGEST_IN_SHELL)
            lines += [digest_line(settings.infer), *map(unquoted, build_lines(build))]
        return lines

    def _lacks_network(self) -> bool:
        return bool(problem(lambda: accepted_digest(self.settings.infer)))
