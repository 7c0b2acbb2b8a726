"""Merkle trees by the recursion in RFC 9162, and by no other way: slow, and easy to read."""

from __future__ import annotations

import hashlib


def split(count: int) -> int:
    """Return the largest power of two below the number."""
    return 1 << (count - 1).bit_length() - 1


def tree_hash(leaves: list[bytes]) -> bytes:
    """Return MTH, by the recursion in RFC 9162, 2.1.1, and by no other way."""
    if len(leaves) < 2:
        return hashlib.sha256(b"\0" + leaves[0] if leaves else b"").digest()
    k = split(len(leaves))
    return hashlib.sha256(b"\1" + tree_hash(leaves[:k]) + tree_hash(leaves[k:])).digest()


def path(leaves: list[bytes], index: int) -> list[bytes]:
    """Return PATH, by the recursion in RFC 9162, 2.1.3.1."""
    if len(leaves) < 2:
        return []
    k = split(len(leaves))
    if index < k:
        return [*path(leaves[:k], index), tree_hash(leaves[k:])]
    return [*path(leaves[k:], index - k), tree_hash(leaves[:k])]
