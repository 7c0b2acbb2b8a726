"""What stands beside the pixels: an orientation is followed, damage costs no good pixels."""

from __future__ import annotations

import struct
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from pytorch_common.images import ImageError, read_image
from tests.conftest import PROJECT
from tests.enclave import hostile
from tests.enclave.colours import near

RED = (200, 30, 40)
TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


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
