"""The few tags of a TIFF directory that reading an image needs, EXIF's own too.

Pillow's reader of EXIF copies whatever a damaged or hostile directory points to, over and over.
"""

from __future__ import annotations

import re
import struct
from typing import Any, Dict, Mapping, Tuple

ORIENTATION = 0x0112
"""How the camera was held; 1 is upright."""
SAMPLE_FORMAT = 339
"""Of a level: 1 is a whole number without a sign."""
TABLES = (273, 279, 324, 325)
"""Offsets and lengths of the strips or tiles."""

Tags = Dict[int, Tuple[int, int]]
"""For each tag how many values it has and, where they are whole numbers, the first of them."""
_KINDS = {1: "B", 3: "H", 4: "L", 16: "Q"}
"""The kinds of whole numbers, as struct calls them."""

_XMP_ORIENTATION = re.compile(rb'tiff:Orientation(?:="|>)([1-8])')


def read_tags(data: bytes) -> Tags:
    """Return the tags of the first directory of a TIFF or EXIF; of a damaged one what is whole."""
    tags: Tags = {}
    order = {b"II": "<", b"MM": ">"}.get(data[:2])
    if order is None:
        return tags
    address, room = ("Q", 8) if 43 in data[2:4] else ("L", 4)  # 43: BigTIFF
    entry = struct.Struct(order + "HH" + address)
    try:
        (start,) = struct.unpack_from(order + address, data, room)
        (number,) = struct.unpack_from(order + ("Q" if room == 8 else "H"), data, start)
        first, step = start + (8 if room == 8 else 2), entry.size + room
        for place in range(first, min(first + step * min(number, 0xFFFF), len(data)), step):
            tag, kind, count = entry.unpack_from(data, place)
            place += entry.size
            values = struct.Struct(order + _KINDS.get(kind, "B"))
            if count * values.size > room:
                (place,) = struct.unpack_from(order + address, data, place)
            is_there = kind in _KINDS and place + values.size <= len(data)
            tags[tag] = count, values.unpack_from(data, place)[0] if is_there else 0
    except (struct.error, OverflowError):
        pass
    return tags


def one_value(tags: Tags, tag: int, default: int) -> int:
    """Return the value of a tag that has one alone, else the default."""
    count, value = tags.get(tag, (0, default))
    return value if count == 1 else default


def strip_bytes(tags: Tags) -> int:
    """Return how many bytes of pixels one strip or tile of a TIFF says that it holds."""
    width, height = one_value(tags, 256, 0), one_value(tags, 257, 0)
    rows = min(one_value(tags, 278, height), height)
    width, rows = one_value(tags, 322, width), one_value(tags, 323, rows)
    bits = max(8, tags.get(258, (1, 1))[1])
    return width * rows * one_value(tags, 277, 1) * bits // 8


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
