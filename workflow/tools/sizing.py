"""How large an enclave is to be, from what its job took. Pure."""

from __future__ import annotations

import math
from dataclasses import dataclass

from workflow.core.usage import Usage

MIB = 2**20
MARGIN = 1 / 4
LEAST_MARGIN_BYTES = 512 * MIB
"""What reading the largest image takes that the limits admit (docs/steps.md)."""
PLAIN_BYTES = 256 * MIB
"""What Gramine adds to the memory that a job touches on plain Linux: for squeezenet1_1 it mapped
966 MiB, where natively 799 were touched. What is mapped there says nothing: 3.4 GiB."""
THREAD_BYTES = 360 * 2**10
"""Of an enclave for each of max_threads: a stack of 256 KiB, one for signals of 64, two frames of
16, two pages. Source: Gramine, sgx_sign.py and linux-sgx/pal_linux_defs.h."""
HELPERS = 3
"""Threads of Gramine's own that may have been asleep or too short to be seen: for processes, for
timers, for a pipe. Source: Gramine, manifest-syntax.rst, sgx.max_threads."""
LEAST_SPARE_THREADS = 4


@dataclass(frozen=True)
class Proposal:
    """Say what is proposed for one enclave, and of what it is made."""

    enclave_bytes: int
    """A power of two, as SGX wants it."""
    memory: str
    """What was measured and added, in words."""
    threads: int
    helpers: str
    """What was measured and added, in words."""


def propose(peak: Usage, max_threads: int, *, is_gramine: bool) -> Proposal:
    """Return what an enclave needs for a job that took this much.

    Under Gramine what is mapped counts, touched or not: without EDMM its place is in the enclave.
    """
    if is_gramine and peak.mapped_bytes:
        used, words = peak.mapped_bytes, f"{_mib(peak.mapped_bytes)} mapped"
    else:
        used = peak.resident_bytes + PLAIN_BYTES
        words = f"{_mib(peak.resident_bytes)} touched, {_mib(PLAIN_BYTES)} for Gramine"
    margin = max(math.ceil(used * MARGIN), LEAST_MARGIN_BYTES)
    places = max_threads * THREAD_BYTES
    spare = max(math.ceil(peak.threads * MARGIN), LEAST_SPARE_THREADS)
    return Proposal(
        1 << (used + margin + places - 1).bit_length(),
        f"{words}, {_mib(margin)} margin, {_mib(places)} for {max_threads} threads",
        4 * math.ceil((peak.threads + HELPERS + spare) / 4),
        f"{peak.threads} at one time, {HELPERS} of Gramine's own, {spare} spare",
    )


def manifest_size(size_bytes: int) -> str:
    """Return the size as a manifest has it."""
    gib, rest = divmod(size_bytes, 2**30)
    return f"{size_bytes // MIB}M" if rest else f"{gib}G"


def _mib(size_bytes: int) -> str:
    return f"{math.ceil(size_bytes / MIB)} MiB"
