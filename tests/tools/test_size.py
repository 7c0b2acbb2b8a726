"""How large an enclave is to be: what is measured, and what is made of it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from tests import doing
from workflow.backends.native import Native
from workflow.core.errors import WorkflowError
from workflow.core.settings import (
    DataSettings,
    InferSettings,
    MachineSettings,
    ModelSettings,
    Settings,
    TrainSettings,
)
from workflow.core.usage import Usage
from workflow.core.values import PathText
from workflow.tools import size
from workflow.tools.sizing import MIB, manifest_size, propose

DIRECT_RUN = Usage(966 * MIB, 871 * MIB, 8)


def test_under_gramine_what_is_mapped_counts() -> None:
    found = propose(DIRECT_RUN, 32, is_gramine=True)
    assert found.memory == "966 MiB mapped, 512 MiB margin, 12 MiB for 32 threads"
    assert manifest_size(found.enclave_bytes) == "2G"
    assert (found.threads, found.helpers) == (16, "8 at one time, 3 of Gramine's own, 4 spare")


@pytest.mark.parametrize(
    ("peak", "is_gramine"), [(replace(DIRECT_RUN, mapped_bytes=0), True), (DIRECT_RUN, False)]
)
def test_elsewhere_what_was_touched_counts(peak: Usage, is_gramine: bool) -> None:
    found = propose(peak, 32, is_gramine=is_gramine)
    assert found.memory.startswith("871 MiB touched, 256 MiB for Gramine, 512 MiB margin")


@pytest.mark.parametrize(
    ("mapped_mib", "expected"), [(100, "1G"), (500, "1G"), (501, "2G"), (3000, "4G"), (4000, "8G")]
)
def test_the_size_is_a_power_of_two_with_a_margin(mapped_mib: int, expected: str) -> None:
    found = propose(Usage(mapped_mib * MIB, 0, 4), 32, is_gramine=True)
    assert manifest_size(found.enclave_bytes) == expected


def test_a_size_is_written_as_in_a_manifest() -> None:
    assert [manifest_size(size) for size in (512 * MIB, 2**30, 2**31)] == ["512M", "1G", "2G"]


def test_an_enclave_is_not_measured_from_outside() -> None:
    settings = Settings(machine=MachineSettings(backend="sgx"))
    with pytest.raises(WorkflowError, match="measure beside one: inv size --backend direct"):
        size.candidates(settings)
    assert [each.name for each in size.candidates(Settings())] == ["direct", "docker", "native"]


def test_a_training_is_measured_and_nothing_of_the_persons_is_touched(
    tmp_path: Path,
    tiny_data: Path,
    random_weights: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(size, "INTERVAL_S", 0.05)
    monkeypatch.setattr(size, "serving", lambda settings: [Native()])
    settings = Settings(
        model=ModelSettings(arch="squeezenet1_1", weights=PathText(random_weights)),
        data=DataSettings(dir=tiny_data),
        train=TrainSettings(out=tmp_path / "out" / "train", epochs=1, threads=1),
        infer=InferSettings(net=tmp_path / "none" / "net.pt"),
    )
    doing.size(settings, as_json=True)
    printed = capfd.readouterr()
    assert "classifying is not measured: " in printed.err
    memory, threads = json.loads(printed.out)
    assert (memory["image"], memory["measured in"], memory["today"]) == ("train", "native", "8G")
    assert memory["because of"].endswith("for 32 threads; the next power of two")
    assert memory["in"].partition(":")[0].endswith("manifests/pytorch_train.manifest")
    touched = int(memory["because of"].split()[0])
    assert 100 < touched < 4000
    assert threads["because of"].endswith("inv gsc-build sets at least 19")
    assert list((tmp_path / "out").iterdir()) == []


def test_a_line_of_a_manifest_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "x.manifest"
    path.write_text("# sgx.max_threads\n\nsgx.max_threads = 4\n")
    assert size.line_of(path, "sgx.max_threads") == "x.manifest:3"
    assert size.line_of(path, "sgx.enclave_size") == "x.manifest"


def test_a_job_of_which_nothing_was_seen_is_no_proposal() -> None:
    with pytest.raises(WorkflowError, match="nothing of the job was seen in native"):
        size.described(Settings(), "train", Native(), Usage())
