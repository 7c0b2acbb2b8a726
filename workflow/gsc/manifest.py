"""The manifest that GSC made, settled before it is signed: merged, pruned, sorted.

By hand: ``python -m workflow.gsc.manifest ROLE MODE < made > settled``.
"""

from __future__ import annotations

import argparse
import hashlib
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import tomli
import tomli_w

from pytorch_common.contract import INSECURE_VARIABLE, available_threads
from workflow.core.errors import WorkflowError
from workflow.core.settings import PROJECT, GscSettings
from workflow.core.values import INSECURE_OPTIONS
from workflow.gsc import lint
from workflow.gsc.commands import dialect
from workflow.gsc.modes import MODES, Mode
from workflow.images.build_spec import INFER, ROLES, TRAIN

MANIFESTS = PROJECT / "manifests"
FINISH = MANIFESTS / "finish.toml"
USER_MANIFESTS = {TRAIN: "pytorch_train.manifest", INFER: "pytorch.manifest"}
IN_IMAGE = "/gramine/app_files/entrypoint.manifest"

SPARE_THREADS = 16
POOLS = 3
"""Threads in an enclave: torch's own, its backward pass's, those of the linear algebra library."""

ANY_FILE = "allow_all_but_log"
"""The policy by which Gramine takes any file as it is."""

Manifest = dict[str, Any]


def overlay(mode: Mode) -> Path:
    """Return the file of what differs by mode."""
    return MANIFESTS / f"{mode.name}.toml"


def user_manifest(gsc: GscSettings, role: str) -> Path:
    """Return the file that GSC is given."""
    return MANIFESTS / dialect(gsc).manifests / USER_MANIFESTS[role]


def exercise(role: str) -> Path:
    """Return the program that runs a job in every way in which it will be run."""
    return MANIFESTS / "exercises" / f"{role}.py"


def sources_digest(gsc: GscSettings, role: str, mode: Mode, insecure: Sequence[str]) -> str:
    """Return the SHA-256 of all that decides the settled manifest but the image itself."""
    ours = (FINISH, overlay(mode), exercise(role)) if dialect(gsc).is_settled else ()
    digest = hashlib.sha256()
    for path in (user_manifest(gsc, role), *ours):
        digest.update(path.read_bytes() + b"\0")
    digest.update(",".join(sorted(insecure)).encode())
    if gsc.edmm:
        digest.update(b"\0edmm")
    return digest.hexdigest()


def always_trusted() -> tuple[str, ...]:
    """Return how the paths begin that are trusted though no trace shows them."""
    return tuple(parse(FINISH.read_bytes(), str(FINISH))["trusted_files"]["always"])


def parse(text: bytes, name: str) -> Manifest:
    """Return the TOML as a dictionary.

    Raises: WorkflowError with line and column of what is wrong.
    """
    try:
        return tomli.loads(text.decode())
    except (UnicodeDecodeError, tomli.TOMLDecodeError) as error:
        raise WorkflowError(f"{name} is no TOML: {error}") from error


def least_threads(threads: int) -> int:
    """Return for how many threads an enclave has room at least, by those of torch."""
    return POOLS * threads + SPARE_THREADS


def settle(
    made: Manifest, *, mode: Mode, threads: int, insecure: frozenset[str], edmm: bool = False
) -> Manifest:
    """Return the manifest that is signed: GSC's, with ours merged in, pruned and sorted.

    ``threads`` of torch decide thread variables and room for threads. ``insecure`` options that are
    a key of the manifest are set here. All that the linter finds in it is told to the script.

    Raises: WorkflowError where GSC's manifest has no trusted files to be pruned.
    """
    finish = parse(FINISH.read_bytes(), str(FINISH))
    rules = finish.pop("trusted_files")
    del rules["always"]
    settled = merge(merge(made, finish), parse(overlay(mode).read_bytes(), str(overlay(mode))))
    settled = merge(settled, {"loader": {"env": {"OMP_NUM_THREADS": str(threads)}}})
    sgx = settled["sgx"]
    sgx["max_threads"] = max(sgx.get("max_threads", 0), least_threads(threads))
    if edmm:
        sgx["edmm_enable"] = True
    if "debug-enclave" in insecure:
        sgx["debug"] = True
    if "allow-all-but-log" in insecure:
        sgx["file_check_policy"] = ANY_FILE
    trusted = sgx.get("trusted_files", [])
    if lets_any_file(settled):
        # Every file that is opened would be a warning.
        settled["loader"]["log_level"] = "error"
        sgx["trusted_files"] = arguments_alone(trusted, settled["loader"])
    else:
        # A trusted file is hashed whole when it is opened. A pack is checked by who reads it, part
        # by part, against a digest that is measured.
        found = {entry["uri"] for entry in trusted}
        packs = [uri for uri in lint.packs(settled) if uri in found]
        sgx["allowed_files"] = [*sgx["allowed_files"], *packs]
        trusted = [entry for entry in trusted if entry["uri"] not in packs]
        sgx["trusted_files"] = prune(trusted, **rules)
    if weak := sorted({finding.option for finding in lint.lint(settled, mode)}):
        settled["loader"]["env"][INSECURE_VARIABLE] = ",".join(weak)
    return settled


def lets_any_file(settled: Mapping[str, Any]) -> bool:
    """Tell whether Gramine takes any file as it is."""
    policy = settled["sgx"].get("file_check_policy")
    return bool(policy == ANY_FILE)


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


def dumps(manifest: Mapping[str, Any]) -> bytes:
    """Return the manifest as TOML; the same manifest gives the same bytes."""
    return tomli_w.dumps(manifest).encode()


def main() -> None:
    """Read GSC's manifest from standard input, write the one to be signed to standard output."""
    parser = argparse.ArgumentParser(prog="workflow.gsc.manifest", description=main.__doc__)
    parser.add_argument("role", choices=ROLES)
    parser.add_argument("mode", choices=MODES)
    parser.add_argument("--insecure", action="append", default=[], choices=INSECURE_OPTIONS)
    parser.add_argument("--edmm", action="store_true")
    args = parser.parse_args()
    made = parse(sys.stdin.buffer.read(), "standard input")
    variables = made.get("loader", {}).get("env", {})
    threads = int(variables.get(f"{args.role.upper()}_THREADS", available_threads()))
    admitted = frozenset(args.insecure)
    mode = MODES[args.mode]
    settled = settle(made, mode=mode, threads=threads, insecure=admitted, edmm=args.edmm)
    lint.refuse_insecure(lint.lint(settled, mode), mode, admitted)
    sys.stdout.buffer.write(dumps(settled))


if __name__ == "__main__":
    try:
        main()
    except WorkflowError as error:
        sys.exit(str(error.message))
