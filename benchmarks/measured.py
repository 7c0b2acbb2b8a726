"""Run a script in this process and say what it took: ``measured.py SCRIPT ARGUMENT...``.

The figures go to standard error, as one JSON line, before the script ends the process or Python
shuts down: a CUDA build of torch touches 130 MB of its libraries only while it is being unloaded,
which is nobody's need of memory.
"""

from __future__ import annotations

import json
import os
import resource
import runpy
import sys
import time
from pathlib import Path
from typing import NoReturn

PREFIX = "::measured "


def main() -> int:
    """Run the script as if it were called by itself; return its exit status."""
    started = time.monotonic()
    end_at_once = os._exit

    def report_and_end(status: int) -> NoReturn:
        report(started)
        end_at_once(status)

    os._exit = report_and_end  # our scripts do not wait for Python to shut down
    sys.argv = sys.argv[1:]
    status = 0
    try:
        runpy.run_path(sys.argv[0], run_name="__main__")
    except SystemExit as ended:
        status = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    report(started)
    return status


def report(started: float) -> None:
    """Print what was taken since then."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    figures = {
        "wall_s": time.monotonic() - started,
        "cpu_s": usage.ru_utime + usage.ru_stime,
        "peak_mb": peak_kib() * 1024 / 1e6,
    }
    print(PREFIX + json.dumps(figures), file=sys.stderr, flush=True)  # noqa: T201


def peak_kib() -> int:
    """Return the most memory that this program held; getrusage counts its parent's too."""
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    return int(status.partition("VmHWM:")[2].split()[0])


if __name__ == "__main__":
    sys.exit(main())
