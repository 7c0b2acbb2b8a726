"""Reading one image file as a viewer shows it: upright, in colour, first frame, no transparency.

The files come from anybody: none of Pillow's readers but those of the formats below is given them,
sizes are looked at before anything is decoded, and what a reader raises is that one file's line.
"""

from __future__ import annotations

import contextlib
import warnings
from pathlib import Path
from typing import Any, NamedTuple

from PIL import (  # the plugins so that Pillow knows their formats; by itself it would import all
    BmpImagePlugin,  # noqa: F401
    GifImagePlugin,  # noqa: F401
    Image,
    JpegImagePlugin,
    PngImagePlugin,  # noqa: F401
    PpmImagePlugin,  # noqa: F401
    TiffImagePlugin,
    UnidentifiedImageError,
    WebPImagePlugin,  # noqa: F401
)

from pytorch_common.colours import to_rgb
from pytorch_common.content import BUSY, Content, ImageError, Look, Read, read_content, unseen
from pytorch_common.contract import IMAGE_LIMITS, ImageLimits
from pytorch_common.files import printable
from pytorch_common.kinds import bare_png, misread, stated_size, what_it_is
from pytorch_common.tags import (
    ORIENTATION,
    SAMPLE_FORMAT,
    TABLES,
    one_value,
    orientation,
    read_tags,
    strip_bytes,
)

with contextlib.suppress(ImportError):
    from PIL import AvifImagePlugin  # from Pillow 11.3 on

    AvifImagePlugin.DEFAULT_MAX_THREADS = 1  # this thread: an enclave has room for few more
with contextlib.suppress(ImportError):
    import pi_heif  # where the extra "heic" was asked for

    pi_heif.register_heif_opener()

WHOLE_PIXELS = 24_000_000
"""An image of more is read at half its sides; a JPEG at so small a part that it has no more."""
GREEDY = ("WEBP", "AVIF", "HEIF")
"""Their readers hold four times as much as others, so they may have a quarter of the pixels."""
SLOW_DECODERS = ("bmp_rle", "ppm", "ppm_plain")
"""Those that Pillow has written in Python: a sixteenth of the pixels."""
JPEG_TIMES = 8
"""Of a JPEG that many times the pixels are looked at, reduced while they are decoded."""
COEFFICIENT_BYTES = 250_000_000
"""A JPEG in several scans is held whole as numbers of two bytes before its pixels are made."""
SCAN_PIXELS = 2_000_000_000
"""A progressive JPEG has some ten scans; each is work on all of the image."""
STRIPS = 200_000
STRIP_BYTES = 256_000_000
"""Of a TIFF: the reader goes through all strips or tiles in Python, and may hold one of them."""

_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


class _Jpeg(JpegImagePlugin.JpegImageFile):
    """The first picture of a JPEG or MPO; an index of more of them is not looked at."""

    def getexif(self) -> Image.Exif:
        """Return nothing: Pillow looks for the dots per inch in EXIF that may be damaged."""
        return Image.Exif()


Image.register_open("FIRST JPEG", _Jpeg, JpegImagePlugin._accept)
_READERS = ("FIRST JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF", "PPM", "AVIF", "HEIF")
_FORMATS = [name for name in _READERS if name in Image.OPEN]
# Above twice this Pillow itself refuses; below, the limits decide, which know kind and memory.
Image.MAX_IMAGE_PIXELS = 1 << 28
# A viewer says nothing of what Pillow warns of; and changing filters for a while is for one thread.
warnings.filterwarnings("ignore", module=r"PIL\.")


def read_image(
    path: Path,
    limits: ImageLimits = IMAGE_LIMITS,
    *,
    to_srgb: bool = False,
    look: Look = unseen,
    read: Read = read_content,
) -> Image.Image:
    """Return the image as 8-bit RGB, turned as its EXIF orientation says.

    With ``to_srgb`` the colours of a profile other than sRGB are brought to it. One of more than
    WHOLE_PIXELS comes at a half of its sides, a JPEG at a half, a quarter or an eighth. ``look`` is
    shown the file's bytes, as ``read`` has them: of these and of no others the image is made.

    Raises: ImageError with the reason: not there, no image, cut short, too large.
    """
    try:
        return _shown(read(path, limits.file_mb, look), limits, to_srgb=to_srgb)
    except ImageError:
        raise
    except MemoryError as error:
        raise ImageError("too little memory to read it") from error
    except Image.DecompressionBombError as error:
        raise ImageError("too many pixels") from error
    except Exception as error:
        # Pillow's readers speak in all kinds of exceptions: "image file is truncated (…)".
        reason = printable(str(error) or type(error).__name__)[:200]
        raise ImageError(f"damaged or unreadable: {reason}") from error


class _Facts(NamedTuple):
    """What the file says about its pixels and Pillow does not follow."""

    format: str
    orientation: int
    bits: int
    """Of a grey level, 0 where nothing is said."""
    is_inverted: bool
    """Grey level 0 is white."""


def _shown(data: bytes, limits: ImageLimits, *, to_srgb: bool) -> Image.Image:
    try:
        image, facts = _decoded(data, limits)
    except Exception:
        bare = bare_png(data)
        if not bare:
            raise
        image, facts = _decoded(bare, limits)
        del bare
    del data
    is_large = image.width * image.height > WHOLE_PIXELS
    rgb = to_rgb(
        image,
        bits=facts.bits,
        is_inverted=facts.is_inverted,
        to_srgb=to_srgb,
        halved=is_large and facts.format != "JPEG",
    )
    turn = _TURNS.get(facts.orientation)
    del image
    return rgb if turn is None else rgb.transpose(turn)


def _decoded(data: bytes, limits: ImageLimits) -> tuple[Image.Image, _Facts]:
    """Return the first frame's pixels as the file has them, and what is to be made of them."""
    is_tiff = data[:2] in (b"II", b"MM")
    tags = read_tags(data) if is_tiff else {}
    if any(tags[table][0] > STRIPS for table in TABLES if table in tags):
        raise ImageError(f"damaged or unreadable: more than {STRIPS} strips")
    if strip_bytes(tags) > STRIP_BYTES:
        raise ImageError(f"too large: a strip or tile of more than {STRIP_BYTES // 10**6} MB")
    if problem := misread(data, tags):
        raise ImageError(problem)
    if stated := stated_size(data):
        _check_size(stated[0], stated[1:], limits)
    try:
        image = Image.open(Content(data), formats=_FORMATS)
    except UnidentifiedImageError as error:
        raise ImageError(what_it_is(data)) from error
    _check_image(image, data, limits)
    if is_tiff:
        # It would turn the pixels in some versions of Pillow, and read all of EXIF in each.
        image.load_end = lambda: None  # type: ignore[method-assign]
    image.load()
    is_unsigned = is_tiff and image.mode == "I" and one_value(tags, SAMPLE_FORMAT, 1) == 1
    if is_unsigned and image.getextrema()[0] < 0:  # type: ignore[operator]
        raise ImageError("a TIFF of 32 bits, which Pillow takes for signed; save it as PNG")
    facts = _facts(image, data, tags)
    return image._new(image.im), facts  # without the decoder and all that it holds


def _facts(image: Image.Image, data: bytes, tags: Any) -> _Facts:
    bits, is_deep = 0, image.mode.startswith("I")
    if image.format == "PNG":
        _set_transparent(image, bits=data[24])
    if image.format == "TIFF":
        turn = one_value(tags, ORIENTATION, 1)
        if image.mode.startswith("I;16"):
            bits = one_value(tags, TiffImagePlugin.BITSPERSAMPLE, 16)
        is_inverted = one_value(tags, TiffImagePlugin.PHOTOMETRIC_INTERPRETATION, 1) == 0
        return _Facts("TIFF", turn, bits, is_inverted)
    return _Facts(str(image.format), orientation(image.info), 16 if is_deep else 0, False)


def _set_transparent(image: Image.Image, bits: int) -> None:
    """Bring a PNG's one transparent colour to the levels that Pillow has made of the file's."""
    colour = image.info.get("transparency")
    if isinstance(colour, tuple) and bits == 16:
        image.info["transparency"] = tuple(level >> 8 for level in colour)
    elif isinstance(colour, int) and image.mode in ("1", "L"):
        most = (1 << bits) - 1
        level = colour if image.mode == "L" else min(colour, 1)
        image.info["transparency"] = (level & most) * 255 // most


def _check_image(image: Any, data: bytes, limits: ImageLimits) -> None:
    """Refuse an image that would take more memory or time than one may; reduce a large JPEG.

    Raises: ImageError with the size and the limit.
    """
    width, height = image.size
    if image.format != "JPEG":
        is_slow = image.tile and image.tile[0][0] in SLOW_DECODERS
        _check_size("slow" if is_slow else str(image.format), image.size, limits)
        return
    _check_size("JPEG", image.size, limits)
    _check_scans(image, data)
    reduction = next(r for r in (1, 2, 4, 8) if width * height <= WHOLE_PIXELS * r * r or r == 8)
    if reduction > 1:
        image.draft(None, (max(1, width // reduction), max(1, height // reduction)))


def _check_size(kind: str, size: tuple[int, ...], limits: ImageLimits) -> None:
    width, height = size
    most = limits.pixels * (JPEG_TIMES if kind == "JPEG" else 1)
    most //= 4 if kind in GREEDY else 16 if kind == "slow" else 1
    if max(size) > limits.side:
        raise ImageError(f"too large: {width} x {height}, the limit of a side is {limits.side}")
    if width * height > most:
        raise ImageError(f"too large: {width} x {height}, the limit is {most // 10**6} megapixels")


def _check_scans(image: Any, data: bytes) -> None:
    """Refuse a JPEG whose scans would take too much memory, or too long."""
    start = image.fp.tell()
    whole = start - 8 - 2 * image.layers  # where a scan of all the colours begins
    if data[whole : whole + 2] == b"\xff\xda" and "progressive" not in image.info:
        return
    sampling = [(across, down) for _, across, down, _ in image.layer]
    most = max(across for across, _ in sampling) * max(down for _, down in sampling)
    share = sum(across * down for across, down in sampling) / max(most, 1)
    if 2 * share * image.width * image.height > COEFFICIENT_BYTES:
        raise ImageError(f"too large for a progressive JPEG: {image.width} x {image.height}")
    scans = 1 + data.count(b"\xff\xda", start)
    if scans * max(image.width * image.height, 1_000_000) > SCAN_PIXELS:
        raise ImageError(BUSY)
