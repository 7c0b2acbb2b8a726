"""The enclave page cache of this machine, and whether the enclaves fit into it."""

from __future__ import annotations

import re
from pathlib import Path

from workflow.core.errors import WorkflowError
from workflow.core.settings import GscSettings
from workflow.gsc import manifest

SYSTEM = Path("/sys")
EPC_FILES = "devices/system/node/node*/x86/sgx_total_bytes"
"""Below /sys, a file for each memory node. Source: Linux, Documentation/ABI/testing."""

_UNITS = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}


def epc_bytes(system: Path = SYSTEM) -> int | None:
    """Return the size of the enclave page cache, None where the kernel does not say."""
    try:
        sizes = [int(path.read_bytes()) for path in system.glob(EPC_FILES)]
    except (OSError, ValueError):
        return None
    return sum(sizes) if sizes else None


def enclave_bytes(gsc: GscSettings, role: str) -> int:
    """Return the size of the role's enclave, from its manifest.

    Raises: WorkflowError where the manifest has none.
    """
    path = manifest.user_manifest(gsc, role)
    return size_bytes(manifest.parse(path.read_bytes(), str(path)), str(path))


def size_bytes(made: manifest.Manifest, name: str) -> int:
    """Return the size of the enclave that a manifest asks for.

    Raises: WorkflowError where it has none.
    """
    size = str(made.get("sgx", {}).get("enclave_size"))
    found = re.fullmatch(r"(\d+)([KMGT]?)", size)
    if found is None:
        raise WorkflowError(f"{name}: expected sgx.enclave_size like 4G, got {size}")
    return int(found[1]) * _UNITS[found[2]]


def misfit(epc: int | None, role: str, size: int, *, edmm: bool) -> str:
    """Say that the enclave is larger than the page cache; empty where it fits, or is not known.

    With EDMM its size is what it may grow to, not what it takes at its start.
    """
    if epc is None or edmm or size <= epc:
        return ""
    return (
        f"{size_text(epc)}, less than the {size_text(size)} of the {role} enclave: all of it is "
        "committed at its start, so it is swapped, which is slow"
    )


def size_text(size: int) -> str:
    """Return the size in the unit that people say it in."""
    if size >= 2**30:
        return f"{size / 2**30:.1f} GiB".replace(".0 ", " ")
    return f"{size / 2**20:.0f} MiB"
