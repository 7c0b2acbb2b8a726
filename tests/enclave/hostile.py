"""Files that nobody should be hurt by: put together by hand or with Pillow, each for one trap."""

from __future__ import annotations

import io
import random
import struct
import zlib
from collections.abc import Sequence
from typing import Any

from PIL import Image

RED, BLUE = (200, 30, 40), (20, 40, 200)
ORIENTATION = 274
BAD_EXIF = b"Exif\0\0MM\0*\0\0\0\x08\0\x03" + b"\x01\x12\0\x03\xff\xff" * 5
"""A directory that is cut short and says things that cannot be."""


def picture(mode: str = "RGB", size: tuple[int, int] = (40, 24)) -> Image.Image:
    """Return a picture whose left half is red and whose right half is blue, in any mode."""
    image = Image.new("RGB", size, BLUE)
    image.paste(RED, (0, 0, size[0] // 2, size[1]))
    return image.convert(mode)


def saved(image: Image.Image, kind: str, **options: Any) -> bytes:
    """Return the file that Pillow makes of the image."""
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def exif(orientation: int) -> Image.Exif:
    """Return EXIF that says how the camera was held."""
    tags = Image.Exif()
    tags[ORIENTATION] = orientation
    return tags


def chunk(kind: bytes, data: bytes) -> bytes:
    """Return one part of a PNG."""
    body = kind + data
    return struct.pack(">L", len(data)) + body + struct.pack(">L", zlib.crc32(body))


def png(
    size: tuple[int, int],
    bits: int,
    colour: int,
    rows: bytes,
    *extra: bytes,
) -> bytes:
    """Return a PNG of these filtered rows; ``extra`` are parts before the pixels."""
    header = struct.pack(">LLBBBBB", *size, bits, colour, 0, 0, 0)
    parts = (chunk(b"IHDR", header), *extra, chunk(b"IDAT", zlib.compress(rows, 9)))
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts) + chunk(b"IEND", b"")


def tiff(
    size: tuple[int, int], bits: int, white: int, data: bytes, *extra: tuple[int, int, int, int]
) -> bytes:
    """Return an uncompressed grey TIFF; ``white`` 1 says that 0 is black, 0 that it is white."""
    width, height = size
    tags = [
        *((256, 3, 1, width), (257, 3, 1, height), (258, 3, 1, bits), (259, 3, 1, 1)),
        *((262, 3, 1, white), (273, 4, 1, 8), (277, 3, 1, 1), (278, 3, 1, height)),
        *((279, 4, 1, len(data)), *extra),
    ]
    data += b"\0" * (len(data) % 2)
    last = {tag[0]: tag for tag in tags}
    entries = b"".join(struct.pack("<HHLL", *last[number]) for number in sorted(last))
    directory = struct.pack("<H", len(last)) + entries + bytes(4)
    return b"II*\0" + struct.pack("<L", 8 + len(data)) + data + directory


def segment(marker: int, data: bytes) -> bytes:
    """Return one part of a JPEG."""
    return struct.pack(">BBH", 0xFF, marker, len(data) + 2) + data


def with_segments(jpeg: bytes, segments: Sequence[bytes]) -> bytes:
    """Return the JPEG with parts put in after its first two bytes."""
    return jpeg[:2] + b"".join(segments) + jpeg[2:]


def other_formats() -> dict[str, bytes]:
    """Return files of formats that are not read, under names that lie; each names itself."""
    eps = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 40 24\n%%EndComments\nshowpage\n%%EOF\n"
    return {
        "eps.jpg": eps,
        "heic.jpg": b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(64),
        "pdf.png": b"%PDF-1.7\n" + bytes(64),
        "svg.png": b'<?xml version="1.0"?>\n<svg xmlns="http://www.w3.org/2000/svg"/>',
        "jxl.jpg": b"\xff\x0a" + bytes(64),
        "page.jpg": b"<!DOCTYPE html><html></html>",
        "qoi.png": b"qoif" + struct.pack(">LLBB", 2, 2, 3, 0) + bytes(12),
        "tga.png": saved(picture(), "TGA"),
        "ico.png": saved(picture(), "ICO"),
        "pcx.png": saved(picture(), "PCX"),
        "dds.png": saved(picture(), "DDS"),
        "jpeg2000.jpg": b"\0\0\0\x0cjP  \r\n\x87\n" + bytes(64),
        "empty.jpg": b"",
    }


def bombs() -> dict[str, bytes]:
    """Return small files whose reader would take gigabytes or minutes; none may be believed."""
    grey = png((40, 24), 8, 0, (b"\0" + bytes(40)) * 24)
    base = saved(picture("RGB", (64, 64)), "JPEG", quality=90)
    progressive = saved(picture("RGB", (64, 64)), "JPEG", progressive=True)
    last_scan = progressive[progressive.rindex(b"\xff\xda") : -2]
    large = struct.pack(">HH", 60_000, 60_000)
    frame = saved(picture("P"), "GIF")
    many_tags = [(tag, 7, 900_000, 8) for tag in range(40_000, 65_000)]
    return {
        "pixels.png": png((30_000, 30_000), 1, 0, bytes(3751) * 300),
        "animated.png": png(
            *((30_000, 30_000), 8, 6, b""),
            chunk(b"acTL", struct.pack(">LL", 2, 0)),
            chunk(b"fcTL", struct.pack(">LLLLLHHBB", 0, 30_000, 30_000, 0, 0, 1, 1, 1, 0)),
        ),
        "text.png": grey[:33] + chunk(b"zTXt", b"k\0\0" + zlib.compress(bytes(9**8))) + grey[33:],
        "chunks.png": grey[:33] + chunk(b"prVt", b"") * 400_000 + grey[33:],
        "canvas.webp": _riff(b"VP8X" + struct.pack("<LL", 10, 0) + b"\xfe\x3f\0" * 2),
        "screen.gif": frame[:6] + struct.pack("<HH", 60_000, 60_000) + frame[10:],
        "comment.gif": frame[:6]
        + bytes(7)
        + b"!\xfe"
        + (b"\xff" + bytes(255)) * 40_000
        + bytes(99),
        "tags.tif": tiff((40, 24), 8, 1, bytes(1_000_000), *many_tags),
        "strips.tif": tiff((40, 24), 8, 1, bytes(9_000_000), (324, 4, 2_000_000, 8)),
        "tile.tif": tiff(
            *((40, 24), 8, 1, zlib.compress(bytes(9**8))),
            *((322, 4, 1, 50_000), (323, 4, 1, 40_000), (324, 4, 1, 8), (325, 4, 1, 50_000)),
        ).replace(struct.pack("<HHLL", 259, 3, 1, 1), struct.pack("<HHLL", 259, 3, 1, 8)),
        "exif.jpg": with_segments(base, [segment(0xE1, b"Exif\0\0" + bytes(65_000))] * 400),
        "scans.jpg": progressive[:-2] + last_scan * 5_000 + b"\xff\xd9",
        "claims.jpg": progressive.replace(struct.pack(">HH", 64, 64), large),
        "rle.bmp": _rle(),
        "plain.ppm": b"P3 8000 8000 255\n" + b"1 " * 100_000,
    }


def _riff(body: bytes) -> bytes:
    return b"RIFF" + struct.pack("<L", len(body) + 4) + b"WEBP" + body


def _rle() -> bytes:
    """Return a BMP of few bytes, each line of which its reader fills pixel by pixel."""
    pixels = b"\1\1\0\0" * 6_000
    header = struct.pack("<LllHHLLllLL", 40, 10_000, 6_000, 1, 8, 1, len(pixels), 0, 0, 256, 0)
    palette = b"".join(struct.pack("BBBB", i, 255 - i, i, 0) for i in range(256))
    start = 14 + len(header) + len(palette)
    return struct.pack("<2sLLL", b"BM", start + len(pixels), 0, start) + header + palette + pixels


def seeds() -> dict[str, bytes]:
    """Return a small good file of each kind, for mutants to be made of."""
    image = picture()
    noisy = Image.frombytes("RGB", (24, 20), random.Random(1).randbytes(1440))  # noqa: S311
    kinds = {
        "base.jpg": saved(noisy, "JPEG", exif=exif(6)),
        "progressive.jpg": saved(noisy, "JPEG", progressive=True),
        "cmyk.jpg": saved(picture("CMYK"), "JPEG"),
        "rgb.png": saved(noisy, "PNG", exif=exif(3)),
        "palette.png": saved(image.quantize(8), "PNG", transparency=0),
        "deep.png": png((2, 2), 16, 0, b"\0\1\2\3\4" * 2, chunk(b"tRNS", b"\1\2")),
        "animated.png": saved(image, "PNG", save_all=True, append_images=[noisy.resize((40, 24))]),
        "lossy.webp": saved(noisy, "WEBP", exif=exif(6)),
        "lossless.webp": saved(picture("RGBA"), "WEBP", lossless=True),
        "animated.webp": saved(image, "WEBP", save_all=True, append_images=[image.rotate(9)]),
        "24.bmp": saved(image, "BMP"),
        "palette.bmp": saved(image.quantize(4), "BMP"),
        "raw.tif": saved(image, "TIFF", tiffinfo={ORIENTATION: 6}),
        "lzw.tif": saved(noisy, "TIFF", compression="tiff_lzw"),
        "jpeg.tif": saved(noisy, "TIFF", compression="jpeg"),
        "fax.tif": saved(picture("1"), "TIFF", compression="group4"),
        "twelve.tif": tiff((8, 4), 12, 1, bytes(range(48))),
        "still.gif": saved(image.quantize(8), "GIF"),
        "moving.gif": saved(image, "GIF", save_all=True, append_images=[image.rotate(90)]),
        "raw.ppm": saved(image, "PPM"),
        "plain.ppm": b"P3\n2 2\n255\n1 2 3 4 5 6 7 8 9 10 11 12\n",
        "levels.pgm": b"P5\n2 2\n100\n\1\2\3\4",
    }
    if "AVIF" in Image.SAVE:
        kinds["still.avif"] = saved(image, "AVIF", exif=exif(1))
    return kinds
