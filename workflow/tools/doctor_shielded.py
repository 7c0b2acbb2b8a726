"""What the doctor sees of the shielded path: Docker, GSC, SGX and the images that are there."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from workflow.backends import gramine
from workflow.backends.gramine import Shielded
from workflow.core.settings import GscSettings, Settings
from workflow.core.step import problem
from workflow.gsc import checkout, commands, epc, shielded_images
from workflow.gsc.modes import MODES, signed_name
from workflow.images.build_spec import ROLES, image_name


@dataclass(frozen=True)
class Check:
    """Say what was looked at and what was found."""

    name: str
    """What was looked at."""
    state: str
    """ok, missing (a task makes it, or a stronger backend needs it), insecure (it works,
    but protects less), or bad (nothing works until it is mended)."""
    found: str
    """What is there, in words."""
    mend: str = ""
    """The command that mends it, empty where nothing is to be mended."""


LOWEST_API = (1, 41)
"""Of the Docker daemon: that of Engine 20.10, with which this project was run."""
DRIVER_KERNEL = (5, 11)
"""First kernel with the SGX driver built in. Source: Linux, Documentation/arch/x86/sgx.rst."""
EDMM_KERNEL = (6, 0)
"""First kernel with SGX2. Source: Linux, Documentation/arch/x86/sgx.rst."""
GSC_IMPORTS = ("docker", "jinja2", "tomli", "tomli_w", "yaml")


def shield_checks(settings: Settings) -> list[Check]:
    """Look at everything that the backends docker, direct and sgx need."""
    return [
        *docker_checks(),
        gsc_check(settings),
        python_needs_check(),
        *sgx_checks(settings, epc.SYSTEM, Path("/proc")),
        key_check(settings.gsc),
        *image_checks(settings),
    ]


def docker_checks() -> list[Check]:
    """Look at the daemon: whether it answers, how old it is, how much disk it has."""
    from workflow.images import daemon

    if problem := daemon.problem():
        found, _, mend = problem.partition("; ")
        if mend.startswith("start it"):
            mend = (
                "install Docker Engine; sudo systemctl start docker; sudo usermod -aG docker $USER"
            )
        return [Check("docker", "missing", found, mend)]
    facts = daemon.facts()
    root = ", without root" if facts["rootless"] else ""
    found = f"{facts['version']}, API {facts['api_version']}{root}"
    api = tuple(int(part) for part in str(facts["api_version"]).split("."))
    recent = Check("docker", "ok", found)
    if api < LOWEST_API:
        recent = Check("docker", "missing", found, "install Docker Engine 20.10 or later")
    return [recent, disk_check(Path(facts["folder"]))]


def disk_check(folder: Path) -> Check:
    """Check the room where Docker keeps its images."""
    try:
        free = shutil.disk_usage(folder).free
    except OSError:
        return Check("docker disk", "ok", f"{folder} is not for this user to look at")
    text = f"{free / 2**30:.1f} GiB free in {folder}"
    if free < Shielded.room_bytes:
        return Check("docker disk", "missing", text, "docker system prune")
    return Check("docker disk", "ok", text)


def gsc_check(settings: Settings) -> Check:
    """Look for GSC, and at which commit it is."""
    if problem := checkout.gsc_problem(settings.gsc):
        return Check("gsc", "missing", problem.split(" (")[0], "inv gsc-setup")
    commit = checkout.version(settings.gsc)
    if problem := commands.version_problem(settings.gsc, commit):
        return Check("gsc", "missing", *problem.split("; run: "))
    if untried := commands.untried(settings.gsc):
        return Check("gsc", "insecure", untried, "take gsc.commit out of the settings")
    return Check("gsc", "ok", f"{settings.gsc.dir} at {commit[:12]}")


def python_needs_check(imports: Sequence[str] = GSC_IMPORTS) -> Check:
    """Check that what GSC imports is in this environment, which is the one it runs in."""
    lacking = [name for name in imports if importlib.util.find_spec(name) is None]
    if lacking:
        return Check("gsc's needs", "missing", f"not here: {', '.join(lacking)}", "./inv doctor")
    return Check("gsc's needs", "ok", ", ".join(imports))


def sgx_checks(settings: Settings, system: Path, process: Path) -> list[Check]:
    """Look at the devices, AESM, the enclave memory and the kernel."""
    machine, gsc = settings.machine, settings.gsc
    enclaves = {role: epc.enclave_bytes(gsc, role) for role in ROLES}
    kernel = os.uname().release
    device = gramine.no_device(gramine.device_paths(machine))
    return [
        _found(
            "sgx device",
            gramine.enclave_device(machine),
            f"{device}; processor {processor_sgx(process)}",
            "enable SGX in the firmware; a kernel from 5.11 on has the driver",
        ),
        _found(
            "sgx provision",
            gramine.provision_device(machine),
            "none; needed for quotes alone",
            "as for the device",
        ),
        _found(
            "aesm",
            str(machine.aesm_socket) if machine.aesm_socket.is_socket() else None,
            f"no {machine.aesm_socket}; needed for quotes alone",
            "install sgx-aesm-service",
        ),
        epc_check(epc.epc_bytes(system), enclaves, edmm=gsc.edmm),
        edmm_check(kernel, process, edmm=gsc.edmm),
        kernel_check(kernel),
    ]


def processor_sgx(process: Path) -> str:
    """Say whether the processor's flags name SGX."""
    return "has SGX" if "sgx" in _flags(process) else "shows no SGX"


def epc_check(epc_bytes: int | None, enclaves: dict[str, int], *, edmm: bool) -> Check:
    """Hold the enclave page cache to the enclaves: a larger one works, but is swapped."""
    if epc_bytes is None:
        return Check("epc", "missing", "size unknown", "a kernel from 5.17 on says it")
    for role, size in enclaves.items():
        if line := epc.misfit(epc_bytes, role, size, edmm=edmm):
            mend = "enlarge it in the firmware, or lower sgx.enclave_size: inv size"
            return Check("epc", "missing", line, mend)
    return Check("epc", "ok", epc.size_text(epc_bytes))


def edmm_check(kernel: str, process: Path, *, edmm: bool) -> Check:
    """Say whether enclave memory can be added as it is needed, and whether it is asked for."""
    if "sgx2" in _flags(process) and _version(kernel) >= EDMM_KERNEL:
        return Check(
            "edmm", "ok", "here, and used" if edmm else "here; inv gsc-build --edmm uses it"
        )
    if edmm:
        mend = "take gsc.edmm out of the settings"
        return Check("edmm", "missing", "gsc.edmm is set, but this machine has none", mend)
    return Check("edmm", "missing", "none: the whole enclave is committed at its start")


def kernel_check(kernel: str) -> Check:
    """Check that the kernel has the SGX driver."""
    if _version(kernel) < DRIVER_KERNEL:
        return Check("kernel", "missing", f"{kernel}, without SGX driver", "Linux 5.11 or later")
    return Check("kernel", "ok", kernel)


def key_check(checkout: GscSettings) -> Check:
    """Look for the signing key, and at who may read it."""
    key = checkout.key
    if not key.is_file():
        mend = "name one that is there" if checkout.key_is_named else "inv sign makes it"
        return Check("signing key", "missing", f"none in {key}", mend)
    if key.stat().st_mode & 0o077:
        return Check("signing key", "insecure", f"{key}: others may read it", f"chmod 600 {key}")
    return Check("signing key", "ok", str(key))


def image_checks(settings: Settings) -> list[Check]:
    """Look at the shielded images: whether they are of today, and what weakens them."""
    from workflow.images import daemon

    if daemon.problem():
        return []
    checks = []
    for mode in MODES.values():
        for role in ROLES:
            app = mode.app_name(image_name(settings, role))
            if daemon.find_image(signed_name(app)):
                weak = shielded_images.insecure_options(app)
                stale = problem(partial(shielded_images.current_image, settings, role, mode))
                checks.append(image_check(signed_name(app), weak, stale))
    return checks


def image_check(name: str, weak: Sequence[str], stale: str) -> Check:
    """Return the check of one shielded image."""
    if weak:
        return Check(name, "insecure", ", ".join(weak))
    if stale:
        return Check(name, "missing", *stale.split("; run: ", 1))
    return Check(name, "ok", "of today's image and manifests")


def _found(name: str, what: str | None, lacking: str, mend: str) -> Check:
    return Check(name, "ok", what) if what else Check(name, "missing", lacking, mend)


def _flags(process: Path) -> set[str]:
    try:
        text = (process / "cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return set()
    return {flag for line in re.findall(r"^flags\s*:(.*)$", text, re.M) for flag in line.split()}


def _version(kernel: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", kernel)[:2])
