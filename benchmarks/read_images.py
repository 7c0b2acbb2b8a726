"""Read every file of a folder, as classifying does: ``read_images.py FOLDER [--file-mb N …]``.

Each in a process of its own, so that one that hangs, crashes or takes all memory is a line too.
Prints one JSON line: for each file what came of it, its seconds of processor and its megabytes.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import signal
import time
from pathlib import Path
from typing import Any

from pytorch_common.content import ImageError
from pytorch_common.contract import ImageLimits
from pytorch_common.files import list_files, printable
from pytorch_common.images import read_image
from pytorch_common.preprocess import validation_pixels
from pytorch_common.script import add_image_limits, image_limits

SIZE = 224
MOST_SECONDS = 60
READ = "read"


def main() -> None:
    """Read the files and print what each took."""
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    add_image_limits(parser, "BENCH")
    args = parser.parse_args()
    limits = image_limits(args)
    found = [apart(path, limits) for path in list_files(args.folder)]
    print(json.dumps(found))  # noqa: T201


def apart(path: Path, limits: ImageLimits) -> dict[str, Any]:
    """Read the file in a process of its own and return what came of it."""
    receive, send = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(receive)
        signal.alarm(MOST_SECONDS)
        os.write(send, json.dumps(measured(path, limits)).encode())
        os._exit(0)
    os.close(send)
    with open(receive, "rb") as pipe:  # noqa: PTH123 - a descriptor
        said = pipe.read()
    _, status = os.waitpid(child, 0)
    name = {"file": printable(path)}
    if os.WIFSIGNALED(status) or not said:
        how = f"signal {os.WTERMSIG(status)}" if os.WIFSIGNALED(status) else "no answer"
        return {**name, "outcome": f"CRASHED: {how}", "seconds": MOST_SECONDS, "mb": 0.0}
    return {**name, **json.loads(said)}


def measured(path: Path, limits: ImageLimits) -> dict[str, Any]:
    """Read the file here and return what came of it, processor seconds and megabytes on top."""
    before, started = peak_kib(), time.process_time()
    try:
        validation_pixels(read_image(path, limits, to_srgb=True), SIZE)
        outcome = READ
    except ImageError as error:
        outcome = str(error)
    except BaseException as error:  # what a person would see as a traceback
        outcome = f"TRACEBACK: {type(error).__name__}: {printable(error)}"
    took = time.process_time() - started
    megabytes = (peak_kib() - before) * 1024 / 1e6
    return {"outcome": outcome, "seconds": round(took, 3), "mb": round(megabytes, 1)}


def peak_kib() -> int:
    """Return the most memory that this process held since it was forked."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(status.partition("VmHWM:")[2].split()[0])


if __name__ == "__main__":
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    main()
