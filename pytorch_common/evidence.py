"""Sign what a run says about itself with a key that it makes, and have a quote bind both.

The key is made here, for this run, and is never written: who holds it was this process. What a
statement says stands in ``statements``, the format of all in docs/evidence-format.md. All is made
and signed before the first file of it is written.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Dict, Iterator, Mapping

from pytorch_common import attestation, contract, statements
from pytorch_common.errors import RunError
from pytorch_common.files import write_atomically, write_parts_atomically
from pytorch_common.merkle import MerkleTree

Result = Dict[str, Any]


class RunKey:
    """An ECDSA key on P-256 that lives as long as this process."""

    def __init__(self) -> None:
        """Make it.

        Raises: RunError where ``cryptography`` is missing.
        """
        try:  # here, so that what makes no key does not wait for the import
            from cryptography.hazmat.primitives import serialization
            from cryptography.hazmat.primitives.asymmetric import ec
        except ImportError as error:
            raise RunError(
                f"cryptography is needed to sign what the run says, and is not here: {error}; "
                "run: python3 -m pip install cryptography"
            ) from error
        self._key = ec.generate_private_key(ec.SECP256R1())
        self.public_pem: bytes = self._key.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        self.digest = statements.sha256_hex(self.public_pem)

    def sign(self, payload: bytes) -> bytes:
        """Return the signature of the statement, DER-encoded, as DSSE wants it."""
        from cryptography.hazmat.primitives import hashes
        from cryptography.hazmat.primitives.asymmetric import ec

        return self._key.sign(statements.pae(payload), ec.ECDSA(hashes.SHA256()))

    def bundle(self, payload: bytes, *, key_id: str) -> bytes:
        """Return the signed statement as a line."""
        signature = self.sign(payload)
        return statements.bundle(payload, signature, hint=self.digest, key_id=key_id) + b"\n"


def write_training(
    out: Path, record: Mapping[str, Any], limits: contract.ImageLimits, files: Mapping[str, bytes]
) -> None:
    """Write the evidence of a training whose ``files`` (record and history) are about to be there.

    Raises: RunError where it cannot be signed or quoted; then nothing is written.
    """
    key = RunKey()
    by = _builder(record, key)
    made = statements.provenance(record, vars(limits), files, by)
    net = record["digests"]["net"]
    subject = statements.net_subject(net)
    quote = attestation.quote(statements.report_data(made, key.public_pem))
    where = statements.placement(subject, statements.TRAINED, quote, by)
    signature = key.bundle(statements.model_signature(net), key_id="")
    claims = [key.bundle(payload, key_id=key.digest) for payload in (made, where)]
    _write(out, claims, key, quote)
    write_atomically(out / contract.MODEL_SIGNATURE_FILE, signature)


def write_classification(
    out: Path, content: Mapping[str, Any], result_json: bytes, options: Mapping[str, Any]
) -> None:
    """Write the evidence of a result.json that is about to be there, of any number of results.

    ``content`` is what ``result_json`` says; ``options`` are those of the run.

    Raises: RunError where it cannot be signed or quoted; then nothing is written.
    """
    key = RunKey()
    by = _builder(content, key)
    net, results = content["digests"]["net"], content["results"]
    tree = MerkleTree(leaf(result, net) for result in results)
    root = {"algorithm": "rfc9162-sha256", "treeSize": len(tree), "rootHash": tree.root().hex()}
    more = {"options": dict(options), "results": root}
    digest = statements.sha256_hex(result_json)
    said = statements.classification(digest, content, more, by)
    quote = attestation.quote(statements.report_data(said, key.public_pem))
    subject = [statements.descriptor(contract.RESULT_JSON_FILE, sha256=digest)]
    where = statements.placement(subject, statements.CLASSIFIED, quote, by)
    claims = [key.bundle(payload, key_id=key.digest) for payload in (said, where)]
    _write(out, claims, key, quote)
    write_parts_atomically(out / contract.PROOFS_FILE, proof_lines(tree, results, net))


def leaf(result: Result, net_sha256: str) -> bytes:
    """Return the data of a result's leaf: what is said of an image, and which network says it."""
    return statements.compact({**result, "network": net_sha256})


def proof_lines(tree: MerkleTree, results: list[Result], net_sha256: str) -> Iterator[bytes]:
    """Yield for each result the line that proves it: leaf, and audit path up to the root."""
    for index, result in enumerate(results):
        path = [node.hex() for node in tree.path(index)]
        proof = {"index": index, "leaf": leaf(result, net_sha256).decode(), "path": path}
        yield statements.compact(proof) + b"\n"


def _builder(facts: Mapping[str, Any], key: RunKey) -> dict[str, Any]:
    return statements.builder(facts["backend"], attestation.mrenclave(), key.public_pem)


def _write(out: Path, claims: list[bytes], key: RunKey, quote: bytes | None) -> None:
    """Write the claims first: by them the task runner knows the other files for a run's."""
    write_atomically(out / contract.CLAIMS_FILE, b"".join(claims))
    if quote is None:
        (out / contract.QUOTE_FILE).unlink(missing_ok=True)  # of an earlier run
    else:
        write_atomically(out / contract.QUOTE_FILE, quote)
    write_atomically(out / contract.PUBLIC_KEY_FILE, key.public_pem)
