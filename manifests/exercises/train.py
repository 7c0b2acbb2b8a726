"""Run the training job in every way in which it will be run, so that what it opens can be traced.

`inv gsc-build` has Gramine run this in the image, on drawn images in /in: once to see which files
are opened, once more to see that the finished image has them all. No image has this file.
"""

from __future__ import annotations

# First, as in the job itself.
from pytorch_train import train

# isort: split

import _thread
import sys
import threading
import time
from pathlib import Path

from pytorch_common import architectures, contract
from pytorch_common.script import leave, run_script

DATA, NEW_DATA, BAD_DATA = "/in/data.tar", "/in/new.tar", "/in/bad.tar"
OUT = Path(contract.OUT_DIR)
failed = []


def expect(status: int | None, *argv: str) -> None:
    """Run the script's main; note where it ends otherwise than it should."""
    own = ("--data-sha256=", f"--out={OUT}", "--net=/handover/net.pt")
    sys.argv = ["train.py", *own, *argv]
    got = run_script(train.main)
    if status not in (got, None):
        failed.append(f"{' '.join(argv)}: status {got}, expected {status}")


def interrupt_after_an_epoch() -> None:
    """Do what Ctrl-C does, as soon as there is something to go on from."""
    while not any(Path(contract.CHECKPOINTS_DIR).iterdir()):
        time.sleep(0.01)
    _thread.interrupt_main()


for method in contract.METHODS:
    expect(0, f"--method={method}", "--epochs=1", f"--data={DATA}", "--batch-size=4")

# Not every Pillow reads it.
expect(None, f"--data={NEW_DATA}", "--epochs=1", "--batch-size=4")

# Stopped after an epoch, and gone on with.
several = (f"--data={DATA}", "--epochs=3", "--batch-size=4")
threading.Thread(target=interrupt_after_an_epoch, daemon=True).start()
expect(130, *several)
expect(0, *several, "--resume")

# What a person may do wrong.
expect(1, f"--data={BAD_DATA}", "--epochs=1", "--batch-size=4")
expect(1, f"--data={BAD_DATA}", "--epochs=1", f"--data-sha256={'0' * 64}")
expect(1, "--data=/in/exercise.py", "--epochs=1")
expect(1, "--data=/in/none", "--epochs=1")
expect(1, f"--data={DATA}", f"--weights={OUT}", "--epochs=1")
(OUT / "bad.pth").write_bytes(b"no weights")
expect(1, f"--data={DATA}", f"--weights={OUT}/bad.pth", "--epochs=1")

architectures.check()
for line in failed:
    print(f"exercise failed: {line}", flush=True)  # noqa: T201
leave(1 if failed else 0)
