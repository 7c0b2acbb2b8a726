"""Fetching a file that is known beforehand: found at hand or downloaded, verified, put in whole."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from urllib.parse import unquote, urlsplit

from pytorch_common.files import is_lfs_pointer
from workflow.assets.transfer import Policy as Policy
from workflow.assets.transfer import Transfer, discard
from workflow.core.console import note
from workflow.core.disk import sha256_file
from workflow.core.errors import WorkflowError, root_cause
from workflow.core.locks import locked

DEFAULT_POLICY = Policy()
_HTML_STARTS = (b"<!doctype html", b"<html")


@dataclass(frozen=True)
class Asset:
    """Pin a file that is fetched from elsewhere."""

    name: str
    """File name, also in a cache folder."""
    url: str
    """Where it is published."""
    sha256: str
    """The digest or, as in torch hub's file names, how it begins, in lower-case hex; empty where
    it is not known and the caller verifies the content."""
    max_bytes: int
    """A larger file is refused."""
    hint: str = "with --source give a local copy or another address"
    """What can be done where it cannot be had: the end of the error's line."""


def fetch(
    asset: Asset,
    target: Path,
    *,
    source: str = "",
    caches: Sequence[Path] = (),
    policy: Policy = DEFAULT_POLICY,
    force: bool = False,
) -> bool:
    """Bring the asset to the target and return whether anything was fetched.

    The first of these serves: the target as it is (not with ``force``), a verified copy in a cache
    folder, the source (a file or an http(s) URL), the asset's own URL.

    Raises: WorkflowError where it cannot be had or is not the pinned file.
    """
    if not force and not _fault(target, asset):
        return False
    try:
        with locked(target):
            fault = _fault(target, asset)
            if not force and not fault:
                return False
            if fault and target.exists():
                note(f"{target}: {fault}; replacing it")
            part = _part_beside(target)
            _bring(asset, part, source, caches, policy)
            _put_in_place(part, target)
    except OSError as error:
        raise WorkflowError(
            f"{target}: {root_cause(error)}; mend that and run the same command again"
        ) from error
    return True


def matches(path: Path, sha256: str) -> bool:
    """Return whether the file is there and its SHA-256 begins like this, as all do for ""."""
    return path.is_file() and sha256_file(path).startswith(sha256)


def is_asset(path: Path, asset: Asset) -> bool:
    """Tell whether the file is there and the pinned one."""
    return not _fault(path, asset)


def verify(path: Path, asset: Asset) -> None:
    """Refuse a file that is not the pinned one.

    Raises: WorkflowError with what was expected and got.
    """
    if fault := _fault(path, asset):
        raise WorkflowError(f"{path}: {fault}; {asset.hint}")


def _fault(path: Path, asset: Asset) -> str:
    """Return how the file differs from the pinned one, empty where it does not."""
    if not path.is_file():
        return f"no such file, expected {asset.name}"
    if (size_bytes := path.stat().st_size) > asset.max_bytes:
        return f"expected at most {asset.max_bytes} bytes, got {size_bytes} or more"
    with path.open("rb") as file:
        if file.read(512).lstrip().lower().startswith(_HTML_STARTS):
            return f"got an HTML page, expected {asset.name}"
    if is_lfs_pointer(path):
        return f"got a Git LFS pointer, expected {asset.name}; run: git lfs pull"
    if asset.sha256 and not matches(path, asset.sha256):
        got = sha256_file(path)[: len(asset.sha256)]
        return f"expected sha256 {asset.sha256}, got {got}"
    return ""


def _bring(asset: Asset, part: Path, source: str, caches: Sequence[Path], policy: Policy) -> None:
    candidates = (cache / asset.name for cache in caches if asset.sha256)
    cached = next((path for path in candidates if not _fault(path, asset)), None)
    if cached:
        note(f"{asset.name}: copying it from {cached.parent}")
        _copy(cached, part, asset)
    elif source and not source.lower().startswith(("http://", "https://")):
        _copy(_local_path(source), part, asset)
    else:
        Transfer(
            url=source or asset.url,
            part=part,
            max_bytes=asset.max_bytes,
            find_fault=partial(_fault, asset=asset),
            has_digest=bool(asset.sha256),
            hint=asset.hint,
            policy=policy,
        ).run()


def _local_path(source: str) -> Path:
    if source.lower().startswith("file://"):
        return Path(unquote(urlsplit(source).path))
    return Path(source).expanduser()


def _copy(origin: Path, part: Path, asset: Asset) -> None:
    verify(origin, asset)
    discard(part)
    shutil.copyfile(origin, part)
    verify(part, asset)


def _put_in_place(part: Path, target: Path) -> None:
    with part.open("rb") as file:
        os.fsync(file.fileno())
    part.replace(target)
    discard(part)


def _part_beside(target: Path) -> Path:
    """Return where a download is collected: not where a browser does it, NAME.part."""
    return target.with_name(f".{target.name}.enclave-finetune.part")
