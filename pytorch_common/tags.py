"""The few tags of a TIFF directory that reading an image needs, EXIF's own too.

Pillow's reader of EXIF copies whatever a damaged or hostile directory points to, over and over.
"""

from __future__ import annotations

import re
import struct
from typing import Any, Dict, Mapping, Tuple

ORIENTATION = 0x0112
"""How the camera was held; 1 is upright."""
TABLES = (273, 279, 324, 325)
"""Offsets and lengths of the strips or tiles."""

Tags = Dict[int, Tuple[int, int]]
"""For each tag how many values it has and, where that is one whole number, the value."""

_XMP_ORIENTATION = re.compile(rb'tiff:Orientation(?:="|>)([1-8])')


def read_tags(data: bytes) -> Tags:
    """Return the tags of the first directory of a TIFF or EXIF; of a damaged one what is whole."""
    tags: Tags = {}
    order = {b"II": "<", b"MM": ">"}.get(data[:2])
    if order is None:
        return tags
    try:
        is_big = 43 in data[2:4]  # BigTIFF, with addresses of 64 bits
        (start,) = struct.unpack_from(order + ("Q" if is_big else "L"), data, 8 if is_big else 4)
        (number,) = struct.unpack_from(order + ("Q" if is_big else "H"), data, start)
        entry = struct.Struct(order + ("HHQ" if is_big else "HHL"))
        first, step = start + (8 if is_big else 2), 20 if is_big else 12
        for place in range(first, min(first + step * number, len(data)), step):
            tag, kind, count = entry.unpack_from(data, place)
            code = {1: "B", 3: "H", 4: "L", 16: "Q"}.get(kind, "B")
            (value,) = struct.unpack_from(order + code, data, place + entry.size)
            tags[tag] = count, value
    except (struct.error, OverflowError):
        pass
    return tags


def one_value(tags: Tags, tag: int, default: int) -> int:
    """Return the value of a tag that has one alone, else the default."""
    count, value = tags.get(tag, (0, default))
    return value if count == 1 else default


def orientation(info: Mapping[Any, Any]) -> int:
    """Return the EXIF orientation out of an image's ``info``, 1 where there is none to be read.

    It stands in the EXIF of the file, in a text that ImageMagick makes of it, or in XMP.
    """
    exif = info.get("exif") or _from_text(info.get("Raw profile type exif"))
    if isinstance(exif, bytes):
        blob = exif[6:] if exif.startswith(b"Exif\0\0") else exif
        if (turn := one_value(read_tags(blob), ORIENTATION, 0)) in range(1, 9):
            return turn
    for name in ("xmp", "XML:com.adobe.xmp"):
        xmp = info.get(name)
        text = xmp.encode("utf-8", "replace") if isinstance(xmp, str) else xmp
        if isinstance(text, bytes) and (found := _XMP_ORIENTATION.search(text)):
            return int(found[1])
    return 1


def _from_text(text: Any) -> bytes:
    """Return the bytes that the text has as hexadecimal digits, from its fourth line on."""
    try:
        return bytes.fromhex("".join(str(text).split("\n")[3:]))
    except ValueError:
        return b""
