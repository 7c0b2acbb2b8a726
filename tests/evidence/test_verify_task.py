"""`inv verify` and `inv evidence-pack` as a person runs them, and the summary that is signed."""

from __future__ import annotations

import base64
import copy
import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

import tasks
from tests import doing
from tests.conftest import PROGRAM, PROJECT
from tests.evidence import made_up_chain as chain
from tests.evidence.made_up_run import NET, Run, pae, sha
from workflow.core.errors import WorkflowError
from workflow.core.settings import EvidenceSettings, InferSettings, Settings, TrainSettings
from workflow.evidence import verifying
from workflow.evidence.request import Request

REQUEST = Request(EvidenceSettings(mrenclave=chain.MRENCLAVE), chain.NOW, root=chain.root_der())


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    Run(tmp_path / "train").train()
    Run(tmp_path / "infer", key="second").classify()
    return Settings(
        train=TrainSettings(out=tmp_path / "train"),
        infer=InferSettings(out=tmp_path / "infer"),
        evidence=REQUEST.chosen,
    )


def inv(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    variables = {name: v for name, v in os.environ.items() if not name.startswith("INVOKE_")}
    command = [sys.executable, str(PROGRAM), "--search-root", str(PROJECT), *arguments]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, env=variables)


def test_a_person_reads_that_nothing_proves_where_it_ran(tmp_path: Path) -> None:
    Run(tmp_path / "run", backend="native").train()
    for words in (["run"], ["--json", "run"], ["--place", "run"]):
        done = inv("verify", *words, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        assert "nothing proves where it ran" in done.stdout
    (tmp_path / "run" / "net.pt").write_bytes(b"other")
    done = inv("verify", "run", "--json", cwd=tmp_path)
    assert done.returncode == 1
    assert done.stderr.startswith("not verified: net.pt: sha256: expected")
    verdict = json.loads(done.stdout)["verdicts"][0]
    assert verdict["verified"] is False
    done = inv("verify", "nowhere", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (1, "nowhere: no such folder or pack\n")


def test_where_there_is_no_evidence_the_next_command_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(verifying, "DEMO", tmp_path / "demo")
    empty = Settings(
        train=TrainSettings(out=tmp_path / "train"), infer=InferSettings(out=tmp_path / "infer")
    )
    (tmp_path / "mine").mkdir()
    line = "{}: expected claims.jsonl, got no evidence; run: inv train{}"
    for demo in ("", "; that of the demo: inv verify demo/train"):
        for place, shown in (("", "train"), ("mine", "mine")):
            with pytest.raises(WorkflowError) as caught:
                doing.verify(empty, place, request=REQUEST)
            assert caught.value.message == line.format(shown, demo)
        with pytest.raises(WorkflowError) as caught:
            doing.evidence_pack(empty)
        assert caught.value.message == line.format("train", demo)
        Run(tmp_path / "demo" / "train").train()


def test_a_quote_by_a_made_up_root_never_passes_the_task(tmp_path: Path) -> None:
    Run(tmp_path / "run").train()
    done = inv("verify", "run", "--at", "2026-06-01", "--mrenclave", chain.MRENCLAVE, cwd=tmp_path)
    assert done.returncode == 1
    assert done.stderr.startswith("not verified: genuine: quote: ")
    done = inv("verify", "run", "--at", "yesterday", cwd=tmp_path)
    assert (done.returncode, done.stderr.split(",")[0]) == (
        1,
        "--at: expected a time like 2025-07-01 or 2025-07-01T12:00:00Z",
    )


@pytest.mark.parametrize(
    ("words", "is_place"),
    [
        ([], False),
        (["out"], True),
        (["--json", "out"], True),
        (["--at", "2025-07-01"], False),
        (["--at", "2025-07-01", "out"], True),
        (["--at=2025-07-01", "out"], True),
        (["--place", "out"], False),
    ],
)
def test_a_place_is_a_word_that_is_no_flags_value(words: list[str], is_place: bool) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["inv", "verify", *words])
        arguments = copy.deepcopy(tasks.ns["verify"]).get_arguments()
    (place,) = (each for each in arguments if each.name == "place")
    assert place.positional is is_place


def test_the_last_training_and_classification_are_verified(
    settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    doing.verify(settings, request=REQUEST)
    out = capsys.readouterr().out
    assert out.count("a made-up chain proves nothing of hardware\n") == 2
    assert "network's origin" in out


def test_a_pack_is_verified_as_its_folders_are(
    settings: Settings, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = doing.evidence_pack(settings, str(tmp_path / "sent.tar"))
    assert doing.evidence_pack(settings, str(path)) == path
    capsys.readouterr()
    doing.verify(settings, str(path), request=REQUEST, as_json=True)
    verdicts = json.loads(capsys.readouterr().out)["verdicts"]
    assert [each["subject"]["name"] for each in verdicts] == ["net.pt", "result.json"]
    states = {row["name"]: row["state"] for row in verdicts[0]["rows"]}
    assert states["net.pt"] == "not checked"
    path.write_bytes(b"mine")
    with pytest.raises(WorkflowError, match="no task made it"):
        doing.evidence_pack(settings, str(path))


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    form = serialization.PrivateFormat.PKCS8
    none = serialization.NoEncryption()
    text = chain.key("verifier").private_bytes(serialization.Encoding.PEM, form, none)
    (tmp_path / "verifier.pem").write_bytes(text)
    return tmp_path / "verifier.pem"


def opened(line: bytes) -> dict[str, Any]:
    envelope = json.loads(line)["dsseEnvelope"]
    payload = base64.b64decode(envelope["payload"])
    signature = base64.b64decode(envelope["signatures"][0]["sig"])
    chain.key("verifier").public_key().verify(signature, pae(payload), ec.ECDSA(hashes.SHA256()))
    found: dict[str, Any] = json.loads(payload)
    return found


def test_the_verdict_is_signed_as_a_verification_summary(
    settings: Settings, key_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    doing.verify(settings, str(settings.train.out), request=REQUEST, key=str(key_file))
    path = settings.train.out / "summary.jsonl"
    statement = opened(path.read_bytes())
    assert statement["predicateType"] == "https://slsa.dev/verification_summary/v1"
    assert statement["subject"] == [{"name": "net.pt", "digest": {"sha256": sha(NET)}}]
    predicate = statement["predicate"]
    assert predicate["verificationResult"] == "PASSED"
    assert predicate["verifiedLevels"][1] == "ENCLAVE_FINETUNE_NOT_ATTESTED"  # a made-up root
    assert {"uri", "digest"} == set(predicate["inputAttestations"][0])
    assert str(settings.train.out.parent) not in json.dumps(predicate["policy"])
    (settings.train.out / "net.pt").write_bytes(b"other")
    with pytest.raises(WorkflowError, match=r"not verified: net\.pt: sha256"):
        doing.verify(settings, str(settings.train.out), request=REQUEST, key=str(key_file))
    assert opened(path.read_bytes())["predicate"]["verificationResult"] == "FAILED"
    path.write_text("mine")
    with pytest.raises(WorkflowError, match="no verification summary"):
        doing.verify(settings, str(settings.train.out), request=REQUEST, key=str(key_file))
    assert path.read_text() == "mine"


def test_another_key_than_an_open_one_on_p256_is_one_line(
    settings: Settings, tmp_path: Path
) -> None:
    pem, form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    locked = serialization.BestAvailableEncryption(b"word")
    made = {
        "rsa": rsa.generate_private_key(65537, 2048).private_bytes(
            pem, form, serialization.NoEncryption()
        ),
        "locked": chain.key("x").private_bytes(pem, form, locked),
        "text": b"no key",
    }
    for name, text in made.items():
        (tmp_path / name).write_bytes(text)
        with pytest.raises(WorkflowError, match="make one: openssl"):
            doing.verify(settings, request=REQUEST, key=str(tmp_path / name))


def test_dry_changes_nothing(settings: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    chosen = replace(settings, evidence=EvidenceSettings(collateral_service="https://pccs"))
    doing.verify(chosen, request=REQUEST, dry=True)
    doing.evidence_pack(chosen, str(settings.train.out / "x.tar"), dry=True)
    doing.collateral(chosen, dry=True)
    out = capsys.readouterr().out
    assert "model_signing verify key" in out
    assert "tar --format=ustar" in out
    assert "curl --fail 'https://pccs/sgx/certification/v4/tcb?fmspc=FMSPC'" in out
    assert not (settings.train.out / "x.tar").exists()
