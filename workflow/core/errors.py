"""The one error that ends a task: a line for the person and an exit status."""

from __future__ import annotations

from invoke.exceptions import Exit

from workflow.core.console import shorten


class WorkflowError(Exit):
    """Say in one line what is wrong, what was expected and got, and the command that mends it.

    It is an ``invoke.Exit``: invoke prints ``message`` to standard error, without a traceback, and
    leaves with ``code``.
    """

    def __init__(self, message: str, code: int = 1) -> None:
        super().__init__(message=shorten(message), code=code)
