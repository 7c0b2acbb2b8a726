"""The benchmark: what it measures, what it compares, what it prints."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests import doing
from tests.conftest import PROJECT
from tests.enclave import hostile
from workflow.assets import dataset, splits
from workflow.core.errors import WorkflowError
from workflow.core.settings import DataSettings, ModelSettings, Settings
from workflow.tools import bench, comparisons, image_bench, measure, seeds
from workflow.tools.measure import Measured
from workflow.tools.seeds import Outcome


def test_a_run_is_measured_to_its_end(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text("import sys; data = b'x' * 10**8; print('no'); print(sys.argv[1:])")
    run = measure.usual(str(script), ["a", "b"])
    assert run.answer == "['a', 'b']"
    assert 100 < run.peak_mb < 150
    assert 0 < run.cpu_s <= run.wall_s + 1
    script.write_text("import os; print('at once', flush=True); os._exit(0)")
    assert measure.ours(str(script), []).answer == "at once"
    script.write_text("import sys; print('on no account', file=sys.stderr); sys.exit(3)")
    with pytest.raises(WorkflowError, match=r"script\.py failed: on no account") as caught:
        measure.ours(str(script), [])
    assert caught.value.code == 3


def test_the_table_is_markdown_with_the_ratio_of_each_round() -> None:
    yards, owns = ([Measured(s, 2 * s, 100, "") for s in times] for times in ([4, 10], [1, 5]))
    lines = bench.table(comparisons.compared("all", yards, owns))
    assert lines == [
        "| what | who | seconds | processor seconds | peak MB | ratio "
        "| ratio of processor seconds |",
        "| --- | --- | --- | --- | --- | --- | --- |",
        "| all | yardstick | 7.0 | 14.0 | 100 |  |  |",
        "| all | ours | 3.0 | 6.0 | 100 | 0.375 | 0.375 |",
    ]


def outcomes(*right: int) -> list[Outcome]:
    return [Outcome(number, number / 1000) for number in right]


def test_accuracies_have_a_standard_error() -> None:
    assert seeds.accuracies(outcomes(140, 142, 144), 200) == {
        "right_of_200,_by_seed": "140, 142, 144",
        "mean": 0.71,
        "standard_error": 0.0058,
        "last_training_loss": "0.1420 ± 0.0012",
    }
    assert seeds.accuracies(outcomes(140), 200)["standard_error"] == 0.0


def test_accuracies_are_so_many_standard_errors_of_their_difference_apart() -> None:
    yard, own = (seeds.accuracies(outcomes(*r), 200) for r in ((140, 142, 144), (141,)))
    assert seeds.apart(yard, own) == -0.86  # (0.705 - 0.71) / 0.0058
    assert seeds.apart(own, own) == 0.0


@pytest.mark.slow
def test_seeds_are_compared(tiny_settings: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    alone = replace(tiny_settings.train, threads=1, seed=4)
    doing.bench(
        replace(tiny_settings, train=alone), "accuracy", rounds=3, method="full", as_json=True
    )
    said = capsys.readouterr()
    yardstick, own = json.loads(said.out)["rows"]
    assert own["standard_errors_apart"] == seeds.apart(yardstick, own)
    by_seed = zip(
        yardstick["right_of_6,_by_seed"].split(", "),
        own["right_of_6,_by_seed"].split(", "),
        strict=True,
    )
    lines = [f"full, seed {n}: yardstick {y}, ours {o}" for n, (y, o) in enumerate(by_seed, 4)]
    assert len(lines) == 3
    assert sorted(said.err.splitlines()) == lines  # in whichever order they end
    assert yardstick["last_training_loss"] != own["last_training_loss"]


def test_results_must_agree() -> None:
    expected = [{"ants": 0.25, "bees": 0.75}]

    def result(bees: float) -> list[dict[str, object]]:
        top = [{"label": "bees", "probability": bees}, {"label": "ants", "probability": 1 - bees}]
        return [{"image": "x", **top[0], "top": top}]

    assert (
        comparisons.agreement(expected, result(0.75001)) == "all 1 labels, probabilities to 1e-05"
    )
    with pytest.raises(WorkflowError, match=r"differ by 2\.0e-04"):
        comparisons.agreement(expected, result(0.7502))
    with pytest.raises(WorkflowError, match="the label is not the yardstick's"):
        comparisons.agreement([{"ants": 0.8, "bees": 0.2}], result(0.75))


@pytest.mark.parametrize(
    ("what", "rounds", "method", "line"),
    [
        (
            "speed",
            1,
            "",
            "what: expected one of train, classify, accuracy, scale, start, images, got speed",
        ),
        ("train", 0, "", "rounds: expected 1 or more, got 0"),
        ("train", 1, "scratch", "method: expected one of feature-extract, full, got scratch"),
    ],
)
def test_what_cannot_be_is_one_line(what: str, rounds: int, method: str, line: str) -> None:
    with pytest.raises(WorkflowError, match=line):
        doing.bench(Settings(), what, rounds=rounds, method=method)


def test_the_yardstick_knows_its_architectures(tiny_settings: Settings) -> None:
    other = replace(tiny_settings, model=ModelSettings(arch="resnet18"))
    with pytest.raises(WorkflowError, match="the yardstick knows squeezenet1_0, squeezenet1_1"):
        doing.bench(other, "train", rounds=1)


@pytest.mark.slow
def test_training_is_compared(tiny_settings: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    doing.bench(tiny_settings, "train", rounds=1, method="feature-extract", as_json=True)
    yardstick, own, limit = json.loads(capsys.readouterr().out)["rows"]
    assert [row["who"] for row in (yardstick, own, limit)] == ["yardstick", "ours", "bare passes"]
    assert own["ratio"] == pytest.approx(own["seconds"] / yardstick["seconds"], abs=0.01)
    assert own["to_limit"] > 1


@pytest.mark.slow
def test_classifying_is_compared_and_agrees(
    tiny_settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    doing.train(tiny_settings)
    doing.copy_net(tiny_settings)
    capsys.readouterr()
    doing.bench(tiny_settings, "classify", rounds=1)
    out = capsys.readouterr().out
    assert "| one image, from cold (1) | ours |" in out
    assert "| all 6 labels, probabilities to " in out


@pytest.mark.slow
def test_ten_times_the_images_are_compared(
    tiny_settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    doing.bench(tiny_settings, "scale", rounds=1, method="feature-extract", as_json=True)
    streamed, few, many = json.loads(capsys.readouterr().out)["rows"]
    assert (streamed["cache_MB"], few["cache_MB"], many["cache_MB"]) == (0, 256, 256)
    assert streamed["times_the_seconds"] == 1
    assert many["times_the_seconds"] == pytest.approx(many["seconds"] / streamed["seconds"], 0.05)
    assert many["seconds"] > 2 * few["seconds"]


def test_ten_times_the_images_are_ten_times_those_of_each_class(
    tiny_data: Path, tmp_path: Path
) -> None:
    comparisons.multiply(tiny_data, tmp_path / "many")
    for split, count in (("train", 6), ("val", 3)):
        for name in ("green", "red"):
            assert len(splits.image_files(tmp_path / "many" / split / name)) == 10 * count
    dataset.check(DataSettings(dir=tmp_path / "many"))


def test_the_limit_is_the_time_of_the_passes() -> None:
    done = subprocess.run(
        [
            *(sys.executable, "benchmarks/limits.py", "--arch=squeezenet1_1"),
            *("--method=feature-extract", "--train=8", "--val=4", "--threads=1"),
        ],
        cwd=PROJECT,
        env={"PYTHONPATH": str(PROJECT)},
        capture_output=True,
        text=True,
        check=True,
    )
    figures = json.loads(done.stdout)
    assert figures["val_passes"] == "once"
    assert 0 < figures["val_s"] < figures["train_s"]


def test_a_folder_of_anything_is_read_and_counted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for kind in ("other_formats", "seeds"):
        for name, data in getattr(hostile, kind)().items():
            (tmp_path / f"{kind}-{name}").write_bytes(data)
    chosen = Settings(data=DataSettings(dir=tmp_path))
    doing.bench(chosen, "images", rounds=1, as_json=True)
    rows = {row["outcome"]: row for row in json.loads(capsys.readouterr().out)["rows"]}
    assert rows["all"]["files"] == len(hostile.other_formats()) + len(hostile.seeds())
    assert rows["read"]["files"] == len(hostile.seeds())
    assert rows["not an image that Pillow can read"]["files"] == 6
    assert any(outcome.startswith("PostScript") for outcome in rows)


@pytest.mark.parametrize(
    ("said", "line"),
    [
        ({"outcome": "TRACEBACK: KeyError: 3"}, "1 of 2 files: x.jpg: TRACEBACK: KeyError: 3"),
        ({"outcome": "CRASHED: signal 11"}, "x.jpg: CRASHED: signal 11"),
        ({"seconds": 10.5}, r"x.jpg: read \(10.5 s, 1.0 MB\)"),
        ({"mb": 1100.0}, r"x.jpg: read \(0.1 s, 1100.0 MB\)"),
        (None, "no files in it"),
    ],
)
def test_what_must_not_come_of_an_image_fails_the_command(
    said: dict[str, Any] | None, line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    good = {"file": "x.jpg", "outcome": "read", "seconds": 0.1, "mb": 1.0}
    found = [] if said is None else [good, {**good, **said}]
    run = Measured(1, 1, 1, json.dumps(found))
    monkeypatch.setattr(image_bench, "ours", lambda script, args: run)
    with pytest.raises(WorkflowError, match=line):
        image_bench.read_images(Settings(data=DataSettings(dir=tmp_path)), 1)
