"""What processes take, as the kernel says it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from workflow.core import usage
from workflow.core.usage import Usage

STATUS = "Name:\tpython\nVmPeak:\t  2000 kB\nVmSize:\t  9 kB\nVmHWM:\t  1000 kB\nThreads:\t{}\n"


def process(folder: Path, pid: int, status: str, *children: int, cgroup: str = "") -> None:
    task = folder / str(pid) / "task" / str(pid)
    task.mkdir(parents=True)
    (task / "children").write_text(" ".join(map(str, children)))
    (folder / str(pid) / "status").write_text(status)
    (folder / str(pid) / "cgroup").write_text(cgroup)


def test_a_process_and_those_that_it_started_are_seen(tmp_path: Path) -> None:
    process(tmp_path, 1, STATUS.format(1), 2, 3)
    process(tmp_path, 2, STATUS.format(8), 4)
    process(tmp_path, 4, "Name:\tsh\nState:\tZ (zombie)\nThreads:\t1\n", 9)
    seen = list(usage.below(1, tmp_path))
    assert seen[0] == Usage(2000 * 1024, 1000 * 1024, 8)
    assert seen[1:] == [Usage(0, 0, 1), Usage(), Usage()]  # 9 and 3 have ended meanwhile
    assert list(usage.of_tree(1, tmp_path)) == [Usage(2000 * 1024, 1000 * 1024, 1), *seen]


def test_the_largest_process_counts_since_an_enclave_holds_one() -> None:
    assert Usage(9, 1, 2).most(Usage(3, 4, 5)) == Usage(9, 4, 5)


def test_a_process_of_that_number_may_be_another_machines(tmp_path: Path) -> None:
    process(tmp_path, 1, STATUS, cgroup="4:memory:/docker/abc\n")
    process(tmp_path, 2, STATUS, cgroup="0::/system.slice/docker-abc.scope\n")
    found = [usage.is_in_container(pid, "abc", tmp_path) for pid in (1, 2, 3)]
    assert found == [True, True, False]
    assert not usage.is_in_container(1, "def", tmp_path)


def test_a_real_process_is_seen() -> None:
    script = "data = b'x' * 50_000_000; print('ready', flush=True); input()"
    with subprocess.Popen(
        [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as child:
        assert child.stdout
        child.stdout.readline()
        (seen,) = usage.of_tree(child.pid)
        child.communicate(b"\n")
    assert seen.mapped_bytes >= seen.resident_bytes > 50_000_000
    assert seen.threads == 1
