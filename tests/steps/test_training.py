"""The host side of training, handing over and classifying."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from pytorch_common.contract import RECORD_SCHEMA
from pytorch_common.files import sha256_file
from tests import doing
from tests.conftest import paint
from workflow.assets import trained
from workflow.backends import classify_job, train_job
from workflow.backends.native import Native
from workflow.core.errors import WorkflowError
from workflow.core.settings import MachineSettings, Settings
from workflow.steps import classify


def hand_made(settings: Settings, net: bytes = b"a network") -> None:
    """Write what training would, without training."""
    settings.train.out.mkdir(parents=True)
    (settings.train.out / "net.pt").write_bytes(net)
    record = {
        "schema": RECORD_SCHEMA,
        "classes": ["a", "b"],
        "digests": {"net": sha256_file(settings.train.out / "net.pt")},
    }
    (settings.train.out / "record.json").write_text(json.dumps(record))


def test_from_images_to_an_answer(
    tiny_settings: Settings, tiny_data: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert not train_job.is_up_to_date(tiny_settings, Native())
    doing.train(tiny_settings)
    assert "backend native: not protected" in capfd.readouterr().err
    assert train_job.is_up_to_date(tiny_settings, Native())
    changed = replace(tiny_settings, train=replace(tiny_settings.train, seed=5))
    assert not train_job.is_up_to_date(changed, Native())

    doing.copy_net(tiny_settings)
    doing.classify(tiny_settings, [str(tiny_data / "val" / "red" / "0.png")], as_json=True)
    shown = json.loads(capfd.readouterr().out)
    assert shown == json.loads((tiny_settings.infer.out / "result.json").read_text())
    assert shown["digests"]["net"] == sha256_file(tiny_settings.train.out / "net.pt")
    (result,) = shown["results"]
    assert result["label"] in ("green", "red")


def test_another_network_than_the_trained_one_does_not_answer_in_silence(
    tiny_settings: Settings, tiny_data: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    doing.train(tiny_settings)
    doing.copy_net(tiny_settings)
    again = replace(tiny_settings, train=replace(tiny_settings.train, seed=5))
    doing.train(again)
    capfd.readouterr()
    for _ in range(2):
        doing.classify(again, [str(tiny_data / "val" / "red" / "0.png")])
        (line,) = [line for line in capfd.readouterr().err.splitlines() if "copy-net" in line]
        assert line.startswith(f"{again.infer.net} answers, which is not the network in ")
    doing.copy_net(again)
    capfd.readouterr()
    doing.classify(again, [str(tiny_data / "val" / "red" / "0.png")])
    assert "copy-net" not in capfd.readouterr().err


@pytest.mark.usefixtures("any_network")
def test_no_answer_is_told_from_an_answer_with_a_file_that_is_no_image(
    tiny_settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hand_made(tiny_settings)
    doing.copy_net(tiny_settings)
    broken = tmp_path / "broken.py"
    broken.write_text("raise ValueError('a bug')")
    monkeypatch.setattr(classify_job, "INFER_SCRIPT", broken)
    with pytest.raises(WorkflowError, match=r"^pytorchexample\.py failed; its lines stand above$"):
        doing.classify(tiny_settings, ["x.png"])


def test_a_sealed_image_has_no_second_method_to_compare_with(
    tiny_settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    sealed = replace(tiny_settings, machine=MachineSettings(backend="direct"))
    with pytest.raises(WorkflowError, match="a sealed image has one method built in; compare with"):
        doing.train(sealed, compare_scratch=True)
    assert not tiny_settings.train.out.exists()


def test_every_option_is_given_to_the_script(tiny_settings: Settings) -> None:
    args = train_job.train_arguments(tiny_settings, Path("/w.pth"))
    assert args == [
        f"--data={tiny_settings.data.dir}",
        f"--out={tiny_settings.train.out}",
        "--weights=/w.pth",
        "--arch=squeezenet1_1",
        "--method=feature-extract",
        "--epochs=1",
        "--batch-size=8",
        "--learning-rate=0.001",
        "--momentum=0.9",
        "--seed=0",
        "--threads=1",
        "--portable=0",
        "--cache-mb=256",
        "--file-mb=200",
        "--megapixels=64",
        "--side=100000",
    ]


@pytest.mark.usefixtures("any_network")
def test_copy_net_takes_the_recorded_file_and_no_other(tiny_settings: Settings) -> None:
    with pytest.raises(WorkflowError, match=r"record\.json is missing; run: inv train"):
        doing.copy_net(tiny_settings)
    hand_made(tiny_settings)
    doing.copy_net(tiny_settings)
    assert tiny_settings.infer.net.read_bytes() == b"a network"
    assert trained.accepted_net(tiny_settings.infer.net) == sha256_file(tiny_settings.infer.net)

    (tiny_settings.train.out / "net.pt").write_bytes(b"a netw")
    with pytest.raises(WorkflowError, match=r"net\.pt is damaged or half-written: the record says"):
        doing.copy_net(tiny_settings)
    (tiny_settings.train.out / "net.pt").unlink()
    with pytest.raises(WorkflowError, match=r"net\.pt is missing; run: inv train"):
        doing.copy_net(tiny_settings)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"schema": "other/1"}', "[" * 200_000])
def test_a_record_that_is_none_is_refused(tiny_settings: Settings, text: str) -> None:
    hand_made(tiny_settings)
    (tiny_settings.train.out / "record.json").write_text(text)
    with pytest.raises(WorkflowError, match=r"record\.json .*run: inv train") as caught:
        doing.copy_net(tiny_settings)
    assert "\n" not in caught.value.message


@pytest.mark.usefixtures("any_network")
def test_a_network_that_was_changed_after_the_hand_over_is_refused(tiny_settings: Settings) -> None:
    with pytest.raises(WorkflowError, match="run: inv train, then: inv copy-net"):
        doing.classify(tiny_settings, ["x.png"])
    hand_made(tiny_settings)
    doing.copy_net(tiny_settings)
    tiny_settings.infer.net.write_bytes(b"another")
    with pytest.raises(WorkflowError, match="the record says sha256"):
        doing.classify(tiny_settings, ["x.png"])


def test_globs_are_expanded_and_anything_else_stays(tmp_path: Path) -> None:
    for name in ("b.png", "a.png", "deep/c.png", "[x].png"):
        paint(tmp_path / name, (1, 2, 3), 1)
    expand = classify.expand
    names = [str(tmp_path / name) for name in ("[x].png", "a.png", "b.png")]
    assert expand(str(tmp_path / "*.png")) == names
    assert str(tmp_path / "deep" / "c.png") in expand(str(tmp_path / "**" / "*.png"))
    assert expand(names[0]) == [names[0]]
    assert expand("/no/such*.png") == ["/no/such*.png"]
    assert expand(str(tmp_path)) == [str(tmp_path)]


def test_no_answer_outlives_its_question(tiny_settings: Settings) -> None:
    tiny_settings.infer.out.mkdir()
    for name in ("result.txt", "result.json", "mine.txt"):
        (tiny_settings.infer.out / name).write_text('{"schema": "enclave-finetune/result/1"}')
    doing.clean_result(tiny_settings)
    doing.clean_result(tiny_settings)
    assert [path.name for path in tiny_settings.infer.out.iterdir()] == ["mine.txt"]


def test_no_image_is_one_line(tiny_settings: Settings) -> None:
    with pytest.raises(WorkflowError, match="run: inv classify --image PATH"):
        doing.classify(tiny_settings, [])
