"""How near two colours and two pictures are, and profiles that change colours."""

from __future__ import annotations

from typing import Any

from PIL import Image, ImageChops, ImageCms, ImageStat


def mean_difference(one: Image.Image, other: Image.Image) -> float:
    return sum(ImageStat.Stat(ImageChops.difference(one, other)).mean) / 3


def near(pixel: Any, expected: tuple[int, int, int], tolerance: int = 6) -> bool:
    return all(abs(a - b) <= tolerance for a, b in zip(pixel, expected, strict=True))


def profile(name: str) -> bytes:
    return ImageCms.ImageCmsProfile(ImageCms.createProfile(name)).tobytes()


def swapped_profile() -> bytes:
    """Return an sRGB profile in which red and blue have changed places."""
    data = bytearray(profile("sRGB"))
    tags = {data[at : at + 4].decode(): at for at in range(132, 132 + 12 * data[131], 12)}
    red, blue = tags["rXYZ"] + 4, tags["bXYZ"] + 4
    data[red : red + 8], data[blue : blue + 8] = data[blue : blue + 8], data[red : red + 8]
    return bytes(data)
