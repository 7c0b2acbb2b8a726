"""A trained network and what is known of it: its record, its digest, whether it is sealed."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

from pytorch_common.contract import NET_FILE, RECORD_FILE, record_problem
from pytorch_common.files import is_lfs_pointer, write_atomically
from workflow.core.disk import sha256_file
from workflow.core.errors import WorkflowError
from workflow.core.ownership import is_ours
from workflow.core.settings import InferSettings, Settings, TrainSettings
from workflow.core.shell_lines import shell_line

NET_SUFFIXES = (".pt", ".pth")
"""How the file of a network ends: so it is taken for no other of our files, nor for code."""

RUN_FILE = "run.json"
RUN_SCHEMA = "enclave-finetune/run/1"
"""What the host knows of a run: backend, image, and the network's file as it lies on the host."""

COLLATERAL_FILE = "collateral.json"
SUMMARY_FILE = "summary.jsonl"
"""What inv collateral and a verifier put beside the evidence of a run."""

DIGEST_IN_SHELL = "$NET_SHA256"
"""The digest in the commands of `--dry`, set by ``digest_line``."""

ENCRYPTED_FOLDER = "encrypted"
"""Beside the plain network: the folder that is the encrypted mount of both containers."""

ENCRYPTED_MAGIC = b"GRAFS_PF"
"""How each file of an encrypted mount begins. Source: Gramine, common/src/protected_files."""


def encrypted_net(folder: Path) -> Path:
    """Return where a sealed network lies: its name must be the same on both sides."""
    return folder / ENCRYPTED_FOLDER / NET_FILE


def is_encrypted(path: Path) -> bool:
    """Tell whether the file is one of an encrypted mount."""
    with path.open("rb") as file:
        return file.read(len(ENCRYPTED_MAGIC)) == ENCRYPTED_MAGIC


def write_run(folder: Path, facts: dict[str, Any]) -> None:
    """Write down what the host knows of a run."""
    content = {"schema": RUN_SCHEMA, **facts}
    write_atomically(folder / RUN_FILE, (json.dumps(content, indent=2) + "\n").encode())


def read_run(folder: Path) -> dict[str, Any]:
    """Return what the host knows of the run; of a plain one nothing more than that it was plain.

    Raises: WorkflowError where the file is none of these.
    """
    path = folder / RUN_FILE
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {"schema": RUN_SCHEMA, "backend": "native", "encrypted": None}
    except (OSError, ValueError, RecursionError) as error:
        raise WorkflowError(f"{path} cannot be read ({error}); run: inv train") from error
    needed = {"backend", "encrypted"}
    is_run = isinstance(content, dict) and content.get("schema") == RUN_SCHEMA
    if not is_run or not needed <= content.keys():
        raise WorkflowError(f"{path} is no description of a run; run: inv train")
    return dict(content)


def left_by_verifiers(folder: Path) -> list[Path]:
    """Return what tasks put beside a run's evidence: of the next run it would say nothing true."""
    return [path for name in (COLLATERAL_FILE, SUMMARY_FILE) if is_ours(path := folder / name)]


def not_handed_over(settings: Settings) -> str:
    """Return the line for a trained network that is not the one which answers, else nothing."""
    out, net = settings.train.out, settings.infer.net
    try:
        trained, answers = read_record(out), read_record(record_beside(net).parent)
    except WorkflowError:
        return ""
    if trained["digests"]["net"] == answers["digests"]["net"]:
        return ""
    places = (("--out", out, TrainSettings.out), ("--net", net, InferSettings.net))
    flags = [word for flag, path, usual in places if path != usual for word in (flag, path)]
    command = shell_line(["inv", "copy-net", *flags])
    return f"{net} answers, which is not the network in {out}; to hand that over: {command}"


def digest_line(infer: InferSettings) -> str:
    """Return the shell command that reads the network's digest out of the record."""
    record = record_beside(infer.net)
    pattern = r's/.*"net": "\(.*\)".*/\1/p'
    return f"NET_SHA256=$({shell_line(['sed', '-n', pattern, record])})"


def accepted_net(net: Path) -> str:
    """Return the digest of the plain network that was handed over, verified against its record.

    Raises: WorkflowError naming the task that makes it.
    """
    if encrypted_net(net.parent).is_file() and not net.is_file():
        raise WorkflowError(
            f"the network was handed over sealed, in {encrypted_net(net.parent)}; classify in the "
            "backend that it was trained in"
        )
    if not net.is_file():
        raise WorkflowError(f"{net} is missing; run: inv train, then: inv copy-net")
    record = read_record(record_beside(net).parent)
    check_net(net, record)
    return str(record["digests"]["net"])


def accepted_digest(infer: InferSettings) -> str:
    """Return the digest of the network that was handed over, sealed or plain.

    That of a sealed one is the record's word, which only an enclave can hold against the network.

    Raises: WorkflowError naming the task that makes it.
    """
    sealed = encrypted_net(infer.net.parent)
    if not sealed.is_file():
        return accepted_net(infer.net)
    run = read_run(infer.net.parent)
    if sha256_file(sealed) != run["encrypted"]:
        raise WorkflowError(f"{sealed} is not the file that was handed over; run: inv copy-net")
    return str(read_record(record_beside(infer.net).parent)["digests"]["net"])


def record_beside(net: Path) -> Path:
    """Return where the record of a handed-over network lies."""
    return net.with_name(RECORD_FILE)


def read_record(folder: Path) -> dict[str, Any]:
    """Return the record of training in the folder.

    Raises: WorkflowError where there is none or it is none.
    """
    path = folder / RECORD_FILE
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise WorkflowError(f"{path} is missing; run: inv train") from error
    except (OSError, ValueError, RecursionError) as error:
        raise WorkflowError(f"{path} cannot be read ({error}); run: inv train") from error
    if problem := record_problem(record):
        raise WorkflowError(f"{path} is no record of training: {problem}; run: inv train")
    return dict(record)


def check_net(net: Path, record: dict[str, Any]) -> None:
    """Refuse a network that is not, byte for byte, the one that the record describes.

    Raises: WorkflowError that tells a half-written file from a foreign one.
    """
    if not net.is_file():
        raise WorkflowError(f"{net} is missing; run: inv train")
    expected, got = record["digests"]["net"], sha256_file(net)
    if got != expected:
        kind = "another network" if zipfile.is_zipfile(net) else "damaged or half-written"
        kind = "a Git LFS pointer" if is_lfs_pointer(net) else kind
        raise WorkflowError(
            f"{net} is {kind}: the record says sha256 {expected}, it has {got}; run: inv train"
        )
