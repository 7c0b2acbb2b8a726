from __future__ import annotations

import random
from pathlib import Path

import pytest
from PIL import Image

from pytorch_common.files import tree_digest
from workflow.assets import sample
from workflow.core.errors import WorkflowError

FEW = {"train": 2, "val": 1}
KINDS = ("ant", "bee")


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a small sample, for tests that only look."""
    root = tmp_path_factory.mktemp("sample") / "deep" / "data"
    sample.make_sample(root, FEW)
    return root


def interrupt_after(count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let `count` pictures be drawn, then press Ctrl-C."""
    left, draw = iter(range(count)), sample.draw_insect

    def draw_some(kind: str, rng: random.Random) -> Image.Image:
        if next(left, None) is None:
            raise KeyboardInterrupt
        return draw(kind, rng)

    monkeypatch.setattr(sample, "draw_insect", draw_some)


def test_the_tree_is_that_of_hymenoptera_data_and_nothing_is_left_beside_it(drawn: Path) -> None:
    found = {path.relative_to(drawn).as_posix() for path in drawn.rglob("*") if path.is_file()}
    assert found == {
        "NOT_REAL_DATA.txt",
        "train/ants/sample_ant_000.jpg",
        "train/ants/sample_ant_001.jpg",
        "train/bees/sample_bee_000.jpg",
        "train/bees/sample_bee_001.jpg",
        "val/ants/sample_ant_000.jpg",
        "val/bees/sample_bee_000.jpg",
    }
    assert list(drawn.parent.iterdir()) == [drawn]


def test_unless_told_otherwise_it_draws_60_a_class_to_train_and_20_to_validate(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sample, "draw_insect", lambda kind, rng: Image.new("RGB", (8, 8)))
    sample.make_sample(tmp_path / "data")
    for split, count in (("train", 60), ("val", 20)):
        for kind in KINDS:
            assert len(list((tmp_path / "data" / split / f"{kind}s").glob("*.jpg"))) == count


def test_the_marker_says_plainly_that_this_is_not_the_real_data(drawn: Path) -> None:
    text = (drawn / sample.MARKER).read_text()
    assert "not hymenoptera_data" in text
    assert "says nothing about photographs" in text
    assert sample.is_sample(drawn)
    assert not sample.is_sample(drawn.parent)
    assert not sample.is_sample(drawn / "nowhere")


def test_every_picture_is_an_rgb_jpeg_of_sane_size(drawn: Path) -> None:
    for path in drawn.rglob("*.jpg"):
        with Image.open(path) as image:
            image.load()
            assert (image.format, image.mode) == ("JPEG", "RGB")
            assert all(200 <= side <= 400 for side in image.size)
        assert 4_000 < path.stat().st_size < 100_000


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("place", sample.GROUNDS)
def test_either_insect_can_be_drawn_in_any_place(
    kind: str, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sample, "PLACES", {kind: (place,)})
    image = sample.draw_insect(kind, random.Random(1))  # noqa: S311 - a picture, not a secret
    assert image.mode == "RGB"
    assert image.size in sample.SIZES
    colours = image.getcolors(image.width * image.height)
    assert colours
    assert len(colours) > 1000


def test_no_background_tells_the_class_alone() -> None:
    shared = set(sample.PLACES["ant"]) & set(sample.PLACES["bee"])
    assert shared == {"leaf", "flower", "sand", "stone"}


def test_the_same_seed_draws_the_same_bytes(drawn: Path, tmp_path: Path) -> None:
    sample.make_sample(tmp_path / "again", FEW)
    assert tree_digest(tmp_path / "again") == tree_digest(drawn)


def test_a_picture_does_not_depend_on_how_many_there_are(drawn: Path, tmp_path: Path) -> None:
    sample.make_sample(tmp_path / "fewer", {"val": 1})
    for path in (tmp_path / "fewer").rglob("*.jpg"):
        assert path.read_bytes() == (drawn / path.relative_to(tmp_path / "fewer")).read_bytes()


def test_seeds_splits_and_indices_draw_different_pictures(drawn: Path, tmp_path: Path) -> None:
    sample.make_sample(tmp_path / "other", FEW, seed=1)
    paths = [*drawn.rglob("*.jpg"), *(tmp_path / "other").rglob("*.jpg")]
    assert len({path.read_bytes() for path in paths}) == len(paths) == 12


def test_an_earlier_sample_is_replaced_whole(tmp_path: Path) -> None:
    root = tmp_path / "data"
    sample.make_sample(root, FEW)
    sample.make_sample(root, {"train": 1, "val": 1}, seed=1)
    assert len(list(root.rglob("*.jpg"))) == 4
    assert list(tmp_path.iterdir()) == [root]


@pytest.mark.parametrize("content", [None, "photograph.jpg"])
def test_a_folder_that_is_no_sample_is_refused_and_left_alone(
    tmp_path: Path, content: str | None
) -> None:
    root = tmp_path / "mine"
    root.mkdir()
    if content:
        (root / content).write_bytes(b"precious")
    before = tree_digest(root)
    with pytest.raises(WorkflowError, match=r"mine: not a drawn sample .*NOT_REAL_DATA"):
        sample.make_sample(root, FEW)
    assert tree_digest(root) == before
    assert list(tmp_path.iterdir()) == [root]


def test_a_file_or_a_dead_link_in_the_way_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("precious")
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    for name in ("file", "link"):
        with pytest.raises(WorkflowError, match="not a drawn sample"):
            sample.make_sample(tmp_path / name, FEW)


def test_an_interrupted_drawing_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    interrupt_after(3, monkeypatch)
    with pytest.raises(KeyboardInterrupt):
        sample.make_sample(tmp_path / "data", FEW)
    assert not list(tmp_path.iterdir())


def test_an_interrupted_replacement_keeps_the_earlier_sample(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "data"
    sample.make_sample(root, FEW)
    before = tree_digest(root)
    interrupt_after(3, monkeypatch)
    with pytest.raises(KeyboardInterrupt):
        sample.make_sample(root, FEW, seed=1)
    assert tree_digest(root) == before
    assert list(tmp_path.iterdir()) == [root]
