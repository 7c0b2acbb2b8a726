"""Put hymenoptera_data into pytorch_train/, or draw its stand-in."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from workflow.assets import dataset, pins
from workflow.assets.sample import is_sample
from workflow.core.shell_lines import fetch_lines, shell_line
from workflow.core.step import Look, Step
from workflow.core.values import Source


@dataclass(frozen=True)
class FetchHymenoptera(Step):
    """Bring the real images: each of the files as the checksum list has it."""

    title = "fetch-hymenoptera"

    def writes(self) -> Iterable[Look]:
        return (lambda: dataset.check_place(self.settings.data, again=self.again),)

    def is_done(self) -> bool:
        return dataset.is_here(self.settings.data.dir)

    def done(self) -> str:
        count = len(dataset.checksums())
        return f"{self.settings.data.dir}: already there, all {count} files verified"

    def run(self) -> None:
        dataset.fetch(self.settings.data)

    def shell(self) -> Sequence[str]:
        data = self.settings.data
        target, source = data.dir, Source(data.source)
        check = shell_line(["sha256sum", "--check", "--quiet", str(dataset.CHECKSUMS)], cwd=target)
        local = dataset.at_hand(data) or (Path(source) if source.is_path() else None)
        if local is None:
            archive = target.with_name(pins.HYMENOPTERA_ZIP.name)
            fetch = fetch_lines(source or pins.HYMENOPTERA_ZIP.url, archive)
            return [*fetch, *_unzip_lines(archive, target), shell_line(["rm", archive]), check]
        is_folder = local.is_dir()
        copy = [shell_line(["cp", "-r", local, target])]
        bring = copy if is_folder else _unzip_lines(local, target)
        return [shell_line(["mkdir", "-p", target.parent]), *bring, check]


@dataclass(frozen=True)
class MakeSample(Step):
    """Draw the stand-in data set."""

    title = "fetch-hymenoptera --sample"

    def is_done(self) -> bool:
        return is_sample(self.settings.data.dir)

    def done(self) -> str:
        return f"{self.settings.data.dir}: already there"

    def run(self) -> None:
        dataset.make_stand_in(self.settings.data.dir)

    def shell(self) -> Sequence[str]:
        return [shell_line(["inv", "fetch-hymenoptera", "--sample"])]


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
