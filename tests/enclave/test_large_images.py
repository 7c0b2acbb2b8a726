"""Large images are read reduced, and show the same; beyond the limits they are refused."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from pytorch_common import images
from pytorch_common.contract import ImageLimits
from pytorch_common.images import ImageError, read_image
from tests.enclave import hostile
from tests.enclave.colours import mean_difference


def test_a_large_jpeg_shows_the_same_reduced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "x.jpg"
    image = Image.effect_noise((900, 700), 60).resize((3600, 2800), Image.Resampling.BICUBIC)
    image.save(path, exif=hostile.exif(6), quality=95)
    whole = read_image(path)
    monkeypatch.setattr(images, "WHOLE_PIXELS", 3_000_000)
    reduced = read_image(path)
    assert (whole.size, reduced.size) == ((2800, 3600), (1400, 1800))
    apart = mean_difference(whole.resize((350, 450)), reduced.resize((350, 450)))
    assert apart < 1.5


def test_any_other_large_image_shows_the_same_halved(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    alpha = Image.linear_gradient("L").resize((1001, 701))
    image = Image.effect_noise((1001, 701), 60).convert("RGB")
    image.putalpha(alpha)
    image.save(tmp_path / "x.png")
    whole = read_image(tmp_path / "x.png")
    monkeypatch.setattr(images, "WHOLE_PIXELS", 500_000)
    monkeypatch.setattr("pytorch_common.colours.STRIP_PIXELS", 10_000)
    halved = read_image(tmp_path / "x.png")
    assert halved.size == (501, 351)
    assert mean_difference(whole.resize((100, 70)), halved.resize((100, 70))) < 2


def test_strips_change_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, data in hostile.seeds().items():
        (tmp_path / name).write_bytes(data)
        whole = read_image(tmp_path / name, to_srgb=True)
        monkeypatch.setattr("pytorch_common.colours.STRIP_PIXELS", 100)
        assert read_image(tmp_path / name, to_srgb=True).tobytes() == whole.tobytes(), name
        monkeypatch.undo()


def test_the_limits_are_those_that_are_given(tmp_path: Path) -> None:
    Image.new("L", (2000, 1000)).save(tmp_path / "x.png", compress_level=0)
    Image.new("L", (2000, 1000)).save(tmp_path / "x.webp")
    small = ImageLimits(file_mb=1)
    for name, limits, line in (
        ("x.png", small, "too large a file: 2 MB, the limit is 1"),
        ("x.png", ImageLimits(megapixels=1), "2000 x 1000, the limit is 1 megapixels"),
        ("x.png", ImageLimits(side=1999), "the limit of a side is 1999"),
        ("x.webp", ImageLimits(megapixels=7), "2000 x 1000, the limit is 1 megapixels"),
    ):
        with pytest.raises(ImageError, match=line):
            read_image(tmp_path / name, limits)
    assert read_image(tmp_path / "x.webp", ImageLimits(1, 8, 2000)).size == (2000, 1000)
