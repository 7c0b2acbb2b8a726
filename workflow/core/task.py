"""The decorator of every task: what a person can mend ends in one line."""

from __future__ import annotations

from functools import partial
from typing import Any

from invoke import tasks

from pytorch_common.places import place_problem
from workflow.core.errors import WorkflowError
from workflow.core.settings import PROJECT


class Step(tasks.Task[Any]):
    """A task of which a closed folder, a full disk and the like are one line, no traceback."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run the task.

        Raises: WorkflowError for an OSError about a place of the person's, and for a name that the
            locale's encoding lacks; others are bugs.
        """
        try:
            return super().__call__(*args, **kwargs)
        except OSError as error:
            problem = place_problem(error, PROJECT)
            if problem is None:
                raise
            raise WorkflowError(problem) from error
        except UnicodeEncodeError as error:
            raise WorkflowError(
                f"the encoding of this locale ({error.encoding}) lacks letters of "
                f"{error.object!a}; run: export LC_ALL=C.UTF-8"
            ) from error


task = partial(tasks.task, klass=Step)
