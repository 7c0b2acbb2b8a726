"""The real training script, whole, on tiny images."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from pytorch_common import contract
from pytorch_common.files import sha256_file, tree_digest
from tests.enclave.train_script import train


@pytest.fixture(scope="module")
def trained(
    tiny_data: Path, random_weights: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, subprocess.CompletedProcess[str]]:
    out = tmp_path_factory.mktemp("out")
    done = train(tiny_data, random_weights, out)
    assert done.returncode == 0, done.stderr
    return out, done


Trained = tuple[Path, subprocess.CompletedProcess[str]]


def test_it_writes_what_the_contract_names(
    trained: Trained, tiny_data: Path, random_weights: Path
) -> None:
    out, _ = trained
    assert sorted(path.name for path in out.iterdir()) == [
        *("claims.jsonl", "history.json", "key.pub", "model.sig", "net.pt", "record.json")
    ]
    record = json.loads((out / "record.json").read_text())
    assert contract.record_problem(record) is None
    assert record["settings"] == {
        "arch": "squeezenet1_1",
        "method": "feature-extract",
        "epochs": 2,
        "batch_size": 4,
        "learning_rate": 0.001,
        "momentum": 0.9,
        "seed": 0,
        "threads": 1,
        "portable": 0,
    }
    assert record["digests"]["net"] == sha256_file(out / "net.pt")
    assert record["digests"]["data"] == tree_digest(tiny_data)
    assert record["digests"]["base_weights"] == sha256_file(random_weights)
    assert (record["backend"], record["protected_from_host"]) == ("native", False)
    assert record["images"] == {"train": 12, "val": 6}


def test_the_best_epoch_of_the_history_is_the_recorded_one(trained: Trained) -> None:
    out, _ = trained
    history = json.loads((out / "history.json").read_text())
    assert history["schema"] == contract.HISTORY_SCHEMA
    epochs = history["epochs"]
    assert [epoch["epoch"] for epoch in epochs] == [1, 2]
    metrics = json.loads((out / "record.json").read_text())["metrics"]
    most = max(epoch["val_correct"] for epoch in epochs)
    first = next(epoch["epoch"] for epoch in epochs if epoch["val_correct"] == most)
    assert (metrics["best_val_correct"], metrics["best_epoch"]) == (most, first)


def test_the_log_reads_an_epoch_a_line_and_the_answer_is_alone_on_standard_output(
    trained: Trained,
) -> None:
    out, done = trained
    lines = [line for line in done.stderr.splitlines() if line.startswith("epoch ")]
    assert [line.split("  ")[0] for line in lines] == ["epoch 1/2", "epoch 2/2"]
    assert "::progress" not in done.stderr
    first, second = done.stdout.splitlines()
    assert first.startswith("best validation accuracy ")
    assert second == f"{out / 'net.pt'}  sha256 {sha256_file(out / 'net.pt')}"


@pytest.mark.parametrize("method", ["feature-extract", "full"])
def test_same_in_same_out(
    method: str, tiny_data: Path, random_weights: Path, tmp_path: Path
) -> None:
    def digest(name: str, *more: str) -> str:
        out = tmp_path / name
        done = train(tiny_data, random_weights, out, f"--method={method}", "--epochs=1", *more)
        assert done.returncode == 0, done.stderr
        return sha256_file(out / "net.pt")

    first = digest("a")
    assert digest("a longer name") == first
    assert digest("c", "--seed=1") != first


def test_it_learns_from_scratch_without_weights(tiny_data: Path, tmp_path: Path) -> None:
    options = (
        *("--arch=resnet18", "--method=scratch", "--epochs=3"),
        *("--learning-rate=0.003", "--seed=1"),
    )
    done = train(tiny_data, Path("none"), tmp_path, *options)
    assert done.returncode == 0, done.stderr
    first, *_, last = json.loads((tmp_path / "history.json").read_text())["epochs"]
    assert last["train_loss"] < first["train_loss"]
    assert last["train_accuracy"] >= 0.75
    record = json.loads((tmp_path / "record.json").read_text())
    assert record["digests"]["base_weights"] is None


def test_variables_replace_defaults_and_arguments_replace_variables(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from pytorch_train.train import parse_arguments

    monkeypatch.setenv("TRAIN_EPOCHS", "3")
    monkeypatch.setenv("TRAIN_BATCH_SIZE", "5")
    monkeypatch.setenv("TRAIN_WEIGHTS", "/w.pth")
    options = parse_arguments(["--batch-size", "6"]).options
    assert (options.epochs, options.batch_size) == (3, 6)


def test_hidden_names_change_nothing_and_are_counted(
    trained: Trained, tiny_data: Path, random_weights: Path, tmp_path: Path
) -> None:
    data = tmp_path / "data"
    shutil.copytree(tiny_data, data)
    (data / "train" / ".ipynb_checkpoints").mkdir()
    (data / "val" / "red" / "._0.png").write_bytes(b"what a Mac knows of 0.png")
    done = train(data, random_weights, tmp_path / "out")
    assert done.returncode == 0, done.stderr
    said = f"{data}: names with a leading dot are passed over (2 here)"
    assert done.stderr.splitlines()[0] == said
    ours, usual = (
        json.loads((out / "record.json").read_text())["digests"]
        for out in (tmp_path / "out", trained[0])
    )
    assert ours == usual


def test_classes_that_look_like_our_marks_are_trained_and_shown(
    tiny_data: Path, random_weights: Path, tmp_path: Path
) -> None:
    data, names = tmp_path / "data", {"red": "::progress {}", "green": "error: ä"}
    for split in ("train", "val"):
        for name, shown in names.items():
            shutil.copytree(tiny_data / split / name, data / split / shown)
    (data / "val" / "error: ä" / "notes.txt").write_text("")
    done = train(data, random_weights, tmp_path / "out")
    assert done.returncode == 0, done.stderr
    lines = done.stderr.splitlines()
    assert lines[0] == f"{data / 'val'}: passed over 1 .txt"
    assert "classes ::progress {}, error: ä, 1 threads" in lines[1]
    record = json.loads((tmp_path / "out" / "record.json").read_text())
    assert record["classes"] == sorted(names.values())
