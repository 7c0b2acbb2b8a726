"""The images of an exercise: each kind can be read, and what is none is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytorch_common import images
from pytorch_common.contract import DATA_SUFFIXES, IMAGE_SUFFIXES, ImageLimits
from pytorch_common.errors import RunError
from workflow.gsc import exercise_images
from workflow.gsc.exercise_images import AVIF, GIF, KINDS, draw_exercise_images


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("drawn")
    draw_exercise_images(folder)
    return folder


def test_every_ending_that_the_scripts_take_is_there() -> None:
    suffixes = {AVIF[0], *(suffix for suffix, _ in KINDS.values())}
    assert suffixes == set(DATA_SUFFIXES)
    assert {*suffixes, GIF[0]} == set(IMAGE_SUFFIXES)


@pytest.mark.parametrize("kind", [*KINDS, "first"])
def test_every_kind_can_be_read(drawn: Path, kind: str) -> None:
    suffix = KINDS[kind][0] if kind in KINDS else GIF[0]
    for path in sorted(drawn.rglob(f"{kind}{suffix}")):
        read = images.read_image(path, ImageLimits())
        assert read.mode == "RGB"
        width, height = exercise_images.SIZE
        assert read.size == ((height, width) if kind == "turned" else (width, height))
    assert len(list(drawn.rglob(f"{kind}{suffix}"))) == 4


def test_what_is_new_can_be_read_by_todays_pillow(drawn: Path) -> None:
    for path in (drawn / "new").rglob(f"*{AVIF[0]}"):
        assert images.read_image(path, ImageLimits()).mode == "RGB"


def test_what_is_none_is_refused(drawn: Path) -> None:
    for path in (drawn / "bad").rglob("*.*"):
        if path.name == "good.jpg":
            assert images.read_image(path, ImageLimits()).mode == "RGB"
            continue
        with pytest.raises((RunError, OSError)):
            images.read_image(path, ImageLimits())
