"""Run a script in this process and say what it took: ``measured.py SCRIPT ARGUMENT...``.

The figures go to standard error, as one JSON line, before Python shuts down: a CUDA build of torch
touches 130 MB of its libraries only while it is being unloaded, which is nobody's need of memory.
"""

from __future__ import annotations

import json
import resource
import runpy
import sys
import time
from pathlib import Path

PREFIX = "::measured "


def main() -> int:
    """Run the script as if it were called by itself; return its exit status."""
    started = time.monotonic()
    sys.argv = sys.argv[1:]
    status = 0
    try:
        runpy.run_path(sys.argv[0], run_name="__main__")
    except SystemExit as ended:
        status = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    usage = resource.getrusage(resource.RUSAGE_SELF)
    figures = {
        "wall_s": time.monotonic() - started,
        "cpu_s": usage.ru_utime + usage.ru_stime,
        "peak_mb": peak_kib() * 1024 / 1e6,
    }
    print(PREFIX + json.dumps(figures), file=sys.stderr, flush=True)  # noqa: T201
    return status


def peak_kib() -> int:
    """Return the most memory that this program held; getrusage counts its parent's too."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0])


if __name__ == "__main__":
    sys.exit(main())
