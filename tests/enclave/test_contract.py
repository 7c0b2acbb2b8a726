from __future__ import annotations

from pathlib import Path

import pytest

from pytorch_common import attestation, contract, script
from pytorch_common.attestation import running_backend
from pytorch_common.contract import TrainOptions, record_problem


def test_the_defaults_are_those_of_the_tutorial() -> None:
    options = TrainOptions()
    assert (options.arch, options.method) == ("squeezenet1_0", "feature-extract")
    assert (options.epochs, options.batch_size) == (15, 8)
    assert (options.learning_rate, options.momentum) == (0.001, 0.9)
    assert options.problems() == []


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("arch", "lenet"),
        ("method", "magic"),
        ("epochs", 0),
        ("batch_size", 0),
        ("learning_rate", 0.0),
        ("learning_rate", float("nan")),
        ("learning_rate", float("inf")),
        ("momentum", 1.0),
        ("seed", -1),
        ("threads", -1),
    ],
)
def test_a_value_that_cannot_be_is_named(name: str, value: object) -> None:
    (problem,) = TrainOptions(**{name: value}).problems()  # type: ignore[arg-type]
    assert problem.startswith(f"{name}: expected ")
    assert problem.endswith(f"got {value}")


def test_sgx_is_never_taken_on_anybodys_word(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attestation, "FOLDER", tmp_path)
    (tmp_path / "keys").mkdir()  # direct mode shows that much
    assert running_backend({"RUN_BACKEND": "sgx"}) == "unknown"
    assert running_backend({"RUN_BACKEND": "docker"}) == "docker"
    assert running_backend({}) == "native"
    (tmp_path / "attestation_type").write_text("none")
    assert running_backend({"RUN_BACKEND": "native"}) == "sgx"


def test_an_enclave_with_a_weakness_is_not_said_to_protect(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attestation, "FOLDER", tmp_path)
    assert script.run_facts({})["protected_from_host"] is False
    (tmp_path / "attestation_type").write_text("dcap")
    facts = script.run_facts({"torch": "2"})
    assert (facts["backend"], facts["protected_from_host"]) == ("sgx", True)
    assert "insecure" not in facts
    monkeypatch.setenv("RUN_INSECURE", "debug-enclave,log-level")
    facts = script.run_facts({})
    assert (facts["backend"], facts["protected_from_host"]) == ("sgx", False)
    assert facts["insecure"] == ["debug-enclave", "log-level"]


def test_a_record_is_held_to_its_schema() -> None:
    good = {"schema": contract.RECORD_SCHEMA, "digests": {"net": "0" * 64}, "classes": ["a", "b"]}
    assert record_problem(good) is None
    assert record_problem([]) == f"expected schema {contract.RECORD_SCHEMA}, got list"
    assert "digests.net" in (record_problem({**good, "digests": {"net": "abc"}}) or "")
    assert "digests.net" in (record_problem({**good, "digests": None}) or "")
    assert "classes" in (record_problem({**good, "classes": "ab"}) or "")
