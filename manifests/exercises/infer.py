"""Run the classifying job in every way in which it will be run, to trace what it opens.

See train.py beside this. The network is a small one that is made here.
"""

from __future__ import annotations

# First, as in the job itself.
from pytorch_infer import pytorchexample

# isort: split

import sys
from pathlib import Path

from pytorch_common import architectures, checkpoint, contract
from pytorch_common.network import build_network
from pytorch_common.preprocess import preprocessing
from pytorch_common.script import leave, run_script

NET = Path(contract.HANDOVER_DIR, contract.NET_FILE)
failed = []


def expect(status: int | None, *argv: str) -> None:
    """Run the script's main; note where it ends otherwise than it should."""
    sys.argv = ["pytorchexample.py", f"--out={contract.OUT_DIR}", *argv]
    got = run_script(pytorchexample.main)
    if status not in (got, None):
        failed.append(f"{' '.join(argv)}: status {got}, expected {status}")


arch = "squeezenet1_1"
network = build_network(arch, 2, contract.SCRATCH, None)
sha256 = checkpoint.save_net(
    NET,
    network.state_dict(),
    classes=["ants", "bees"],
    preprocess=preprocessing(contract.IMAGE_SIZES[arch]),
    settings=vars(contract.TrainOptions(arch=arch)),
)
good = (f"--net={NET}", f"--net-sha256={sha256}")

expect(0, *good, "--image=/in/data")
expect(0, *good, "--image=/in/data", "--ignore-profiles=1")
expect(0, *good, "--check-net")
expect(None, *good, "--image=/in/new")  # not every Pillow reads it

# What a person may do wrong.
expect(1, *good, "--image=/in/bad")
expect(1, *good, "--image=/in/none.jpg")
expect(1, f"--net={NET}", f"--net-sha256={'0' * 64}", "--image=/in/data")
NET.write_bytes(b"no network")
expect(1, f"--net={NET}", "--image=/in/data")
expect(1, "--net=/in/none.pt", "--image=/in/data")

architectures.check()
for line in failed:
    print(f"exercise failed: {line}", flush=True)  # noqa: T201
leave(1 if failed else 0)
