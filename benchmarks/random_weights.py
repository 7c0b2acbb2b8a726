"""Write a state_dict of random weights: how fast a network is does not depend on what it knows."""

from __future__ import annotations

import sys

import torch

from pytorch_common.architectures import build


def main(arch: str, path: str) -> None:
    """Build the ImageNet network and save its weights as they were drawn."""
    torch.manual_seed(0)
    torch.save(build(arch, weights=None).state_dict(), path)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
