"""The one place where other programs are run: argv lists, never a shell's string.

What ends the task runner from outside ends what it started, too.
"""

from __future__ import annotations

import shlex
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

STOP_TIMEOUT_S = 10.0
BY_SIGNAL = 128
"""A program that a signal ended has this and the signal's number for a status, as in a shell."""
ENDING = (signal.SIGTERM, signal.SIGHUP)
"""How a system is shut down and a terminal closed; Ctrl-C is an exception already."""


def capture(
    argv: Sequence[str], *, cwd: Path | None = None, env: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run the command to its end and return its status and what it printed.

    A program that is not there, or may not be run, has status 127, as a shell says it.
    """
    try:
        return subprocess.run(  # noqa: S603 - an argv list; no shell reads it
            argv,
            cwd=cwd,
            env=env,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
        )
    except (FileNotFoundError, PermissionError) as error:
        return subprocess.CompletedProcess(argv, 127, "", str(error))


def passthrough(argv: Sequence[str], *, cwd: Path | None = None) -> int:
    """Run the command on this terminal and return its status."""
    sys.stdout.flush()
    with _stopped_at_the_end(subprocess.Popen(argv, cwd=cwd)) as process:  # noqa: S603
        return _status(process)


def stream(
    argv: Sequence[str],
    on_line: Callable[[str], None],
    *,
    env: Mapping[str, str] | None = None,
    stdin: bytes = b"",
    quiet: bool = False,
) -> int:
    """Run the command, hand over each line of its standard error as it comes; return its status.

    Standard output goes where this process's goes, or nowhere with ``quiet``. Ctrl-C, SIGTERM and
    an exception of ``on_line`` end the command too.
    """
    sys.stdout.flush()
    process = subprocess.Popen(  # noqa: S603 - an argv list; no shell reads it
        argv,
        env=env,
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL if quiet else None,
        stderr=subprocess.PIPE,
    )
    with _stopped_at_the_end(process):
        assert process.stdin is not None and process.stderr is not None  # noqa: S101 - as asked
        with process.stdin, process.stderr:
            _feed(process.stdin, stdin)
            for line in process.stderr:
                on_line(line.decode(errors="replace").rstrip("\r\n"))
        return _status(process)


def stream_both(
    argv: Sequence[str],
    on_line: Callable[[str], None],
    *,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
) -> int:
    """Run the command, hand over each line of both its outputs as it comes; return its status.

    A program that is not there, or may not be run, has status 127, as a shell says it.
    """
    try:
        process = subprocess.Popen(  # noqa: S603 - an argv list; no shell reads it
            argv,
            cwd=cwd,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
    except (FileNotFoundError, PermissionError) as error:
        on_line(str(error))
        return 127
    with _stopped_at_the_end(process):
        assert process.stdout is not None  # noqa: S101 - as asked
        with process.stdout:
            for line in process.stdout:
                on_line(line.decode(errors="replace").rstrip("\r\n"))
        return _status(process)


def quote(argv: Sequence[str]) -> str:
    """Return the command as a person would paste it."""
    return shlex.join(argv)


@contextmanager
def exit_on_signals() -> Iterator[None]:
    """Leave the block by SystemExit, with 128 and the number, where one of ENDING comes.

    One that is ignored, as under nohup, stays so.
    """

    def leave(number: int, frame: object) -> None:
        raise SystemExit(BY_SIGNAL + number)

    previous = {number: signal.getsignal(number) for number in ENDING}
    for number, handler in previous.items():
        if handler != signal.SIG_IGN:
            signal.signal(number, leave)
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def _status(process: subprocess.Popen[bytes]) -> int:
    status = process.wait()
    return status if status >= 0 else BY_SIGNAL - status


def _feed(pipe: Any, data: bytes) -> None:
    try:
        pipe.write(data)
        pipe.close()
    except BrokenPipeError:
        # The command ended without reading it all; its status and its lines say why.
        return


@contextmanager
def _stopped_at_the_end(
    process: subprocess.Popen[bytes],
) -> Iterator[subprocess.Popen[bytes]]:
    """Leave no process behind: a signal to this one, or an error in it, ends the command."""

    try:
        with exit_on_signals():
            yield process
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
            try:
                process.wait(STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
