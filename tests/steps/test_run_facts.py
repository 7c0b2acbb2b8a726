"""After a run: what it left is held to what it should be before anything of it is used."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from tests.assets.handed_over import NET, SEALED, hand_made, sha256, write_record
from tests.gsc.test_commands import INFO
from workflow.assets import trained
from workflow.backends import base, gramine, train_job
from workflow.core.errors import WorkflowError
from workflow.core.settings import GscSettings, MachineSettings, Settings, TrainSettings
from workflow.core.values import GRAPHENE
from workflow.gsc import shielded_images
from workflow.gsc.measurement import parse_info
from workflow.images import daemon


@pytest.fixture
def chosen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Return settings on a machine whose images all are there, with one option admitted."""
    image = daemon.Image(
        "x", "sha256:5", (), {"enclave-finetune.insecure": "log-level"}, {}, "", 1, {}
    )
    monkeypatch.setattr(daemon, "find_image", lambda name: image)
    monkeypatch.setattr(gramine, "measure", lambda gsc, app: parse_info(f"gsc-{app}", INFO))
    return Settings(train=TrainSettings(out=tmp_path / "train"))


def write_down(settings: Settings, backend: str) -> None:
    chosen = replace(settings, machine=MachineSettings(backend=backend))
    train_job.write_down(chosen, base.pick(chosen))


def test_a_shielded_run_is_written_down_with_its_measurement(chosen: Settings) -> None:
    hand_made(chosen, "direct")
    write_down(chosen, "direct")
    facts = json.loads((chosen.train.out / "run.json").read_text())
    assert facts.pop("measurement")["mr_enclave"].startswith("7826b61c")
    assert facts == {
        "schema": "enclave-finetune/run/1",
        "backend": "direct",
        "image": "gsc-pytorch_train:direct",
        "image_id": "sha256:5",
        "insecure": ["log-level"],
        "encrypted": sha256(SEALED),
    }


def test_a_weakness_that_was_built_in_is_said_before_a_run(
    chosen: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    shielded_images.warn_of_weaknesses("gsc-x")
    assert capsys.readouterr().err == (
        "gsc-x has insecure options built in: log-level; do not count on it to keep this "
        "machine's owner out\n"
    )


def test_a_plain_run_is_written_down_with_its_image(chosen: Settings) -> None:
    hand_made(chosen, "docker")
    write_down(chosen, "docker")
    facts = trained.read_run(chosen.train.out)
    assert (facts["backend"], facts["image"], facts["encrypted"]) == (
        "docker",
        "pytorch_train",
        None,
    )
    assert "measurement" not in facts


@pytest.mark.parametrize("claimed", ["native", "docker", "sgx", "unknown"])
def test_a_record_of_another_backend_is_not_used(claimed: str, chosen: Settings) -> None:
    hand_made(chosen, "direct")
    (chosen.train.out / "run.json").unlink()
    write_record(chosen.train.out, backend=claimed)
    with pytest.raises(WorkflowError) as caught:
        write_down(chosen, "direct")
    assert caught.value.message == (
        f"{chosen.train.out}/record.json: the run says it was in the backend {claimed}, not "
        "direct; its results are not used"
    )
    assert not (chosen.train.out / "run.json").exists()


@pytest.mark.parametrize("data", [NET, b"", None])
def test_a_network_that_should_be_sealed_and_is_not_is_not_used(
    data: bytes | None, chosen: Settings
) -> None:
    hand_made(chosen, "direct")
    (chosen.train.out / "run.json").unlink()
    net = trained.encrypted_net(chosen.train.out)
    net.unlink()
    if data is not None:
        net.write_bytes(data)
    with pytest.raises(WorkflowError) as caught:
        write_down(chosen, "direct")
    assert caught.value.message == (
        f"{net} is not encrypted, as it should be; nothing of it is used"
    )
    assert not (chosen.train.out / "run.json").exists()


def test_a_plain_network_that_is_not_the_recorded_one_is_not_used(chosen: Settings) -> None:
    for backend in ("docker", "sgx"):
        write_record(chosen.train.out, backend=backend, exported=True)
        (chosen.train.out / "net.pt").write_bytes(b"another")
        (chosen.train.out / "encrypted").mkdir(exist_ok=True)
        trained.encrypted_net(chosen.train.out).write_bytes(SEALED)
        with pytest.raises(WorkflowError, match="the record says sha256"):
            write_down(chosen, backend)


def test_old_graphenes_network_is_plain(chosen: Settings) -> None:
    old = Settings(train=chosen.train, gsc=GscSettings(dialect=GRAPHENE))
    write_record(old.train.out, backend="direct")
    (old.train.out / "net.pt").write_bytes(NET)
    write_down(old, "direct")
    assert trained.read_run(old.train.out)["encrypted"] is None


def test_nothing_of_an_earlier_run_outlives_it(chosen: Settings) -> None:
    hand_made(chosen, "direct", exported=True)
    (chosen.train.out / "history.json").write_text("{}")
    (chosen.train.out / "mine.txt").write_text("kept")
    train_job.TrainJob(chosen).clear()
    left = [path for path in chosen.train.out.rglob("*") if path.is_file()]
    assert [path.name for path in left] == ["mine.txt"]
