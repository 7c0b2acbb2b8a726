"""Say what the signed images measure to: MRENCLAVE, MRSIGNER, and what weakens them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass

from workflow.core.console import answer
from workflow.core.shell_lines import shell_line
from workflow.core.step import Look, Step
from workflow.gsc.checkout import check_checkout
from workflow.gsc.commands import info_command
from workflow.gsc.measurement import info_table, measure, save_measurement
from workflow.gsc.modes import SGX, Mode
from workflow.gsc.shielded_images import insecure_options
from workflow.images.build_spec import ROLES, image_name


@dataclass(frozen=True)
class Info(Step):
    """Print and save what each signed image measures to."""

    mode: Mode = SGX
    roles: tuple[str, ...] = ROLES
    as_json: bool = False

    @property
    def title(self) -> str:
        return f"info --image {' '.join(self.roles)}"

    @property
    def apps(self) -> list[str]:
        """Return what GSC calls the images."""
        return [self.mode.app_name(image_name(self.settings, role)) for role in self.roles]

    def reads(self) -> Iterable[Look]:
        return (lambda: check_checkout(self.settings.gsc),)

    def run(self) -> None:
        found = [(measure(self.settings.gsc, app), insecure_options(app)) for app in self.apps]
        for measurement, insecure in found:
            save_measurement(measurement, insecure)
        if self.as_json:
            facts = [{**asdict(each), "insecure": insecure} for each, insecure in found]
            answer(json.dumps(facts, indent=2))
            return
        for measurement, insecure in found:
            for line in info_table(measurement, self.mode, insecure):
                answer(line)

    def shell(self) -> Sequence[str]:
        return [shell_line(info_command(app), cwd=self.settings.gsc.dir) for app in self.apps]
