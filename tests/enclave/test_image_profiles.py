"""Colour profiles are applied where that is asked for."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image, ImageCms

from pytorch_common.images import read_image
from tests.enclave import hostile
from tests.enclave.colours import near, profile, swapped_profile


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
