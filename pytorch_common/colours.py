"""Making 8-bit RGB of whatever an image file holds: levels, transparency, colour profiles."""

from __future__ import annotations

import io
from functools import lru_cache, partial
from typing import Any, Callable, NamedTuple

from PIL import Image, ImageChops

BACKGROUND = (255, 255, 255)
"""What shows through transparent pixels: white, as on paper."""

STRIP_PIXELS = 1 << 22
"""So many pixels are worked on at a time: what lies between the file's and RGB stays small."""

SAME_LEVELS = 10
"""A profile that changes no colour by more is sRGB: those of cameras are up to 9 apart."""

PROFILE_BYTES = 4_000_000
"""No profile of a camera or a press is as large."""

_GREY = ("L", "1", "I", "F", "I;16", "I;16B", "I;16L", "I;16N")
_SPACES = {"RGB ": "RGB", "GRAY": "L", "CMYK": "CMYK"}
"""The colour space of a profile, as it names itself, and the mode of the pixels that it is for."""


class Levels(NamedTuple):
    """Say which grey levels beyond 8 bits are black and white."""

    black: float
    white: float


def to_rgb(
    image: Image.Image,
    *,
    bits: int = 0,
    is_inverted: bool = False,
    to_srgb: bool = False,
    halved: bool = False,
) -> Image.Image:
    """Return the image as 8-bit RGB, on white where it is transparent.

    ``bits`` is the depth of a grey level where the file says it, ``is_inverted`` that its 0 is
    white. With ``to_srgb`` a colour profile that is not sRGB is applied, ``halved`` is the image at
    half its sides.
    """
    profile = image.info.get("icc_profile") if to_srgb else None
    transform = _transform(profile or b"", image.mode)
    is_rgb = image.mode == "RGB" and "transparency" not in image.info
    if is_rgb and transform is None and not halved:
        return image
    levels = _levels(image, bits, is_inverted) if _is_deep(image) else None
    convert = partial(_convert, levels=levels, transform=transform)
    if image.width * image.height <= STRIP_PIXELS and not halved:
        return convert(image)
    return _by_strips(image, convert, 2 if halved else 1)


def _by_strips(
    image: Image.Image, convert: Callable[[Image.Image], Image.Image], part: int
) -> Image.Image:
    """Convert strip after strip, each reduced to a part of its sides."""
    rgb = Image.new("RGB", (-(-image.width // part), -(-image.height // part)))
    rows = part * max(1, STRIP_PIXELS // (part * image.width))
    for top in range(0, image.height, rows):
        strip = convert(image.crop((0, top, image.width, min(top + rows, image.height))))
        rgb.paste(strip.reduce(part), (0, top // part))
    return rgb


def _convert(image: Image.Image, levels: Levels | None, transform: Any) -> Image.Image:
    if levels is not None:
        return _from_deep_grey(image, levels, transform)
    if image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info:
        colours = image.convert("RGBA")
        if transform is not None:
            alpha = colours.getchannel("A")
            grey_or_rgb = "L" if image.mode in (*_GREY, "LA", "La") else "RGB"
            colours = _transformed(colours.convert("RGB").convert(grey_or_rgb), transform)
            colours.putalpha(alpha)
        paper = Image.new("RGBA", colours.size, (*BACKGROUND, 255))
        return Image.alpha_composite(paper, colours).convert("RGB")
    if transform is not None:
        return _transformed(image, transform)
    return image if image.mode == "RGB" else image.convert("RGB")


def _is_deep(image: Image.Image) -> bool:
    """Tell whether the image is grey with more than 8 bits a level."""
    return image.mode.startswith("I") or image.mode == "F"


def _levels(image: Image.Image, bits: int, is_inverted: bool) -> Levels:
    """Return what is black and white; wide levels without a depth have the image's own range."""
    low, high = 0.0, 2.0**bits - 1 if bits else 65535.0
    if not bits and not image.mode.startswith("I;16"):
        darkest, brightest = (float(level) for level in image.getextrema())  # type: ignore[arg-type]
        if darkest < 0 or brightest > high or (image.mode == "F" and brightest <= 1.0):
            low, high = min(darkest, 0.0), max(brightest, 1.0)
        elif image.mode == "F" or brightest <= 255:
            high = 255.0
    return Levels(high, low) if is_inverted else Levels(low, high)


def _from_deep_grey(image: Image.Image, levels: Levels, transform: Any) -> Image.Image:
    """Scale the levels to 8 bits; ``convert`` alone would cut them off at 255."""
    scale = 255.0 / (levels.white - levels.black)
    wide = image.convert("F").point(lambda level: level * scale - levels.black * scale)
    grey = wide.convert("L")
    rgb = grey.convert("RGB") if transform is None else _transformed(grey, transform)
    if isinstance(transparent := image.info.get("transparency"), int):
        rgb.paste(BACKGROUND, (0, 0), _is_level(image, transparent))
    return rgb


def _is_level(image: Image.Image, level: int) -> Image.Image:
    """Return a mask of the pixels that have this one level of 16 bits."""
    data = image.tobytes()
    width = len(data) // (image.width * image.height)
    first, second = (0, 1) if image.mode != "I;16B" else (1, 0)
    low, high = (
        Image.frombytes("L", image.size, data[place::width]).point(
            [255 * (value == wanted) for value in range(256)]
        )
        for place, wanted in ((first, level & 255), (second, level >> 8))
    )
    return ImageChops.darker(low, high)


def _transform(profile: bytes, mode: str) -> Any:
    """Return what brings the mode's colours to sRGB, None where they are there or it cannot be."""
    if mode == "LAB":
        profile = b""  # LAB says by itself what its colours are
    elif not 0 < len(profile) <= PROFILE_BYTES:
        return None
    try:
        return _known_transform(profile, "L" if mode in (*_GREY, "LA", "La") else mode)
    except Exception:  # a damaged profile costs the colours, not the image
        return None


@lru_cache(maxsize=16)
def _known_transform(profile: bytes, mode: str) -> Any:
    """Return the transform; the photographs of one camera have one profile, so it is kept."""
    from PIL import ImageCms

    if mode == "LAB":
        source: Any = ImageCms.createProfile("LAB")
    else:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        mode = mode if mode in ("L", "CMYK") else "RGB"
        if _SPACES.get(source.profile.xcolor_space) != mode:
            return None
    transform = ImageCms.buildTransform(source, ImageCms.createProfile("sRGB"), mode, "RGB")
    return None if mode in ("RGB", "L") and _changes_nothing(transform, mode) else transform


def _changes_nothing(transform: Any, mode: str) -> bool:
    """Tell whether a palette of all kinds of colours comes out as it went in."""
    levels = bytes(range(0, 256, 17))
    if mode == "L":
        palette = Image.frombytes("L", (16, 1), levels)
    else:
        cube = bytes(level for r in levels for g in levels for b in levels for level in (r, g, b))
        palette = Image.frombytes("RGB", (64, 64), cube)
    shown = _transformed(palette, transform)
    apart = ImageChops.difference(shown, palette.convert("RGB")).getextrema()
    return all(most <= SAME_LEVELS for _, most in apart)  # type: ignore[misc]


def _transformed(image: Image.Image, transform: Any) -> Image.Image:
    from PIL import ImageCms

    shown = ImageCms.applyTransform(image.convert(transform.input_mode), transform)
    assert shown is not None  # noqa: S101 - None where it works in place alone
    return shown
