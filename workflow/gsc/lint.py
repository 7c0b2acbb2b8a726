"""What in a manifest weakens an enclave: found, and refused unless asked for by name. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pytorch_common.contract import (
    CHECKPOINTS_DIR,
    HANDOVER_DIR,
    IN_DIR,
    OUT_DIR,
    TORCH_VARIABLE,
    is_sha256,
    old_torch_problem,
)
from pytorch_common.pack import PACKS
from workflow.core.errors import WorkflowError
from workflow.gsc.modes import Mode


@dataclass(frozen=True)
class Finding:
    """Say what in a manifest weakens an enclave."""

    option: str
    """Name by which it is admitted, one of INSECURE_OPTIONS."""
    where: str
    """The manifest's key and value."""
    why: str


def lint(manifest: Mapping[str, Any], mode: Mode) -> list[Finding]:
    """Return everything that weakens the enclave, in the order of the manifest's sections."""
    version = manifest.get("loader", {}).get("env", {}).get(TORCH_VARIABLE)
    return [
        *_loader_findings(manifest),
        *torch_findings(version),
        *_key_findings(manifest),
        *_sgx_findings(manifest, mode),
    ]


def packs(manifest: Mapping[str, Any]) -> list[str]:
    """Return the URIs of the packs whose digests are measured, which need not be trusted files.

    The script holds the index of a pack to that digest, and each file to the index when it is read.
    """
    variables = manifest.get("loader", {}).get("env", {})
    return [f"file:{path}" for path, name in PACKS.items() if is_sha256(variables.get(name))]


def torch_findings(version: Any) -> list[Finding]:
    """Return what is wrong with the torch of an image that says it has one of this version."""
    if version is None or not (problem := old_torch_problem(str(version))):
        return []
    return [Finding("old-torch", f"{TORCH_VARIABLE} {version}", problem)]


def refuse_insecure(findings: Sequence[Finding], mode: Mode, admitted: frozenset[str]) -> list[str]:
    """Return the names of the insecure options that are in the manifest and were asked for.

    Raises: WorkflowError for the first that was not, with the flag that admits it.
    """
    allowed = {*admitted, *mode.admitted}
    for finding in findings:
        if finding.option not in allowed:
            raise WorkflowError(
                f"the manifest has {finding.where}: {finding.why}; take it out, or admit it by "
                f"name: inv gsc-build --insecure {finding.option}"
            )
    return sorted({finding.option for finding in findings})


def marked(admitted: frozenset[str], mode: Mode, torch: str | None = None) -> list[str]:
    """Return the options that an image with this torch is marked with by hand."""
    if mode.is_protected:
        return sorted(admitted)
    return sorted({*admitted, "insecure-keys", *(each.option for each in torch_findings(torch))})


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


def _sgx_findings(manifest: Mapping[str, Any], mode: Mode) -> Iterator[Finding]:
    sgx = manifest.get("sgx", {})
    policy = sgx.get("file_check_policy", "strict")
    if policy != "strict":
        yield Finding(
            "allow-all-but-log", f'sgx.file_check_policy = "{policy}"', "any file is taken as it is"
        )
    if sgx.get("debug"):
        yield Finding("debug-enclave", "sgx.debug = true", "a debugger reads the enclave's memory")
    expected = {f"file:{IN_DIR}/", f"file:{OUT_DIR}/", *packs(manifest)}
    for uri in sgx.get("allowed_files", []):
        if uri not in expected:
            yield Finding("allowed-files", f'sgx.allowed_files "{uri}"', "the host can change it")
    if mode.is_protected and (kind := sgx.get("remote_attestation", "none")) != "dcap":
        where = f'sgx.remote_attestation = "{kind}"'
        yield Finding("insecure-options", where, "there is no quote: nothing proves what ran")
    mounts = manifest.get("fs", {}).get("mounts", [])
    for path, key, without in (
        (HANDOVER_DIR, mode.handover_key, "the network leaves in plain"),
        (CHECKPOINTS_DIR, mode.checkpoint_key, "others decide what a run goes on from"),
    ):
        wanted = {"type": "encrypted", "path": path, "uri": f"file:{path}", "key_name": key}
        if [mount for mount in mounts if mount.get("path") == path] != [wanted]:
            yield Finding("insecure-options", f"no encrypted mount at {path}", without)
