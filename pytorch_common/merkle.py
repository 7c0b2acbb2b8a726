"""The Merkle tree of RFC 9162, section 2.1: one short digest for many results, a path for each."""

from __future__ import annotations

from hashlib import sha256
from typing import Iterable

HASH_BYTES = 32
LEAF, NODE = b"\0", b"\1"


class MerkleTree:
    """A tree over the data of its leaves, in their order. It keeps some 64 bytes a leaf."""

    def __init__(self, leaves: Iterable[bytes]) -> None:
        """Hash the leaves one after the other; none of their data is kept."""
        level = bytearray()
        for data in leaves:
            level += sha256(LEAF + data).digest()
        self._levels = [bytes(level)]
        while len(self._levels[-1]) > HASH_BYTES:
            self._levels.append(_parents(self._levels[-1]))

    def __len__(self) -> int:
        """Return the number of leaves."""
        return len(self._levels[0]) // HASH_BYTES

    def root(self) -> bytes:
        """Return the root hash; of no leaves, that of nothing at all."""
        return self._levels[-1] or sha256().digest()

    def path(self, index: int) -> list[bytes]:
        """Return the audit path of a leaf: the hashes beside the way up, the leaf's sibling first.

        A node without a sibling goes up as it is. That is the tree of the RFC, which splits at the
        largest power of two below the number of leaves: only the last node of a level can be alone.

        Raises: IndexError where there is no such leaf.
        """
        if not 0 <= index < len(self):
            raise IndexError(index)
        hashes = []
        for level in self._levels[:-1]:
            start = (index ^ 1) * HASH_BYTES
            if start < len(level):
                hashes.append(level[start : start + HASH_BYTES])
            index >>= 1
        return hashes


def _parents(level: bytes) -> bytes:
    """Return the level above: the hash of each two, and the last one as it is where it is alone."""
    pair = 2 * HASH_BYTES
    above = bytearray()
    for start in range(0, len(level), pair):
        nodes = level[start : start + pair]
        above += sha256(NODE + nodes).digest() if len(nodes) == pair else nodes
    return bytes(above)
