"""Images are read as a viewer shows them; what is no image says why."""

from __future__ import annotations

import base64
import struct
import subprocess
import sys
import zlib
from pathlib import Path
from typing import Any

import pytest
from PIL import Image, ImageCms
from PIL.PngImagePlugin import PngInfo

from pytorch_common.images import ImageError, read_image
from tests.conftest import PROJECT
from tests.enclave import hostile

RED, GREY = (200, 30, 40), (120, 120, 120)
TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
HEIC = (
    "AAAAHGZ0eXBoZWljAAAAAG1pZjFoZWljbWlhZgAAAcdtZXRhAAAAAAAAACFoZGxyAAAAAAAAAABwaWN0AAAAAAAA"
    "AAAAAAAAAAAAADRpbG9jAAAAAERAAAIAAQAAAAAB6wABAAAAAAAAAIgAAgAAAAACcwABAAAAAAAAACQAAAA4aWlu"
    "ZgAAAAAAAgAAABVpbmZlAgAAAAABAABodmMxAAAAABVpbmZlAgAAAQACAABFeGlmAAAAAA5waXRtAAAAAAABAAAB"
    "BmlwcnAAAADlaXBjbwAAAHVodmNDAQNwAAAAkAAAAAAAHvAA/P34+AAADwNgAAEAGEABDAH//wNwAAADAJAAAAMA"
    "AAMAHroCQGEAAQApQgEBA3AAAAMAkAAAAwAAAwAeoCCBBZbqrprm4CGgwIAAAAyAAAADAIRiAAEABkQBwXPBiQAA"
    "ABNjb2xybmNseAABAA0ABoAAAAAUaXNwZQAAAAAAAABAAAAAQAAAAChjbGFwAAAAEAAAAAEAAAAYAAAAAf///9AA"
    "AAAC////2AAAAAIAAAAQcGl4aQAAAAADCAgIAAAACWlyb3QDAAAAGWlwbWEAAAAAAAAAAQABBoECAwWEhgAAABpp"
    "cmVmAAAAAAAAAA5jZHNjAAIAAQABAAAAtG1kYXQAAACEKAGvBjIfKHDQiQbce/Sq4lGBiQftj0nPytpLt3TOIKRv"
    "ycOxYHvNz5RPZhWbyos0F2w+237n/zB/Ahl/1/xP6/5AHrs5VVmauxERFiHwvNT0hXsMTgVbb8BxSGXZGQnRx/mx"
    "KXrNJOroNyglKeMOY9zWrasvTVBeBWcBBWxQWK/YZjPbAAAABkV4aWYAAE1NACoAAAAIAAEBEgADAAAAAQAGAAAA"
    "AAAA"
)
"""Blue above red, 16 x 24, held so that it is shown as red beside blue; made by pillow-heif."""


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


TIFF_WAYS = [
    *(
        (mode, compression)
        for mode in ("L", "P", "RGB", "RGBA", "CMYK", "I;16")
        for compression in (None, "tiff_lzw")
    ),
]


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_tiff_is_turned_and_not_scrambled(tmp_path: Path, orientation: int) -> None:
    shape = (33, 20)
    for mode, compression in TIFF_WAYS:
        if mode == "I;16":
            image = Image.frombytes(mode, shape, bytes(range(220)) * 6)
        else:
            image = Image.effect_noise(shape, 60).convert("RGB").convert(mode)
        for name, upright in (("turned.tif", orientation), ("plain.tif", 1)):
            image.save(tmp_path / name, compression=compression, tiffinfo={274: upright})
        turn = TURNS.get(orientation)
        plain = read_image(tmp_path / "plain.tif")
        expected = plain if turn is None else plain.transpose(turn)
        shown = read_image(tmp_path / "turned.tif")
        assert shown.size == expected.size
        assert shown.tobytes() == expected.tobytes(), (mode, compression)


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp"])
def test_damaged_exif_does_not_cost_good_pixels(tmp_path: Path, suffix: str) -> None:
    image = hostile.picture()
    for number, exif in enumerate(
        (hostile.BAD_EXIF, b"Exif\0\0", b"Exif\0\0II*\0\xff\xff\xff\xff")
    ):
        path = tmp_path / f"{number}.{suffix}"
        image.save(path, exif=exif, **({"lossless": True} if suffix == "webp" else {}))
        assert read_image(path).size == image.size
        assert near(read_image(path).getpixel((4, 4)), hostile.RED, 40)


def test_the_orientation_stands_beside_damaged_tags(tmp_path: Path) -> None:
    make, turn = struct.pack("<HHLL", 0x010F, 2, 9, 9_999), struct.pack("<HHLL", 0x0112, 3, 1, 6)
    exif = b"Exif\0\0II*\0\x08\0\0\0\2\0" + make + turn
    hostile.picture().save(tmp_path / "x.png", exif=exif)
    assert read_image(tmp_path / "x.png").size == (24, 40)


def test_a_png_whose_other_parts_are_damaged_is_shown(tmp_path: Path) -> None:
    picture = hostile.picture()
    good = hostile.saved(picture, "PNG", exif=hostile.exif(6))
    moving = hostile.saved(picture, "PNG", save_all=True, append_images=[picture.rotate(180)])
    place = moving.index(b"fcTL") + 4
    damaged = {
        "checksum": good.replace(b"Exif", b"Exjf").replace(b"MM\0*", b"MM\1*"),
        "sequence": moving[:place] + b"\0\0\0\7" + moving[place + 4 :],
        "text": hostile.bombs()["text.png"],
        "end": good[:-12] + b"\0\0\0\xfftEXtcut",
    }
    for name, data in damaged.items():
        (tmp_path / name).write_bytes(data)
        assert read_image(tmp_path / name).size == (40, 24), name
    (tmp_path / "cut").write_bytes(good[: good.index(b"IDAT") + 30])
    with pytest.raises(ImageError, match="damaged or unreadable"):
        read_image(tmp_path / "cut")


def test_orientation_in_a_text_and_in_xmp(tmp_path: Path) -> None:
    tags = hostile.exif(6).tobytes()
    text = f"\nexif\n{len(tags):8}\n{tags.hex()}\n"
    xmp = '<x:xmpmeta xmlns:x="adobe:ns:meta/"><tiff:Orientation>6</tiff:Orientation></x:xmpmeta>'
    for key, value in (("Raw profile type exif", text), ("XML:com.adobe.xmp", xmp)):
        info = PngInfo()
        info.add_itxt(key, value)
        hostile.picture().save(tmp_path / "x.png", pnginfo=info)
        assert read_image(tmp_path / "x.png").size == (24, 40)


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


def profile(name: str) -> bytes:
    return ImageCms.ImageCmsProfile(ImageCms.createProfile(name)).tobytes()


def swapped_profile() -> bytes:
    """Return an sRGB profile in which red and blue have changed places."""
    data = bytearray(profile("sRGB"))
    tags = {data[at : at + 4].decode(): at for at in range(132, 132 + 12 * data[131], 12)}
    red, blue = tags["rXYZ"] + 4, tags["bXYZ"] + 4
    data[red : red + 8], data[blue : blue + 8] = data[blue : blue + 8], data[red : red + 8]
    return bytes(data)


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "tif"])
@pytest.mark.parametrize("mode", ["RGB", "RGBA", "P"])
def test_a_profile_is_applied_where_it_is_asked_for(tmp_path: Path, suffix: str, mode: str) -> None:
    if suffix == "jpg" and mode != "RGB":
        pytest.skip("JPEG has no such mode")
    path = tmp_path / f"x.{suffix}"
    options = {"lossless": True} if suffix == "webp" else {"quality": 95} if suffix == "jpg" else {}
    hostile.picture(mode).save(path, icc_profile=swapped_profile(), **options)
    assert near(read_image(path).getpixel((4, 4)), hostile.RED, 25)
    assert near(read_image(path, to_srgb=True).getpixel((4, 4)), hostile.RED[::-1], 25)


def test_srgb_no_profile_and_a_damaged_one_keep_the_bytes(tmp_path: Path) -> None:
    image = Image.effect_noise((64, 64), 80).convert("RGB")
    for number, icc in enumerate(
        (None, profile("sRGB"), profile("sRGB")[:200], b"junk", profile("LAB"))
    ):
        path = tmp_path / f"{number}.png"
        image.save(path, icc_profile=icc)
        assert read_image(path, to_srgb=True).tobytes() == image.tobytes(), number


def test_lab_has_colours(tmp_path: Path) -> None:
    to_lab = ImageCms.buildTransform(
        ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"), "RGB", "LAB"
    )
    lab = ImageCms.applyTransform(hostile.picture(), to_lab)
    assert lab is not None
    lab.save(tmp_path / "x.tif")
    assert near(read_image(tmp_path / "x.tif").getpixel((4, 4)), hostile.RED, 12)


def test_an_mpo_is_its_first_picture_even_where_its_index_is_damaged(tmp_path: Path) -> None:
    path = tmp_path / "x.jpg"
    hostile.picture().save(
        path, "MPO", save_all=True, append_images=[hostile.picture().rotate(180)]
    )
    whole = read_image(path)
    assert near(whole.getpixel((4, 4)), hostile.RED, 40)
    data = path.read_bytes()
    place = data.index(b"MPF\0") + 16
    path.write_bytes(data[:place] + b"\xff" * 20 + data[place + 20 :])
    assert read_image(path).tobytes() == whole.tobytes()


def test_avif_is_read_or_named(tmp_path: Path) -> None:
    if "AVIF" not in Image.SAVE:
        (tmp_path / "x.jpg").write_bytes(b"\0\0\0\x1cftypavif" + bytes(99))
        with pytest.raises(ImageError, match="AVIF"):
            read_image(tmp_path / "x.jpg")
        return
    hostile.picture().save(tmp_path / "x.jpg", "AVIF", exif=hostile.exif(6))
    assert near(read_image(tmp_path / "x.jpg").getpixel((4, 4)), hostile.RED, 20)
    (tmp_path / "cut.avif").write_bytes((tmp_path / "x.jpg").read_bytes()[:-40])
    with pytest.raises(ImageError):
        read_image(tmp_path / "cut.avif")


def test_heic_is_read_where_a_library_for_it_is_installed(tmp_path: Path) -> None:
    pytest.importorskip("pi_heif", reason="the extra heic is not installed")
    (tmp_path / "x.jpg").write_bytes(base64.b64decode(HEIC))
    shown = read_image(tmp_path / "x.jpg")
    assert (shown.mode, shown.size) == ("RGB", (24, 16))
    assert near(shown.getpixel((3, 4)), (200, 30, 40), 6)
    assert near(shown.getpixel((20, 4)), (20, 30, 200), 6)


def test_pillow_warns_of_nothing_in_any_thread(tmp_path: Path) -> None:
    hostile.picture().quantize(4).save(tmp_path / "x.png", transparency=b"\0\1\2\3")
    bad = struct.pack("<HHLL", 36864, 2, 99, 9_999)
    jpeg = hostile.seeds()["base.jpg"]
    exif = b"Exif\0\0II*\0\x08\0\0\0\1\0" + bad
    (tmp_path / "y.jpg").write_bytes(hostile.with_segments(jpeg, [hostile.segment(0xE1, exif)]))
    code = (
        "import sys; from pathlib import Path; from concurrent.futures import ThreadPoolExecutor\n"
        "from pytorch_common.images import read_image\n"
        "paths = sorted(Path(sys.argv[1]).iterdir()) * 8\n"
        "print(len(list(ThreadPoolExecutor(4).map(read_image, paths))))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], cwd=PROJECT, capture_output=True, text=True
    )
    assert (done.stdout, done.stderr) == ("16\n", "")
