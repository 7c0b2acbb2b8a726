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
from torch import nn

from pytorch_common.ahead import workers
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
    with workers(args.threads) as pool, torch.no_grad():

        def backbone_passes(count: float) -> float:
            parts = [few] * round(count * REPEATS / FORWARD_BATCH)
            return seconds(lambda: list(pool.map(_forward(backbone), parts))) / REPEATS

        def tail_passes(count: float) -> float:
            data = images if backbone is None else _forward(backbone)(images)
            batches = [(data, labels)] * round(count * REPEATS / BATCH)
            with torch.enable_grad():
                return seconds(lambda: train_one_epoch(tail, batches, optimizer)) / REPEATS

        def looks(count: float) -> float:
            batches = [(few, few_labels)] * round(count * REPEATS / FORWARD_BATCH)
            return seconds(lambda: evaluate(tail, batches)) / REPEATS

        if backbone is None:
            figures = {"train_s": tail_passes(args.train), "val_s": looks(args.val)}
        else:
            train_s = backbone_passes(args.train) + tail_passes(args.train)
            figures = {"train_s": train_s, "val_s": backbone_passes(args.val)}
    val_passes = "each epoch" if backbone is None else "once"
    print(json.dumps({**figures, "val_passes": val_passes}))  # noqa: T201


def seconds(passes: Callable[[], object]) -> float:
    """Return the seconds that the passes take."""
    started = time.monotonic()
    passes()
    return time.monotonic() - started


def _forward(backbone: nn.Module | None) -> Callable[[torch.Tensor], torch.Tensor]:
    return lambda images: images if backbone is None else features(backbone, images)


if __name__ == "__main__":
    main()
