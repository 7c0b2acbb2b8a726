"""What a run writes about itself, byte by byte as docs/evidence-format.md has it."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from pytorch_common import attestation, evidence, statements
from pytorch_common.contract import IMAGE_LIMITS
from pytorch_common.errors import RunError
from tests.enclave import made_up_gramine
from tests.enclave.reading import FILES, NET, RECORD, answered, claims, opened, sha256, signed_bytes

BIG = 100_000


def trained(out: Path, **changes: Any) -> tuple[bytes, Any, Any]:
    evidence.write_training(out, {**RECORD, **changes}, IMAGE_LIMITS, FILES)
    return claims(out)


@pytest.fixture
def enclave(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(attestation, "FOLDER", made_up_gramine.device(tmp_path / "dev"))
    return tmp_path / "dev"


def test_the_bytes_that_are_signed_are_those_of_dsse() -> None:
    # The example of secure-systems-lab/dsse, protocol.md, with our payload type.
    signed = b"DSSEv1 28 application/vnd.in-toto+json 11 hello world"
    assert statements.pae(b"hello world") == signed == signed_bytes(b"hello world")
    for payload in (b"", b"\xff\x00 \n", "ä".encode(), bytes(1000)):
        assert statements.pae(payload) == signed_bytes(payload)


def test_training_says_how_the_network_was_made(tmp_path: Path) -> None:
    _, what, where = trained(tmp_path)
    pem = (tmp_path / "key.pub").read_bytes()
    assert what["subject"] == [{"name": "net.pt", "digest": {"sha256": NET}}]
    assert what["predicateType"] == "https://slsa.dev/provenance/v1"
    build, run = what["predicate"]["buildDefinition"], what["predicate"]["runDetails"]
    assert build == {
        "buildType": "urn:enclave-finetune:fine-tune:v1",
        "externalParameters": RECORD["settings"],
        "internalParameters": {
            "backend": "native",
            "protected_from_host": False,
            "versions": RECORD["versions"],
            "threads": 2,
            "image_limits": {"file_mb": 200, "megapixels": 64, "side": 100_000},
        },
        "resolvedDependencies": [
            {"name": "base-weights", "digest": {"sha256": "1" * 64}},
            {"name": "data", "digest": {"dirHash": "2" * 64}},
            {"name": "code", "digest": {"dirHash": "3" * 64}},
        ],
    }
    assert run["metadata"] == {"invocationId": sha256(pem)}
    assert run["byproducts"] == [
        {"name": name, "digest": {"sha256": sha256(data)}} for name, data in FILES.items()
    ]
    assert run["builder"]["id"] == "urn:enclave-finetune:native"
    assert "version" not in run["builder"]
    (key,) = run["builder"]["builderDependencies"]
    assert (key["name"], key["digest"]) == ("key.pub", {"sha256": sha256(pem)})
    assert where["predicate"]["producer"] == {
        "uri": "urn:enclave-finetune:native",
        "name": "key.pub",
        "digest": {"sha256": sha256(pem)},
    }


def test_without_a_quote_it_says_that_nothing_is_proven(tmp_path: Path) -> None:
    (tmp_path / "quote.bin").write_bytes(b"of an earlier run")
    _, _, where = trained(tmp_path)
    (attribute,) = where["predicate"]["attributes"]
    assert attribute["attribute"] == "NOTHING_PROVES_WHERE_IT_RAN"
    assert attribute["conditions"]["quote"] == "none"
    assert "nothing proves where it ran" in attribute["conditions"]["meaning"]
    assert "evidence" not in attribute
    names = ["claims.jsonl", "key.pub", "model.sig"]
    assert sorted(path.name for path in tmp_path.iterdir()) == names


def test_from_scratch_there_are_no_base_weights_and_a_weakness_is_named(tmp_path: Path) -> None:
    digests = {**RECORD["digests"], "base_weights": None}
    _, what, _ = trained(tmp_path, digests=digests, insecure=["log-level"])
    build = what["predicate"]["buildDefinition"]
    assert [each["name"] for each in build["resolvedDependencies"]] == ["data", "code"]
    assert build["internalParameters"]["insecure"] == ["log-level"]


def test_the_quote_binds_the_provenance_and_the_key(tmp_path: Path, enclave: Path) -> None:
    payload, what, where = trained(tmp_path / "out", backend="sgx")
    pem = (tmp_path / "out" / "key.pub").read_bytes()
    quote = (tmp_path / "out" / "quote.bin").read_bytes()
    bound = hashlib.sha256(signed_bytes(payload)).digest() + hashlib.sha256(pem).digest()
    assert quote == made_up_gramine.quote(bound)
    builder = what["predicate"]["runDetails"]["builder"]
    assert builder["id"] == "urn:enclave-finetune:sgx"
    assert builder["version"] == {"mrenclave": made_up_gramine.MRENCLAVE.hex()}
    assert where["predicate"]["attributes"] == [
        {
            "attribute": "TRAINED_IN_SGX_ENCLAVE",
            "conditions": {"quote": "dcap"},
            "evidence": {
                "name": "quote.bin",
                "digest": {"sha256": sha256(quote)},
                "mediaType": "application/x.sgx.dcap.quote",
            },
        }
    ]


def test_every_run_has_a_key_of_its_own_and_no_file_has_it(tmp_path: Path) -> None:
    for name in ("a", "b"):
        trained(tmp_path / name)
        written = b"".join(path.read_bytes() for path in (tmp_path / name).iterdir())
        assert b"PRIVATE" not in written
    assert (tmp_path / "a" / "key.pub").read_bytes() != (tmp_path / "b" / "key.pub").read_bytes()


def test_the_networks_signature_names_the_network_alone(tmp_path: Path) -> None:
    trained(tmp_path)
    line = (tmp_path / "model.sig").read_bytes()
    _, statement = opened(line, (tmp_path / "key.pub").read_bytes())
    assert json.loads(line)["dsseEnvelope"]["signatures"][0]["keyid"] == ""
    assert statement["predicateType"] == "https://model_signing/signature/v1.0"
    assert statement["predicate"]["resources"] == [
        {"name": "net.pt", "algorithm": "sha256", "digest": NET}
    ]
    root = sha256(bytes.fromhex(NET))
    assert statement["subject"] == [{"name": "net.pt", "digest": {"sha256": root}}]
    written = {path.name for path in tmp_path.iterdir()} | {"record.json", "history.json"}
    assert written <= set(statement["predicate"]["serialization"]["ignore_paths"])


def test_openssl_takes_a_signature(tmp_path: Path) -> None:
    if not (openssl := shutil.which("openssl")):
        pytest.skip("no openssl on this machine")
    trained(tmp_path)
    for number, line in enumerate((tmp_path / "claims.jsonl").read_bytes().splitlines()):
        envelope = json.loads(line)["dsseEnvelope"]
        for part in ("payload", "sig"):
            text = envelope["payload"] if part == "payload" else envelope["signatures"][0]["sig"]
            command = [openssl, "base64", "-d", "-A", "-out", str(tmp_path / f"{part}{number}")]
            subprocess.run(command, input=text.encode(), check=True)
        signed = tmp_path / f"signed{number}"
        signed.write_bytes(signed_bytes((tmp_path / f"payload{number}").read_bytes()))
        command = [openssl, "dgst", "-sha256", "-verify", str(tmp_path / "key.pub")]
        command += ["-signature", str(tmp_path / f"sig{number}"), str(signed)]
        assert subprocess.run(command, capture_output=True, check=True).stdout == b"Verified OK\n"


def test_what_cannot_be_quoted_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    device = made_up_gramine.device(tmp_path / "dev", answer=None)
    monkeypatch.setattr(attestation, "FOLDER", device)
    with pytest.raises(RunError, match="no quote: "):
        trained(tmp_path / "out", backend="sgx")
    with pytest.raises(RunError, match="no quote: "):
        evidence.write_classification(tmp_path / "out", answered(2), b"{}", {})
    assert not (tmp_path / "out").exists()


def test_without_cryptography_it_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "cryptography.hazmat.primitives", None)
    with pytest.raises(RunError, match=r"^cryptography is needed to sign .*; run: python3 -m pip"):
        trained(tmp_path)
    assert os.listdir(tmp_path) == []  # noqa: PTH208 - names alone


def test_writing_it_takes_no_time_beside_a_run(tmp_path: Path) -> None:
    trained(tmp_path / "first")  # imports
    started = time.process_time()
    for number in range(20):
        evidence.write_training(tmp_path / str(number), RECORD, IMAGE_LIMITS, FILES)
    assert (time.process_time() - started) / 20 < 0.05
