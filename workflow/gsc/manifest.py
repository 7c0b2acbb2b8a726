"""The manifest that GSC made, settled before it is signed: merged, pruned, sorted, linted. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tomli
import tomli_w

from pytorch_common.contract import (
    HANDOVER_DIR,
    IN_DIR,
    INSECURE_VARIABLE,
    OUT_DIR,
    TORCH_VARIABLE,
    old_torch_problem,
)
from workflow.core.errors import WorkflowError
from workflow.core.settings import GRAMINE, PROJECT

MANIFESTS = PROJECT / "manifests"
FINISH = MANIFESTS / "finish.toml"
IN_IMAGE = "/gramine/app_files/entrypoint.manifest"

SPARE_THREADS = 16
POOLS = 3
"""Threads in an enclave: torch's own, its backward pass's, those of the linear algebra library."""

ANY_FILE = "allow_all_but_log"
"""The policy by which Gramine takes any file as it is."""

ADMITTED_IN_DIRECT = {"insecure-keys": "part of direct mode", "old-torch": "of the base"}
"""Direct mode protects nothing, so it asks for no flag; an image is marked with what it has."""

Manifest = dict[str, Any]


@dataclass(frozen=True)
class Finding:
    """Say what in a manifest weakens an enclave."""

    option: str
    """Name by which it is admitted, one of INSECURE_OPTIONS."""
    where: str
    """The manifest's key and value."""
    why: str


def overlay(mode: str) -> Path:
    """Return the file of what differs by backend."""
    return MANIFESTS / f"{mode}.toml"


def user_manifest(role: str, dialect: str = GRAMINE) -> Path:
    """Return the file that GSC is given."""
    folder = MANIFESTS / dialect if dialect != GRAMINE else MANIFESTS
    return folder / ("pytorch_train.manifest" if role == "train" else "pytorch.manifest")


def sources_digest(role: str, mode: str, insecure: Sequence[str], dialect: str = GRAMINE) -> str:
    """Return the SHA-256 of all that decides the settled manifest but the image itself."""
    ours = (FINISH, overlay(mode)) if dialect == GRAMINE else ()
    digest = hashlib.sha256()
    for path in (user_manifest(role, dialect), *ours):
        digest.update(path.read_bytes() + b"\0")
    digest.update(",".join(sorted(insecure)).encode())
    return digest.hexdigest()


def parse(text: bytes, name: str) -> Manifest:
    """Return the TOML as a dictionary.

    Raises: WorkflowError with line and column of what is wrong.
    """
    try:
        return tomli.loads(text.decode())
    except (UnicodeDecodeError, tomli.TOMLDecodeError) as error:
        raise WorkflowError(f"{name} is no TOML: {error}") from error


def settle(made: Manifest, *, mode: str, threads: int, insecure: frozenset[str]) -> Manifest:
    """Return the manifest that is signed: GSC's, with ours merged in, pruned and sorted.

    ``threads`` of torch decide thread variables and room for threads. ``insecure`` options that are
    a key of the manifest are set here. All that the linter finds in it is told to the script.

    Raises: WorkflowError where GSC's manifest has no trusted files to be pruned.
    """
    finish = parse(FINISH.read_bytes(), str(FINISH))
    rules = finish.pop("trusted_files")
    settled = merge(merge(made, finish), parse(overlay(mode).read_bytes(), str(overlay(mode))))
    settled = merge(settled, {"loader": {"env": {"OMP_NUM_THREADS": str(threads)}}})
    sgx = settled["sgx"]
    sgx["max_threads"] = max(sgx.get("max_threads", 0), POOLS * threads + SPARE_THREADS)
    if "debug-enclave" in insecure:
        sgx["debug"] = True
    if "allow-all-but-log" in insecure:
        sgx["file_check_policy"] = ANY_FILE
    trusted = sgx.get("trusted_files", [])
    if sgx.get("file_check_policy") == ANY_FILE:
        # Every file that is opened would be a warning.
        settled["loader"]["log_level"] = "error"
        sgx["trusted_files"] = arguments_alone(trusted, settled["loader"])
    else:
        sgx["trusted_files"] = prune(trusted, **rules)
    if found := sorted({finding.option for finding in lint(settled, mode)}):
        settled["loader"]["env"][INSECURE_VARIABLE] = ",".join(found)
    return settled


def merge(base: Mapping[str, Any], more: Mapping[str, Any]) -> Manifest:
    """Return both: tables merged, lists joined, else the value of ``more``."""
    merged = dict(base)
    for key, value in more.items():
        mine = merged.get(key)
        if isinstance(mine, Mapping) and isinstance(value, Mapping):
            merged[key] = merge(mine, value)
        elif isinstance(mine, list) and isinstance(value, list):
            merged[key] = [*mine, *(item for item in value if item not in mine)]
        else:
            merged[key] = value
    return merged


def prune(
    trusted: Sequence[Mapping[str, str]], *, keep: Sequence[str], drop: Sequence[str]
) -> list[dict[str, str]]:
    """Return the trusted files below ``keep`` and not below ``drop``, each once, sorted.

    Each rule is how a path begins. Sorted, because GSC lists them as the file system happens to.

    Raises: WorkflowError where nothing is left: then the rules are of another image.
    """
    kept = {
        entry["uri"]: dict(entry)
        for entry in trusted
        if (path := entry["uri"].removeprefix("file:")).startswith(tuple(keep))
        and not path.startswith(tuple(drop))
    }
    if trusted and not kept:
        raise WorkflowError(f"{FINISH}: its rules leave no trusted file of this image")
    return [kept[uri] for uri in sorted(kept)]


def arguments_alone(
    trusted: Sequence[Mapping[str, str] | str], loader: Mapping[str, Any]
) -> list[Mapping[str, str] | str]:
    """Return the trusted file that has the script's arguments, where they are measured.

    Where any file is taken as it is, a list of the others costs time and guards nothing. GSC has
    not looked at files then, and lists plain names.
    """
    uri = loader.get("argv_src_file")
    return [
        entry for entry in trusted if uri in (entry, isinstance(entry, Mapping) and entry["uri"])
    ]


def lint(manifest: Mapping[str, Any], mode: str) -> list[Finding]:
    """Return everything that weakens the enclave, in the order of the manifest's sections."""
    version = manifest.get("loader", {}).get("env", {}).get(TORCH_VARIABLE)
    return [
        *_loader_findings(manifest),
        *torch_findings(version),
        *_key_findings(manifest),
        *_sgx_findings(manifest, mode),
    ]


def torch_findings(version: Any) -> list[Finding]:
    """Return what is wrong with the torch of an image that says it has one of this version."""
    if version is None or not (problem := old_torch_problem(str(version))):
        return []
    return [Finding("old-torch", f"{TORCH_VARIABLE} {version}", problem)]


def refuse_insecure(findings: Sequence[Finding], mode: str, admitted: frozenset[str]) -> list[str]:
    """Return the names of the insecure options that are in the manifest and were asked for.

    Raises: WorkflowError for the first that was not, with the flag that admits it.
    """
    allowed = {*admitted, *(ADMITTED_IN_DIRECT if mode == "direct" else ())}
    for finding in findings:
        if finding.option not in allowed:
            raise WorkflowError(
                f"the manifest has {finding.where}: {finding.why}; take it out, or admit it by "
                f"name: inv gsc-build --insecure {finding.option}"
            )
    return sorted({finding.option for finding in findings})


def marked(admitted: frozenset[str], mode: str, torch: str | None = None) -> list[str]:
    """Return the options that an image with this torch is marked with by hand."""
    if mode != "direct":
        return sorted(admitted)
    return sorted({*admitted, "insecure-keys", *(each.option for each in torch_findings(torch))})


def dumps(manifest: Mapping[str, Any]) -> bytes:
    """Return the manifest as TOML; the same manifest gives the same bytes."""
    return tomli_w.dumps(manifest).encode()


def _loader_findings(manifest: Mapping[str, Any]) -> Iterator[Finding]:
    loader = manifest.get("loader", {})
    if loader.get("insecure__use_cmdline_argv"):
        yield Finding(
            "insecure-args",
            "loader.insecure__use_cmdline_argv",
            "the host chooses the arguments, unmeasured",
        )
    if loader.get("insecure__use_host_env"):
        yield Finding(
            "host-env", "loader.insecure__use_host_env", "the host chooses every variable"
        )
    for name, value in loader.get("env", {}).items():
        if isinstance(value, Mapping) and value.get("passthrough"):
            yield Finding(
                "host-env", f"loader.env.{name} passthrough", "the host chooses its value"
            )
    level = loader.get("log_level", "error")
    if level not in ("none", "error", "warning"):
        yield Finding(
            "log-level", f'loader.log_level = "{level}"', "what the enclave does is logged"
        )


def _key_findings(manifest: Mapping[str, Any], above: str = "") -> Iterator[Finding]:
    named = {"loader.insecure__use_cmdline_argv", "loader.insecure__use_host_env"}
    for key, value in manifest.items():
        path = f"{above}.{key}" if above else key
        if key.startswith("insecure__") and value and path not in named:
            option = "insecure-keys" if path == "fs.insecure__keys" else "insecure-options"
            yield Finding(option, path, "Gramine's own name for it says insecure")
        elif isinstance(value, Mapping):
            yield from _key_findings(value, path)


def _sgx_findings(manifest: Mapping[str, Any], mode: str) -> Iterator[Finding]:
    sgx = manifest.get("sgx", {})
    policy = sgx.get("file_check_policy", "strict")
    if policy != "strict":
        yield Finding(
            "allow-all-but-log", f'sgx.file_check_policy = "{policy}"', "any file is taken as it is"
        )
    if sgx.get("debug"):
        yield Finding("debug-enclave", "sgx.debug = true", "a debugger reads the enclave's memory")
    expected = {f"file:{IN_DIR}/", f"file:{OUT_DIR}/"}
    for uri in sgx.get("allowed_files", []):
        if uri not in expected:
            yield Finding("allowed-files", f'sgx.allowed_files "{uri}"', "the host can change it")
    if not any(_is_sealed(mount, mode) for mount in manifest.get("fs", {}).get("mounts", [])):
        yield Finding(
            "insecure-options",
            f"no encrypted mount at {HANDOVER_DIR}",
            "the network leaves in plain",
        )


def _is_sealed(mount: Mapping[str, Any], mode: str) -> bool:
    key = "_sgx_mrsigner" if mode == "sgx" else "default"
    kind = (mount.get("type"), mount.get("path"), mount.get("key_name"))
    return kind == ("encrypted", HANDOVER_DIR, key)
