"""In a shielded container of Gramine's GSC: under SGX, or in direct mode, for trying it without."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

from workflow.backends import gramine
from workflow.backends.container import ContainerBackend
from workflow.core.disk import GIB
from workflow.core.errors import WorkflowError
from workflow.core.settings import GscSettings, MachineSettings, Settings
from workflow.core.step import Look
from workflow.core.values import GRAMINE
from workflow.gsc import checkout, graminize, shielded_images
from workflow.gsc.measurement import measure
from workflow.gsc.modes import DIRECT, SGX, Mode, signed_name
from workflow.gsc.signer_key import check_key
from workflow.images.build_spec import TRAIN, base_torch, image_name
from workflow.images.container_spec import ContainerSpec, Device, Mount

AESM_SOCKET = "/var/run/aesmd/aesm.socket"
"""Where Gramine looks for AESM. Source: Gramine, host_platform.c."""
SGX_DEVICE = "/dev/sgx_enclave"
"""Where Gramine looks for the SGX device. Source: Gramine, host_framework.c."""

QUIET_SHELL = {"LC_ALL": "C"}
"""For the shell that starts Gramine: GSC sets a locale that is not in the image, and the shell
warns of it. The enclave gets the measured variables alone."""


class Shielded(ContainerBackend):
    """What all backends with an image of GSC have in common."""

    mode: ClassVar[Mode]
    image_steps = ("build", "gsc-build", "sign", "info")
    room_bytes = 12 * GIB
    """Of the plain images and GSC's: Gramine compiled, and each of ours unsigned and signed."""

    def image(self, settings: Settings, role: str) -> str:
        return signed_name(self.mode.app_name(image_name(settings, role)))

    def last_image(self, settings: Settings) -> str:
        return self.image(settings, TRAIN)

    def runnable(self, settings: Settings, role: str) -> tuple[str, list[str]]:
        return shielded_images.runnable(settings, role, self.mode)

    def place(self, settings: Settings) -> list[Look]:
        return [*super().place(settings), lambda: checkout.check_checkout(settings.gsc)]

    def making(self, settings: Settings) -> list[Look]:
        gsc, key = settings.gsc, self.mode.signing_key(settings.gsc)
        return [
            *super().making(settings),
            lambda: checkout.check_gramine(gsc),
            lambda: check_key(gsc, key),
            lambda: graminize.check_torch(settings, self.mode, base_torch(settings)),
        ]

    def before(self, settings: Settings, image: str) -> None:
        if self.mode.is_protected:
            shielded_images.check_can_hand_over(settings)
            shielded_images.warn_of_weaknesses(image)

    def facts(self, settings: Settings, role: str) -> dict[str, Any]:
        app = self.mode.app_name(image_name(settings, role))
        return {
            **super().facts(settings, role),
            "insecure": shielded_images.insecure_options(app),
            "measurement": dataclasses.asdict(measure(settings.gsc, app)),
        }


class Gramine(Shielded):
    """Today's."""

    seals = True

    def speaks(self, gsc: GscSettings) -> bool:
        return gsc.dialect == GRAMINE


class Sgx(Gramine):
    """Run in an enclave."""

    name = SGX.name
    mode = SGX
    strength = 3

    def is_automatic(self, settings: Settings) -> bool:
        return gramine.is_for_sgx(settings.machine)

    def place(self, settings: Settings) -> list[Look]:
        machine = settings.machine
        named = [[machine.provision_device]] if machine.provision_device else []
        needed = [gramine.device_paths(machine), *named]
        return [lambda: gramine.check_devices(needed), *super().place(settings)]

    def adapted(
        self, spec: ContainerSpec, settings: Settings, *, is_here: bool = True
    ) -> ContainerSpec:
        devices = devices_of(settings.machine, is_here=is_here)
        mounts, aesm = spec.mounts, settings.machine.aesm_socket
        if not is_here or aesm.is_socket():
            mounts = (*mounts, Mount(aesm, AESM_SOCKET))
        owners = {
            str(path.stat().st_gid) for device in devices if (path := Path(device.source)).exists()
        }
        groups = tuple(sorted(owners - {"0"}))
        return replace(spec, environment=QUIET_SHELL, devices=devices, mounts=mounts, groups=groups)

    def warning(self) -> str:
        return ""


class Direct(Gramine):
    """Run beside an enclave: all of Gramine but its protection."""

    name = DIRECT.name
    mode = DIRECT
    strength = 2

    def place(self, settings: Settings) -> list[Look]:
        return [*super().place(settings), lambda: checkout.seccomp_profile(settings)]

    def adapted(
        self, spec: ContainerSpec, settings: Settings, *, is_here: bool = True
    ) -> ContainerSpec:
        return replace(
            spec,
            environment={"GRAMINE_MODE": "direct", **QUIET_SHELL},
            seccomp=checkout.seccomp_profile(settings, is_here=is_here),
        )

    def warning(self) -> str:
        test_key = ", whose network is encrypted with a public test key"
        return super().warning().replace(f"backend {self.name}", f"backend {self.name}{test_key}")


BACKENDS = (Sgx(), Direct())


def devices_of(machine: MachineSettings, *, is_here: bool) -> tuple[Device, ...]:
    """Return the devices that SGX is given, as named or found; not ``is_here``, as usual.

    Raises: WorkflowError without an SGX device.
    """
    enclave = gramine.enclave_device(machine)
    provision = gramine.provision_device(machine)
    if not is_here:
        enclave = enclave or machine.sgx_device or SGX_DEVICE
        provision = provision or machine.provision_device
    if enclave is None:
        raise WorkflowError("backend sgx: no SGX device; look: inv doctor")
    devices = [Device(enclave, SGX_DEVICE)]
    if provision:
        devices.append(Device(provision, gramine.PROVISION_DEVICES[0]))
    return tuple(devices)


SGX_DEVICES = ("/dev/sgx_enclave", "/dev/sgx/enclave", "/dev/isgx")
"""The enclave device of the kernel's driver (5.11 and later), of Intel's older DCAP driver, and of
the out-of-tree driver for launch control by AESM. Source: gramine.readthedocs.io, "Software
packages"."""
PROVISION_DEVICES = ("/dev/sgx_provision", "/dev/sgx/provision")


def is_for_sgx(machine: MachineSettings) -> bool:
    """Tell whether a machine is one for SGX: a device is there, or at least named."""
    return bool(machine.sgx_device or enclave_device(machine))


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


def check_devices(needed: Sequence[Sequence[str]]) -> None:
    """Refuse a machine that has none of the paths of one of these groups as a device.

    Raises: WorkflowError.
    """
    for paths in needed:
        if _first_device(paths) is None:
            raise WorkflowError(f"{no_device(paths)}; look: inv doctor")


def no_device(paths: Sequence[str]) -> str:
    """Say that none of these is there, and of one that is something else, what it is."""
    other = next((Path(path) for path in paths if Path(path).exists()), None)
    kind = "" if other is None else f" is a {'folder' if other.is_dir() else 'file'}"
    return f"no SGX device ({other or paths[0]}{kind})"


def _first_device(paths: Sequence[str]) -> str | None:
    return next((path for path in paths if is_device(path)), None)
