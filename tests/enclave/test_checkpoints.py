"""A run that is killed, damaged or changed: it goes on to the same network, or says why not."""

from __future__ import annotations

import hashlib
import io
import json
import random
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import nn

from pytorch_common.contract import TrainOptions
from pytorch_common.errors import RunError
from pytorch_common.files import sha256_file
from pytorch_train.labelled import find_images
from pytorch_train.loop import Course, Data, fine_tune
from pytorch_train.resume import Checkpoints
from tests import doing
from tests.conftest import PROJECT
from tests.enclave.train_script import command, train
from workflow.assets import trained
from workflow.core.settings import Settings

RUN = {"seed": 0, "data": "abc"}
EPOCHS = 8
KILLS = 10


class Tiny(nn.Module):
    """A network with everything that a checkpoint has to bring back: frozen, trained, running."""

    def __init__(self) -> None:
        super().__init__()
        self.frozen = nn.Conv2d(3, 4, 3).requires_grad_(False)
        self.norm = nn.BatchNorm2d(4)
        self.end = nn.Sequential(nn.Dropout(0.5), nn.AdaptiveAvgPool2d(1), nn.Flatten(1))
        self.head = nn.Linear(4, 2)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.head(self.end(self.norm(self.frozen(images))))


@pytest.fixture
def data(tiny_data: Path) -> Iterator[Data]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield Data(find_images(tiny_data / "train"), find_images(tiny_data / "val"), 32, 10**6)
    torch.set_num_threads(before)


def tiny_run(data: Data, net: Path, epochs: int, *, resume: bool) -> tuple[Course, nn.Module]:
    torch.manual_seed(0)
    network = Tiny()
    options = TrainOptions(epochs=epochs, batch_size=4, learning_rate=0.05, threads=1)
    return fine_tune(network, data, options, Checkpoints(net, RUN), resume=resume), network


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize("stop", [1, 3, EPOCHS - 1, EPOCHS])
def test_a_run_goes_on_to_the_same_network_from_any_epoch(
    data: Data, tmp_path: Path, stop: int
) -> None:
    whole, expected = tiny_run(data, tmp_path / "whole.pt", EPOCHS, resume=False)
    tiny_run(data, tmp_path / "net.pt", stop, resume=False)
    course, network = tiny_run(data, tmp_path / "net.pt", EPOCHS, resume=True)
    assert same(network.state_dict(), expected.state_dict())
    assert same(course.best_state, whole.best_state)
    figures = ("train_loss", "train_accuracy", "val_loss", "val_correct")
    for name in figures:
        assert [e[name] for e in course.history] == [e[name] for e in whole.history]


def test_only_two_are_kept_and_only_what_training_changes(data: Data, tmp_path: Path) -> None:
    tiny_run(data, tmp_path / "net.pt", 4, resume=False)
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["net.pt.epoch-3", "net.pt.epoch-4"]
    content = Checkpoints(tmp_path / "net.pt", RUN).newest()
    assert content is not None
    assert "norm.running_mean" in content["state"]
    assert not any(name.startswith("frozen") for name in content["state"])
    (tmp_path / ".net.pt.epoch-5.77.tmp").write_bytes(b"half")
    Checkpoints(tmp_path / "net.pt", RUN).clear()
    assert list(tmp_path.iterdir()) == []


def damage(path: Path, how: str) -> None:
    whole = bytearray(path.read_bytes())
    if how == "cut":
        del whole[len(whole) // 2 :]
    elif how == "empty":
        whole.clear()
    elif how == "foreign":
        whole[:] = b"PK\x03\x04" + bytes(100)
    else:
        whole[len(whole) // 2] ^= 1
    path.write_bytes(whole)


@pytest.mark.parametrize("how", ["cut", "empty", "foreign", "bit"])
def test_a_damaged_one_is_named_and_the_one_before_it_taken(
    data: Data, tmp_path: Path, how: str, capsys: pytest.CaptureFixture[str]
) -> None:
    whole, expected = tiny_run(data, tmp_path / "whole.pt", 4, resume=False)
    tiny_run(data, tmp_path / "net.pt", 3, resume=False)
    damage(tmp_path / "net.pt.epoch-3", how)
    course, network = tiny_run(data, tmp_path / "net.pt", 4, resume=True)
    said = capsys.readouterr().err
    assert f"{tmp_path}/net.pt.epoch-3 is damaged and left aside: " in said
    assert "resuming after epoch 2" in said
    assert same(network.state_dict(), expected.state_dict())
    assert len(course.history) == len(whole.history) == 4

    for path in tmp_path.glob("net.pt.epoch-*"):
        damage(path, how)
    tiny_run(data, tmp_path / "net.pt", 1, resume=True)
    assert "no checkpoint here" in capsys.readouterr().err


def test_one_of_another_run_is_refused_with_the_difference(data: Data, tmp_path: Path) -> None:
    tiny_run(data, tmp_path / "net.pt", 2, resume=False)
    other = Checkpoints(tmp_path / "net.pt", {**RUN, "seed": 1})
    with pytest.raises(RunError, match=r"epoch-2 is of another run: seed 0, here 1; ") as caught:
        other.newest()
    assert "\n" not in str(caught.value)
    assert "train without --resume" in str(caught.value)


def test_a_checkpoint_that_carries_code_is_never_run(tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return (exec, (f"open({str(tmp_path / 'PWNED')!r}, 'w')",))

    buffer = io.BytesIO()
    description = json.dumps({"run": RUN, "epoch": 1})
    torch.save({"description": description, "state": Evil()}, buffer)
    data = buffer.getvalue()
    head = b"enclave-finetune/checkpoint/1 " + hashlib.sha256(data).hexdigest().encode()
    (tmp_path / "net.pt.epoch-1").write_bytes(head + b"\n" + data)
    assert Checkpoints(tmp_path / "net.pt", RUN).newest() is None
    assert not (tmp_path / "PWNED").exists()


@pytest.mark.parametrize("content", [[1], {}, {"description": 3}, {"description": "[" * 200_000}])
def test_a_checkpoint_of_another_make_is_left_aside(
    content: object, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    buffer = io.BytesIO()
    torch.save(content, buffer)
    data = buffer.getvalue()
    head = b"enclave-finetune/checkpoint/1 " + hashlib.sha256(data).hexdigest().encode()
    (tmp_path / "net.pt.epoch-1").write_bytes(head + b"\n" + data)
    assert Checkpoints(tmp_path / "net.pt", RUN).newest() is None
    assert capsys.readouterr().err.endswith("it does not say of which run it is\n")


@pytest.mark.slow
def test_killed_at_ten_random_moments_it_ends_with_the_same_bytes(
    tiny_data: Path, random_weights: Path, tmp_path: Path
) -> None:
    """From one run to the end: start, kill, resume, kill, … and at last let it end."""
    args = (tiny_data, random_weights, tmp_path / "out", "--method=full", f"--epochs={EPOCHS}")
    started = time.monotonic()
    alone = command(*args[:2], tmp_path / "whole", *args[3:])
    subprocess.run(alone, cwd=PROJECT, capture_output=True, check=True)
    whole_s = time.monotonic() - started
    moments = random.Random(4)  # noqa: S311 - a test's moments, not a secret
    for _ in range(KILLS):
        process = subprocess.Popen(
            command(*args, "--resume"),
            cwd=PROJECT,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        time.sleep(moments.uniform(0.3, 0.7) * whole_s)
        process.kill()
        process.wait()
    ended = train(*args, "--resume")
    assert ended.returncode == 0, ended.stderr
    assert sha256_file(tmp_path / "out" / "net.pt") == sha256_file(tmp_path / "whole" / "net.pt")
    # A kill within a write leaves its temporary sibling, which no reader opens.
    left = [path.name for path in (tmp_path / "out").iterdir() if path.suffix != ".tmp"]
    assert sorted(left) == [
        *("claims.jsonl", "history.json", "key.pub", "model.sig", "net.pt", "record.json")
    ]


def test_resume_reaches_the_script_and_a_run_that_ended_is_left_as_it_is(
    tiny_settings: Settings, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    doing.train(tiny_settings, resume=True)
    assert "no checkpoint here; training from the beginning" in capfd.readouterr().err
    doing.train(tiny_settings, resume=True)
    assert "already trained with these settings, verified" in capfd.readouterr().err
    doing.train(tiny_settings, resume=True, compare_scratch=True)
    record = trained.read_record(tmp_path / "train" / "scratch")
    assert record["settings"]["method"] == "scratch"
