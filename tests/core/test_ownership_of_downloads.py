"""A person's images, zip and weights are theirs: a download replaces its own alone."""

from __future__ import annotations

import zipfile
from dataclasses import replace
from pathlib import Path

import pytest

from tests import doing
from tests.assets.test_dataset import small, zipped  # noqa: F401 - a fixture
from tests.conftest import paint
from workflow.assets import dataset, pretrained
from workflow.core.errors import WorkflowError
from workflow.core.settings import Settings


def test_the_data_set_replaces_itself_and_nothing_else(small: Path, tmp_path: Path) -> None:
    archive = zipped(small)
    target = tmp_path / "data"
    settings = replace(Settings().data, dir=target, source=str(archive))
    doing.fetch(settings)
    (target / "val" / "ants" / "one photo.png").unlink()
    (target / ".DS_Store").touch()
    doing.fetch(settings)  # a part of it, and litter
    assert dataset.differences(target) == []
    paint(target / "train" / "cats" / "mine.png", (1, 2, 3), 1)
    with pytest.raises(WorkflowError) as caught:
        doing.fetch(settings, force=True)
    assert caught.value.message == (
        f"{target} is not a task's alone (train/cats/mine.png), so it is not replaced; "
        f"name a free place, as in INVOKE_DATA_DIR={target}-2"
    )
    assert (target / "train" / "cats" / "mine.png").exists()


def test_a_changed_image_elsewhere_than_in_the_project_may_be_a_persons(
    small: Path,
    tmp_path: Path,
) -> None:
    settings = replace(Settings().data, dir=tmp_path / "data", source=str(zipped(small)))
    doing.fetch(settings)
    mine = settings.dir / "val" / "ants" / "one photo.png"
    mine.write_bytes(b"cropped by hand")
    with pytest.raises(WorkflowError, match="not a task's alone"):
        doing.fetch(settings)
    assert mine.read_bytes() == b"cropped by hand"


@pytest.mark.parametrize("kind", ["link", "file"])
def test_what_is_no_folder_is_not_replaced(kind: str, small: Path, tmp_path: Path) -> None:
    place, aim = tmp_path / "data", tmp_path / "aim"
    aim.mkdir()
    if kind == "link":
        place.symlink_to(aim)
    else:
        place.write_text("precious")
    with pytest.raises(WorkflowError, match=r"is not replaced|is none"):
        doing.fetch(replace(Settings().data, dir=place, source=str(zipped(small))))
    assert place.is_symlink() == (kind == "link")
    assert place.is_dir() or place.read_text() == "precious"


@pytest.mark.parametrize("is_named", [True, False])
@pytest.mark.parametrize("is_sound", [True, False])
def test_a_persons_zip_is_kept(
    is_named: bool,
    is_sound: bool,
    small: Path,
    tmp_path: Path,
) -> None:
    archive = zipped(small)
    if not is_sound:
        archive.write_bytes(archive.read_bytes()[:-30])
    before = archive.read_bytes()
    target = archive.with_name("photos")
    source = str(archive) if is_named else ""
    try:
        doing.fetch(replace(Settings().data, dir=target, source=source))
        assert is_sound
    except WorkflowError as error:
        assert not is_sound
        assert "remove" not in str(error.message)
        assert str(archive) in str(error.message)
    assert archive.read_bytes() == before
    assert zipfile.is_zipfile(archive) == is_sound


def test_weights_of_another_content_are_replaced_in_the_project_alone(
    tiny_settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = replace(
        tiny_settings, model=replace(tiny_settings.model, dir=tmp_path, source="/no/such")
    )
    own = pretrained.official_file(settings)
    own.write_text("mine")
    with pytest.raises(WorkflowError, match="no task made it; move it away"):
        doing.download(settings)
    assert own.read_text() == "mine"
    monkeypatch.setattr(pretrained, "MODELS", tmp_path)
    with pytest.raises(WorkflowError, match="no such file"):
        doing.download(settings, force=True)
    assert own.read_text() == "mine"  # only a whole download takes its place
