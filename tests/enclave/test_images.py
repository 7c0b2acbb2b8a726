"""Images of every format are read as a viewer shows them."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest
from PIL import Image

from pytorch_common.images import ImageError, read_image
from tests.enclave import hostile
from tests.enclave.colours import near

RED, GREY = (200, 30, 40), (120, 120, 120)
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


def test_transparency_shows_white(tmp_path: Path) -> None:
    Image.new("RGBA", (4, 4), (*RED, 0)).save(tmp_path / "clear.png")
    Image.new("LA", (4, 4), (0, 128)).save(tmp_path / "half.png")
    palette = Image.new("P", (4, 4), 0)
    palette.putpalette([0, 0, 0, 255, 0, 0])
    palette.save(tmp_path / "p.png", transparency=0)
    assert read_image(tmp_path / "clear.png").getpixel((0, 0)) == (255, 255, 255)
    assert near(read_image(tmp_path / "half.png").getpixel((0, 0)), (127, 127, 127), 1)
    assert read_image(tmp_path / "p.png").getpixel((0, 0)) == (255, 255, 255)


def test_the_first_frame_of_an_animation(tmp_path: Path) -> None:
    frames = [Image.new("RGB", (4, 4), colour) for colour in (RED, GREY)]
    frames[0].save(tmp_path / "x.gif", save_all=True, append_images=frames[1:])
    assert near(read_image(tmp_path / "x.gif").getpixel((0, 0)), RED)


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
