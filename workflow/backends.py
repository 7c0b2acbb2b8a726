"""Where a script can run on this machine, and the strongest of these places."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from workflow.errors import WorkflowError
from workflow.notes import note
from workflow.settings import AUTO, BACKENDS, GRAMINE, GscSettings, MachineSettings, Settings

SGX_DEVICES = ("/dev/sgx_enclave", "/dev/sgx/enclave", "/dev/isgx")
"""The enclave device of the kernel's driver (5.11 and later), of Intel's older DCAP driver, and of
the out-of-tree driver for launch control by AESM. Source: gramine.readthedocs.io, "Software
packages"."""
PROVISION_DEVICES = ("/dev/sgx_provision", "/dev/sgx/provision")

GRAPHENE_DEVICES = ("/dev/gsgx", "/dev/isgx")
"""Of old Graphene, both of which it needs. Source: Graphene v1.2-rc1, manpages/gsc.rst."""

SHIELDED = ("sgx", "direct")
"""The backends that run a GSC image."""


@dataclass(frozen=True)
class Machine:
    """Say what of a machine decides the backend; a problem is a line, empty where there is none."""

    docker_problem: str = ""
    gsc_problem: str = ""
    sgx_problem: str = ""


@dataclass(frozen=True)
class Choice:
    """Say which backend is taken and why no stronger one."""

    backend: str
    reason: str = ""
    """Empty where the person named the backend."""


def look(settings: Settings) -> Machine:
    """Look at this machine."""
    from workflow import docker_api

    return Machine(
        docker_problem=docker_api.problem() or "",
        gsc_problem=gsc_problem(settings.gsc),
        sgx_problem="" if enclave_device(settings.machine) else _no_device(settings.machine),
    )


def pick(settings: Settings, *, among: Sequence[str] = BACKENDS, because: str = "") -> str:
    """Return the backend to run in and say which and why, and how far it protects.

    ``among`` are those that are fit for the task, ``because`` of the reason.

    Raises: WorkflowError where the named backend cannot run here, or none of those fit.
    """
    requested = settings.machine.backend
    if requested == "native" or (settings.dry and requested != AUTO):
        choice = Choice(requested)
    else:
        choice = choose(requested, look(settings), among=among, because=because)
    if choice.reason:
        note(f"backend {choice.backend}: the strongest here; {choice.reason}")
    if choice.backend != "sgx":
        note(unprotected(choice.backend))
    return choice.backend


def choose(
    requested: str, machine: Machine, *, among: Sequence[str] = BACKENDS, because: str = ""
) -> Choice:
    """Return the named backend, or for ``auto`` the strongest of ``among`` that is offered here.

    A named one never falls back.

    Raises: WorkflowError where the named backend cannot run here.
    """
    if requested != AUTO:
        if lacking := problems(requested, machine):
            raise WorkflowError(f"backend {requested} cannot run here: {'; '.join(lacking)}")
        return Choice(requested)
    reasons: list[str] = []
    for backend in BACKENDS:
        lacking = problems(backend, machine) if backend in among else [because]
        if not lacking:
            return Choice(backend, "; ".join(reasons) or "an SGX device, Docker and GSC are here")
        reasons.append(f"not {backend}: {lacking[0]}")
    raise WorkflowError(f"no backend here can do it: {'; '.join(reasons)}")


def problems(backend: str, machine: Machine) -> list[str]:
    """Return what keeps the backend from running, a line each."""
    needs = {
        "sgx": (machine.sgx_problem, machine.docker_problem, machine.gsc_problem),
        "direct": (machine.docker_problem, machine.gsc_problem),
        "docker": (machine.docker_problem,),
        "native": (),
    }
    return [problem for problem in needs[backend] if problem]


def unprotected(backend: str) -> str:
    """Return the one plain line for every backend but sgx."""
    test_key = ", whose network is encrypted with a public test key" if backend == "direct" else ""
    return (
        f"backend {backend}{test_key}: not protected, this machine's owner can read and change "
        "everything"
    )


def enclave_device(machine: MachineSettings) -> str | None:
    """Return the SGX device's path, None where there is none."""
    return _first(machine.sgx_device, SGX_DEVICES)


def provision_device(machine: MachineSettings) -> str | None:
    """Return the path of the device that quotes need, None where there is none."""
    return _first(machine.provision_device, PROVISION_DEVICES)


def seals(settings: Settings, backend: str) -> bool:
    """Tell whether the network leaves the training encrypted: old Graphene has no sealing key."""
    return backend in SHIELDED and settings.gsc.dialect == GRAMINE


def gsc_problem(gsc: GscSettings) -> str:
    """Say what keeps GSC from being used, with the command that mends it."""
    if (gsc.dir / "gsc").is_file():
        return (
            "" if (gsc.dir / "config.yaml").is_file() else "GSC has no config.yaml (inv gsc-setup)"
        )
    return f"no GSC in {gsc.dir} (inv gsc-setup)"


def _no_device(machine: MachineSettings) -> str:
    return f"no SGX device ({machine.sgx_device or SGX_DEVICES[0]})"


def _first(named: str, known: tuple[str, ...]) -> str | None:
    """Return the first path that is there: the named one alone where one is named."""
    candidates = (named,) if named else known
    return next((path for path in candidates if os.path.lexists(Path(path))), None)
