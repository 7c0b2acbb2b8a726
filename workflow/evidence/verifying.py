"""Verifying a folder or a pack, and printing and signing the verdict: `inv verify`."""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from pytorch_common.contract import (
    CLAIMS_FILE,
    MODEL_SIGNATURE_FILE,
    NET_FILE,
    PUBLIC_KEY_FILE,
    QUOTE_FILE,
    RECORD_FILE,
    RESULT_JSON_FILE,
)
from pytorch_common.files import printable, write_atomically
from workflow.assets.trained import SUMMARY_FILE
from workflow.core.console import answer, note, shown
from workflow.core.errors import WorkflowError
from workflow.core.settings import DEMO, Settings
from workflow.core.shell_lines import shell_line
from workflow.core.step import Look, Step
from workflow.evidence import pack, summary
from workflow.evidence.pack import INFER, TRAIN
from workflow.evidence.request import Request, parse_moment
from workflow.evidence.rerun import Train, rerun_rows
from workflow.evidence.verdict import SCHEMA, Verdict, table
from workflow.evidence.verification import verify_folder


@dataclass(frozen=True)
class Verify(Step):
    """Print the verdict about a folder or pack, and sign it where a key is given.

    Without a place that is what the last training wrote, and the last classification if it did.
    """

    title = "verify"
    request: Request
    place_name: str = ""
    as_json: bool = False
    key: str = ""
    vsa: str = ""
    retrain: Train | None = None
    """Trains again, natively, to compare; None leaves that out."""

    @property
    def where(self) -> Path:
        """Return the folder or pack."""
        return Path(self.place_name or self.settings.train.out)

    @property
    def summary(self) -> Path:
        """Return where the signed verdict goes."""
        return Path(self.vsa) if self.vsa else _summary_beside(self.where)

    def writes(self) -> Iterable[Look]:
        return (self._check_summary,)

    def run(self) -> None:
        """Judge, print and sign.

        Raises: WorkflowError, status 1, naming each check that does not hold.
        """
        verdicts = judge(self.settings, self.place_name, self.request)
        if self.retrain:
            verdicts[0].rows += rerun_rows(self.settings, self.where, self.retrain)
        if self.as_json:
            content = [verdict.for_programs() for verdict in verdicts]
            answer(json.dumps({"schema": SCHEMA, "verdicts": content}, indent=2))
        else:
            for line in (line for verdict in verdicts for line in table(verdict)):
                answer(line)
        if self.key:
            _sign(verdicts, Path(self.key), self.summary, self.request)
        failed = [f"{row.name}: {row.found}" for verdict in verdicts for row in verdict.failed]
        if failed:
            raise WorkflowError("not verified: " + "; ".join(failed))

    def shell(self) -> Sequence[str]:
        return verify_lines(self.where)

    def reads(self) -> Iterable[Look]:
        return (self._check_record,) if self.retrain else ()

    def _check_record(self) -> None:
        if not (self.where / RECORD_FILE).is_file() or (self.where / RESULT_JSON_FILE).is_file():
            raise WorkflowError(f"--rerun: expected the folder of a training, got {self.where}")

    def _check_summary(self) -> None:
        if self.vsa and not self.key:
            raise WorkflowError(
                "--vsa is where a signed summary goes; give the key too: --key FILE"
            )
        if self.key:
            summary.refuse_foreign(self.summary)


def judge(settings: Settings, place: str, request: Request) -> list[Verdict]:
    """Return a verdict for each piece of evidence at the place.

    Raises: WorkflowError where there is none.
    """
    if not place:
        folders = [settings.train.out, settings.infer.out]
        there = [folder for folder in folders if (folder / CLAIMS_FILE).is_file()]
        if not there:
            raise nothing_in(settings.train.out)
        return [verify_folder(folder, _with_network(settings, request)) for folder in there]
    path = Path(place)
    if path.is_dir():
        if not (path / CLAIMS_FILE).exists():
            raise nothing_in(path)
        return [verify_folder(path, _with_network(settings, request))]
    if not path.is_file():
        raise WorkflowError(f"{printable(path)}: no such folder or pack")
    with unpacked(path) as folder:
        parts = [part for part in (TRAIN, INFER) if (folder / part).is_dir()]
        trained = folder / TRAIN if TRAIN in parts else None
        request = replace(request, network=request.network or trained)
        return [
            verify_folder(folder / part, request, shown_as=f"{printable(path)}: {part}")
            for part in parts
        ]


def nothing_in(folder: Path) -> WorkflowError:
    """Return the error for a folder without evidence: which command makes some, or reads some."""
    line = f"{printable(shown(folder))}: expected {CLAIMS_FILE}, got no evidence; run: inv train"
    trained = DEMO / TRAIN
    if (trained / CLAIMS_FILE).is_file():
        line += f"; that of the demo: {shell_line(['inv', 'verify', trained])}"
    return WorkflowError(line)


def _with_network(settings: Settings, request: Request) -> Request:
    """Have the last training speak for the network, where no other folder is named."""
    trained = settings.train.out
    if request.network or not (trained / CLAIMS_FILE).is_file():
        return request
    return replace(request, network=trained)


def verdict_of_training(settings: Settings) -> Verdict | None:
    """Return the verdict about the last training, as of now; None where it left no claims."""
    if not (settings.train.out / CLAIMS_FILE).is_file():
        return None
    request = Request(settings.evidence, int(time.time()))
    return verify_folder(settings.train.out, request, shown_as=shown(settings.train.out))


@contextmanager
def unpacked(path: Path) -> Iterator[Path]:
    """Give a folder with what is in the pack, for as long as it is looked at."""
    with tempfile.TemporaryDirectory(prefix="evidence-") as name:
        pack.unpack(path, Path(name))
        if not any(Path(name, part).is_dir() for part in (TRAIN, INFER)):
            raise WorkflowError(f"{printable(path)}: nothing is in the pack")
        yield Path(name)


def verify_lines(place: Path) -> list[str]:
    """Return the shell commands that check by hand what can be checked so."""
    key = place / PUBLIC_KEY_FILE
    model = ["model_signing", "verify", "key", "--ignore_unsigned_files"]
    return [
        "# the signatures on statements, the quote and Merkle paths: by inv verify alone",
        shell_line(["sha256sum", key, place / QUOTE_FILE, place / NET_FILE]),
        shell_line(
            [*model, "--public_key", key, "--signature", place / MODEL_SIGNATURE_FILE, place]
        ),
    ]


def _summary_beside(place: Path) -> Path:
    if place.is_dir():
        return place / SUMMARY_FILE
    return place.with_name(f"{place.name}.{SUMMARY_FILE}")


def _sign(verdicts: Sequence[Verdict], key_file: Path, target: Path, request: Request) -> None:
    key, policy = summary.read_key(key_file), accepted_facts(request)
    digest, now_s = summary.key_digest(key), int(time.time())
    lines = [
        summary.bundle(summary.statement(verdict, policy, now_s, digest), key)
        for verdict in verdicts
        if verdict.digest
    ]
    write_atomically(target, b"".join(lines))
    note(f"{shown(target)}: the verdict, signed with the key whose sha256 is {digest}")


def accepted_facts(request: Request) -> dict[str, Any]:
    """Return what the verifier accepts, for the summary: paths of this machine stay out."""
    chosen = asdict(request.chosen)
    own = ("collateral_service", "lock", "ppids")
    facts = {name: value for name, value in chosen.items() if name not in own}
    return {**facts, "lock": bool(chosen["lock"]), "ppids": bool(chosen["ppids"])}


def request_of(
    settings: Settings, at: str = "", collateral: str = "", network: str = ""
) -> Request:
    """Return how to verify, out of the settings and the task's own flags.

    Raises: WorkflowError where the time is none.
    """
    return Request(
        settings.evidence,
        time_s=parse_moment(at) if at else int(time.time()),
        collateral=Path(collateral) if collateral else None,
        network=Path(network) if network else None,
    )
