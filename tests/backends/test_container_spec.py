"""What a container is given in each backend, and the command that a person would type for it."""

from __future__ import annotations

import os
import shlex
import socket
from dataclasses import replace
from pathlib import Path

import pytest

from pytorch_common.contract import RUNTIME_VARIABLES
from workflow.backends import base, gramine
from workflow.backends.container import ContainerBackend, Person, lent, person
from workflow.core.errors import WorkflowError
from workflow.core.settings import GscSettings, MachineSettings, Settings
from workflow.gsc import checkout
from workflow.images.container_spec import ContainerSpec, Mount, docker_run

ALWAYS = "docker run --rm --user=7:8 --network=none --read-only --tmpfs=/tmp --cap-drop=ALL "


@pytest.fixture
def chosen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Return settings for a machine with both devices and AESM, as files in the caller's folder."""
    monkeypatch.chdir(tmp_path)
    names = ("sgx_enclave", "sgx_provision", "seccomp.json")
    for name in names:
        (tmp_path / name).touch()
    with socket.socket(socket.AF_UNIX) as aesm:
        aesm.bind("aesm.socket")  # a relative name, since a longer one is refused
    monkeypatch.setattr(gramine, "is_device", lambda path: Path(path).is_file())
    enclave, provision, seccomp = (tmp_path / name for name in names)
    machine = MachineSettings(
        sgx_device=str(enclave),
        provision_device=str(provision),
        aesm_socket=tmp_path / "aesm.socket",
        seccomp=str(seccomp),
    )
    return Settings(machine=machine, gsc=GscSettings(dir=tmp_path / "gsc"))


def adapted(
    settings: Settings, backend: str, spec: ContainerSpec, *, is_here: bool = True
) -> ContainerSpec:
    """Return the container with what the backend adds."""
    chosen = replace(settings, machine=replace(settings.machine, backend=backend))
    found = base.pick(chosen)
    assert isinstance(found, ContainerBackend)
    return found.adapted(spec, chosen, is_here=is_here)


def command(settings: Settings, backend: str, *, is_here: bool = True) -> str:
    mounts = (Mount(Path("/w/out"), "/out"), Mount(Path("/w/in"), "/in", read_only=True))
    plain = ContainerSpec("image", "7:8", ("--epochs=3",), mounts=mounts)
    return shlex.join(docker_run(adapted(settings, backend, plain, is_here=is_here)))


def test_docker(chosen: Settings) -> None:
    faster = " ".join(f"--env={name}={value}" for name, value in RUNTIME_VARIABLES.items())
    assert command(chosen, "docker") == ALWAYS + (
        f"--security-opt=no-new-privileges {faster} --env=RUN_BACKEND=docker --env=RUN_PROGRESS=1 "
        "--volume=/w/out:/out --volume=/w/in:/in:ro image --epochs=3"
    )


def test_direct(chosen: Settings) -> None:
    assert command(chosen, "direct") == ALWAYS + (
        "--security-opt=no-new-privileges --security-opt=seccomp=seccomp.json "
        "--env=GRAMINE_MODE=direct --env=LC_ALL=C "
        "--volume=/w/out:/out --volume=/w/in:/in:ro image --epochs=3"
    )


def test_sgx(chosen: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, group in (("sgx_enclave", 501), ("sgx_provision", 502)):
        _owned_by_group(monkeypatch, tmp_path / name, group)
    assert command(chosen, "sgx") == ALWAYS + (
        "--security-opt=no-new-privileges --env=LC_ALL=C "
        f"--device={tmp_path}/sgx_enclave:/dev/sgx_enclave "
        f"--device={tmp_path}/sgx_provision:/dev/sgx_provision "
        "--group-add=501 --group-add=502 "
        "--volume=/w/out:/out --volume=/w/in:/in:ro "
        f"--volume={tmp_path}/aesm.socket:/var/run/aesmd/aesm.socket image --epochs=3"
    )


def _owned_by_group(monkeypatch: pytest.MonkeyPatch, path: Path, group: int) -> None:
    if os.getuid() != 0:
        pytest.skip("only root gives a file to a group that it is not in")
    os.chown(path, -1, group)


def test_sgx_without_provision_device_and_aesm(chosen: Settings, tmp_path: Path) -> None:
    for path in (tmp_path / "folder", Path("/none")):
        (tmp_path / "folder").mkdir(exist_ok=True)  # as Docker makes where a socket is missing
        machine = replace(chosen.machine, aesm_socket=path)
        spec = adapted(replace(chosen, machine=machine), "sgx", ContainerSpec("image", "7:8"))
        assert spec.mounts == ()
    machine = replace(machine, provision_device="/none")
    spec = adapted(replace(chosen, machine=machine), "sgx", ContainerSpec("image", "7:8"))
    assert [device.target for device in spec.devices] == ["/dev/sgx_enclave"]


def test_without_a_device_sgx_is_refused_but_can_be_printed(
    chosen: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    bare = replace(chosen, machine=MachineSettings())
    monkeypatch.setattr(gramine, "is_device", lambda path: False)
    with pytest.raises(WorkflowError) as caught:
        command(bare, "sgx")
    assert caught.value.message == "backend sgx: no SGX device; look: inv doctor"
    printed = command(bare, "sgx", is_here=False)
    assert "--device=/dev/sgx_enclave:/dev/sgx_enclave" in printed
    assert "--volume=/var/run/aesmd/aesm.socket:/var/run/aesmd/aesm.socket" in printed
    named = MachineSettings(
        sgx_device="/dev/mine", provision_device="/dev/too", aesm_socket=Path("/s")
    )
    printed = command(replace(bare, machine=named), "sgx", is_here=False)
    assert "--device=/dev/mine:/dev/sgx_enclave --device=/dev/too:/dev/sgx_provision " in printed
    assert "--volume=/s:/var/run/aesmd/aesm.socket" in printed


def test_no_container_gets_a_network_a_capability_or_docker_itself(chosen: Settings) -> None:
    for backend in ("docker", "direct", "sgx"):
        words = command(chosen, backend)
        assert "--network=none --read-only" in words
        assert "--cap-drop=ALL" in words
        assert not any(word in words for word in ("privileged=", "unconfined", "docker.sock"))


def test_direct_mode_takes_the_named_profile_then_gramines_then_the_projects(
    chosen: Settings, tmp_path: Path
) -> None:
    machine = replace(chosen.machine, seccomp="")
    ours = checkout.seccomp_profile(replace(chosen, machine=machine))
    assert ours.name == "seccomp-direct.json"
    (tmp_path / "gsc").mkdir()
    (tmp_path / "gsc" / "docker_seccomp.json").write_text("{}")
    # Not Gramine's, by its digest.
    assert checkout.seccomp_profile(replace(chosen, machine=machine)) == ours
    missing = replace(chosen, machine=replace(machine, seccomp="/none.json"))
    with pytest.raises(WorkflowError, match=r"machine\.seccomp: no such file: /none\.json"):
        checkout.seccomp_profile(missing)


@pytest.mark.parametrize(
    ("environ", "uid", "rootless", "expected"),
    [
        ({}, 1000, False, Person(1000, 100, 1000, 100, lends=False)),
        ({"SUDO_UID": "5"}, 1000, False, Person(1000, 100, 1000, 100, lends=False)),
        ({}, 1000, True, Person(1000, 100, 0, 0, lends=False)),
        ({}, 0, False, Person(0, 0, 10001, 10001, lends=True)),
        (
            {"SUDO_UID": "1000", "SUDO_GID": "100"},
            0,
            False,
            Person(1000, 100, 1000, 100, lends=True),
        ),
        ({"SUDO_UID": "1000"}, 0, False, Person(1000, 1000, 1000, 1000, lends=True)),
        ({"SUDO_UID": "0", "SUDO_GID": "0"}, 0, False, Person(0, 0, 10001, 10001, lends=True)),
    ],
)
def test_the_container_runs_as_the_person_and_never_as_root(
    environ: dict[str, str], uid: int, rootless: bool, expected: Person
) -> None:
    assert person(environ, uid, 0 if uid == 0 else 100, rootless=rootless) == expected


@pytest.mark.skipif(os.getuid() != 0, reason="only root gives a folder away")
def test_folders_are_lent_to_the_container_and_given_back(tmp_path: Path) -> None:
    out, sealed = tmp_path / "out", tmp_path / "out" / "encrypted"
    who = Person(1234, 1235, 10001, 10002, lends=True)
    with pytest.raises(RuntimeError), lent([out, sealed], who) as user:
        assert user == "10001:10002"
        assert _owner(out) == _owner(sealed) == (10001, 10002)
        (sealed / "net.pt").touch()
        (out / "link").symlink_to("/etc/passwd")
        raise RuntimeError
    for path in (out, sealed, sealed / "net.pt", out / "link"):
        assert _owner(path) == (1234, 1235)
    assert _owner(Path("/etc/passwd")) == (0, 0)


def test_folders_of_a_plain_person_stay_as_they_are(tmp_path: Path) -> None:
    before = _owner(tmp_path)
    who = Person(1000, 100, 1000, 100, lends=False)
    with lent([tmp_path / "new"], who) as user:
        assert user == "1000:100"
    assert _owner(tmp_path / "new") == before


def _owner(path: Path) -> tuple[int, int]:
    facts = path.lstat()
    return facts.st_uid, facts.st_gid


def test_a_spec_is_not_root_and_may_gain_nothing_by_default() -> None:
    spec = ContainerSpec("image", "1:2")
    assert spec.security_options == ("no-new-privileges",)
    assert (spec.devices, spec.groups, spec.seccomp) == ((), (), None)
    shielded = [each.name for each in base.serving(Settings()) if each.mode]
    assert shielded == ["sgx", "direct"]
