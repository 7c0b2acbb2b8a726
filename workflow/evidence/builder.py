"""What both kinds of claims have in common: who says so, by which key and which quote. Pure."""

from __future__ import annotations

import base64
import hashlib
import re
from dataclasses import dataclass
from typing import Any

from pytorch_common.contract import PUBLIC_KEY_FILE, QUOTE_FILE
from workflow.core.errors import WorkflowError
from workflow.evidence.claims import SCAI_TYPE, Claim, RunKey
from workflow.evidence.reading import expect, members, named, sha256_of, shown_value
from workflow.gsc.modes import SGX

BUILDER = "urn:enclave-finetune:"
BACKENDS = ("native", "docker", "direct", "sgx", "unknown")
NOWHERE = "NOTHING_PROVES_WHERE_IT_RAN"
PEM_TYPE = "application/x-pem-file"
QUOTE_TYPE = "application/x.sgx.dcap.quote"


@dataclass(frozen=True)
class Builder:
    """Hold what a run says of the place where it ran: a claim, until a quote bears it out."""

    backend: str
    mrenclave: str
    """Empty outside of an enclave."""

    @property
    def uri(self) -> str:
        """Return the builder's id."""
        return BUILDER + self.backend


def parse_builder(value: Any, key: RunKey, what: str) -> Builder:
    """Return the builder, who names this key as its own.

    Raises: WorkflowError where it names another key or no place that is known.
    """
    content = members(value, what, ("id", "builderDependencies"), optional=("version",))
    backend = str(content["id"]).removeprefix(BUILDER)
    if content["id"] not in [BUILDER + name for name in BACKENDS]:
        raise WorkflowError(f"{what}.id: unknown builder {shown_value(content['id'])}")
    own = {
        "name": PUBLIC_KEY_FILE,
        "digest": {"sha256": key.digest},
        "content": base64.b64encode(key.pem).decode(),
        "mediaType": PEM_TYPE,
    }
    expect(content["builderDependencies"], [own], f"{what}.builderDependencies")
    if ("version" in content) != (backend == SGX.name):
        raise WorkflowError(f"{what}.version: expected under sgx alone, where it is MRENCLAVE")
    if backend != SGX.name:
        return Builder(backend, "")
    measured = members(content["version"], f"{what}.version", ("mrenclave",))["mrenclave"]
    if not isinstance(measured, str) or not re.fullmatch("[0-9a-f]{64}", measured):
        raise WorkflowError(f"{what}.version.mrenclave: expected 64 hex digits")
    return Builder(backend, measured)


def check_run(value: Any, builder: Builder, what: str) -> None:
    """Refuse a place that is not the builder's, or that cannot be.

    Raises: WorkflowError naming the member.
    """
    run = members(
        value, what, ("backend", "protected_from_host", "versions"), optional=("insecure",)
    )
    expect(run["backend"], builder.backend, f"{what}.backend")
    is_sound = builder.backend == SGX.name and not run.get("insecure")
    expect(run["protected_from_host"], is_sound, f"{what}.protected_from_host")
    insecure = run.get("insecure", [""])
    if not isinstance(insecure, list) or not all(isinstance(name, str) for name in insecure):
        raise WorkflowError(f"{what}.insecure: expected names")


def parse_placement(
    claim: Claim, done: Claim, key: RunKey, builder: Builder, attribute: str
) -> str:
    """Return the SHA-256 of the quote that the second claim names, empty where it says: none.

    ``attribute`` is what it says with a quote.

    Raises: WorkflowError where it is of another run, or says something else.
    """
    what = "claim 2"
    expect(claim.predicate_type, SCAI_TYPE, f"{what}: predicateType")
    expect(claim.subject, done.subject, f"{what}: subject")
    predicate = members(claim.predicate, f"{what}: predicate", ("attributes", "producer"))
    producer = {"uri": builder.uri, "name": PUBLIC_KEY_FILE, "digest": {"sha256": key.digest}}
    expect(predicate["producer"], producer, f"{what}: producer")
    attributes = predicate["attributes"]
    if not isinstance(attributes, list) or len(attributes) != 1:
        raise WorkflowError(f"{what}: expected exactly one attribute")
    said = members(attributes[0], what, ("attribute", "conditions"), optional=("evidence",))
    if "evidence" not in said:
        expect(said["attribute"], NOWHERE, f"{what}: attribute")
        conditions = members(said["conditions"], f"{what}: conditions", ("quote", "meaning"))
        expect(conditions["quote"], "none", f"{what}: conditions.quote")
        return ""
    expect(said["attribute"], attribute, f"{what}: attribute")
    expect(said["conditions"], {"quote": "dcap"}, f"{what}: conditions")
    evidence = members(said["evidence"], f"{what}: evidence", ("name", "digest", "mediaType"))
    expect(evidence["name"], QUOTE_FILE, f"{what}: evidence.name")
    expect(evidence["mediaType"], QUOTE_TYPE, f"{what}: evidence.mediaType")
    return sha256_of(evidence["digest"], f"{what}: evidence.digest")


def subject_digest(claim: Claim, name: str) -> str:
    """Return the SHA-256 of the claim's one subject, which has this name.

    Raises: WorkflowError where it has another, or several.
    """
    if not isinstance(claim.subject, list) or len(claim.subject) != 1:
        raise WorkflowError("claim 1: subject: expected exactly one")
    return named(claim.subject[0], name, "claim 1: subject")


def sha256_hex(data: bytes) -> str:
    """Return the SHA-256 as it stands in claims."""
    return hashlib.sha256(data).hexdigest()
