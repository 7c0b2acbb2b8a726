"""A new run deletes what a verifier put beside an earlier one's evidence, and no person's file."""

from __future__ import annotations

from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization

from tests import doing
from tests.evidence import made_up_chain as chain
from tests.evidence.made_up_run import Run
from workflow.assets.trained import COLLATERAL_FILE, SUMMARY_FILE
from workflow.backends.base import pick
from workflow.backends.classify_job import ClassifyJob
from workflow.backends.job import Job
from workflow.backends.train_job import TrainJob
from workflow.core.settings import EvidenceSettings, InferSettings, Settings, TrainSettings
from workflow.core.step import perform
from workflow.evidence.request import Request
from workflow.steps.clean_result import CleanResult
from workflow.tools import cleaning

NAMES = (COLLATERAL_FILE, SUMMARY_FILE)


@pytest.fixture
def settings(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Settings:
    """Return the settings of a training and a classification that were made and verified."""
    Run(tmp_path / "train").train()
    Run(tmp_path / "infer", key="second").classify()
    made = Settings(
        train=TrainSettings(out=tmp_path / "train"),
        infer=InferSettings(out=tmp_path / "infer", net=tmp_path / "net.pt"),
    )
    form, none = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    key = tmp_path / "verifier.pem"
    key.write_bytes(chain.key("verifier").private_bytes(serialization.Encoding.PEM, form, none))
    chosen = EvidenceSettings(mrenclave=chain.MRENCLAVE)
    request = Request(chosen, chain.NOW, root=chain.root_der())
    for folder in (made.train.out, made.infer.out):
        doing.verify(made, str(folder), request=request, key=str(key))
        data = (folder / COLLATERAL_FILE).read_bytes()
        mark = b'{"schema": "enclave-finetune/collateral/1", '
        (folder / COLLATERAL_FILE).write_bytes(data.replace(b"{", mark, 1))
    capsys.readouterr()
    return made


def jobs(settings: Settings) -> list[Job]:
    return [TrainJob(settings), TrainJob(settings, resume=True), ClassifyJob(settings)]


@pytest.mark.parametrize("number", range(3))
def test_a_new_run_deletes_them_and_dry_says_so(number: int, settings: Settings) -> None:
    job = jobs(settings)[number]
    paths = [job.out / name for name in NAMES]
    line = f"rm {paths[0]} {paths[1]}"
    assert all(path.is_file() for path in paths)
    assert line in pick(settings).shell(job)
    assert line in job.preparation(sealed=False)
    job.clear()
    assert not any(path.exists() for path in paths)
    assert not any(shown.startswith("rm ") for shown in pick(settings).shell(job))


@pytest.mark.parametrize("number", range(3))
def test_a_persons_own_stay(number: int, settings: Settings) -> None:
    job = jobs(settings)[number]
    for name in NAMES:
        (job.out / name).write_bytes(b'{"of": "a person"}\n')
    assert not any(str(job.out / NAMES[0]) in shown for shown in job.preparation(sealed=False))
    job.clear()
    assert {(job.out / name).read_bytes() for name in NAMES} == {b'{"of": "a person"}\n'}


def test_clean_result_and_clean_delete_ours_alone(
    settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    (settings.infer.out / COLLATERAL_FILE).write_text("{}")
    perform(CleanResult(settings), dry=True)
    shown = capsys.readouterr().out
    assert SUMMARY_FILE in shown
    assert COLLATERAL_FILE not in shown
    perform(CleanResult(settings))
    assert [path.name for path in settings.infer.out.iterdir()] == [COLLATERAL_FILE]
    made = {path.name for path in cleaning._made(settings) if path.parent == settings.train.out}
    assert made >= set(NAMES)
