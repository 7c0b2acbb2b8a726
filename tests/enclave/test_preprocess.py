"""Our transforms are torchvision's, pixel for pixel and draw for draw."""

from __future__ import annotations

import random

import pytest
import torch
from PIL import Image
from torchvision import transforms

from pytorch_common.preprocess import (
    CROP_RATIO,
    CROP_SCALE,
    IMAGENET_MEAN,
    IMAGENET_STD,
    draw_crop,
    normalise,
    train_pixels,
    validation_pixels,
)

SHAPES = [(500, 375), (375, 500), (224, 224), (80, 60), (225, 224), (333, 299), (640, 31), (7, 90)]
END = [transforms.ToTensor(), transforms.Normalize(IMAGENET_MEAN, IMAGENET_STD)]


def noise(width: int, height: int) -> Image.Image:
    pixels = random.Random(width * height).randbytes(3 * width * height)  # noqa: S311
    return Image.frombytes("RGB", (width, height), pixels)


@pytest.mark.parametrize("size", [224, 299])
@pytest.mark.parametrize("shape", SHAPES)
def test_validation(shape: tuple[int, int], size: int) -> None:
    usual = transforms.Compose([transforms.Resize(size), transforms.CenterCrop(size), *END])
    ours = normalise(validation_pixels(noise(*shape), size).unsqueeze(0))
    assert ours.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(ours[0], usual(noise(*shape)))


@pytest.mark.parametrize("shape", SHAPES)
def test_training(shape: tuple[int, int]) -> None:
    usual = transforms.Compose([
        transforms.RandomResizedCrop(224),
        transforms.RandomHorizontalFlip(),
        *END,
    ])  # fmt: skip
    for seed in range(6):
        torch.manual_seed(seed)
        expected = usual(noise(*shape))
        pixels = train_pixels(noise(*shape), 224, torch.Generator().manual_seed(seed))
        assert torch.equal(normalise(pixels.unsqueeze(0))[0], expected)


@pytest.mark.parametrize("shape", [*SHAPES, (1, 1), (1000, 3), (3, 1000)])
def test_crops_are_drawn_as_torchvision_draws_them(shape: tuple[int, int]) -> None:
    image = Image.new("RGB", shape)
    for seed in range(50):
        torch.manual_seed(seed)
        upper, left, height, width = transforms.RandomResizedCrop.get_params(
            image, list(CROP_SCALE), list(CROP_RATIO)
        )
        drawn = draw_crop(*shape, torch.Generator().manual_seed(seed))
        assert drawn == (left, upper, left + width, upper + height)
