"""The Merkle tree, against the RFC's recursive definition and the vectors of others."""

from __future__ import annotations

import hashlib
import random

import pytest

from pytorch_common.merkle import MerkleTree
from tests.enclave.reading import root_of

VECTOR_LEAVES = [
    *("", "00", "10", "2021", "3031", "40414243", "5051525354555657"),
    "606162636465666768696a6b6c6d6e6f",
]
VECTOR_ROOTS = {
    0: "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    1: "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    2: "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    3: "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    4: "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    5: "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    6: "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    7: "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    8: "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
}
"""Source: google/certificate-transparency, merkle tree tests."""


def split(size: int) -> int:
    """Return the largest power of two below the size."""
    power = 1
    while 2 * power < size:
        power *= 2
    return power


def head(leaves: list[bytes]) -> bytes:
    """Return MTH(leaves). Source: RFC 9162, 2.1.1."""
    if len(leaves) < 2:
        return hashlib.sha256(b"".join(b"\0" + leaf for leaf in leaves)).digest()
    k = split(len(leaves))
    return hashlib.sha256(b"\1" + head(leaves[:k]) + head(leaves[k:])).digest()


def path(index: int, leaves: list[bytes]) -> list[bytes]:
    """Return PATH(index, leaves). Source: RFC 9162, 2.1.3.1."""
    if len(leaves) < 2:
        return []
    k = split(len(leaves))
    if index < k:
        return [*path(index, leaves[:k]), head(leaves[k:])]
    return [*path(index - k, leaves[k:]), head(leaves[:k])]


@pytest.mark.parametrize("size", VECTOR_ROOTS)
def test_the_roots_are_those_of_certificate_transparency(size: int) -> None:
    leaves = [bytes.fromhex(leaf) for leaf in VECTOR_LEAVES[:size]]
    assert MerkleTree(leaves).root().hex() == VECTOR_ROOTS[size]


@pytest.mark.parametrize("size", [*range(1, 70), 127, 128, 129, 1000])
def test_roots_and_paths_are_those_of_the_rfc(size: int) -> None:
    draw = random.Random(size)  # noqa: S311 - data of a test
    leaves = [draw.randbytes(draw.randrange(40)) for _ in range(size)]
    tree = MerkleTree(iter(leaves))
    assert len(tree) == size
    assert tree.root() == head(leaves)
    for index in range(size) if size < 70 else draw.sample(range(size), 9):
        assert tree.path(index) == path(index, leaves)
        assert root_of(leaves[index], index, size, tree.path(index)) == tree.root()


def test_a_path_proves_its_own_leaf_at_its_own_place_and_nothing_else() -> None:
    leaves = [b"%d" % number for number in range(11)]
    tree = MerkleTree(leaves)
    for index, leaf in enumerate(leaves):
        proof = tree.path(index)
        assert root_of(leaf + b"0", index, 11, proof) != tree.root()
        for place in range(len(proof)):
            changed = [*proof[:place], bytes(32), *proof[place + 1 :]]
            assert root_of(leaf, index, 11, changed) != tree.root()
    # Two nodes are never taken for a leaf, nor a leaf for two nodes.
    inner = hashlib.sha256(b"\0" + leaves[0]).digest() + hashlib.sha256(b"\0" + leaves[1]).digest()
    assert MerkleTree([inner]).root() != MerkleTree(leaves[:2]).root()


@pytest.mark.parametrize("index", [-1, 3])
def test_there_is_no_path_to_no_leaf(index: int) -> None:
    with pytest.raises(IndexError):
        MerkleTree([b"a", b"b", b"c"]).path(index)
