"""One run at a time on a file or in a folder; a lock ends with the process that holds it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from pytorch_common.places import place_problem
from workflow.core.console import note
from workflow.core.errors import WorkflowError, root_cause
from workflow.core.settings import PROJECT

LOCK = ".enclave-finetune.lock"
"""In the folder of a run, or behind the name of a file: a name that no other program takes. A run
that was killed leaves it there, and it bars nobody."""


@contextmanager
def locked(target: Path) -> Iterator[None]:
    """Hold the target's lock, waiting for another run that holds it.

    Raises: WorkflowError where the target's folder cannot be written.
    """
    path = lock_beside(target)
    with _lock(path) as is_mine:
        if not is_mine:
            note(f"{target}: another run is at work on it; waiting")
            with _lock(path, wait=True):
                yield
        else:
            yield


@contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Make the folder and keep every other run out of it: two would mix what they write.

    Raises: WorkflowError where another run is going on in the folder, or it cannot be written.
    """
    with _lock(folder / LOCK) as is_mine:
        if not is_mine:
            raise WorkflowError(
                f"{folder}: another run is writing there; wait for its end, or take another --out"
            )
        yield


@contextmanager
def none_running(locks: Iterable[Path]) -> Iterator[None]:
    """Hold all the locks, which are there already.

    Raises: WorkflowError where a run holds one.
    """
    with ExitStack() as stack:
        for path in locks:
            if not stack.enter_context(_lock(path)):
                raise WorkflowError(f"{path.parent}: a run is writing there; wait for its end")
        yield


def lock_beside(target: Path) -> Path:
    """Return where the target's lock lies."""
    return target.with_name(f".{target.name.lstrip('.')}{LOCK}")


@contextmanager
def _lock(path: Path, *, wait: bool = False) -> Iterator[bool]:
    """Take the lock and tell whether it was to be had; with ``wait`` it is, sooner or later."""
    from filelock import FileLock, Timeout

    lock = FileLock(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock.acquire(timeout=-1 if wait else 0)
    except Timeout:
        yield False
        return
    except OSError as error:
        problem = place_problem(error, PROJECT) or root_cause(error)
        reason = problem.removeprefix(f"{error.filename}: ")
        raise WorkflowError(f"{path}: cannot be written: {reason}") from error
    try:
        yield True
    finally:
        # Safe while it is held: filelock does not take a lock whose file has lost its name.
        path.unlink(missing_ok=True)
        lock.release()
