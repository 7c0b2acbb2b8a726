"""How a network was made: the first claim of a training, held against what lies beside it. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pytorch_common.contract import HISTORY_FILE, NET_FILE, RECORD_FILE, option_names
from workflow.core.errors import WorkflowError
from workflow.evidence.builder import Builder, check_run, parse_builder, subject_digest
from workflow.evidence.claims import (
    MODEL_SIGNATURE_TYPE,
    PROVENANCE_TYPE,
    Claim,
    RunKey,
    check_signature,
    parse_bundle,
)
from workflow.evidence.reading import expect, members, named, sha256_of

BUILD_TYPE = "urn:enclave-finetune:fine-tune:v1"
BYPRODUCTS = (HISTORY_FILE, RECORD_FILE)
TRAINED = "TRAINED_IN_SGX_ENCLAVE"


@dataclass(frozen=True)
class Provenance:
    """Hold what a training says of itself."""

    net: str
    """SHA-256 of the network."""
    settings: Mapping[str, Any]
    inputs: Mapping[str, str]
    """Digests of base-weights (not from scratch), data and code."""
    run: Mapping[str, Any]
    """Backend, protection, versions."""
    byproducts: Mapping[str, str]
    builder: Builder


def parse_provenance(claim: Claim, key: RunKey) -> Provenance:
    """Return what the first claim of a training says.

    Raises: WorkflowError naming what is missing, too much, or contradicts another part.
    """
    expect(claim.predicate_type, PROVENANCE_TYPE, "claim 1: predicateType")
    predicate = members(claim.predicate, "claim 1", ("buildDefinition", "runDetails"))
    parts = ("buildType", "externalParameters", "internalParameters", "resolvedDependencies")
    definition = members(predicate["buildDefinition"], "buildDefinition", parts)
    expect(definition["buildType"], BUILD_TYPE, "buildType")
    settings = members(
        definition["externalParameters"], "externalParameters", tuple(option_names())
    )
    details = members(predicate["runDetails"], "runDetails", ("builder", "metadata", "byproducts"))
    builder = parse_builder(details["builder"], key, "builder")
    expect(details["metadata"], {"invocationId": key.digest}, "runDetails.metadata")
    run = _run(definition["internalParameters"], settings, builder)
    return Provenance(
        net=subject_digest(claim, NET_FILE),
        settings=settings,
        inputs=_inputs(definition["resolvedDependencies"], settings),
        run=run,
        byproducts=_byproducts(details["byproducts"]),
        builder=builder,
    )


def _run(value: Any, settings: Mapping[str, Any], builder: Builder) -> dict[str, Any]:
    names = ("backend", "protected_from_host", "versions", "threads", "image_limits")
    internal = members(value, "internalParameters", names, optional=("insecure",))
    expect(internal["threads"], settings["threads"], "internalParameters.threads")
    limits = ("file_mb", "megapixels", "side")
    members(internal["image_limits"], "internalParameters.image_limits", limits)
    run = {name: internal[name] for name in internal if name not in names[3:]}
    check_run(run, builder, "internalParameters")
    return run


def _inputs(value: Any, settings: Mapping[str, Any]) -> dict[str, str]:
    is_scratch = settings["method"] == "scratch"
    names = [*([] if is_scratch else ["base-weights"]), "data", "code"]
    if not isinstance(value, list) or len(value) != len(names):
        raise WorkflowError(f"resolvedDependencies: expected {', '.join(names)}")
    return {
        name: named(entry, name, name, "sha256" if name == "base-weights" else "dirHash")
        for name, entry in zip(names, value, strict=True)
    }


def _byproducts(value: Any) -> dict[str, str]:
    if not isinstance(value, list) or len(value) != len(BYPRODUCTS):
        raise WorkflowError(f"byproducts: expected {', '.join(BYPRODUCTS)}")
    return {
        name: named(entry, name, f"byproducts: {name}")
        for name, entry in zip(BYPRODUCTS, value, strict=True)
    }


def check_record(record: Any, made: Provenance) -> None:
    """Refuse a record that says something else than the provenance.

    Raises: WorkflowError naming the member.
    """
    if not isinstance(record, dict):
        raise WorkflowError("record.json: expected an object")
    expect(record.get("settings"), made.settings, "record.json: settings")
    for name in ("backend", "protected_from_host", "insecure", "versions"):
        expect(record.get(name), made.run.get(name), f"record.json: {name}")
    digests = {
        "base_weights": made.inputs.get("base-weights"),
        "data": made.inputs["data"],
        "code": made.inputs["code"],
        "net": made.net,
    }
    expect(record.get("digests"), digests, "record.json: digests")


def check_model_signature(data: bytes, key: RunKey, net: str) -> None:
    """Refuse a model.sig that is not this key's, about this network alone.

    Source: ossf/model-signing-spec, spec/v1.0.md: the subject is the SHA-256 over the files' raw
    digests.

    Raises: WorkflowError naming what differs.
    """
    claim = parse_bundle(data.removesuffix(b"\n"), "model.sig")
    check_signature(claim, key, "model.sig")
    expect(claim.keyid, "", "model.sig: keyid")
    expect(claim.predicate_type, MODEL_SIGNATURE_TYPE, "model.sig: predicateType")
    if not isinstance(claim.subject, list) or len(claim.subject) != 1:
        raise WorkflowError("model.sig: subject: expected exactly one")
    subject = members(claim.subject[0], "model.sig: subject", ("name", "digest"))
    root = hashlib.sha256(bytes.fromhex(net)).hexdigest()
    found = sha256_of(subject["digest"], "model.sig: subject.digest")
    predicate = members(claim.predicate, "model.sig: predicate", ("resources", "serialization"))
    resource = {"name": NET_FILE, "algorithm": "sha256", "digest": net}
    expect(predicate["resources"], [resource], "model.sig: resources")
    expect(found, root, "model.sig: subject")
