"""The log of a Docker build, drawn step by step."""

from __future__ import annotations

import re
from typing import Any

from workflow.core.console import note

_STEP = re.compile(r"Step (\d+)/(\d+) : (.*)")


class BuildLog:
    """Take a build's log: a bar on a terminal, a line a step elsewhere."""

    def __init__(self, image: str) -> None:
        self.step = ""
        """The last one that was begun."""
        self._image = image
        self._bar: Any = None

    def __call__(self, line: str) -> None:
        """Take one line."""
        if not (found := _STEP.match(line)):
            return
        from tqdm import tqdm

        step, steps, what = int(found[1]), int(found[2]), found[3]
        self.step = what
        if self._bar is None or self._bar.total != steps:
            self.close()
            self._bar = tqdm(total=steps, desc=self._image, disable=None, leave=False)
        if self._bar.disable:
            note(f"{self._image}: step {step}/{steps} {what[:80]}")
        self._bar.set_postfix_str(what[:40])
        self._bar.update(step - 1 - self._bar.n)

    def close(self) -> None:
        """Take the bar from the screen."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None
