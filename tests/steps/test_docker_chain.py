"""The whole chain in real containers, on Debian's own torch: build, train, hand over, classify."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pytorch_common.files import sha256_file
from tests.conftest import PROJECT
from tests.steps.chain import Chain, chain_in
from workflow.images import daemon
from workflow.images.container_run import OUR_LABEL

pytestmark = pytest.mark.docker
NAMES = (f"chaintest_train{os.getpid()}", f"chaintest{os.getpid()}")
OUTSIDE = "/usr/bin/python3"


@pytest.fixture(scope="module")
def chain(real_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chain]:
    yield chain_in(tmp_path_factory.mktemp("chain"), real_data, NAMES, "debian12-apt")
    for name in NAMES:
        daemon.remove_image(name)


@pytest.fixture(scope="module")
def trained(chain: Chain) -> Chain:
    built = chain.succeeds("build")
    assert f"{NAMES[1]}: left out" in built.stderr
    chain.succeeds("train")
    chain.succeeds("copy-net")
    chain.succeeds("build", "--image", "infer")
    return chain


def test_what_a_training_container_leaves(trained: Chain) -> None:
    out = trained.folder / "train"
    record = json.loads((out / "record.json").read_text())
    assert (record["backend"], record["protected_from_host"]) == ("docker", False)
    assert record["versions"]["torch"].startswith("1.13")
    assert record["digests"]["net"] == sha256_file(out / "net.pt")
    assert record["metrics"]["best_val_accuracy"] >= 0.85
    run = json.loads((out / "run.json").read_text())
    image = daemon.find_image(NAMES[0])
    assert image is not None
    assert (run["backend"], run["image_id"], run["encrypted"]) == ("docker", image.id, None)
    for path in (out, *out.iterdir()):
        assert (path.stat().st_uid, path.stat().st_gid) == (os.getuid(), os.getgid())


def test_the_image_is_plain_small_and_without_pip(trained: Chain) -> None:
    for name in NAMES:
        image = daemon.find_image(name)
        assert image is not None
        assert image.user == "app"
    code = "import importlib.util as u, os; print(u.find_spec('pip'), os.getuid() != 0)"
    done = subprocess.run(
        ["docker", "run", "--rm", "--entrypoint", "python3", NAMES[0], "-c", code],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "None True\n"


def test_classifying_agrees_with_training_to_the_image(trained: Chain) -> None:
    done = trained.inv("classify", "--image", str(trained.data / "val"))
    assert done.returncode == 0, done.stderr
    content = json.loads((trained.folder / "result" / "result.json").read_text())
    assert content["backend"] == "docker"
    results = content["results"]
    right = sum(Path(result["image"]).parent.name == result["label"] for result in results)
    record = json.loads((trained.folder / "train" / "record.json").read_text())
    assert (len(results), right) == (153, record["metrics"]["best_val_correct"])
    assert done.stdout == (trained.folder / "result" / "result.txt").read_text()


def test_names_are_shown_as_they_were_given(trained: Chain) -> None:
    bee = next((trained.data / "val" / "bees").iterdir())
    shutil.copyfile(bee, trained.folder / "my bee.jpg")
    (trained.folder / "notes.jpg").write_text("no image")
    (trained.folder / "below").mkdir(exist_ok=True)
    images = ("my bee.jpg", str(bee), "notes.jpg", "absent.jpg", "below/../my bee.jpg")
    flags = [part for image in images for part in ("--image", image)]
    done = trained.inv("classify", *flags)
    assert done.returncode == 1
    names = [line.split(": ")[0] for line in done.stdout.splitlines()]
    assert names == [*images[:4], str(trained.folder / "my bee.jpg")]
    assert "notes.jpg: error: not an image that Pillow can read" in done.stdout
    assert "absent.jpg: error: no such file" in done.stdout


def test_the_same_versions_outside_give_the_same_network(trained: Chain, tmp_path: Path) -> None:
    probe = subprocess.run(
        [OUTSIDE, "-c", "import torch, torchvision; print(torch.__version__)"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
    )
    record = json.loads((trained.folder / "train" / "record.json").read_text())
    if probe.stdout.strip() != record["versions"]["torch"]:
        pytest.skip(f"{OUTSIDE} has not the torch of the image: {probe.stdout or 'none'}")
    options = [f"--{name.replace('_', '-')}={value}" for name, value in record["settings"].items()]
    weights = trained.variables["INVOKE_MODEL_WEIGHTS"]
    script = str(PROJECT / "pytorch_train" / "train.py")
    paths = [f"--data={trained.data}", f"--weights={weights}", f"--out={tmp_path}"]
    subprocess.run(
        [OUTSIDE, script, *paths, *options],
        env={"PYTHONPATH": str(PROJECT), "PYTHONDONTWRITEBYTECODE": "1", "PATH": os.defpath},
        check=True,
        capture_output=True,
        cwd=tmp_path,
    )
    assert sha256_file(tmp_path / "net.pt") == record["digests"]["net"]


def containers_of(out: Path, *, status: str = "") -> list[str]:
    """Return the containers that write, or wrote, to the folder: not those of other runs."""
    filters = [f"label={OUR_LABEL}={out}", *([f"status={status}"] if status else [])]
    options = [f"--filter={each}" for each in filters]
    listing = ["docker", "ps", "-aq", *options]
    return subprocess.run(listing, capture_output=True, text=True, check=True).stdout.split()


def wait_until_running(out: Path) -> str:
    for _ in range(300):
        if found := containers_of(out, status="running"):
            return found[0]
        time.sleep(0.1)
    raise AssertionError("no container started")


def one_line(text: str) -> str:
    """Return the last line, which says how it ended; what stands above is the run's own."""
    assert "Traceback" not in text
    return text.splitlines()[-1]


def test_a_container_that_is_killed_ends_in_one_line(trained: Chain) -> None:
    out = trained.folder / "killed"
    process = trained.start("train", INVOKE_TRAIN_OUT=str(out))
    container = wait_until_running(out)
    time.sleep(2)
    subprocess.run(["docker", "kill", container], check=True, capture_output=True)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 137
    assert one_line(err) == f"{NAMES[0]} was killed from outside (status 137)"
    assert containers_of(out) == []
    assert not (out / "net.pt").exists()


def test_a_killed_task_runner_leaves_a_container_that_the_next_run_takes_away(
    trained: Chain,
) -> None:
    options = ("train", "--epochs", "3")
    whole, out = trained.folder / "whole", trained.folder / "orphaned"
    assert trained.inv(*options, INVOKE_TRAIN_OUT=str(whole)).returncode == 0
    process = trained.start(*options, INVOKE_TRAIN_OUT=str(out))
    wait_until_running(out)
    for _ in range(300):
        if (out / "checkpoints" / "net.pt.epoch-1").exists():
            break
        time.sleep(0.1)
    process.kill()
    process.communicate()
    assert containers_of(out, status="running")
    done = trained.inv(*options, "--resume", INVOKE_TRAIN_OUT=str(out))
    assert done.returncode == 0, done.stderr
    assert "the container of a killed run was still here, and is stopped" in done.stderr
    assert containers_of(out) == []
    assert sha256_file(out / "net.pt") == sha256_file(whole / "net.pt")


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_leaves_no_container_behind(trained: Chain, number: int, status: int) -> None:
    out = trained.folder / "stopped"
    process = trained.start("train", INVOKE_TRAIN_OUT=str(out))
    wait_until_running(out)
    time.sleep(2)
    process.send_signal(number)
    _, err = process.communicate(timeout=60)
    assert process.returncode == status
    assert "Traceback" not in err
    assert containers_of(out) == []


@pytest.mark.skipif(os.getuid() != 0, reason="only root can mount a disk to be filled")
def test_a_small_disk_is_noticed_before_the_training(trained: Chain) -> None:
    out = trained.folder / "small"
    out.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(out)]
    if subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("no tmpfs can be mounted here")
    try:
        done = trained.inv("train", INVOKE_TRAIN_OUT=str(out))
    finally:
        subprocess.run(["umount", str(out)], check=True)
    assert done.returncode == 1
    assert one_line(done.stderr) == "small: 1 MiB free, expected 9 MiB for a training"


def test_what_is_missing_or_stale_is_named_with_the_next_command(
    trained: Chain, tmp_path: Path
) -> None:
    done = trained.inv("train", INVOKE_IMAGE_TRAIN="chaintest_none")
    assert (done.returncode, one_line(done.stderr)) == (
        1,
        "no image chaintest_none here; run: inv all --backend docker --before train",
    )
    data = tmp_path / "data"
    shutil.copytree(trained.data, data)
    (data / "train" / "ants" / "0013035.jpg").unlink()
    done = trained.inv("train", INVOKE_DATA_DIR=str(data))
    assert done.returncode == 1
    expected = f"image {NAMES[0]} is of other code, images or weights than today's; run: inv build"
    assert one_line(done.stderr) == f"{expected} --image train"


def test_the_comparison_from_scratch_runs_in_the_same_image(trained: Chain) -> None:
    out = trained.folder / "compared"
    done = trained.inv("train", "--compare-scratch", INVOKE_TRAIN_OUT=str(out))
    assert done.returncode == 0, done.stderr
    records = [json.loads((out / name / "record.json").read_text()) for name in (".", "scratch")]
    assert [record["settings"]["method"] for record in records] == ["feature-extract", "scratch"]
    assert [record["backend"] for record in records] == ["docker", "docker"]
    assert records[1]["digests"]["base_weights"] is None
    again = trained.inv("train", "--compare-scratch", "--resume", INVOKE_TRAIN_OUT=str(out))
    assert again.stderr.count("already trained with these settings, verified") == 2


def test_an_option_that_differs_reaches_a_plain_container(trained: Chain) -> None:
    out = trained.folder / "seeded"
    done = trained.inv("train", "--seed", "3", INVOKE_TRAIN_OUT=str(out))
    assert done.returncode == 0, done.stderr
    assert json.loads((out / "record.json").read_text())["settings"]["seed"] == 3
