"""Levels of grey and of colour, however many bits a file has for them."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import pytest
from PIL import Image

from pytorch_common.images import ImageError, read_image
from tests.enclave import hostile
from tests.enclave.colours import near


@pytest.mark.parametrize(("level", "shown"), [(0, 0), (0x7FFF, 127), (0xFFFF, 255), (300, 1)])
def test_sixteen_bit_grey_is_scaled_not_cut_off(tmp_path: Path, level: int, shown: int) -> None:
    for name in ("x.png", "x.tiff"):
        Image.new("I;16", (4, 4), level).save(tmp_path / name)
        assert near(read_image(tmp_path / name).getpixel((0, 0)), (shown,) * 3, 1)


def test_sixteen_bit_colour(tmp_path: Path) -> None:
    # Pillow does not write 16-bit RGB, so the PNG is put together by hand.
    row = b"\0" + struct.pack(">HHH", 0xFFFF, 0x8000, 0) * 2

    def chunk(kind: bytes, data: bytes) -> bytes:
        body = kind + data
        return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))

    header = struct.pack(">IIBBBBB", 2, 1, 16, 2, 0, 0, 0)
    png = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(row))
    (tmp_path / "x.png").write_bytes(png + chunk(b"IEND", b""))
    assert near(read_image(tmp_path / "x.png").getpixel((0, 0)), (255, 128, 0), 1)


def test_floating_point_on_0_to_1(tmp_path: Path) -> None:
    Image.new("F", (4, 4), 0.5).save(tmp_path / "x.tiff")
    assert near(read_image(tmp_path / "x.tiff").getpixel((0, 0)), (127, 127, 127), 2)


def test_one_transparent_level_of_grey_and_of_colour(tmp_path: Path) -> None:
    deep = hostile.png(
        (3, 1), 16, 0, b"\0\x10\x00\x10\x01\x20\x00", hostile.chunk(b"tRNS", b"\x10\0")
    )
    low = hostile.png((4, 1), 2, 0, b"\0\x1b", hostile.chunk(b"tRNS", b"\0\1"))
    one = hostile.png((8, 1), 1, 0, b"\0\x0f", hostile.chunk(b"tRNS", b"\0\0"))
    colour = hostile.png(
        *((2, 1), 16, 2, b"\0" + b"\x11\x11\0\0\0\0" + b"\x22\x22\0\0\0\0"),
        hostile.chunk(b"tRNS", b"\x11\x11\0\0\0\0"),
    )
    expected = {
        "deep": (deep, [255, 15, 31]),
        "low": (low, [0, 255, 170, 255]),
        "one": (one, [255] * 8),
        "colour": (colour, [255, 34]),
    }
    for name, (data, levels) in expected.items():
        (tmp_path / name).write_bytes(data)
        shown = read_image(tmp_path / name)
        assert [shown.getpixel((x, 0))[0] for x in range(shown.width)] == levels, name


@pytest.mark.parametrize(
    ("bits", "white", "data", "levels"),
    [
        (16, 0, struct.pack("<HHH", 0, 0x8000, 0xFFFF), [255, 127, 0]),
        (16, 1, struct.pack("<HHH", 0, 0x8000, 0xFFFF), [0, 127, 255]),
        (12, 1, b"\x00\x08\x00\xff\xf0", [0, 127, 255]),
        (8, 0, b"\0\x80\xff", [255, 127, 0]),
    ],
)
def test_levels_of_a_tiff(
    bits: int, white: int, data: bytes, levels: list[int], tmp_path: Path
) -> None:
    (tmp_path / "x.tif").write_bytes(hostile.tiff((3, 1), bits, white, data))
    shown = read_image(tmp_path / "x.tif")
    got = [shown.getpixel((x, 0))[0] for x in range(3)]
    assert all(abs(a - b) <= 1 for a, b in zip(got, levels, strict=True)), got


def test_what_pillow_would_scramble_is_refused(tmp_path: Path) -> None:
    header = b"BM" + bytes(8) + struct.pack("<LLllHHLL", 58, 40, 5, 1, 1, 4, 2, 0) + bytes(16)
    run_lengths = header + bytes(4) + b"\0\5\x12\x34\x50\0\0\1"
    levels = struct.pack("<3H", 16, 16, 16) + struct.pack("<6L", 8, 14, 20, 6, 6, 6)
    values = ((258, 3, 3, 26), (262, 3, 1, 2), (273, 4, 3, 32), (277, 3, 1, 3), (279, 4, 3, 44))
    planes = hostile.tiff((3, 1), 16, 1, bytes(18) + levels, *values, (284, 3, 1, 2))
    unsigned = hostile.tiff((3, 1), 32, 1, struct.pack("<LLL", 0, 1 << 31, (1 << 32) - 1))
    for name, data, reason in (
        ("x.bmp", run_lengths, "run lengths"),
        ("x.tif", planes, "separate planes"),
        ("y.tif", unsigned, "32 bits"),
    ):
        (tmp_path / name).write_bytes(data)
        with pytest.raises(ImageError, match=reason):
            read_image(tmp_path / name)


@pytest.mark.parametrize("name", ["x.png", "x.pgm"])
def test_dark_sixteen_bit_images_stay_dark(tmp_path: Path, name: str) -> None:
    data = hostile.png((2, 1), 16, 0, b"\0\x00\xff\x02\x10")
    (tmp_path / name).write_bytes(data if name == "x.png" else b"P5\n2 1\n65535\n\0\xff\2\x10")
    shown = read_image(tmp_path / name)
    assert [shown.getpixel((x, 0))[0] for x in (0, 1)] == [0, 2]
