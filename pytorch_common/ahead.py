"""Work done by threads ahead of need, its results in order."""

from __future__ import annotations

import threading
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Callable, Iterable, Iterator, TypeVar

import torch

J = TypeVar("J")
R = TypeVar("R")


def ahead(
    pool: ThreadPoolExecutor, work: Callable[[J], R], jobs: Iterable[J], depth: int
) -> Iterator[R]:
    """Yield the work's results in the order of the jobs, so many of them being worked on ahead."""
    pending: deque[Future[R]] = deque()
    for job in jobs:
        pending.append(pool.submit(work, job))
        if len(pending) > depth:
            yield pending.popleft().result()
    while pending:
        yield pending.popleft().result()


def workers(threads: int) -> ThreadPoolExecutor:
    """Return so many threads, each of which runs torch's operations by itself alone.

    Side by side they need not wait for each other after every operation, as the threads within one
    do: where another program wants a processor too, that is nearly twice as fast.
    """
    pool = ThreadPoolExecutor(threads, initializer=_run_alone)
    together = threading.Barrier(threads)
    list(pool.map(lambda _: together.wait(), range(threads)))  # now all of them have started
    torch.set_num_threads(threads)
    return pool


def _run_alone() -> None:
    torch.get_num_threads()  # the first question in a thread sets it, so it must not come later
    torch.set_num_threads(1)
