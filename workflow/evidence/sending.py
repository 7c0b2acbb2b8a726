"""What an auditor needs: `inv collateral` fetches, `inv evidence-pack` makes one file."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from pytorch_common.contract import CLAIMS_FILE, QUOTE_FILE
from pytorch_common.files import write_atomically
from workflow.assets.trained import COLLATERAL_FILE
from workflow.core import ownership
from workflow.core.console import answer, note, shown
from workflow.core.errors import WorkflowError
from workflow.core.settings import PROJECT
from workflow.core.shell_lines import shell_line
from workflow.core.step import Look, Step
from workflow.evidence import pack, service
from workflow.evidence.collateral import COLLATERAL_MOST_BYTES, COLLATERAL_SCHEMA, parse_collateral
from workflow.evidence.pack import INFER, TRAIN
from workflow.evidence.quotes import QUOTE_MOST_BYTES
from workflow.evidence.reading import parse_json, read_file
from workflow.evidence.verdict import NOTHING_PROVES
from workflow.evidence.verifying import nothing_in

PACK_FILE = PROJECT / "out" / "evidence.tar"


@dataclass(frozen=True)
class Collateral(Step):
    """Fetch the collateral of a quote and write it beside it, or to the target."""

    title = "collateral"
    place_name: str = ""
    target: str = ""

    @property
    def quote(self) -> Path:
        """Return the quote's file."""
        path = Path(self.place_name or self.settings.train.out)
        return path / QUOTE_FILE if path.is_dir() or not self.place_name else path

    @property
    def file(self) -> Path:
        """Return where the collateral goes."""
        return Path(self.target) if self.target else self.quote.with_name(COLLATERAL_FILE)

    def writes(self) -> Iterable[Look]:
        return (partial(_refuse_foreign_collateral, self.file),) if self.file.exists() else ()

    def run(self) -> None:
        """Fetch and write it.

        Raises: WorkflowError where no service is named, there is no quote, or nothing is answered.
        """
        chosen = self.settings.evidence.collateral_service
        service.urls(chosen)
        data = service.fetch(chosen, read_file(self.quote, QUOTE_MOST_BYTES))
        parse_collateral(data, "the service's answer")
        write_atomically(self.file, data)
        answer(shown(self.file))

    def shell(self) -> Sequence[str]:
        urls = service.urls(self.settings.evidence.collateral_service)
        return [shell_line(["curl", "--fail", url]) for url in urls]


@dataclass(frozen=True)
class EvidencePack(Step):
    """Write the evidence of the last training, and of the classification with it, into one file."""

    title = "evidence-pack"
    target: str = ""
    net: bool = False

    @property
    def file(self) -> Path:
        """Return where the pack goes."""
        return Path(self.target) if self.target else PACK_FILE

    @property
    def files(self) -> dict[str, Path]:
        """Return what goes into it, by its name there."""
        folders = {TRAIN: self.settings.train.out, INFER: self.settings.infer.out}
        return {
            name: path
            for part, folder in folders.items()
            if (folder / CLAIMS_FILE).is_file()
            for name, path in pack.found(folder, part, net=self.net).items()
        }

    def reads(self) -> Iterable[Look]:
        return (self._check_claims,)

    def writes(self) -> Iterable[Look]:
        return (partial(ownership.refuse_foreign, [self.file], instead="name another file: --to"),)

    def run(self) -> None:
        pack.write(self.file, self.files)
        if not any(name.endswith(QUOTE_FILE) for name in self.files):
            note(f"no quote is in it: {NOTHING_PROVES}")
        answer(shown(self.file))

    def shell(self) -> Sequence[str]:
        return pack_lines(self.file, self.files)

    def _check_claims(self) -> None:
        if not self.files:
            raise nothing_in(self.settings.train.out)


def _refuse_foreign_collateral(path: Path) -> None:
    try:
        content = parse_json(read_file(path, COLLATERAL_MOST_BYTES), path.name)
    except WorkflowError:
        content = None
    if not isinstance(content, dict) or content.get("schema") != COLLATERAL_SCHEMA:
        raise WorkflowError(
            f"{path}: inv collateral did not write it, so it is not written over; move it away, or "
            "name another file: --to"
        )


def pack_lines(target: Path, files: Mapping[str, Path]) -> list[str]:
    """Return the shell commands that make such a tar by hand, but for its first file."""
    folder = "$(mktemp -d)"
    copies = [shell_line(["install", "-D", "-m", "644", path]) for path in files.values()]
    steps = [f'{copy} "$EVIDENCE/{name}"' for copy, name in zip(copies, files, strict=True)]
    options = "--format=ustar --sort=name --mtime=@0 --owner=0 --group=0 --numeric-owner"
    return [
        f"EVIDENCE={folder}",
        *steps,
        f'tar {options} -C "$EVIDENCE" -cf {shell_line([target])} .',
    ]
