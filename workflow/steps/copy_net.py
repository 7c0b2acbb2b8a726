"""Copy net.pt, plain or sealed, to where the classifying side reads it: pytorch_infer/net.pt."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pytorch_common.contract import NET_FILE, RECORD_FILE
from pytorch_common.files import write_atomically
from workflow.assets.trained import (
    NET_SUFFIXES,
    RUN_FILE,
    RUN_SCHEMA,
    check_net,
    encrypted_net,
    read_record,
    read_run,
    record_beside,
    write_run,
)
from workflow.backends.base import Backend, pick
from workflow.backends.classify_job import INFER_SCRIPT
from workflow.backends.native import run_native
from workflow.core.console import note, shown
from workflow.core.disk import sha256_file
from workflow.core.errors import WorkflowError
from workflow.core.ownership import refuse_foreign, refuse_unfit
from workflow.core.settings import InferSettings, Settings
from workflow.core.shell_lines import shell_line
from workflow.core.step import Look, Step


@dataclass(frozen=True)
class CopyNet(Step):
    """Hand the trained network over, with its record.

    A sealed one is copied as it is: the host cannot read it, but sees that it is the file which the
    run left.
    """

    title = "copy-net"
    after: Backend | None = None
    """Of a training that would come before, where the step is only shown."""

    def writes(self) -> Iterable[Look]:
        return (lambda: check_place(self.settings.infer.net),)

    def run(self) -> None:
        out, infer = self.settings.train.out, self.settings.infer
        record, run = read_record(out), read_run(out)
        plain = out / NET_FILE
        if run["encrypted"]:
            _copy_encrypted(out, infer, run)
        if not run["encrypted"] or record.get("exported"):
            check_net(plain, record)
            check_schema(plain, record)
            _copy(plain, infer.net, record["digests"]["net"])
            check_net(infer.net, record)
        if not run["encrypted"]:
            encrypted_net(infer.net.parent).unlink(missing_ok=True)
        elif not record.get("exported"):
            infer.net.unlink(missing_ok=True)
        written = (out / RECORD_FILE).read_bytes()
        write_atomically(record_beside(infer.net), written)  # the same file, it may be
        write_run(infer.net.parent, {**run, "schema": RUN_SCHEMA})

    def shell(self) -> Sequence[str]:
        """Return the commands: what the last run left decides, unless a training would come."""
        out, net = self.settings.train.out, self.settings.infer.net
        is_sealed, is_plain = self._forms(self.settings)
        pairs = [
            *([(encrypted_net(out), encrypted_net(net.parent))] if is_sealed else []),
            *([(out / NET_FILE, net)] if is_plain else []),
            (out / RECORD_FILE, record_beside(net)),
            *([(out / RUN_FILE, net.with_name(RUN_FILE))] if (out / RUN_FILE).is_file() else []),
        ]
        kept = {target for _, target in pairs}
        places = (net, encrypted_net(net.parent))
        old = [path for path in places if path.exists() and path not in kept]
        return [
            shell_line(["mkdir", "-p", pairs[0][1].parent]),
            *(shell_line(["cp", source, target]) for source, target in pairs),
            *([shell_line(["rm", *old])] if old else []),
        ]

    def _forms(self, settings: Settings) -> tuple[bool, bool]:
        """Tell whether the network comes sealed, and whether it comes plain."""
        out = settings.train.out
        if self.after or not (out / RECORD_FILE).is_file():
            is_sealed = (self.after or pick(settings)).seals
            return is_sealed, not is_sealed or settings.train.export_net
        is_sealed = bool(read_run(out)["encrypted"])
        return is_sealed, not is_sealed or bool(read_record(out).get("exported"))


def check_place(net: Path) -> None:
    """Refuse to hand over to where a person's own files have the names of ours.

    Raises: WorkflowError naming the first of them.
    """
    refuse_unfit(net.parent, "infer.net")
    if net.suffix not in NET_SUFFIXES:
        raise WorkflowError(
            f"infer.net: expected {' or '.join(NET_SUFFIXES)} at its end, got {net}"
        )
    places = (net, record_beside(net), net.with_name(RUN_FILE), encrypted_net(net.parent))
    refuse_foreign(places, instead="name another file: --net")


def check_schema(net: Path, record: dict[str, Any]) -> None:
    """Refuse a network that the classifying script would refuse; that script looks at it.

    Raises: WorkflowError with the script's line.
    """
    sha256 = record["digests"]["net"]
    arguments = ["--check-net", f"--net={shown(net)}", f"--net-sha256={sha256}"]
    try:
        status = run_native(INFER_SCRIPT, arguments)
    except WorkflowError as error:
        raise WorkflowError(f"{error.message}; run: inv train", code=error.code) from error
    if status:
        raise WorkflowError("pytorchexample.py failed; its lines stand above", code=status)


def _copy_encrypted(out: Path, infer: InferSettings, run: dict[str, Any]) -> None:
    source, target = encrypted_net(out), encrypted_net(infer.net.parent)
    if not source.is_file():
        raise WorkflowError(f"{source} is missing; run: inv train")
    if sha256_file(source) != run["encrypted"]:
        raise WorkflowError(f"{source} is not the file that the run left; run: inv train")
    _copy(source, target, run["encrypted"])


def _copy(source: Path, target: Path, sha256: str) -> None:
    if target.is_file() and sha256_file(target) == sha256:
        note(f"{target}: already there, verified")
        return
    write_atomically(target, source.read_bytes())
    if sha256_file(target) != sha256:
        raise WorkflowError(f"{target} was not copied whole; run: inv copy-net")
    note(f"{target}: copied and verified")
