"""The lines that a script and Gramine around it write to standard error."""

from __future__ import annotations

import json
import re
from typing import Any

from pytorch_common.contract import ERROR_PREFIX, PROGRESS_PREFIX
from workflow.notes import note

_LIBOS_ERROR = re.compile(r"\[P\d+:[^\]]*\] error: (.*)")
"""How an error begins that Gramine's library OS logs: with process, thread and program."""


def _report(line: str) -> dict[str, Any] | None:
    """Return what a line of progress says, None where it is no such line after all."""
    try:
        report = json.loads(line.removeprefix(PROGRESS_PREFIX))
        return {"label": str(report["label"]), **{k: int(report[k]) for k in ("done", "total")}}
    except (ValueError, TypeError, KeyError):
        return None


class ScriptLines:
    """Take a script's standard error: draw its progress, keep its error, print the rest."""

    def __init__(self) -> None:
        self.error = ""
        self.hint = ""
        """What Gramine said went wrong inside; it may have been borne."""
        self._bar: Any = None
        self._label = ""

    def __call__(self, line: str) -> None:
        """Take one line."""
        if line.startswith(PROGRESS_PREFIX) and (report := _report(line)):
            self._draw(report)
        elif line.startswith(ERROR_PREFIX):
            # The first says why; what follows from it is printed, if there is more.
            if self.error:
                note(line)
            self.error = self.error or line.removeprefix(ERROR_PREFIX)
        else:
            if found := _LIBOS_ERROR.match(line):
                self.hint = found[1]
            self.close()
            note(line)

    def close(self) -> None:
        """Take the bar from the screen."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None

    def _draw(self, report: dict[str, Any]) -> None:
        from tqdm import tqdm

        if self._bar is None or report["label"] != self._label:
            self.close()
            self._label = report["label"]
            self._bar = tqdm(total=report["total"], desc=self._label, disable=None, leave=False)
        self._bar.update(report["done"] - self._bar.n)
