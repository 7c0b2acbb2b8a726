"""What running processes take of memory and threads, as the kernel says it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

PROCESSES = Path("/proc")
_FACT = re.compile(r"^(VmPeak|VmHWM|Threads):\s+(\d+)", re.MULTILINE)


@dataclass(frozen=True)
class Usage:
    """Say what one process has taken so far."""

    mapped_bytes: int = 0
    """Most memory mapped at one time, touched or not; 0 where it is not known."""
    resident_bytes: int = 0
    """Most memory touched at one time."""
    threads: int = 0

    def most(self, other: Usage) -> Usage:
        """Return the larger of each: an enclave holds one process, so nothing is added up."""
        return Usage(
            max(self.mapped_bytes, other.mapped_bytes),
            max(self.resident_bytes, other.resident_bytes),
            max(self.threads, other.threads),
        )


def parse(status: str) -> Usage:
    """Return what a /proc/PID/status says; of a process that has ended it says no memory.

    Source: proc_pid_status(5).
    """
    facts = {name: int(value) for name, value in _FACT.findall(status)}
    kib = facts.get("VmPeak", 0), facts.get("VmHWM", 0)
    return Usage(kib[0] * 1024, kib[1] * 1024, facts.get("Threads", 0))


def below(pid: int, processes: Path = PROCESSES) -> Iterator[Usage]:
    """Yield what each process takes that this one started, and those that they started."""
    for children in (processes / str(pid)).glob("task/*/children"):
        for child in _read(children).split():
            yield from of_tree(int(child), processes)


def of_tree(pid: int, processes: Path = PROCESSES) -> Iterator[Usage]:
    """Yield what the process takes, and those that it started."""
    yield parse(_read(processes / str(pid) / "status"))
    yield from below(pid, processes)


def is_in_container(pid: int, container: str, processes: Path = PROCESSES) -> bool:
    """Tell whether the process of this number here is one of the container's.

    It is another's where the daemon counts processes that are not to be seen from here.
    """
    return container in _read(processes / str(pid) / "cgroup")


def _read(path: Path) -> str:
    """Return the file's text, empty where its process has ended or is not for us to look at."""
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
