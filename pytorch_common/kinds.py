"""What a file is by its first bytes, where Pillow cannot or may not say it."""

from __future__ import annotations

import struct

from pytorch_common.tags import Tags, one_value

NOT_AN_IMAGE = "not an image that Pillow can read"

_BY_START = (
    (b"%pdf", "PDF, a document; save the page as PNG"),
    (b"%!ps", "PostScript, a program that is not run here; save the picture as PNG"),
    (b"\xc5\xd0\xd3\xc6", "PostScript, a program that is not run here; save the picture as PNG"),
    (b"<svg", "SVG, a drawing; save it as PNG"),
    (b"<!doctype html", "a web page, not an image"),
    (b"<html", "a web page, not an image"),
    (b"\xff\x0a", "JPEG XL, which is not read here; convert it to JPEG or PNG"),
    (b"\0\0\0\x0cjxl ", "JPEG XL, which is not read here; convert it to JPEG or PNG"),
    (b"version https://git-lfs", "a Git LFS pointer, not the image; run: git lfs pull"),
    (b"\xff\xd8\xff", f"{NOT_AN_IMAGE}: a damaged JPEG"),
    (b"\x89png", f"{NOT_AN_IMAGE}: a damaged PNG"),
    (b"riff", f"{NOT_AN_IMAGE}: a damaged WebP, or another RIFF file"),
    (b"gif8", f"{NOT_AN_IMAGE}: a damaged GIF"),
    (b"ii*\0", f"{NOT_AN_IMAGE}: a damaged TIFF, or one of a kind that it does not know"),
    (b"mm\0*", f"{NOT_AN_IMAGE}: a damaged TIFF, or one of a kind that it does not know"),
)
"""How files begin, in lower case, and what is said of those that no reader takes."""
_HEIC = "HEIC, which is not read here; convert it to JPEG, or natively: pip install pi-heif"
_AVIF = "AVIF, damaged or of a kind that this Pillow does not read (11.3 does); convert it to JPEG"
_BY_BRAND = {
    **dict.fromkeys(
        (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"), _HEIC
    ),
    **dict.fromkeys((b"avif", b"avis"), _AVIF),
}
"""What stands in the box at the beginning. Source: ISO 23008-12, and AV1 Image File Format."""


_BITS, _COMPRESSION, _COLOURS, _PLANES = 258, 259, 277, 284
"""Tags of a TIFF; colours are the levels of a pixel, planes whether each of them lies by itself."""
_PNG = b"\x89PNG\r\n\x1a\n"
_PNG_END = b"\0\0\0\0IEND\xaeB`\x82"
_MOST_CHUNKS = 1_000_000


def what_it_is(data: bytes) -> str:
    """Return why a file that no reader takes for its own is no image here, and the way out."""
    if not data:
        return f"{NOT_AN_IMAGE}: an empty file"
    if data[4:8] == b"ftyp" and data[8:12] in _BY_BRAND:
        return _BY_BRAND[data[8:12]]
    text = data[:1024].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if text.startswith((b"<?xml", b"<!--", b"<!doctype svg")) and b"<svg" in text:
        text = b"<svg"
    kinds = (what for start, what in _BY_START if text.startswith(start))
    return next(kinds, NOT_AN_IMAGE)


def stated_size(data: bytes) -> tuple[str, int, int] | None:
    """Return format, width and height that the file begins with, None where they are not needed.

    Of those formats whose readers take memory for all of the image before they tell its size.
    """
    try:
        if data.startswith(b"\x89PNG") and data[12:16] == b"IHDR":
            return ("PNG", *struct.unpack_from(">LL", data, 16))
        if data.startswith(b"GIF8"):
            return ("GIF", *struct.unpack_from("<HH", data, 6))
        if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
            return _size_of_webp(data)
    except struct.error:
        pass
    return None


def _size_of_webp(data: bytes) -> tuple[str, int, int] | None:
    """Source: RFC 9649, "WebP Image Format", sections 2.5 to 2.7."""
    if data[12:16] == b"VP8X":
        width, height = (1 + int.from_bytes(data[at : at + 3], "little") for at in (24, 27))
    elif data[12:16] == b"VP8L":
        (both,) = struct.unpack_from("<L", data, 21)
        width, height = 1 + (both & 0x3FFF), 1 + (both >> 14 & 0x3FFF)
    elif data[12:16] == b"VP8 ":
        width, height = (side & 0x3FFF for side in struct.unpack_from("<HH", data, 26))
    else:
        return None
    return "WEBP", width, height


def misread(data: bytes, tags: Tags) -> str:
    """Return why Pillow would make another picture of the file, empty where it would not."""
    if data.startswith(b"BM") and data[14:18] >= b"(" and data[30:34] == b"\2\0\0\0":
        return "a BMP of 4 bits in run lengths, which Pillow scrambles; save it as PNG"
    says = {tag: one_value(tags, tag, 1) for tag in (_PLANES, _COLOURS, _COMPRESSION)}
    is_raw = says[_PLANES] == 2 and says[_COLOURS] > 1 and says[_COMPRESSION] == 1
    if is_raw and tags.get(_BITS, (1, 1))[1] > 8:
        return "a TIFF of 16 bits in separate planes, which Pillow scrambles; save it as PNG"
    return ""


def bare_png(data: bytes) -> bytes:
    """Return a PNG with its pixels alone, empty for any other file.

    A viewer shows it where what else is said of it, or that it moves, is damaged.
    """
    if not data.startswith(_PNG):
        return b""
    kept, place = [_PNG], len(_PNG)
    for _ in range(_MOST_CHUNKS):
        if place + 12 > len(data):
            break
        length, kind = struct.unpack_from(">L4s", data, place)
        if kind in (b"IHDR", b"PLTE", b"tRNS", b"IDAT"):
            kept.append(data[place : place + 12 + length])
        place += 12 + length
    return b"".join(kept) + _PNG_END
