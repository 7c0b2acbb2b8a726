"""Batches of images, prepared by threads: the same ones, however many threads there are."""

from __future__ import annotations

import hashlib
import itertools
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Iterable, Iterator, Sequence, Tuple

import torch
from torch import nn

from pytorch_common.ahead import ahead
from pytorch_common.network import FORWARD_BATCH, features
from pytorch_common.preprocess import normalise, train_pixels, validation_pixels
from pytorch_train.labelled import Budget, Decoded

Batch = Tuple[torch.Tensor, torch.Tensor]
"""Images, or what the backbone made of them, and their labels, int64 (N,)."""


class TrainingBatches:
    """The training images of one epoch: in a fresh order, each with a fresh crop and flip.

    What is drawn for an image depends on the seed, the epoch and the image alone, so neither the
    threads nor a run that was stopped and resumed change it.
    """

    def __init__(
        self,
        images: Decoded,
        labels: Sequence[int],
        *,
        size: int,
        batch_size: int,
        seed: int,
        epoch: int,
        pool: ThreadPoolExecutor,
    ) -> None:
        self._images, self._labels = images, labels
        self._size, self._batch_size = size, batch_size
        self._seed, self._epoch = seed, epoch
        self._pool = pool
        self.image_count = len(labels)

    def __len__(self) -> int:
        """Return the number of batches."""
        return -(-len(self._labels) // self._batch_size)

    def __iter__(self) -> Iterator[Batch]:
        """Yield images, float32 (N, 3, size, size), and labels."""
        order = torch.randperm(len(self._labels), generator=drawing(self._seed, self._epoch))
        indices = order.tolist()
        prepared = ahead(self._pool, self._prepare, indices, self._batch_size)
        for pixels, labels in grouped(prepared, self._labels, indices, self._batch_size):
            yield normalise(pixels), labels

    def _prepare(self, index: int) -> torch.Tensor:
        random = drawing(self._seed, self._epoch, index)
        return train_pixels(self._images[index], self._size, random)


class ValidationPixels:
    """The validation images, cut to size: the same batches in every epoch."""

    def __init__(
        self, images: Decoded, labels: Sequence[int], *, size: int, pool: ThreadPoolExecutor
    ) -> None:
        self._images, self._labels, self._size = images, labels, size
        self._pool = pool
        self.image_count = len(labels)

    def __len__(self) -> int:
        """Return the number of batches."""
        return -(-len(self._labels) // FORWARD_BATCH)

    def beginning_with(self, start: int) -> Iterator[Batch]:
        """Yield pixels, uint8 (N, size, size, 3), and labels, from that batch on."""
        indices = range(start * FORWARD_BATCH, len(self._labels))
        prepared = ahead(self._pool, self._prepare, indices, 2 * FORWARD_BATCH)
        return grouped(prepared, self._labels, indices, FORWARD_BATCH)

    def _prepare(self, index: int) -> torch.Tensor:
        return validation_pixels(self._images[index], self._size)


class ValidationBatches:
    """What the network is evaluated on: computed once, and kept as far as the budget goes.

    Where there is a backbone that is its output, which no epoch changes; else the pixels.
    """

    def __init__(
        self, pixels: ValidationPixels, backbone: nn.Module | None, budget: Budget
    ) -> None:
        self._pixels, self._backbone, self._budget = pixels, backbone, budget
        self._kept: list[Batch] = []
        self.image_count = pixels.image_count

    def __len__(self) -> int:
        """Return the number of batches."""
        return len(self._pixels)

    def __iter__(self) -> Iterator[Batch]:
        """Yield images or features, and labels."""
        for data, labels in itertools.chain(self._kept, self._computed(len(self._kept))):
            yield (normalise(data) if self._backbone is None else data), labels

    def keep(self) -> Iterator[Batch]:
        """Compute batch after batch, and keep each, until the budget is spent."""
        for data, labels in self._computed(0):
            if not self._budget.take(data.element_size() * data.nelement()):
                break
            self._kept.append((data, labels))
            yield data, labels

    def _computed(self, start: int) -> Iterator[Batch]:
        for pixels, labels in self._pixels.beginning_with(start):
            if self._backbone is None:
                yield pixels, labels
            else:
                yield features(self._backbone, normalise(pixels)), labels


def grouped(
    prepared: Iterable[torch.Tensor], labels: Sequence[int], indices: Sequence[int], size: int
) -> Iterator[Batch]:
    """Put so many images at a time together, with the labels of their indices."""
    images: list[torch.Tensor] = []
    for number, image in enumerate(prepared, start=1):
        images.append(image)
        if len(images) == size or number == len(indices):
            chosen = indices[number - len(images) : number]
            yield torch.stack(images), torch.tensor([labels[index] for index in chosen])
            images = []


def drawing(*parts: int) -> torch.Generator:
    """Return a generator of random numbers of its own for the seed, the epoch, the image."""
    return torch.Generator().manual_seed(seed_of(*parts))


def seed_of(*parts: int) -> int:
    """Return a seed that differs, as good as surely, wherever the parts do."""
    text: Any = " ".join(map(str, parts))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1
