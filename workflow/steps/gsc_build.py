"""Make the images shielded ones with GSC and settle their manifests."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial

from workflow.core.step import Look, Step, problem
from workflow.gsc.checkout import check_checkout
from workflow.gsc.graminize import graminize, graminize_lines
from workflow.gsc.modes import SGX, Mode
from workflow.gsc.shielded_images import current_unsigned
from workflow.images.build_spec import ROLES


@dataclass(frozen=True)
class GscBuild(Step):
    """Graminize the images of the roles."""

    mode: Mode = SGX
    roles: tuple[str, ...] = ROLES

    @property
    def title(self) -> str:
        return f"gsc-build --image {' '.join(self.roles)}"

    def reads(self) -> Iterable[Look]:
        return (lambda: check_checkout(self.settings.gsc),)

    def is_done(self) -> bool:
        looks = (partial(current_unsigned, self.settings, role, self.mode) for role in self.roles)
        return not any(map(problem, looks))

    def done(self) -> str:
        return "already built of this image and these manifests"

    def run(self) -> None:
        for role in self.roles:
            graminize(self.settings, self.mode, role)

    def shell(self) -> Sequence[str]:
        return [
            line for role in self.roles for line in graminize_lines(self.settings, self.mode, role)
        ]
