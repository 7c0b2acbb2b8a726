"""In a shielded container of old Graphene's GSC, which hands the network over in plain."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from workflow.backends import gramine
from workflow.backends.gramine import AESM_SOCKET, Direct, Sgx, Shielded
from workflow.core.settings import GscSettings, Settings
from workflow.core.step import Look
from workflow.core.values import GRAPHENE
from workflow.gsc import checkout
from workflow.gsc.modes import DIRECT, SGX
from workflow.images.container_spec import ContainerSpec, Device, Mount

DEVICES = ("/dev/gsgx", "/dev/isgx")
"""Both of which it needs. Source: Graphene v1.2-rc1, manpages/gsc.rst."""


class Graphene(Shielded):
    """Past its end of life: it has no sealing key, and was never run here."""

    def speaks(self, gsc: GscSettings) -> bool:
        return gsc.dialect == GRAPHENE


class GrapheneSgx(Graphene):
    """Run in an enclave."""

    name = SGX.name
    mode = SGX
    strength = Sgx.strength

    def is_automatic(self, settings: Settings) -> bool:
        return gramine.is_for_sgx(settings.machine)

    def place(self, settings: Settings) -> list[Look]:
        needed = [(path,) for path in DEVICES]
        return [lambda: gramine.check_devices(needed), *super().place(settings)]

    def adapted(
        self, spec: ContainerSpec, settings: Settings, *, is_here: bool = True
    ) -> ContainerSpec:
        devices = tuple(Device(path, path) for path in DEVICES)
        mounts = (*spec.mounts, Mount(Path(AESM_SOCKET), AESM_SOCKET))
        return replace(spec, devices=devices, mounts=mounts)

    def warning(self) -> str:
        return ""


class GrapheneDirect(Graphene):
    """Run beside an enclave; the mode is chosen by a variable."""

    name = DIRECT.name
    mode = DIRECT
    strength = Direct.strength

    def place(self, settings: Settings) -> list[Look]:
        return [*super().place(settings), lambda: checkout.seccomp_profile(settings)]

    def adapted(
        self, spec: ContainerSpec, settings: Settings, *, is_here: bool = True
    ) -> ContainerSpec:
        return replace(spec, environment={"GSC_PAL": "Linux"})

    def warning(self) -> str:
        return Direct().warning()


BACKENDS = (GrapheneSgx(), GrapheneDirect())
