"""Make the images shielded ones with GSC and settle their manifests."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial

from workflow.core.errors import WorkflowError
from workflow.core.step import Look, Step, problem
from workflow.gsc.checkout import check_checkout
from workflow.gsc.graminize import graminize, graminize_lines
from workflow.gsc.modes import SGX, Mode
from workflow.gsc.runtime_pack import is_wanted
from workflow.gsc.shielded_images import (
    INSECURE_LABEL,
    TOOLS_LABEL,
    check_signer,
    current_image,
    current_unsigned,
)
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
        looks = (partial(self._check_is_built, role) for role in self.roles)
        return not any(map(problem, looks))

    def _check_is_built(self, role: str) -> None:
        """Refuse an image that is not of today, or not with the list that is asked for.

        Raises: WorkflowError.
        """
        unsigned = current_unsigned(self.settings, role, self.mode)
        admitted = replace(self.settings.gsc, insecure=unsigned.labels.get(INSECURE_LABEL, ""))
        if (TOOLS_LABEL in unsigned.labels) != is_wanted(admitted):
            raise WorkflowError(f"{unsigned.name} has the other list; see gsc.full_list")
        if problem(partial(current_image, self.settings, role, self.mode)):
            check_signer(
                unsigned
            )  # without it, and not signed yet, there is no way on but this step

    def done(self) -> str:
        return "already built of this image and these manifests"

    def run(self) -> None:
        for role in self.roles:
            graminize(self.settings, self.mode, role)

    def shell(self) -> Sequence[str]:
        return [
            line for role in self.roles for line in graminize_lines(self.settings, self.mode, role)
        ]
