"""What GSC and Gramine say when they cannot go on, and what that means for a person. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence

_KEY = "give --key an RSA key of 3072 bits with exponent 3: openssl genrsa -3 -out KEY 3072"

# The most telling first: GSC's own last line says no more than that it failed.
_OF_GSC = (
    (r"Invalid RSA key: expected .*", _KEY),
    (r"Invalid key: expected RSA private key.*", _KEY),
    (r"Cannot find original application Docker image .*", "run: inv build"),
    (r"Cannot find unsigned gra\w+ized Docker image .*", "run: inv gsc-build"),
    (r"Could not find gra\w+ized Docker image .*", "run: inv gsc-build, then: inv sign"),
    (r"FileNotFoundError: .*entrypoint\.sig.*", "the image is not signed: inv sign"),
    (r"Cannot find base-Gramine Docker image .*", "inv gsc-setup --gramine-image NAME, or without"),
    (r"Manifest file .* does not exist", "it belongs to the project: git checkout manifests"),
    (r"Failed to parse the .* file\. Error: .*", "mend the TOML of that manifest"),
    (r"error in manifest: .*", "mend the manifests; Gramine's documentation names its keys"),
    (r"name 'ManifestError' is not defined.*", "GSC takes allowed files for trusted ones: put them "
        "into manifests/finish.toml, not into a manifest that GSC is given"),
    (r"IsADirectoryError.*", "GSC takes allowed folders for trusted files: put them into "
        "manifests/finish.toml, not into a manifest that GSC is given"),
    (r"\S* ?distro is not supported by GSC.*", "inv gsc-setup writes one that is"),
    (r"Missing `Gramine` section.*|`Gramine\.\w+` is .*", "run: inv gsc-setup"),
    (r"DockerException: .*|PermissionError: .*docker.*", "start the Docker daemon: inv doctor"),
    (r"ModuleNotFoundError: No module named .*", "GSC needs it: ./inv installs it"),
    (r"[Nn]o space left on device.*", "free some disk; docker system df shows what Docker has"),
    (r"Temporary failure resolving .*|Could not resolve host.*", "the build found no network"),
    (r"returned a non-zero code: .*", "the step's own lines stand above"),
    (r"Failed to build (?:a )?(?:un)?signed gra\w+ized .ocker image .*", "the lines above say why"),
    (r"Final gra\w+ized image .* already exists", "GSC keeps an old image: run it again"),
)  # fmt: skip

_OF_GRAMINE = (
    (
        r"Cannot open /dev/sgx_enclave",
        "the container has no SGX device, or its user may not use it; look: inv doctor, or run "
        "with --backend direct, which protects nothing",
    ),
    (
        r"setting personality failed",
        "Docker's own seccomp profile forbids what Gramine needs; name Gramine's "
        "docker_seccomp.json in machine.seccomp, or run: inv gsc-setup",
    ),
    (
        r"Adding pages .* to enclave failed|add-pages IOCTL failed|Creating enclave failed"
        r"|Enclave creation IOCTL failed: .*ENOMEM|Allocation of EPC memory failed",
        "the enclave does not fit into this machine's EPC; lower sgx.enclave_size in manifests/, "
        "and look: inv doctor",
    ),
    (
        r"Enclave creation IOCTL failed with .*EIO",
        "the manifest asks for processor features that are not here",
    ),
    (
        r"Enclave initialization IOCTL failed",
        "the processor refused the signature: sign again (inv sign), and see that launch control "
        "admits your key",
    ),
    (
        r"AESM|aesmd",
        "the AESM service does not answer: systemctl start aesmd, or set machine.aesm_socket",
    ),
    (
        r"EDMM feature was requested",
        "build without gsc.edmm: this machine has no EDMM",
    ),
    (
        r"Permission denied on mapping enclave",
        "the kernel keeps the address that the enclave needs: sysctl vm.mmap_min_addr=0",
    ),
    (r"FSGSBASE|FS,GS.BASE|CPU instruction", "this processor or kernel is too old for Gramine"),
    (
        r"trusted file|not trusted or allowed|file is not allowed|loader\.argv_src_file",
        "a file is not the one that was measured; run: inv gsc-build, inv sign",
    ),
    (
        r"/handover/.*(Permission denied|cannot be read)",
        "the sealed network was changed or renamed, or sealed by another signer, product, version "
        "or machine: inv train, inv copy-net",
    ),
    (
        r"Operation not permitted",
        "a measured file was changed; run: inv gsc-build, inv sign",
    ),
    (
        r"Permission denied",
        "the enclave may read what was measured alone, and write to /out; a file beyond that needs "
        "a line in manifests/finish.toml",
    ),
    (
        r"Cannot allocate memory|MemoryError|Out of memory|DefaultCPUAllocator",
        "the enclave is too small: raise sgx.enclave_size in manifests/ (a power of two), then "
        "inv gsc-build, inv sign",
    ),
)
"""Patterns and advice, the most telling first. Source: the log_error calls of Gramine v1.9's host
side (pal/src/host), and runs of it."""

_KILLED = 137


def failure(lines: Sequence[str]) -> str:
    """Return in one line why GSC failed: what, expected and got, next command.

    ``lines`` are of both its outputs, since it reports errors on either. Source of the patterns:
    gsc.py and finalize_manifest.py of the pinned GSC, and runs of it.
    """
    for pattern, advice in _OF_GSC:
        for line in reversed(lines):
            if found := re.search(pattern, line):
                return f"{_unwrapped(found.group(0))}; {advice}"
    last = next((line for line in reversed(lines) if line.strip()), "it printed nothing")
    return f"{_unwrapped(last)}; the lines above say more"


def is_already_there(lines: Sequence[str]) -> bool:
    """Tell whether GSC kept an old image: it then says so and leaves with status 0."""
    return any(
        re.search(r"Final gra(?:min|phen)ized image .* already exists", line) for line in lines
    )


def explained(error: str) -> str:
    """Return Gramine's own error with what it means, or as it is where that is not known."""
    for pattern, advice in _OF_GRAMINE:
        if re.search(pattern, error):
            return f"{error.rstrip('.')}; {advice}"
    return error


def changed(what: str, files: Sequence[str]) -> str:
    """Say in one line that measured files are not as measured, so that the enclave refused them."""
    more = f" and {len(files) - 3} more" if len(files) > 3 else ""
    return (
        f"{what}: changed since it was measured, and refused: {', '.join(files[:3])}{more}; "
        "run: inv gsc-build, inv sign"
    )


def ended(what: str, status: int, *, out_of_memory: bool) -> str:
    """Say in one line how a container ended that said nothing itself."""
    if out_of_memory:
        return f"{what} was killed: the machine ran out of memory"
    if status == _KILLED:
        return f"{what} was killed from outside (status {status})"
    return f"{what} ended with status {status}; its lines stand above"


def _unwrapped(line: str) -> str:
    return " ".join(line.replace("`", "").split())[:300].rstrip(".;:")
