"""Work done by threads ahead of need, its results in order."""

from __future__ import annotations

from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Callable, Iterable, Iterator, TypeVar

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
