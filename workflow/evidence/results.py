"""What a classification says: each result, its path in the Merkle tree (RFC 9162), its network."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pytorch_common.contract import NET_FILE, PROOFS_FILE, RESULT_JSON_FILE, is_sha256
from workflow.core.errors import WorkflowError
from workflow.evidence.builder import Builder, check_run, parse_builder, subject_digest
from workflow.evidence.claims import CLASSIFICATION_TYPE, Claim, RunKey
from workflow.evidence.reading import MIB, expect, members, named, parse_json, same

CLASSIFIED = "CLASSIFIED_IN_SGX_ENCLAVE"
ALGORITHM = "rfc9162-sha256"
MOST_RESULTS = 10_000_000
MOST_PATH = 24
"""Hashes in a path: one a level of the tree."""
RESULT_MOST_BYTES = 256 * MIB
PROOF_MOST_BYTES = 4 * MIB
"""Of one line: 10,000 classes can stand in a result."""


@dataclass(frozen=True)
class Answers:
    """Hold what a classification says of itself."""

    result: str
    """SHA-256 of result.json."""
    network: str
    """SHA-256 of the network that answered."""
    code: str
    run: Mapping[str, Any]
    size: int
    """How many results there are."""
    root: str
    builder: Builder


def parse_answers(claim: Claim, key: RunKey) -> Answers:
    """Return what the first claim of a classification says.

    Raises: WorkflowError naming what is missing, too much, or contradicts another part.
    """
    expect(claim.predicate_type, CLASSIFICATION_TYPE, "claim 1: predicateType")
    parts = ("network", "code", "options", "run", "results", "builder", "invocationId")
    predicate = members(claim.predicate, "claim 1", parts)
    builder = parse_builder(predicate["builder"], key, "builder")
    expect(predicate["invocationId"], key.digest, "invocationId")
    check_run(predicate["run"], builder, "run")
    options = ("top_k", "ignore_profiles", "threads", "image_limits")
    members(predicate["options"], "options", options)
    results = members(predicate["results"], "results", ("algorithm", "treeSize", "rootHash"))
    expect(results["algorithm"], ALGORITHM, "results.algorithm")
    size, root = results["treeSize"], results["rootHash"]
    if isinstance(size, bool) or not isinstance(size, int) or not 0 <= size <= MOST_RESULTS:
        raise WorkflowError(f"results.treeSize: expected a number up to {MOST_RESULTS}")
    if not is_sha256(root):
        raise WorkflowError("results.rootHash: expected 64 lower-case hex digits")
    return Answers(
        result=subject_digest(claim, RESULT_JSON_FILE),
        network=named(predicate["network"], NET_FILE, "network"),
        code=named(predicate["code"], "code", "code", "dirHash"),
        run=predicate["run"],
        size=size,
        root=root,
        builder=builder,
    )


def check_result(content: Any, said: Answers) -> list[Any]:
    """Return the results, once the file says nothing else than the claim.

    Raises: WorkflowError naming the member.
    """
    if not isinstance(content, dict) or not isinstance(content.get("results"), list):
        raise WorkflowError("result.json: expected results")
    expect(content.get("digests"), {"net": said.network, "code": said.code}, "result.json: digests")
    for name in ("backend", "protected_from_host", "insecure", "versions"):
        expect(content.get(name), said.run.get(name), f"result.json: {name}")
    results: list[Any] = content["results"]
    expect(len(results), said.size, "result.json: number of results")
    return results


def check_proofs(path: Path, said: Answers, results: list[Any] | None) -> int:
    """Hold every line to the root, and to its result where these are given; return their number.

    Raises: WorkflowError naming the first line that does not lead there.
    """
    root, count = bytes.fromhex(said.root), 0
    for count, line in enumerate(_lines(path, said.size), start=1):
        what = f"{PROOFS_FILE}:{count}"
        leaf, hashes = _proof(line, count - 1, what)
        if root_by_path(leaf_hash(leaf.encode()), count - 1, said.size, hashes) != root:
            raise WorkflowError(f"{what}: its path does not lead to the root of the results")
        content = members_of_leaf(leaf, said.network, what)
        if results is not None and not same(content, results[count - 1]):
            raise WorkflowError(f"{what}: not what {RESULT_JSON_FILE} says at this place")
    if count != said.size:
        raise WorkflowError(f"{PROOFS_FILE}: expected {said.size} lines, got {count}")
    if not said.size and said.root != EMPTY_ROOT:
        raise WorkflowError("results.rootHash: not that of no results")
    return count


EMPTY_ROOT = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
"""SHA-256 of nothing. Source: RFC 9162, 2.1.1."""


def members_of_leaf(leaf: str, network: str, what: str) -> Any:
    """Return the result that a leaf holds, without the network, which must be this one.

    Raises: WorkflowError where it is no result of this network.
    """
    content = parse_json(leaf.encode(), f"{what}: leaf")
    if not isinstance(content, dict) or content.pop("network", None) != network:
        raise WorkflowError(f"{what}: a result of another network")
    return content


def _lines(path: Path, most: int) -> Iterator[bytes]:
    """Yield the lines without their ends, none longer than a proof can be."""
    if not path.is_file():
        raise WorkflowError(f"{PROOFS_FILE} is missing")
    with path.open("rb") as file:
        for _ in range(most + 1):
            line = file.readline(PROOF_MOST_BYTES + 1)
            if not line:
                return
            if len(line) > PROOF_MOST_BYTES or not line.endswith(b"\n"):
                raise WorkflowError(f"{PROOFS_FILE}: a line is too long, or not ended")
            yield line[:-1]
    raise WorkflowError(f"{PROOFS_FILE}: expected {most} lines, got more")


def _proof(line: bytes, index: int, what: str) -> tuple[str, list[bytes]]:
    """Return leaf and path; of all the ways to write them, only the compact one is taken."""
    content = members(parse_json(line, what), what, ("index", "leaf", "path"))
    expect(content["index"], index, f"{what}: index")
    leaf, path = content["leaf"], content["path"]
    is_path = isinstance(path, list) and len(path) <= MOST_PATH and all(map(is_sha256, path))
    if not isinstance(leaf, str) or not leaf.isascii() or not is_path:
        raise WorkflowError(f"{what}: expected a leaf in ASCII, and a path of hashes")
    if json.dumps(content, sort_keys=True, separators=(",", ":")).encode() != line:
        raise WorkflowError(f"{what}: not written compactly")
    return leaf, [bytes.fromhex(digest) for digest in path]


def leaf_hash(data: bytes) -> bytes:
    """Return the hash of a leaf. Source: RFC 9162, 2.1.1."""
    return hashlib.sha256(b"\x00" + data).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Return the hash of an inner node. Source: RFC 9162, 2.1.1."""
    return hashlib.sha256(b"\x01" + left + right).digest()


def root_by_path(leaf: bytes, index: int, size: int, path: Sequence[bytes]) -> bytes | None:
    """Return the root that the path leads to, None where no tree of this size has such a path.

    ``leaf`` is the leaf's hash. Source: RFC 9162, 2.1.3.2, whose names are ``fn`` and ``sn``.
    """
    if not 0 <= index < size:
        return None
    node, last, root = index, size - 1, leaf
    for beside in path:
        if last == 0:
            return None
        if node & 1 or node == last:
            root = node_hash(beside, root)
            while not node & 1 and node:
                node, last = node >> 1, last >> 1
        else:
            root = node_hash(root, beside)
        node, last = node >> 1, last >> 1
    return root if last == 0 else None
