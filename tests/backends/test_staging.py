"""Images on their way into a container: their names, their copies, their list."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from pytorch_common.contract import ImageLimits
from tests.backends.conftest import in_backend
from tests.conftest import paint
from workflow.backends import base
from workflow.backends.classify_job import ClassifyJob, inner_name, staged
from workflow.core.settings import GscSettings, InferSettings, Settings
from workflow.core.values import GRAPHENE
from workflow.steps import classify


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the caller's folder, with pictures in it and beside it."""
    folder = tmp_path / "here"
    for name in ("a.png", "deep/b.png", "deep/er/c.JPG", "../beside.png"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        paint(folder / name, (1, 2, 3), 1)
    (folder / "deep" / "notes.txt").write_text("no image")
    monkeypatch.chdir(folder)
    return folder


def what_is_in(folder: Path) -> list[str]:
    return sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())


def listed(folder: Path) -> list[str]:
    return [os.fsdecode(name) for name in (folder / "images.list").read_bytes().split(b"\0")][:-1]


def test_the_name_inside_is_the_persons_own_and_never_leads_out(here: Path) -> None:
    assert inner_name("a.png") == "a.png"
    assert inner_name("./deep/b.png") == "./deep/b.png"
    assert inner_name("/abs/x.png") == "/abs/x.png"
    assert inner_name("../beside.png") == str(here.parent / "beside.png")
    assert inner_name("deep/../../beside.png") == str(here.parent / "beside.png")


def test_relative_absolute_and_upward_names_all_get_a_place(here: Path) -> None:
    absolute = str(here / "a.png")
    names = ["a.png", absolute, "../beside.png"]
    with staged(names, here) as folder:
        beside = str(here.parent / "beside.png")
        assert listed(folder) == ["a.png", absolute, beside]
        assert what_is_in(folder) == sorted(
            ["a.png", absolute.lstrip("/"), beside.lstrip("/"), "images.list"]
        )
        assert (folder / "a.png").read_bytes() == Path("a.png").read_bytes()
    assert not folder.exists()


def test_of_a_folder_the_images_come_along_and_nothing_else(here: Path) -> None:
    with staged(["deep"], here) as folder:
        assert listed(folder) == ["deep"]
        assert what_is_in(folder) == ["deep/b.png", "deep/er/c.JPG", "images.list"]


def test_hidden_names_in_a_folder_stay_here_and_are_counted(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("deep/._b.png", "deep/.ipynb_checkpoints/b.png", "deep/.ipynb_checkpoints/c.png"):
        paint(here / name, (1, 2, 3), 1)
    with staged(["deep"], here) as folder:
        assert what_is_in(folder) == ["deep/b.png", "deep/er/c.JPG", "images.list"]
    said = ["deep: names with a leading dot are passed over (2 here)", "deep: passed over 1 .txt"]
    assert capsys.readouterr().err.splitlines() == said
    with staged(["deep/._b.png"], here) as folder:  # whoever names it outright means it
        assert what_is_in(folder) == ["deep/._b.png", "images.list"]


def test_a_file_named_outright_may_be_anything_and_a_missing_one_is_only_listed(
    here: Path,
) -> None:
    names = ["deep/notes.txt", "none.png", "odd\nname.png"]
    with staged(names, here) as folder:
        assert listed(folder) == names
        assert what_is_in(folder) == ["deep/notes.txt", "images.list"]


def test_a_pattern_is_expanded_before(here: Path) -> None:
    names = classify.expand("**/*.png")
    with staged(names, here) as folder:
        assert listed(folder) == ["a.png", "deep/b.png"]
        assert what_is_in(folder) == ["a.png", "deep/b.png", "images.list"]


def test_whoever_runs_inside_may_read_it_whatever_the_mask_says(here: Path) -> None:
    before = os.umask(0o077)
    try:
        with staged(["a.png", "deep"], here) as folder:
            modes = {path.name: path.stat().st_mode & 0o777 for path in folder.rglob("*")}
            assert folder.stat().st_mode & 0o777 == 0o755
            assert {modes.pop("deep"), modes.pop("er")} == {0o755}
            assert set(modes.values()) == {0o644}
    finally:
        os.umask(before)


def test_links_are_followed_and_their_targets_copied(here: Path) -> None:
    Path("link.png").symlink_to("../beside.png")
    with staged(["link.png"], here) as folder:
        assert not (folder / "link.png").is_symlink()
        assert (folder / "link.png").read_bytes() == Path("../beside.png").read_bytes()


def test_what_cannot_be_copied_cannot_be_read_inside_either(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    os.mkfifo("deep/pipe.png")
    Path("deep/lost.png").symlink_to("nowhere")
    with Path("large.png").open("wb") as file:
        file.truncate(3_000_000)
    names = ["deep", "large.png", "/dev/null", "x" * 300, "~nobody.png"]
    with staged(names, here, ImageLimits(file_mb=2)) as folder:
        assert listed(folder) == names
        assert (folder / "deep" / "pipe.png").stat().st_mode & 0o777 == 0
        assert (folder / "dev" / "null").stat().st_mode & 0o777 == 0
        assert not (folder / "deep" / "lost.png").exists()
        large = (folder / "large.png").stat()
        assert (large.st_size, large.st_blocks) == (3_000_000, 0)
    said = capsys.readouterr().err
    assert "deep/pipe.png: not copied: not a plain file" in said
    assert "/dev/null: not copied: not a plain file" in said


def test_a_name_that_begins_like_a_home_may_be_a_files(here: Path) -> None:
    assert classify.expand("~nobody-is-called-so.png") == ["~nobody-is-called-so.png"]
    assert classify.expand("http://x/b.png") == ["http://x/b.png"]
    assert classify.expand("~/x.png") == [str(Path.home() / "x.png")]


def test_nothing_is_left_after_an_error(here: Path) -> None:
    with pytest.raises(KeyboardInterrupt), staged(["a.png"], here / "out"):
        raise KeyboardInterrupt
    assert list((here / "out").iterdir()) == []


def test_what_the_classifying_container_is_given(tmp_path: Path) -> None:
    chosen = Settings(infer=InferSettings(net=tmp_path / "net.pt", out=tmp_path / "out"))
    images = tmp_path / "images"
    expected = {
        "docker": (tmp_path / "net.pt", "/handover/net.pt", True),
        "direct": (tmp_path / "encrypted", "/handover", False),
    }
    for backend, (source, target, read_only) in expected.items():
        job, sealed = ClassifyJob(chosen), base.pick(in_backend(chosen, backend)).seals
        given = job.mounts(images, sealed=sealed)
        mounts = [(mount.source, mount.target, mount.read_only) for mount in given]
        assert mounts == [
            (tmp_path / "out", "/out", False),
            (source, target, read_only),
            (images, "/in", True),
        ]
    old = replace(chosen, gsc=GscSettings(dialect=GRAPHENE))
    graphene = base.pick(in_backend(old, "direct"))
    mounts = ClassifyJob(old).mounts(images, sealed=graphene.seals)
    assert mounts[1].target == "/handover/net.pt"
