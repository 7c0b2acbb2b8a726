"""What Gramine says when it cannot go on, and what that means for a person. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence

_ADVICE = (
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
        "take sgx.edmm_enable out of manifests/: this machine has no EDMM",
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


def explained(error: str) -> str:
    """Return Gramine's own error with what it means, or as it is where that is not known."""
    for pattern, advice in _ADVICE:
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
