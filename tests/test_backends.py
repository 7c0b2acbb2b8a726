"""Which backend is taken, why no stronger one, and what it protects."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from workflow import backends
from workflow.backends import Machine, choose, problems
from workflow.errors import WorkflowError
from workflow.settings import BACKENDS, GRAPHENE, GscSettings, MachineSettings, Settings

EVERYTHING = Machine()
NO_SGX = Machine(sgx_problem="no SGX device (/dev/sgx_enclave)")
NO_GSC = replace(NO_SGX, gsc_problem="no GSC in gsc (inv gsc-setup)")
NOTHING = replace(NO_GSC, docker_problem="no Docker daemon answers (Connection refused)")


def with_backend(backend: str, *, dry: bool = False) -> Settings:
    return Settings(machine=MachineSettings(backend=backend), dry=dry)


@pytest.mark.parametrize(
    ("machine", "backend", "reason"),
    [
        (EVERYTHING, "sgx", "an SGX device, Docker and GSC are here"),
        (NO_SGX, "direct", "not sgx: no SGX device (/dev/sgx_enclave)"),
        (
            NO_GSC,
            "docker",
            "not sgx: no SGX device (/dev/sgx_enclave); not direct: no GSC in gsc (inv gsc-setup)",
        ),
        (
            NOTHING,
            "native",
            "not sgx: no SGX device (/dev/sgx_enclave); "
            "not direct: no Docker daemon answers (Connection refused); "
            "not docker: no Docker daemon answers (Connection refused)",
        ),
    ],
)
def test_auto_takes_the_strongest_and_says_why_no_stronger_one(
    machine: Machine, backend: str, reason: str
) -> None:
    choice = choose("auto", machine)
    assert (choice.backend, choice.reason) == (backend, reason)


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_named_backend_is_taken_though_a_stronger_one_is_here(backend: str) -> None:
    choice = choose(backend, EVERYTHING)
    assert (choice.backend, choice.reason) == (backend, "")


@pytest.mark.parametrize("backend", ["sgx", "direct", "docker"])
def test_a_named_backend_never_falls_back(backend: str) -> None:
    with pytest.raises(WorkflowError) as caught:
        choose(backend, NOTHING)
    lacking = "; ".join(problems(backend, NOTHING))
    assert caught.value.message == f"backend {backend} cannot run here: {lacking}"


def test_each_backend_needs_its_own_things_alone() -> None:
    sgx, docker, gsc = NOTHING.sgx_problem, NOTHING.docker_problem, NOTHING.gsc_problem
    assert problems("sgx", NOTHING) == [sgx, docker, gsc]
    assert problems("direct", NOTHING) == [docker, gsc]
    assert problems("docker", NOTHING) == [docker]
    assert problems("native", NOTHING) == []


def test_auto_keeps_to_those_that_are_fit_for_the_task() -> None:
    choice = choose("auto", EVERYTHING, among=("docker", "native"), because="the net is plain")
    assert choice.backend == "docker"
    assert choice.reason == "not sgx: the net is plain; not direct: the net is plain"
    with pytest.raises(WorkflowError) as caught:
        choose("auto", NO_SGX, among=("sgx",), because="sealed by a sgx run")
    assert caught.value.message == (
        "no backend here can do it: not sgx: no SGX device (/dev/sgx_enclave); "
        "not direct: sealed by a sgx run; not docker: sealed by a sgx run; "
        "not native: sealed by a sgx run"
    )


def test_what_is_not_protected_is_said_in_one_line() -> None:
    end = "not protected, this machine's owner can read and change everything"
    assert backends.unprotected("docker") == f"backend docker: {end}"
    assert backends.unprotected("native") == f"backend native: {end}"
    key = "whose network is encrypted with a public test key"
    assert backends.unprotected("direct") == f"backend direct, {key}: {end}"


@pytest.mark.parametrize(
    ("machine", "lines"),
    [
        (EVERYTHING, ["backend sgx: the strongest here; an SGX device, Docker and GSC are here"]),
        (
            NO_SGX,
            [
                "backend direct: the strongest here; not sgx: no SGX device (/dev/sgx_enclave)",
                backends.unprotected("direct"),
            ],
        ),
    ],
)
def test_the_choice_is_printed_with_its_reason(
    machine: Machine,
    lines: list[str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(backends, "look", lambda settings: machine)
    backends.pick(with_backend("auto"))
    printed = capsys.readouterr()
    assert (printed.out, printed.err.splitlines()) == ("", lines)


def test_natively_and_dry_the_machine_is_not_looked_at(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def look(settings: Settings) -> Machine:
        raise AssertionError("looked")

    monkeypatch.setattr(backends, "look", look)
    assert backends.pick(with_backend("native")) == "native"
    assert backends.pick(with_backend("sgx", dry=True)) == "sgx"
    assert capsys.readouterr().err.splitlines() == [backends.unprotected("native")]


def test_devices_are_the_named_ones_or_the_first_known_ones_that_are_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    new, old = tmp_path / "sgx_enclave", tmp_path / "isgx"
    monkeypatch.setattr(backends, "SGX_DEVICES", (str(new), str(old)))
    monkeypatch.setattr(backends, "PROVISION_DEVICES", (str(tmp_path / "sgx_provision"),))
    assert backends.enclave_device(MachineSettings()) is None
    old.touch()
    assert backends.enclave_device(MachineSettings()) == str(old)
    new.touch()
    assert backends.enclave_device(MachineSettings()) == str(new)
    assert backends.enclave_device(MachineSettings(sgx_device=str(old))) == str(old)
    missing = MachineSettings(sgx_device=str(tmp_path / "none"))
    assert backends.enclave_device(missing) is None
    assert backends.provision_device(MachineSettings()) is None
    assert backends.provision_device(MachineSettings(provision_device=str(new))) == str(new)


def test_the_known_devices_are_those_of_the_three_drivers() -> None:
    assert backends.SGX_DEVICES == ("/dev/sgx_enclave", "/dev/sgx/enclave", "/dev/isgx")
    assert backends.PROVISION_DEVICES == ("/dev/sgx_provision", "/dev/sgx/provision")


def test_the_machine_is_described_by_what_it_lacks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from workflow import docker_api

    monkeypatch.setattr(docker_api, "problem", lambda: None)
    device = tmp_path / "sgx"
    chosen = Settings(
        machine=MachineSettings(sgx_device=str(device)), gsc=GscSettings(dir=tmp_path / "gsc")
    )
    lacking = Machine("", f"no GSC in {tmp_path}/gsc (inv gsc-setup)", f"no SGX device ({device})")
    assert backends.look(chosen) == lacking
    chosen.gsc.dir.mkdir()
    (chosen.gsc.dir / "gsc").touch()
    assert backends.look(chosen).gsc_problem == "GSC has no config.yaml (inv gsc-setup)"
    (chosen.gsc.dir / "config.yaml").touch()
    device.touch()
    assert backends.look(chosen) == EVERYTHING


def test_only_a_shielded_run_of_todays_gramine_seals() -> None:
    today, old = Settings(), Settings(gsc=GscSettings(dialect=GRAPHENE))
    assert [backend for backend in BACKENDS if backends.seals(today, backend)] == ["sgx", "direct"]
    assert not any(backends.seals(old, backend) for backend in BACKENDS)
