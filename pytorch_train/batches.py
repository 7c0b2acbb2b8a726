"""Batches of images, prepared by threads: the same ones, however many threads there are."""

from __future__ import annotations

import hashlib
import itertools
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Iterator, Sequence, Tuple

import torch
from torch import nn

from pytorch_common.ahead import ahead
from pytorch_common.network import FORWARD_BATCH, features
from pytorch_common.preprocess import normalise, train_pixels, validation_pixels
from pytorch_train.labelled import Budget, Decoded

Batch = Tuple[torch.Tensor, torch.Tensor]
"""Images, or what the backbone made of them, and their labels, int64 (N,)."""

PARTS_AHEAD = 4
"""How many parts of FORWARD_BATCH images threads work on ahead of the one that is waited for."""


class TrainingBatches:
    """The training images of one epoch: in a fresh order, each with a fresh crop and flip.

    What is drawn for an image depends on the seed, the epoch and the image alone, so neither the
    threads nor a run that was stopped and resumed change it.
    """

    def __init__(
        self,
        images: Decoded,
        labels: Sequence[int],
        backbone: nn.Module | None,
        *,
        size: int,
        batch_size: int,
        seed: int,
        epoch: int,
        pool: ThreadPoolExecutor,
    ) -> None:
        self._images, self._labels, self._backbone = images, labels, backbone
        self._size, self._batch_size = size, batch_size
        self._seed, self._epoch = seed, epoch
        self._pool = pool
        self.image_count = len(labels)

    def __len__(self) -> int:
        """Return the number of batches."""
        return -(-len(self._labels) // self._batch_size)

    def __iter__(self) -> Iterator[Batch]:
        """Yield images, float32 (N, 3, size, size), or features, and labels."""
        order = torch.randperm(len(self._labels), generator=drawing(self._seed, self._epoch))
        batches = [part.tolist() for part in torch.split(order, self._batch_size)]
        parts = [part for batch in batches for part in in_parts(batch)]
        prepared = ahead(self._pool, self._prepare, parts, PARTS_AHEAD)
        for batch in batches:
            data = torch.cat(list(itertools.islice(prepared, len(in_parts(batch)))))
            yield data, torch.tensor([self._labels[index] for index in batch])

    @torch.no_grad()
    def _prepare(self, indices: Sequence[int]) -> torch.Tensor:
        pixels = [
            train_pixels(self._images[index], self._size, self._drawing(index)) for index in indices
        ]
        images = normalise(torch.stack(pixels))
        return images if self._backbone is None else features(self._backbone, images)

    def _drawing(self, index: int) -> torch.Generator:
        return drawing(self._seed, self._epoch, index)


class ValidationBatches:
    """What the network is evaluated on: computed once, and kept as far as the budget goes.

    Where there is a backbone that is its output, which no epoch changes; else the pixels.
    """

    def __init__(
        self,
        images: Decoded,
        labels: Sequence[int],
        backbone: nn.Module | None,
        *,
        size: int,
        pool: ThreadPoolExecutor,
    ) -> None:
        self._images, self._labels, self._backbone = images, labels, backbone
        self._size, self._pool = size, pool
        self._parts = in_parts(range(len(labels)))
        self._kept: list[torch.Tensor] = []
        self.image_count = len(labels)

    def __len__(self) -> int:
        """Return the number of batches."""
        return len(self._parts)

    def __iter__(self) -> Iterator[Batch]:
        """Yield images or features, and labels."""
        computed = self._computed(len(self._kept))
        for part, data in zip(self._parts, itertools.chain(self._kept, computed)):
            labels = torch.tensor([self._labels[index] for index in part])
            yield (normalise(data) if self._backbone is None else data), labels

    def keep(self, budget: Budget) -> None:
        """Compute batch after batch, and keep each, until the budget is spent."""
        for data in self._computed(0):
            if not budget.take(data.element_size() * data.nelement()):
                break
            self._kept.append(data)

    def _computed(self, start: int) -> Iterator[torch.Tensor]:
        return ahead(self._pool, self._prepare, self._parts[start:], PARTS_AHEAD)

    @torch.no_grad()
    def _prepare(self, indices: Sequence[int]) -> torch.Tensor:
        cut = [validation_pixels(self._images[index], self._size) for index in indices]
        pixels = torch.stack(cut)
        return pixels if self._backbone is None else features(self._backbone, normalise(pixels))


def in_parts(indices: Sequence[int]) -> list[Sequence[int]]:
    """Return the indices in parts of FORWARD_BATCH."""
    starts = range(0, len(indices), FORWARD_BATCH)
    return [indices[start : start + FORWARD_BATCH] for start in starts]


def drawing(*parts: int) -> torch.Generator:
    """Return a generator of random numbers of its own for the seed, the epoch, the image."""
    return torch.Generator().manual_seed(seed_of(*parts))


def seed_of(*parts: int) -> int:
    """Return a seed that differs, as good as surely, wherever the parts do."""
    text: Any = " ".join(map(str, parts))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1
