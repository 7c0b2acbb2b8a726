"""The real classifying script, whole, on tiny images."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest
import torch

from pytorch_common.contract import TrainOptions
from pytorch_common.network import build_network
from pytorch_common.preprocess import preprocessing
from tests.conftest import PROJECT, paint
from tests.enclave import hostile
from tests.enclave.forked import run_script


@pytest.fixture(scope="module")
def net(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from pytorch_common.checkpoint import save_net

    torch.manual_seed(0)
    network = build_network("squeezenet1_1", 3, "full")
    path = tmp_path_factory.mktemp("net") / "net.pt"
    save_net(
        path,
        network.state_dict(),
        classes=["ants", "bees", "wasps"],
        preprocess=preprocessing(224),
        settings=vars(TrainOptions(arch="squeezenet1_1", method="full")),
    )
    return path


def infer(
    net: Path, out: Path, *args: str, stdin: bytes = b"", cwd: Path = PROJECT
) -> subprocess.CompletedProcess[bytes]:
    options = [f"--net={net}", f"--out={out}", *args]
    return run_script("pytorch_infer.pytorchexample", options, stdin=stdin, cwd=cwd)


def test_files_folders_and_a_bad_file_at_once(net: Path, tmp_path: Path) -> None:
    folder = tmp_path / "in"
    paint(folder / "b.png", (9, 9, 9), 1)
    paint(folder / "deep" / "a.PNG", (200, 9, 9), 2)
    (folder / "notes.txt").write_text("not looked at: does not end like an image")
    (tmp_path / "bad.jpg").write_text("no image")
    paint(tmp_path / "named.dat.png", (1, 200, 1), 3)

    names = [str(tmp_path / name) for name in ("in", "bad.jpg", "named.dat.png", "absent.png")]
    done = infer(net, tmp_path / "out", "--image", *names, "--top-k=2")

    assert done.returncode == 1
    content = json.loads((tmp_path / "out" / "result.json").read_text())
    assert content["schema"] == "enclave-finetune/result/1"
    assert (content["backend"], content["classes"]) == ("native", ["ants", "bees", "wasps"])
    results = {Path(result["image"]).name: result for result in content["results"]}
    assert list(results) == ["b.png", "a.PNG", "bad.jpg", "named.dat.png", "absent.png"]
    assert results["bad.jpg"]["error"] == "not an image that Pillow can read"
    assert results["absent.png"]["error"] == "no such file"
    for name in ("b.png", "a.PNG", "named.dat.png"):
        top = results[name]["top"]
        assert len(top) == 2
        assert (results[name]["label"], results[name]["probability"]) == tuple(top[0].values())
        assert top[0]["probability"] >= top[1]["probability"]
    text = (tmp_path / "out" / "result.txt").read_text()
    assert done.stdout.decode() == text
    assert f"{tmp_path}/bad.jpg: error: not an image that Pillow can read" in text.splitlines()


def test_hidden_names_in_a_folder_are_passed_over_and_counted(net: Path, tmp_path: Path) -> None:
    paint(tmp_path / "in" / "b.png", (9, 9, 9), 1)
    (tmp_path / "in" / "._b.png").write_bytes(b"what a Mac knows of b.png")
    paint(tmp_path / "in" / ".ipynb_checkpoints" / "b.png", (9, 9, 9), 1)
    done = infer(net, tmp_path / "out", "--image", "in", cwd=tmp_path)
    assert done.returncode == 0
    assert done.stdout.startswith(b"in/b.png: ") and done.stdout.count(b"\n") == 1
    assert done.stderr == b"in: names with a leading dot are passed over (2 here)\n"


def test_it_is_what_torchvision_computes(net: Path, tmp_path: Path) -> None:
    from PIL import Image
    from torchvision import transforms

    from pytorch_common.checkpoint import load_net

    paint(tmp_path / "x.png", (90, 200, 9), 5)
    assert infer(net, tmp_path / "out", "--image", str(tmp_path / "x.png")).returncode == 0
    (result,) = json.loads((tmp_path / "out" / "result.json").read_text())["results"]

    usual = transforms.Compose([
        transforms.Resize(224),
        transforms.CenterCrop(224),
        transforms.ToTensor(),
        transforms.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]),
    ])  # fmt: skip
    with torch.no_grad(), Image.open(tmp_path / "x.png") as image:
        expected = load_net(net).network(usual(image).unsqueeze(0)).softmax(1)[0]
    got = {entry["label"]: entry["probability"] for entry in result["top"]}
    for name, probability in zip(("ants", "bees", "wasps"), expected.tolist(), strict=True):
        assert got[name] == pytest.approx(probability, abs=1e-6)


def test_names_on_standard_input_may_hold_anything(net: Path, tmp_path: Path) -> None:
    strange = b"two\nlines \xff.png"
    paint(tmp_path / "folder" / "plain.png", (9, 9, 9), 1)
    shutil.copy(tmp_path / "folder" / "plain.png", os.fsencode(tmp_path) + b"/" + strange)
    done = infer(net, tmp_path / "out", "--image", "-", stdin=strange + b"\0folder\0", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    first, second = done.stdout.decode().splitlines()
    assert first.startswith(r"two\nlines \udcff.png: ")
    assert second.startswith("folder/plain.png: ")


@pytest.mark.parametrize(
    ("args", "status", "line"),
    [
        (["--net=/no/net.pt", "--image", "x"], 1, "error: /no/net.pt cannot be read"),
        (["--net-sha256=" + "0" * 64, "--image", "x"], 1, "is not the network expected here"),
        (["--top-k=0", "--image", "x"], 2, "--top-k: expected 1 or more, got 0"),
        (["--image", "{empty}"], 1, "error: no images in "),
    ],
)
def test_what_a_person_can_mend_is_one_line(
    args: list[str], status: int, line: str, net: Path, tmp_path: Path
) -> None:
    (tmp_path / "empty").mkdir()
    args = [arg.replace("{empty}", str(tmp_path / "empty")) for arg in args]
    done = infer(net, tmp_path / "out", *args)
    assert done.returncode == status
    assert line in done.stderr.decode().splitlines()[-1]
    assert b"Traceback" not in done.stderr
    assert not (tmp_path / "out").exists()


def test_one_bad_file_of_each_kind_is_a_line_and_the_others_are_answered(
    net: Path, tmp_path: Path
) -> None:
    paint(tmp_path / "good.png", (9, 9, 9), 1)
    paint(tmp_path / "::progress good.png", (9, 9, 9), 1)
    for name, data in {**hostile.other_formats(), "cut.png": b"\x89PNG\r\n\x1a\n"}.items():
        (tmp_path / name).write_bytes(data)
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "lost.png").symlink_to("nowhere")
    bad = [*hostile.other_formats(), "cut.png", "pipe.png", "lost.png", "/dev/null", "~nobody.png"]
    bad += ["x" * 300 + ".png", "/".join(["deep"] * 2000), "http://127.0.0.1:1/bee.jpg"]
    names = ["good.png", *bad, "::progress good.png"]
    listing = b"".join(name.encode() + b"\0" for name in names)
    done = infer(net, tmp_path / "out", "--image", "-", stdin=listing, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (1, b"")
    lines = done.stdout.decode().splitlines()
    assert len(lines) == len(names)
    for name, line in zip(names, lines, strict=True):
        assert line.startswith(f"{name}: ") and (": error: " in line) == (name in bad), line
    assert "give files: no address is fetched" in lines[-2]
    assert (tmp_path / "out" / "result.txt").read_bytes() == done.stdout


def test_a_folder_says_what_it_passes_over_and_an_empty_one_its_name(
    net: Path, tmp_path: Path
) -> None:
    paint(tmp_path / "in" / "b.png", (9, 9, 9), 1)
    for name in ("1.heic", "2.heic", "notes.txt"):
        (tmp_path / "in" / name).write_bytes(b"")
    (tmp_path / "in" / "loop").symlink_to(tmp_path)
    (tmp_path / "none").mkdir()
    done = infer(net, tmp_path / "out", "--image", "-", stdin=b"in\0none\0", cwd=tmp_path)
    assert done.returncode == 0
    assert done.stdout.startswith(b"in/b.png: ") and done.stdout.count(b"\n") == 1
    assert done.stderr.decode().splitlines() == [
        "in: passed over 2 .heic, 1 .txt",
        "none: no images in it",
    ]
    done = infer(net, tmp_path / "out", "--image", "-", stdin=b"none\0", cwd=tmp_path)
    assert done.returncode == 1
    assert done.stderr.decode().splitlines()[-1] == "error: no images in none"


def test_profiles_are_applied_unless_they_are_to_be_ignored(net: Path, tmp_path: Path) -> None:
    from tests.enclave.colours import swapped_profile

    hostile.picture().save(tmp_path / "x.png", icc_profile=swapped_profile())
    hostile.picture().save(tmp_path / "plain.png")
    names = [str(tmp_path / name) for name in ("x.png", "plain.png")]
    applied = infer(net, tmp_path / "out", "--image", *names).stdout.splitlines()
    ignored = infer(net, tmp_path / "out", "--image", *names, "--ignore-profiles").stdout
    answers = [line.split(b": ", 1)[1] for line in [*applied, *ignored.splitlines()]]
    assert answers[0] != answers[1] == answers[2] == answers[3]


def test_the_limits_come_from_options_and_variables(net: Path, tmp_path: Path) -> None:
    paint(tmp_path / "x.png", (9, 9, 9), 1)
    image = ["--image", str(tmp_path / "x.png")]
    done = infer(net, tmp_path / "out", *image, "--side=79")
    assert done.returncode == 1 and b"80 x 60, the limit of a side is 79" in done.stdout
    done = infer(net, tmp_path / "out", *image, "--side=0")
    assert done.returncode == 2 and b"side: expected 1 or more, got 0" in done.stderr
