"""Images are read as a viewer shows them; what is no image says why."""

from __future__ import annotations

import os
import struct
import zlib
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from pytorch_common.images import ImageError, read_image

RED, GREY = (200, 30, 40), (120, 120, 120)


def near(pixel: Any, expected: tuple[int, int, int], tolerance: int = 6) -> bool:
    return all(abs(a - b) <= tolerance for a, b in zip(pixel, expected, strict=True))


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "bmp", "tiff", "gif", "ppm"])
def test_formats(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"x.{suffix}"
    Image.new("RGB", (8, 6), RED).save(path)
    image = read_image(path)
    assert (image.mode, image.size) == ("RGB", (8, 6))
    assert near(image.getpixel((3, 3)), RED)


def test_greyscale_palette_and_bilevel(tmp_path: Path) -> None:
    Image.new("L", (4, 4), 120).save(tmp_path / "l.png")
    Image.new("RGB", (4, 4), RED).quantize(4).save(tmp_path / "p.png")
    Image.new("1", (4, 4), 1).save(tmp_path / "1.png")
    assert read_image(tmp_path / "l.png").getpixel((0, 0)) == GREY
    assert near(read_image(tmp_path / "p.png").getpixel((0, 0)), RED)
    assert read_image(tmp_path / "1.png").getpixel((0, 0)) == (255, 255, 255)


def test_cmyk(tmp_path: Path) -> None:
    Image.new("CMYK", (8, 8), (0, 255, 255, 0)).save(tmp_path / "x.jpg", quality=100)
    assert near(read_image(tmp_path / "x.jpg").getpixel((4, 4)), (255, 0, 0), 12)


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


def test_transparency_shows_white(tmp_path: Path) -> None:
    Image.new("RGBA", (4, 4), (*RED, 0)).save(tmp_path / "clear.png")
    Image.new("LA", (4, 4), (0, 128)).save(tmp_path / "half.png")
    palette = Image.new("P", (4, 4), 0)
    palette.putpalette([0, 0, 0, 255, 0, 0])
    palette.save(tmp_path / "p.png", transparency=0)
    assert read_image(tmp_path / "clear.png").getpixel((0, 0)) == (255, 255, 255)
    assert near(read_image(tmp_path / "half.png").getpixel((0, 0)), (127, 127, 127), 1)
    assert read_image(tmp_path / "p.png").getpixel((0, 0)) == (255, 255, 255)


@pytest.mark.parametrize("orientation", [3, 6, 8])
def test_exif_orientation_is_followed(tmp_path: Path, orientation: int) -> None:
    image = Image.new("RGB", (40, 20), (255, 255, 255))
    image.paste(RED, (0, 0, 20, 20))
    exif = Image.Exif()
    exif[274] = orientation
    image.save(tmp_path / "x.jpg", exif=exif, quality=95)
    shown = read_image(tmp_path / "x.jpg")
    # Where the left, red half is seen once the viewer has turned the picture.
    spot = {3: (30, 10), 6: (10, 10), 8: (10, 30)}[orientation]
    assert shown.size == ((40, 20) if orientation == 3 else (20, 40))
    assert near(shown.getpixel(spot), RED, 12)


def test_the_first_frame_of_an_animation(tmp_path: Path) -> None:
    frames = [Image.new("RGB", (4, 4), colour) for colour in (RED, GREY)]
    frames[0].save(tmp_path / "x.gif", save_all=True, append_images=frames[1:])
    assert near(read_image(tmp_path / "x.gif").getpixel((0, 0)), RED)


def test_what_is_no_image_says_why(tmp_path: Path) -> None:
    (tmp_path / "text.jpg").write_text("not an image")
    (tmp_path / "empty.jpg").write_bytes(b"")
    Image.effect_noise((200, 200), 90).save(tmp_path / "whole.jpg")
    cut = (tmp_path / "whole.jpg").read_bytes()
    (tmp_path / "cut.jpg").write_bytes(cut[: len(cut) // 2])
    expected = {
        "text.jpg": "not an image that Pillow can read",
        "empty.jpg": "not an image that Pillow can read",
        "cut.jpg": "damaged or unreadable: image file is truncated",
        "absent.jpg": "no such file",
        ".": "a folder, not an image",
    }
    for name, reason in expected.items():
        with pytest.raises(ImageError, match=reason):
            read_image(tmp_path / name)


def test_a_decompression_bomb_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Image.new("1", (100, 100)).save(tmp_path / "x.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    with pytest.raises(ImageError, match="too many pixels"):
        read_image(tmp_path / "x.png")


def test_a_pipe_that_nobody_writes_to_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.jpg")
    for path in (tmp_path / "pipe.jpg", Path("/dev/zero")):
        with pytest.raises(ImageError, match="a device or a pipe, not an image"):
            read_image(path)
