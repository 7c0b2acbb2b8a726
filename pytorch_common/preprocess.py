"""The tutorial's transforms, training and validation side by side, with Pillow and torch alone.

Pixel for pixel those of torchvision.transforms (a test holds that), in two steps: ``…_pixels`` cuts
one image to size, in any thread; ``normalise`` makes a whole batch of such images the network's
input, in the memory layout in which convolutions on a processor are fastest.
"""

from __future__ import annotations

import math
from typing import Any, Sequence, Tuple

import torch
from PIL import Image

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
"""Of the red, green and blue of ImageNet, on 0..1. Source: torchvision's documentation."""

CROP_SCALE = (0.08, 1.0)
CROP_RATIO = (3 / 4, 4 / 3)
"""A crop's share of the image's area and its width by its height. Source: RandomResizedCrop."""
CROP_ATTEMPTS = 10

ELONGATED = 64
"""Of an image whose long side is that many times the short one, the centre alone is scaled."""

Box = Tuple[int, int, int, int]
"""Left, upper, right, lower."""


def train_pixels(image: Image.Image, size: int, random: torch.Generator) -> torch.Tensor:
    """Draw a fresh crop and flip from the image: uint8 (size, size, 3).

    As RandomResizedCrop and RandomHorizontalFlip do.
    """
    box = draw_crop(*image.size, random)
    crop = image.crop(box).resize((size, size), Image.Resampling.BILINEAR)
    if float(torch.rand(1, generator=random)) < 0.5:
        crop = crop.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    return _pixels(crop)


def validation_pixels(image: Image.Image, size: int) -> torch.Tensor:
    """Take the centre of the image, its short side being ``size``: uint8 (size, size, 3).

    As Resize and CenterCrop do; of an elongated image to rounding, else to the bit.
    """
    width, height = image.size
    short = min(width, height)
    width, height = size * width // short, size * height // short
    left, upper = round((width - size) / 2), round((height - size) / 2)
    if max(width, height) > ELONGATED * size:
        x, y = image.width / width, image.height / height
        box = (left * x, upper * y, (left + size) * x, (upper + size) * y)
        return _pixels(image.resize((size, size), Image.Resampling.BILINEAR, box))
    resized = image.resize((width, height), Image.Resampling.BILINEAR)
    return _pixels(resized.crop((left, upper, left + size, upper + size)))


def normalise(
    pixels: torch.Tensor,
    mean: Sequence[float] = IMAGENET_MEAN,
    std: Sequence[float] = IMAGENET_STD,
) -> torch.Tensor:
    """Make uint8 (N, size, size, 3) the network's input: float32 (N, 3, size, size).

    As ToTensor and Normalize do. Channels stay last in memory.
    """
    rows = pixels.to(torch.float32).div_(255).flatten(2)  # one long row: nothing is broadcast
    rows.sub_(torch.tensor(mean).repeat(pixels.shape[2]))
    rows.div_(torch.tensor(std).repeat(pixels.shape[2]))
    return rows.view(pixels.shape).permute(0, 3, 1, 2)


def draw_crop(width: int, height: int, random: torch.Generator) -> Box:
    """Draw a crop of random area and shape; the largest in the centre where ten do not fit.

    Source: torchvision.transforms.RandomResizedCrop.get_params, number for number.
    """
    low, high = torch.log(torch.tensor(CROP_RATIO)).tolist()
    for _ in range(CROP_ATTEMPTS):
        area = width * height * torch.empty(1).uniform_(*CROP_SCALE, generator=random).item()
        ratio = torch.exp(torch.empty(1).uniform_(low, high, generator=random)).item()
        w, h = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
        if 0 < w <= width and 0 < h <= height:
            upper = int(torch.randint(0, height - h + 1, (1,), generator=random))
            left = int(torch.randint(0, width - w + 1, (1,), generator=random))
            return left, upper, left + w, upper + h
    w, h = width, height
    if width / height < CROP_RATIO[0]:
        h = round(w / CROP_RATIO[0])
    elif width / height > CROP_RATIO[1]:
        w = round(h * CROP_RATIO[1])
    left, upper = (width - w) // 2, (height - h) // 2
    return left, upper, left + w, upper + h


def preprocessing(size: int) -> dict[str, Any]:
    """Return what classifying needs to prepare an image, as plain data beside the network."""
    return {"size": size, "mean": list(IMAGENET_MEAN), "std": list(IMAGENET_STD)}


def _pixels(image: Image.Image) -> torch.Tensor:
    width, height = image.size
    return torch.frombuffer(bytearray(image.tobytes()), dtype=torch.uint8).view(height, width, 3)
