"""Which backend is taken, what it protects, and what counts as a device."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from workflow.backends import base, gramine, graphene
from workflow.core.errors import WorkflowError
from workflow.core.settings import GscSettings, MachineSettings, Settings
from workflow.core.values import GRAPHENE, PathText
from workflow.gsc import checkout

HERE, ABSENT = Path("/dev/null"), "/dev/sgx_absent"
"""A character device that is everywhere, and one that is nowhere."""


def with_backend(backend: str, **machine: PathText) -> Settings:
    return Settings(machine=MachineSettings(backend=backend, **machine))


@pytest.fixture
def no_sgx(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gramine, "SGX_DEVICES", (ABSENT,))


@pytest.fixture
def sgx(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gramine, "SGX_DEVICES", (ABSENT, str(HERE)))


@pytest.mark.usefixtures("no_sgx")
def test_auto_is_native_without_a_device_whatever_else_is_here() -> None:
    assert base.pick(with_backend("auto")).name == "native"


@pytest.mark.usefixtures("sgx")
def test_auto_is_sgx_where_there_is_a_device_whatever_else_is_not_here() -> None:
    assert base.pick(with_backend("auto")).name == "sgx"


@pytest.mark.usefixtures("no_sgx")
def test_whoever_names_a_device_means_sgx_and_does_not_fall_back() -> None:
    named = with_backend("auto", sgx_device=PathText("/dev/sgx_mistyped"))
    assert base.pick(named).name == "sgx"
    with pytest.raises(WorkflowError) as caught:
        lacks_no_device(named)
    assert caught.value.message == "no SGX device (/dev/sgx_mistyped); look: inv doctor"


@pytest.mark.usefixtures("sgx")
@pytest.mark.parametrize("backend", ["sgx", "direct", "docker", "native"])
def test_a_named_backend_is_taken_though_there_is_sgx(backend: str) -> None:
    assert base.pick(with_backend(backend)).name == backend


def lacks_no_device(settings: Settings) -> None:
    base.pick(replace(settings, machine=replace(settings.machine, backend="sgx"))).place(settings)[
        0
    ]()


def unprotected(name: str) -> str:
    return base.pick(with_backend(name)).warning()


def test_what_is_not_protected_is_said_in_one_line() -> None:
    end = "not protected, this machine's owner can read and change everything"
    assert unprotected("docker") == f"backend docker: {end}"
    assert unprotected("native") == f"backend native: {end}"
    key = "whose network is encrypted with a public test key"
    assert unprotected("direct") == f"backend direct, {key}: {end}"


@pytest.mark.parametrize(
    ("requested", "backend", "said"),
    [
        ("auto", "native", [unprotected("native")]),
        ("native", "native", [unprotected("native")]),
        ("direct", "direct", [unprotected("direct")]),
        ("auto", "sgx", ["backend sgx, since this machine has an SGX device"]),
        ("sgx", "sgx", []),
    ],
)
def test_the_choice_is_said(
    requested: str, backend: str, said: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    base.announce(with_backend(requested), base.pick(with_backend(backend)))
    printed = capsys.readouterr()
    assert (printed.out, printed.err.splitlines()) == ("", said)


def test_devices_are_the_named_ones_or_the_first_known_ones_that_are_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    new, old = tmp_path / "sgx_enclave", tmp_path / "isgx"
    monkeypatch.setattr(gramine, "SGX_DEVICES", (str(new), str(old)))
    monkeypatch.setattr(gramine, "PROVISION_DEVICES", (str(tmp_path / "sgx_provision"),))
    assert gramine.enclave_device(MachineSettings()) is None
    old.symlink_to(HERE)
    assert gramine.enclave_device(MachineSettings()) == str(old)
    new.symlink_to(HERE)
    assert gramine.enclave_device(MachineSettings()) == str(new)
    assert gramine.enclave_device(MachineSettings(sgx_device=PathText(old))) == str(old)
    missing = MachineSettings(sgx_device=PathText(tmp_path / "none"))
    assert gramine.enclave_device(missing) is None
    assert gramine.provision_device(MachineSettings()) is None
    named = MachineSettings(provision_device=PathText(new))
    assert gramine.provision_device(named) == str(new)


@pytest.mark.parametrize("kind", ["folder", "file"])
def test_what_is_no_device_is_none_though_it_is_there(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "sgx_enclave"
    path.mkdir() if kind == "folder" else path.touch()
    monkeypatch.setattr(gramine, "SGX_DEVICES", (ABSENT, str(path)))
    assert base.pick(with_backend("auto")).name == "native"
    with pytest.raises(WorkflowError) as caught:
        lacks_no_device(with_backend("sgx"))
    assert caught.value.message == f"no SGX device ({path} is a {kind}); look: inv doctor"


@pytest.mark.usefixtures("sgx")
def test_a_named_device_for_quotes_must_be_there_and_graphene_needs_both_of_its_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    lacks_no_device(with_backend("sgx"))
    with pytest.raises(WorkflowError, match=r"no SGX device \(/dev/none\)"):
        lacks_no_device(with_backend("sgx", provision_device=PathText("/dev/none")))
    old = replace(with_backend("sgx"), gsc=GscSettings(dialect=GRAPHENE))
    monkeypatch.setattr(graphene, "DEVICES", (str(HERE), ABSENT))
    with pytest.raises(WorkflowError, match=ABSENT):
        lacks_no_device(old)


def test_the_known_devices_are_those_of_the_three_drivers() -> None:
    assert gramine.SGX_DEVICES == ("/dev/sgx_enclave", "/dev/sgx/enclave", "/dev/isgx")
    assert gramine.PROVISION_DEVICES == ("/dev/sgx_provision", "/dev/sgx/provision")


def test_what_keeps_gsc_from_being_used_is_said(tmp_path: Path) -> None:
    chosen = GscSettings(dir=tmp_path / "gsc")
    assert checkout.gsc_problem(chosen) == f"no GSC in {tmp_path}/gsc (inv gsc-setup)"
    chosen.dir.mkdir()
    (chosen.dir / "gsc").touch()
    assert checkout.gsc_problem(chosen) == "GSC has no config.yaml (inv gsc-setup)"
    (chosen.dir / "config.yaml").touch()
    assert checkout.gsc_problem(chosen) == ""


def test_only_a_shielded_run_of_todays_gramine_seals() -> None:
    today, old = Settings(), Settings(gsc=GscSettings(dialect=GRAPHENE))
    assert [each.name for each in base.serving(today) if each.seals] == ["sgx", "direct"]
    assert not any(each.seals for each in base.serving(old))
