"""The tutorial's transforms, training and validation side by side."""

from __future__ import annotations

from typing import Any, Callable, Sequence

import torch
from PIL import Image
from torchvision import transforms

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
"""Of the red, green and blue of ImageNet, on 0..1. Source: torchvision's documentation."""

Transform = Callable[[Image.Image], torch.Tensor]


def train_transform(
    *, size: int, mean: Sequence[float] = IMAGENET_MEAN, std: Sequence[float] = IMAGENET_STD
) -> Transform:
    """Draw a fresh crop and flip from the image: float32 (3, size, size), normalised."""
    return _compose(
        transforms.RandomResizedCrop(size),
        transforms.RandomHorizontalFlip(),
        transforms.ToTensor(),
        transforms.Normalize(mean, std),
    )


def validation_transform(
    *, size: int, mean: Sequence[float] = IMAGENET_MEAN, std: Sequence[float] = IMAGENET_STD
) -> Transform:
    """Take the centre of the image, its short side being ``size``: float32 (3, size, size)."""
    return _compose(
        transforms.Resize(size),
        transforms.CenterCrop(size),
        transforms.ToTensor(),
        transforms.Normalize(mean, std),
    )


def preprocessing(size: int) -> dict[str, Any]:
    """Return what ``validation_transform`` takes, as plain data to travel with the network."""
    return {"size": size, "mean": list(IMAGENET_MEAN), "std": list(IMAGENET_STD)}


def _compose(*steps: Any) -> Transform:
    composed: Transform = transforms.Compose(list(steps))
    return composed
