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


def root_cause(error: BaseException) -> str:
    """Return what the operating system or the other side said, without the layers around it."""
    while deeper := error.__cause__ or _wrapped(error):
        error = deeper
    return getattr(error, "strerror", None) or str(error) or type(error).__name__


def _wrapped(error: BaseException) -> BaseException | None:
    """Return the exception that requests and urllib3 pass on as an argument of another."""
    return next((arg for arg in error.args if isinstance(arg, BaseException)), None)
