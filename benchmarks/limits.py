"""The physical limit of training: bare forward and backward passes over tensors in memory.

The passes that the recipe asks for, in our memory layout and batches, and nothing else: no images,
no files, no loop around them. Prints one JSON line with the seconds of an epoch's passes.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable

import torch

from pytorch_common.network import FORWARD_BATCH, build_network, features, split
from pytorch_train.loop import evaluate, train_one_epoch
from pytorch_train.sgd import Sgd

REPEATS = 3
BATCH = 8


def main() -> None:
    """Time the passes over as many images as there are to train and to validate on."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--arch", required=True)
    parser.add_argument("--method", required=True)
    parser.add_argument("--train", type=int, required=True, help="images to train on")
    parser.add_argument("--val", type=int, required=True, help="images to validate on")
    parser.add_argument("--threads", type=int, required=True)
    args = parser.parse_args()
    torch.manual_seed(0)
    torch.set_num_threads(args.threads)
    network = build_network(args.arch, 2, args.method).to(memory_format=torch.channels_last)
    backbone, tail = split(network)
    weights = [weight for weight in network.parameters() if weight.requires_grad]
    optimizer = Sgd(weights, learning_rate=1e-6, momentum=0.9)
    images = torch.randn(BATCH, 3, 224, 224).to(memory_format=torch.channels_last)
    labels = torch.arange(BATCH) % 2
    few, few_labels = images[:FORWARD_BATCH], labels[:FORWARD_BATCH]

    def train_step() -> None:
        data = images if backbone is None else features(backbone, images)
        train_one_epoch(tail, [(data, labels)], optimizer)

    def look() -> None:
        if backbone is None:
            evaluate(tail, [(few, few_labels)])
        else:
            features(backbone, few)

    figures = {
        "train_s": seconds(train_step, args.train / BATCH),
        "val_s": seconds(look, args.val / FORWARD_BATCH),
        "val_passes": "each epoch" if backbone is None else "once",
    }
    print(json.dumps(figures))  # noqa: T201


def seconds(step: Callable[[], None], count: float) -> float:
    """Return the seconds that so many steps take, after one to warm up."""
    step()
    started = time.monotonic()
    steps = round(count * REPEATS)
    for _ in range(steps):
        step()
    return (time.monotonic() - started) / steps * count


if __name__ == "__main__":
    main()
