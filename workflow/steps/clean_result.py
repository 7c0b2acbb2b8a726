"""Delete result.txt and result.json before the next run."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from workflow.assets.trained import left_by_verifiers
from workflow.backends.classify_job import ClassifyJob, results
from workflow.core.ownership import refuse_foreign, refuse_unfit
from workflow.core.settings import InferSettings
from workflow.core.shell_lines import shell_line
from workflow.core.step import Look, Step


@dataclass(frozen=True)
class CleanResult(Step):
    """Delete the results of the last run, so that no answer outlives its question."""

    title = "clean-result"

    def writes(self) -> Iterable[Look]:
        return (lambda: check_place(self.settings.infer),)

    def run(self) -> None:
        ClassifyJob(self.settings).clear()

    def shell(self) -> Sequence[str]:
        infer = self.settings.infer
        return [shell_line(["rm", "-f", *results(infer), *left_by_verifiers(infer.out)])]


def check_place(infer: InferSettings) -> None:
    """Refuse to answer into a folder where a person's own files have the names of ours.

    Raises: WorkflowError naming the first of them.
    """
    refuse_unfit(infer.out, "infer.out")
    refuse_foreign(results(infer), instead="name another folder: --out (or infer.out)")
