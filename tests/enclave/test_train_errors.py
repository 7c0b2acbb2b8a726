"""The real training script where it cannot go on: one line that says why."""

from __future__ import annotations

import shutil
import signal
import subprocess
from pathlib import Path

import pytest

from tests.conftest import PROJECT
from tests.enclave.train_script import command, train


def test_a_loss_that_is_no_number_ends_the_training() -> None:
    import torch

    from pytorch_common.errors import RunError
    from pytorch_train.loop import train_one_epoch

    network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3, 2))
    torch.nn.init.constant_(network[1].weight, float("inf"))
    batch = (torch.zeros(2, 3, 1, 1), torch.tensor([0, 1]))
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    with pytest.raises(RunError, match="training diverged"):
        train_one_epoch(network, [batch], optimizer)


@pytest.mark.parametrize(
    ("more", "status", "line"),
    [
        (["--epochs=0"], 2, "epochs: expected 1 or more, got 0"),
        (["--epochs=many"], 2, "invalid int value: 'many'"),
        (["--weights=/no/such.pth"], 1, "error: /no/such.pth cannot be read: No such file"),
        (["--data=/no/such"], 1, "error: /no/such: expected train/CLASS/… and val/CLASS/…"),
    ],
)
def test_what_a_person_can_mend_is_one_line(
    more: list[str],
    status: int,
    line: str,
    tiny_data: Path,
    random_weights: Path,
    tmp_path: Path,
) -> None:
    done = train(tiny_data, random_weights, tmp_path / "out", *more)
    assert done.returncode == status
    assert line in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "out").exists()


def test_a_file_that_is_no_image_is_named(
    tiny_data: Path, random_weights: Path, tmp_path: Path
) -> None:
    data = tmp_path / "data"
    shutil.copytree(tiny_data, data)
    (data / "train" / "red" / "0.png").write_text("no image")
    done = train(data, random_weights, tmp_path / "out")
    assert done.returncode == 1
    assert f"error: {data}/train/red/0.png: not an image" in done.stderr.splitlines()[-1]


def test_classes_that_differ_are_named(
    tiny_data: Path, random_weights: Path, tmp_path: Path
) -> None:
    data = tmp_path / "data"
    shutil.copytree(tiny_data, data)
    (data / "val" / "red").rename(data / "val" / "blue")
    done = train(data, random_weights, tmp_path / "out")
    assert done.returncode == 1
    assert "not the same classes in train and val: blue, red" in done.stderr


def test_ctrl_c_ends_with_130_and_no_traceback(
    tiny_data: Path, random_weights: Path, tmp_path: Path
) -> None:
    process = subprocess.Popen(
        command(tiny_data, random_weights, tmp_path / "out", "--epochs=10000"),
        cwd=PROJECT,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    with process.stderr as lines:
        for line in lines:
            if line.startswith("epoch "):
                process.send_signal(signal.SIGINT)
                break
        rest = lines.read()
    assert process.wait(30) == 130
    assert rest.splitlines()[-1] == "interrupted"
    left = [path.name for path in (tmp_path / "out").iterdir()]
    assert left and all(name.startswith("net.pt.epoch-") for name in left)


def test_one_run_names_all_bad_images(
    tiny_data: Path, random_weights: Path, tmp_path: Path
) -> None:
    data = tmp_path / "data"
    shutil.copytree(tiny_data, data)
    for number in range(11):
        (data / "train" / "red" / f"bad{number:02}.png").write_text("no image")
    (data / "val" / "red" / "cut.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    for cache in ("0", "256"):
        done = train(data, random_weights, tmp_path / "out", f"--cache-mb={cache}")
        assert done.returncode == 1
        line = done.stderr.splitlines()[-1]
        assert line.startswith("error: 12 files are no images: ")
        for number in range(10):
            assert f"red/bad{number:02}.png: not an image that Pillow can read" in line
        assert line.endswith(" and 2 more")
