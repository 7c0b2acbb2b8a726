"""What a settled image is measured by, part by part, and the MRENCLAVE that it comes to."""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from pytorch_common.contract import RUNTIME_DIR, RUNTIME_PACK
from workflow.core.errors import WorkflowError
from workflow.gsc import manifest, runtime_pack
from workflow.gsc.sign_image import (
    MRENCLAVE,
    PRODUCT,
    SIGNATURE,
    SIGSTRUCT_BYTES,
    SVN,
    signature,
)
from workflow.gsc.signer_key import throwaway_pem
from workflow.images.container_spec import ContainerSpec

GRAMINE_LOADERS = (
    "/gramine/meson_build_output/lib/x86_64-linux-gnu/gramine/sgx/libpal.so",
    "/gramine/meson_build_output/bin/gramine-sgx-sign",
)
"""Of Gramine, what is measured or measures, and no trusted file: the enclave's first binary."""
PACKAGE_LIST = "/usr/local/share/enclave-finetune-packages"
"""What dockerfiles/apt.sh writes down: name, version, architecture, SHA-256 a line."""
PACKAGE_FORMAT = "${db:Status-Abbrev}${Package} ${Version} ${Architecture}\\n"
SHORT = 16
"""Hex digits that tell one file from another; the identity is the MRENCLAVE."""


@dataclass(frozen=True)
class Inventory:
    """Say what one enclave is made of."""

    role: str
    mrenclave: str
    isv_prod_id: int
    isv_svn: int
    manifest: Mapping[str, str] = field(default_factory=dict)
    """The keys of its manifest but the trusted files, and each value: a text, or JSON."""
    files: Mapping[str, str] = field(default_factory=dict)
    """Every file that it can read of its image, by its path there, and how its SHA-256 begins.
    What is packed has the path that it is unpacked to."""
    packages: Mapping[str, str] = field(default_factory=dict)
    """The system's packages, and each one's version, with how its file's SHA-256 begins where the
    base's build wrote it down."""


def take(image: str, role: str) -> Inventory:
    """Return what a settled image is made of, by the one with Gramine's tools in it.

    The key that signs is kept nowhere.

    Raises: WorkflowError where it cannot be measured.
    """
    from workflow.images import daemon

    settled = manifest.parse(daemon.read_file(image, manifest.IN_IMAGE), image)
    mrenclave, product, svn = measured(image, signature(image, image, throwaway_pem()))
    files = trusted(settled)
    allowed = settled["sgx"].get("allowed_files", [])
    if any(uri.endswith(RUNTIME_PACK) for uri in allowed):
        index = daemon.read_file(image, runtime_pack.INDEX_IN_IMAGE)
        files.update(packed(index))
    files.update(_loaders(image))
    facts = flattened(settled)
    return Inventory(role, mrenclave, product, svn, facts, files, _packages(image))


def measured(unsigned: str, made: Mapping[str, bytes]) -> tuple[str, int, int]:
    """Return MRENCLAVE, product and SVN, as the signer wrote them.

    Raises: WorkflowError where that is no SIGSTRUCT.
    """
    sigstruct = made[SIGNATURE[0]]
    if len(sigstruct) != SIGSTRUCT_BYTES:
        raise WorkflowError(
            f"{unsigned}: expected a signature of {SIGSTRUCT_BYTES} bytes, got {len(sigstruct)}"
        )
    product, svn = (int.from_bytes(sigstruct[at], "little") for at in (PRODUCT, SVN))
    return sigstruct[MRENCLAVE].hex(), product, svn


def flattened(settled: Mapping[str, Any]) -> dict[str, str]:
    """Return the manifest's keys, sorted, and their values; without the trusted files."""

    def walk(table: Mapping[str, Any], before: str) -> dict[str, str]:
        found: dict[str, str] = {}
        for key, value in table.items():
            name = f"{before}{key}"
            if isinstance(value, Mapping):
                found.update(walk(value, f"{name}."))
            elif name != "sgx.trusted_files":
                found[name] = value if isinstance(value, str) else json.dumps(value, sort_keys=True)
        return found

    return dict(sorted(walk(settled, "").items()))


def trusted(settled: Mapping[str, Any]) -> dict[str, str]:
    """Return the manifest's trusted files, by their path, and how the SHA-256 of each begins."""
    entries = settled["sgx"].get("trusted_files", [])
    return {each["uri"].removeprefix("file:"): each["sha256"][:SHORT] for each in entries}


def packed(index: bytes) -> dict[str, str]:
    """Return the files of a runtime pack from its index, by the path that they are unpacked to."""
    found = {}
    for line in index.splitlines():
        sha256, _, _, name = line.decode("utf-8", "backslashreplace").split(" ", 3)
        found[f"{RUNTIME_DIR}/{name}"] = sha256.removeprefix("\\")[:SHORT]
    return found


def package_query(image: str) -> ContainerSpec:
    """Return the container that lists the packages of an image."""
    arguments = ("-W", "-f", PACKAGE_FORMAT)
    return ContainerSpec(image, user="", arguments=arguments, entrypoint="dpkg-query")


def packages(lines: Iterable[str], digests: str = "") -> dict[str, str]:
    """Return what is installed, of the lines of ``package_query`` and of the base's own list."""
    known = {tuple(line.split(" ")[:3]): line.split(" ")[3] for line in digests.splitlines()}
    found = {}
    for line in lines:
        status, (name, version, architecture) = line[:3], line[3:].split(" ")
        if status.startswith("ii"):
            sha256 = known.get((name, version, architecture), "-")
            digest = "" if sha256 == "-" else f" sha256 {sha256[:SHORT]}"
            found[f"{name}:{architecture}"] = version + digest
    return found


def _packages(image: str) -> dict[str, str]:
    from workflow.images import container_run, daemon

    lines: list[str] = []
    said: list[str] = []
    ended = container_run.run(package_query(image), lines.append, said.append)
    if ended.status:
        last = said[-1] if said else f"status {ended.status}"
        raise WorkflowError(f"{image}: its packages cannot be listed: {last}")
    with contextlib.suppress(daemon.MissingFileError):
        return packages(lines, daemon.read_file(image, PACKAGE_LIST).decode())
    return packages(lines)


def _loaders(image: str) -> dict[str, str]:
    from workflow.images import daemon

    found = {path: daemon.read_file(image, path) for path in GRAMINE_LOADERS}
    return {path: hashlib.sha256(data).hexdigest()[:SHORT] for path, data in found.items()}
