"""Sign the shielded images."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial

from workflow.core.errors import WorkflowError
from workflow.core.step import Look, Step, problem
from workflow.gsc.modes import SGX, Mode
from workflow.gsc.shielded_images import current_image
from workflow.gsc.sign_image import key_lines, sign, sign_lines
from workflow.images.build_spec import ROLES, image_name


@dataclass(frozen=True)
class Sign(Step):
    """Sign the graminized images of the roles."""

    mode: Mode = SGX
    roles: tuple[str, ...] = ROLES

    @property
    def title(self) -> str:
        return f"sign --image {' '.join(self.roles)}"

    def reads(self) -> Iterable[Look]:
        return (self._check_key,)

    def is_done(self) -> bool:
        looks = (partial(current_image, self.settings, role, self.mode) for role in self.roles)
        return not any(map(problem, looks))

    def done(self) -> str:
        return "already signed"

    def run(self) -> None:
        sign(self.settings, self.mode, self.roles)

    def shell(self) -> Sequence[str]:
        gsc, mode = self.settings.gsc, self.mode
        self._check_key()
        apps = [mode.app_name(image_name(self.settings, role)) for role in self.roles]
        return [
            *key_lines(gsc, mode),
            *(line for app in apps for line in sign_lines(gsc, app, mode)),
        ]

    def _check_key(self) -> None:
        """Refuse a key for images that nothing guards: no enclave may open what it seals.

        Raises: WorkflowError.
        """
        flag = self.settings.flags.get("gsc.key")
        if flag and self.mode.key:
            raise WorkflowError(
                f"{' '.join(flag)}: images for {self.mode.name} mode are signed with a key of "
                "their own, because nothing guards them; leave --key out, or sign for SGX: "
                "--backend sgx"
            )
