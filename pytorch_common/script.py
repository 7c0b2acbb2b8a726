"""What both scripts do around their work: exit statuses, progress, the facts of the run."""

from __future__ import annotations

import argparse
import io
import json
import os
import platform
import sys
import time
from dataclasses import fields
from pathlib import Path
from typing import Any, Callable, Iterable, Iterator, NoReturn, Sequence, Sized, TypeVar

from pytorch_common import attestation
from pytorch_common.contract import (
    ANSWER_PREFIX,
    ANSWER_VARIABLE,
    ERROR_PREFIX,
    INSECURE_VARIABLE,
    MARKS,
    PIPE_CLOSED,
    PROGRESS_PREFIX,
    PROGRESS_VARIABLE,
    ImageLimits,
)
from pytorch_common.errors import RunError
from pytorch_common.files import printable
from pytorch_common.places import place_problem
from pytorch_common.runtime import missing_problem

PROGRESS_INTERVAL_S = 0.2

CODE = Path(__file__).resolve().parents[1]

T = TypeVar("T")


def run_script(main: Callable[[Sequence[str]], int]) -> int:
    """Run ``main`` on the command line's arguments and return the exit status.

    A RunError, a full disk, a file that may not be touched and, in a shielded image, a module that
    is not in its pack are one line and status 1, Ctrl-C is
    status 130, PIPE_CLOSED that of a reader who has gone; anything else is a bug and keeps its
    traceback. Letters that the encoding of the two streams lacks are escaped.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        return main(sys.argv[1:])
    except BrokenPipeError:
        return PIPE_CLOSED
    except RunError as error:
        _print_error(str(error))
        return 1
    except (ImportError, OSError) as error:
        problem = missing_problem(error, os.environ)
        if problem is None and isinstance(error, OSError):
            problem = place_problem(error, CODE)
        if problem is None:
            raise
        _print_error(problem)
        return 1
    except KeyboardInterrupt:
        note("interrupted")
        return 130


def leave(status: int) -> NoReturn:
    """End the process at once, every file being closed.

    Python would first take apart all that torch has made, which is a tenth of a short run and
    helps nobody.
    """
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except BrokenPipeError:
            continue
        except OSError:  # a full disk behind it: what was said last did not arrive
            status = status or 1
    os._exit(status)


def note(line: str) -> None:
    """Print one line to standard error, at once; it is never taken for one of our marks."""
    line = printable(line)
    _print_to_stderr(f" {line}" if line.startswith(MARKS) else line)


def answer(line: str) -> None:
    """Print one line to standard output, at once; marked where the task runner asks for it."""
    mark = ANSWER_PREFIX if os.environ.get(ANSWER_VARIABLE) else ""
    print(mark + printable(line), flush=True)  # noqa: T201


def _print_error(line: str) -> None:
    _print_to_stderr(ERROR_PREFIX + printable(line))


def _print_to_stderr(line: str) -> None:
    print(line, file=sys.stderr, flush=True)  # noqa: T201


def add_image_limits(parser: argparse.ArgumentParser, variables: str) -> None:
    """Add the options of ImageLimits; a variable of that beginning replaces a default."""
    for field in fields(ImageLimits):
        default = os.environ.get(f"{variables}_{field.name.upper()}", field.default)
        flag = "--" + field.name.replace("_", "-")
        help_ = "of the largest image that is read"
        parser.add_argument(flag, type=_one_or_more, default=default, help=help_)


def _one_or_more(text: str) -> int:
    if (number := int(text)) < 1:
        raise argparse.ArgumentTypeError(f"expected 1 or more, got {number}")
    return number


def image_limits(args: argparse.Namespace) -> ImageLimits:
    """Return the limits that were parsed."""
    return ImageLimits(**{field.name: getattr(args, field.name) for field in fields(ImageLimits)})


class Progress:
    """Report how far a run is, for the task runner to draw; silent unless it asks."""

    def __init__(self, environ: dict[str, str] | None = None) -> None:
        self._asked = bool((environ or os.environ).get(PROGRESS_VARIABLE))
        self._last = 0.0

    def follow(self, items: Iterable[T], label: str, total: int = 0) -> Iterator[T]:
        """Yield the items, reporting after each, but not more often than the interval."""
        total = len(items) if isinstance(items, Sized) else total
        for done, item in enumerate(items, start=1):
            yield item
            self._report(label, done, total)

    def _report(self, label: str, done: int, total: int) -> None:
        now = time.monotonic()
        if not self._asked or (now - self._last < PROGRESS_INTERVAL_S and done != total):
            return
        self._last = now
        _print_to_stderr(
            PROGRESS_PREFIX + json.dumps({"label": label, "done": done, "total": total})
        )


def run_facts(versions: dict[str, str]) -> dict[str, Any]:
    """Return where this process runs and on what: backend, protection, versions.

    An enclave with an insecure option in it is not said to protect; the options are named.
    """
    backend = attestation.running_backend(os.environ)
    insecure = [name for name in os.environ.get(INSECURE_VARIABLE, "").split(",") if name]
    return {
        "backend": backend,
        "protected_from_host": backend == "sgx" and not insecure,
        **({"insecure": insecure} if insecure else {}),
        "versions": {
            "python": platform.python_version(),
            "platform": f"{platform.system()} {platform.machine()}",
            **versions,
        },
    }


def json_bytes(content: Any) -> bytes:
    """Return the JSON that a person can read as well: indented, one newline at the end."""
    return (json.dumps(content, indent=2, ensure_ascii=False) + "\n").encode()
