"""Where a script runs: in the place that is named, else under SGX where there is a device."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from workflow.core.console import note
from workflow.core.errors import WorkflowError
from workflow.core.settings import AUTO, GRAMINE, GRAPHENE, GscSettings, MachineSettings, Settings

SGX_DEVICES = ("/dev/sgx_enclave", "/dev/sgx/enclave", "/dev/isgx")
"""The enclave device of the kernel's driver (5.11 and later), of Intel's older DCAP driver, and of
the out-of-tree driver for launch control by AESM. Source: gramine.readthedocs.io, "Software
packages"."""
PROVISION_DEVICES = ("/dev/sgx_provision", "/dev/sgx/provision")

GRAPHENE_DEVICES = ("/dev/gsgx", "/dev/isgx")
"""Of old Graphene, both of which it needs. Source: Graphene v1.2-rc1, manpages/gsc.rst."""

SHIELDED = ("sgx", "direct")
"""The backends that run a GSC image."""


def pick(settings: Settings) -> str:
    """Return the backend to run in: the named one, else sgx on a machine for it, else native.

    Whether it can run here is not looked at: ``preflight`` does that, and nothing falls back.
    """
    if settings.machine.backend != AUTO:
        return settings.machine.backend
    return "sgx" if is_for_sgx(settings.machine) else "native"


def announce(settings: Settings, backend: str) -> None:
    """Say which backend is taken where none was named, and how far it protects."""
    if backend != "sgx":
        note(unprotected(backend))
    elif settings.machine.backend == AUTO:
        note("backend sgx, since this machine has an SGX device")


def is_for_sgx(machine: MachineSettings) -> bool:
    """Tell whether a machine is one for SGX: a device is there, or at least named."""
    return bool(machine.sgx_device or enclave_device(machine))


def unprotected(backend: str) -> str:
    """Return the one plain line for every backend but sgx."""
    test_key = ", whose network is encrypted with a public test key" if backend == "direct" else ""
    return (
        f"backend {backend}{test_key}: not protected, this machine's owner can read and change "
        "everything"
    )


def device_paths(machine: MachineSettings) -> tuple[str, ...]:
    """Return where the SGX device is looked for: in the named place alone where one is named."""
    return (machine.sgx_device,) if machine.sgx_device else SGX_DEVICES


def enclave_device(machine: MachineSettings) -> str | None:
    """Return the SGX device's path, None where there is none."""
    return _first_device(device_paths(machine))


def provision_device(machine: MachineSettings) -> str | None:
    """Return the path of the device that quotes need, None where there is none."""
    named = machine.provision_device
    return _first_device([named] if named else PROVISION_DEVICES)


def is_device(path: str) -> bool:
    """Tell a device from the folder that Docker makes where one is missing."""
    return Path(path).is_char_device()


def check_devices(settings: Settings) -> None:
    """Refuse a machine without SGX device, and a named device that is none.

    Raises: WorkflowError.
    """
    machine = settings.machine
    if settings.gsc.dialect == GRAPHENE:
        needed: list[tuple[str, ...]] = [(path,) for path in GRAPHENE_DEVICES]
    else:
        needed = [device_paths(machine)]
        if machine.provision_device:
            needed.append((machine.provision_device,))
    for paths in needed:
        if _first_device(paths) is None:
            raise WorkflowError(f"{no_device(paths)}; look: inv doctor")


def no_device(paths: Sequence[str]) -> str:
    """Say that none of these is there, and of one that is something else, what it is."""
    other = next((Path(path) for path in paths if Path(path).exists()), None)
    kind = "" if other is None else f" is a {'folder' if other.is_dir() else 'file'}"
    return f"no SGX device ({other or paths[0]}{kind})"


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


def _first_device(paths: Sequence[str]) -> str | None:
    return next((path for path in paths if is_device(path)), None)
