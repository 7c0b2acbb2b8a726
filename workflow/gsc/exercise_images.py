"""The images of an exercise: one of every kind that the scripts read, and some that are none."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from PIL import Image, ImageCms

SIZE = (64, 48)
SETS = ("data", "new", "bad")

Save = Callable[[Image.Image, Path], None]


def _as(suffix: str, mode: str = "RGB", **options: Any) -> tuple[str, Save]:
    def save(image: Image.Image, path: Path) -> None:
        image.convert(mode).save(path, **options)

    return suffix, save


def _sixteen_bits(image: Image.Image, path: Path) -> None:
    image.convert("L").convert("I").point(lambda level: level * 257).convert("I;16").save(path)


def _turned(image: Image.Image, path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by a quarter
    image.save(path, exif=exif)


def _profiled(image: Image.Image, path: Path) -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    # Without the moment at which it was made, which stands in its header. Source: ICC.1, 7.2.
    image.save(path, icc_profile=profile[:24] + bytes(12) + profile[36:])


KINDS: dict[str, tuple[str, Save]] = {
    "jpeg": _as(".jpg"),
    "progressive": _as(".jpeg", progressive=True),
    "grey": _as(".jpg", "L"),
    "cmyk": _as(".jpg", "CMYK"),
    "turned": (".jpg", _turned),
    "profiled": (".jpg", _profiled),
    "png": _as(".png"),
    "palette": _as(".png", "P"),
    "transparent": _as(".png", "RGBA"),
    "deep": (".png", _sixteen_bits),
    "bmp": _as(".bmp"),
    "ppm": _as(".ppm"),
    "pgm": _as(".pgm", "L"),
    "webp": _as(".webp"),
    "lossless": _as(".webp", lossless=True),
    "tiff": _as(".tif"),
    **{
        f"tiff of {name}": _as(".tiff", compression=name)
        for name in ("tiff_lzw", "tiff_adobe_deflate", "jpeg", "packbits", "zstd", "lzma")
    },
}
GIF = _as(".gif", "P")
AVIF = _as(".avif")
"""Read from Pillow 11.3 on."""


def draw_exercise_images(folder: Path) -> None:
    """Write a data set of images of every kind, one of what is new to Pillow, one of no images."""
    for split in ("train", "val"):
        for index, name in enumerate(("ants", "bees")):
            place = folder / "data" / split / name
            place.mkdir(parents=True)
            image = Image.linear_gradient("L").resize(SIZE).rotate(180 * index).convert("RGB")
            for kind, (suffix, save) in KINDS.items():
                save(image, place / f"{kind}{suffix}")
            GIF[1](image, place / "first.gif")
            new = folder / "new" / split / name
            new.mkdir(parents=True)
            AVIF[1](image, new / "one.avif")
            AVIF[1](image.rotate(90), new / "two.avif")
            bad = folder / "bad" / split / name
            bad.mkdir(parents=True)
            jpeg = (place / "jpeg.jpg").read_bytes()
            (bad / "cut.jpg").write_bytes(jpeg[: len(jpeg) // 2])
            (bad / "text.png").write_bytes(b"no image")
            (bad / "empty.jpg").touch()
            (bad / "good.jpg").write_bytes(jpeg)
