"""The lines that a script and Gramine around it write to standard error."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from pytorch_common.contract import ERROR_PREFIX, PROGRESS_PREFIX
from workflow.core.console import note
from workflow.gsc import failures

if TYPE_CHECKING:
    from workflow.images.container_run import Ended

_LIBOS = re.compile(r"\[P\d+:[^\]]*\] (error|warning): (.*)")
"""How a line begins that Gramine's library OS logs: with process, thread and program."""
_CHANGED = re.compile(r"Hash of trusted file '(.*)' does not match")
"""Source: Gramine, libos/src/fs/chroot/trusted.c."""


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
        self.changed: list[str] = []
        """Measured files that were not as measured, each once: the script could not read them."""
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
        elif found := _LIBOS.match(line):
            self._take_gramines(line, *found.groups())
        else:
            self.close()
            note(line)

    def close(self) -> None:
        """Take the bar from the screen."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None

    def _take_gramines(self, line: str, level: str, text: str) -> None:
        """Print an error, keep which files are changed; other warnings tell a person nothing."""
        if level == "error":
            self.hint = text
            self.close()
            note(line)
        elif (found := _CHANGED.match(text)) and found[1] not in self.changed:
            self.changed.append(found[1])

    def _draw(self, report: dict[str, Any]) -> None:
        from tqdm import tqdm

        if self._bar is None or report["label"] != self._label:
            self.close()
            self._label = report["label"]
            self._bar = tqdm(total=report["total"], desc=self._label, disable=None, leave=False)
        self._bar.update(report["done"] - self._bar.n)


def reason_of(image: str, ended: Ended, lines: ScriptLines, *, is_shielded: bool) -> str:
    """Return why a container failed, empty where it did not.

    Status 1 is the script's own: of its lines, and of a file that was no image.
    """
    if ended.status == 0:
        return ""
    if lines.changed:
        return failures.changed(image, lines.changed)
    if reason := lines.error or (lines.hint if ended.status > 1 else ""):
        return failures.explained(reason) if is_shielded else reason
    if ended.status > 1:
        return failures.ended(image, ended.status, out_of_memory=ended.out_of_memory)
    return ""
