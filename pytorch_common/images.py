"""Reading one image file as a viewer shows it: upright, in colour, first frame, no transparency."""

from __future__ import annotations

import warnings
from pathlib import Path

from PIL import Image, ImageOps, UnidentifiedImageError

from pytorch_common.errors import RunError
from pytorch_common.files import is_lfs_pointer

BACKGROUND = (255, 255, 255)
"""What shows through transparent pixels: white, as on paper."""

ORIENTATION = 0x0112
"""The EXIF tag that says how the camera was held; 1 is upright."""


class ImageError(RunError):
    """Say why one file cannot be read as an image; the others still can."""


def read_image(path: Path) -> Image.Image:
    """Return the image as 8-bit RGB, turned as its EXIF orientation says.

    Raises: ImageError with the reason: not there, no image, cut short, too large.
    """
    try:
        if path.exists() and not (path.is_file() or path.is_dir()):
            raise ImageError("a device or a pipe, not an image")  # which may be silent for ever
        with warnings.catch_warnings():
            # Pillow warns from 89 million pixels on and refuses from twice that on.
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(path) as image:
                return _to_rgb(_upright(image))
    except FileNotFoundError as error:
        raise ImageError("no such file") from error
    except IsADirectoryError as error:
        raise ImageError("a folder, not an image") from error
    except UnidentifiedImageError as error:
        if is_lfs_pointer(path):
            raise ImageError("a Git LFS pointer, not the image; run: git lfs pull") from error
        raise ImageError("not an image that Pillow can read") from error
    except Image.DecompressionBombError as error:
        raise ImageError("too many pixels to be decoded safely") from error
    except (OSError, SyntaxError, ValueError, EOFError, MemoryError) as error:
        # Pillow's decoders speak in these: "image file is truncated (…)", "broken PNG file (…)".
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise ImageError(f"damaged or unreadable: {reason}") from error


def _upright(image: Image.Image) -> Image.Image:
    """Turn the image as its EXIF orientation says; without one it is not even copied."""
    image.load()
    return image if image.getexif().get(ORIENTATION, 1) == 1 else ImageOps.exif_transpose(image)


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I") or image.mode == "F":
        image = _to_eight_bits(image)
    if image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info:
        colours = image.convert("RGBA")
        paper = Image.new("RGBA", colours.size, (*BACKGROUND, 255))
        return Image.alpha_composite(paper, colours).convert("RGB")
    return image if image.mode == "RGB" else image.convert("RGB")


def _to_eight_bits(image: Image.Image) -> Image.Image:
    """Scale grey levels beyond 8 bits down; ``convert`` alone would cut them off at 255.

    16-bit levels are divided by 257; wider ones and floating point have no fixed white, so there
    the image's own range serves.
    """
    low, high = 0.0, 65535.0
    levels = image.convert("F")
    if not image.mode.startswith("I;16"):
        darkest, brightest = (float(level) for level in levels.getextrema())  # type: ignore[arg-type]
        if darkest < 0 or brightest > high or (image.mode == "F" and brightest <= 1.0):
            low, high = min(darkest, 0.0), max(brightest, 1.0)
        elif image.mode == "F" or brightest <= 255:
            high = 255.0
    scale = 255.0 / (high - low)
    return levels.point(lambda level: level * scale - low * scale).convert("L")
