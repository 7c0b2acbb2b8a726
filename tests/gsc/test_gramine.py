"""What Gramine says when it cannot go on, and what the person reads."""

from __future__ import annotations

import pytest

from workflow.gsc import failures

TOO_LARGE = "the enclave does not fit into this machine's EPC"
AESM = "the AESM service does not answer"
TOO_OLD = "this processor or kernel is too old for Gramine"
CHANGED = "a file is not the one that was measured; run: inv gsc-build, inv sign"

EXPLAINED = [
    (
        "Cannot open /dev/sgx_enclave (No such file or directory (ENOENT)). This may happen "
        "because the current user has insufficient permissions to this device, your kernel is too "
        "old or your machine doesn't support SGX. Use is-sgx-available tool to get more "
        "information.",
        "the container has no SGX device, or its user may not use it; look: inv doctor",
    ),
    (
        "Cannot open /dev/sgx_enclave (Permission denied (EACCES)). This may happen because",
        "the container has no SGX device, or its user may not use it; look: inv doctor",
    ),
    ("setting personality failed: Operation not permitted (EPERM)", "machine.seccomp"),
    ("Enclave add-pages IOCTL failed: Cannot allocate memory (ENOMEM)", TOO_LARGE),
    ("Adding pages (free) to enclave failed: Cannot allocate memory (ENOMEM)", TOO_LARGE),
    ("Creating enclave failed: Cannot allocate memory (ENOMEM)", TOO_LARGE),
    ("Enclave creation IOCTL failed: Cannot allocate memory (ENOMEM)", TOO_LARGE),
    ("Allocation of EPC memory failed: Cannot allocate memory (ENOMEM)", TOO_LARGE),
    (
        "Enclave creation IOCTL failed with Input/output error (EIO). Probably your manifest "
        'requires CPU features (e.g. `sgx.cpu_features.avx512 = "required"`) that are not '
        "available on this platform.",
        "the manifest asks for processor features that are not here",
    ),
    ("Enclave initialization IOCTL failed: Operation not permitted (EPERM)", "inv sign"),
    ("Enclave initialization IOCTL failed: Invalid SIGSTRUCT", "launch control admits your key"),
    (
        "Cannot connect to AESM service (tried /var/run/aesmd/aesm.socket and "
        "/var/run/aesmd.socket UNIX sockets).",
        AESM,
    ),
    (
        "AESM service returned error 30; this may indicate that infrastructure for the DCAP "
        "attestation requested by Gramine is missing on this machine",
        AESM,
    ),
    (
        "EDMM feature was requested in manifest, but CPU doesn't support it",
        "build without gsc.edmm",
    ),
    (
        "Gramine with Linux-SGX backend requires support for FSGSBASE CPU instructions in the host "
        "kernel. Please update your system.",
        TOO_OLD,
    ),
    (
        "Gramine with Linux-SGX backend requires AVX CPU instruction(s). Please upgrade your "
        "hardware.",
        TOO_OLD,
    ),
    (
        "{RD,WR}{FS,GS}BASE instructions are not permitted on this platform. Please check the "
        'instructions under "Building with SGX support" from Gramine documentation.',
        TOO_OLD,
    ),
    ("Permission denied on mapping enclave. You may need to set sysctl", "vm.mmap_min_addr"),
    ("Hash of trusted file '/app/x.py' does not match with the reference hash", CHANGED),
    ("PAL failed Cannot load arguments from 'loader.argv_src_file': Invalid argument", CHANGED),
    ("Disallowing access to file '/x'; file is not allowed.", CHANGED),
    ("/handover/net.pt cannot be read: [Errno 13] Permission denied", "the sealed network was"),
    ("[Errno 1] Operation not permitted: '/app/x.py'", "a measured file was changed"),
    ("[Errno 13] Permission denied: '/usr/x'", "needs a line in manifests/finish.toml"),
    (
        "DefaultCPUAllocator: can't allocate memory: you tried to allocate 4 bytes",
        "raise sgx.enclave_size",
    ),
]


@pytest.mark.parametrize(("error", "advice"), EXPLAINED)
def test_a_known_error_keeps_its_words_and_says_what_to_do(error: str, advice: str) -> None:
    said = failures.explained(error)
    assert said.startswith(error.rstrip(".") + "; ")
    assert advice in said.removeprefix(error.rstrip("."))
    assert "\n" not in said


def test_an_unknown_error_stays_as_it_is() -> None:
    assert failures.explained("no images in /in/x") == "no images in /in/x"


@pytest.mark.parametrize(
    ("status", "out_of_memory", "said"),
    [
        (137, True, "gsc-x was killed: the machine ran out of memory"),
        (137, False, "gsc-x was killed from outside (status 137)"),
        (254, False, "gsc-x ended with status 254; its lines stand above"),
    ],
)
def test_an_end_without_a_word_is_described(status: int, out_of_memory: bool, said: str) -> None:
    assert failures.ended("gsc-x", status, out_of_memory=out_of_memory) == said
