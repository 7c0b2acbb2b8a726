"""What ends the task runner from outside ends what it started, too."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator

ENDING = (signal.SIGTERM, signal.SIGHUP)
"""How a system is shut down and a terminal closed; Ctrl-C is an exception already."""


@contextlib.contextmanager
def exit_on_signals() -> Iterator[None]:
    """Leave the block by SystemExit, with 128 and the number, where one of ENDING comes.

    One that is ignored, as under nohup, stays so.
    """

    def leave(number: int, frame: object) -> None:
        raise SystemExit(128 + number)

    previous = {number: signal.getsignal(number) for number in ENDING}
    for number, handler in previous.items():
        if handler != signal.SIG_IGN:
            signal.signal(number, leave)
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
