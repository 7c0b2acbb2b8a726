"""What ./inv runs: invoke, but its files and variables are read by workflow.core.configuration.

invoke reads them before the tasks are loaded, merges what cannot be merged, and ends in a traceback
where one of them is damaged or of another project. It is run by its path, so that neither the
caller's folder nor a file of the project can stand in for invoke.
"""

from __future__ import annotations

import errno
import io
import os
import signal
import sys
from typing import Any

from invoke.config import Config
from invoke.program import Program
from invoke.util import helpline


class NoFiles(Config):
    """invoke's own defaults, and what its command line says."""

    def load_base_conf_files(self) -> None:
        """Leave the system's and the user's file alone."""

    def load_project(self, merge: bool = True) -> None:
        """Leave the project's file alone."""

    def load_runtime(self, merge: bool = True) -> None:
        """Leave the file of ``--config`` alone; its path is kept."""

    def load_shell_env(self) -> None:
        """Leave INVOKE_… variables alone."""


class InOrder(Program):
    """invoke's program, but its list of tasks has the order of tasks.py, which is the documented
    one."""

    def _make_pairs(self, coll: Any, ancestors: Any = None) -> list[tuple[str, str | None]]:
        return [(name, helpline(task)) for name, task in coll.tasks.items()]


def main() -> None:
    """Run the task of the command line."""
    _open_what_is_closed()
    if isinstance(sys.stdout, io.TextIOWrapper):  # the help has letters that some encodings lack
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        try:
            InOrder(name="inv", binary="inv", config_class=NoFiles).run()
        finally:
            sys.stdout.flush()  # else Python does, when it is too late for a line of ours
    except BrokenPipeError:  # nobody reads the list any more, as in `| head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(128 + signal.SIGPIPE)
    except OSError as error:  # a task's own is a line already
        if error.errno != errno.ENOSPC:
            raise
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(f"standard output: {error.strerror}")


def _open_what_is_closed() -> None:
    """Give a standard stream that the caller closed (``>&-``) the null device.

    Python has None in its place, and the next file that is opened would get its number.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            null = os.open(os.devnull, os.O_RDWR)
            if null != number:
                os.dup2(null, number)
                os.close(null)
            os.set_inheritable(number, True)
            setattr(sys, name, os.fdopen(number, "w" if number else "r", closefd=False))


if __name__ == "__main__":
    sys.path.pop(0)
    main()
