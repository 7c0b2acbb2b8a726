"""Work that is done ahead, by workers: bounded, in order, a thread each."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import torch

from pytorch_common.ahead import ahead, workers


def test_each_worker_runs_alone_and_the_caller_with_all() -> None:
    before = torch.get_num_threads()
    with workers(2) as pool:
        ones = torch.ones(4, 3, 64, 64)
        numbers = {pool.submit(torch.get_num_threads).result() for _ in range(8)}
        pool.submit(torch.conv2d, ones, torch.ones(8, 3, 3, 3)).result()
        assert numbers == {1}
        assert torch.get_num_threads() == 2
        torch.conv2d(ones, torch.ones(8, 3, 3, 3))
        assert torch.get_num_threads() == 2
        assert {pool.submit(torch.get_num_threads).result() for _ in range(8)} == {1}
    torch.set_num_threads(before)


def test_work_ahead_is_bounded_and_in_order() -> None:
    started, gate = [], threading.Event()

    def work(job: int) -> int:
        started.append(job)
        gate.wait(10)
        return job

    with ThreadPoolExecutor(8) as pool:
        results = ahead(pool, work, range(100), 3)
        threading.Timer(0.2, gate.set).start()
        assert next(results) == 0
        time.sleep(0.05)
        assert sorted(started) == [0, 1, 2, 3]
        assert list(results) == list(range(1, 100))
