"""The network on its way from the training side to the classifying one, plain or sealed."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

from pytorch_common.contract import NET_FILE, RECORD_FILE, record_problem
from pytorch_common.files import is_lfs_pointer, sha256_file, write_atomically
from workflow.backends import base
from workflow.core.console import note, shown
from workflow.core.errors import WorkflowError
from workflow.core.ownership import refuse_foreign, refuse_unfit
from workflow.core.settings import BACKENDS, InferSettings, Settings, TrainSettings
from workflow.core.shell_lines import shell_line, show

RUN_FILE = "run.json"
RUN_SCHEMA = "enclave-finetune/run/1"
"""What the host knows of a run: backend, image, and the network's file as it lies on the host."""

DIGEST_IN_SHELL = "$NET_SHA256"
"""The digest in the commands of `--dry`, set by ``digest_line``."""

NET_SUFFIXES = (".pt", ".pth")
"""How a network's file ends: so it is taken for no other of our files, nor for code."""

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


def copy_net(settings: Settings, *, after: str = "") -> Path:
    """Copy the trained network, with its record, to where the classifying side reads it.

    A sealed one is copied as it is: the host cannot read it, but sees that it is the file which the
    run left. Returns the copy. Dry, ``after`` is the backend of a training that would come before.

    Raises: WorkflowError where there is none, or it is not the one that the record describes.
    """
    if settings.dry:
        show(*copy_lines(settings, after=after))
        return settings.infer.net
    check_place(settings.infer.net)
    record, run = read_record(settings.train.out), read_run(settings.train.out)
    plain, target = settings.train.out / NET_FILE, settings.infer.net
    if run["encrypted"]:
        target = _copy_encrypted(settings.train.out, settings.infer, run)
    if not run["encrypted"] or record.get("exported"):
        check_net(plain, record)
        check_schema(plain, record)
        _copy(plain, settings.infer.net, record["digests"]["net"])
        check_net(settings.infer.net, record)
    if not run["encrypted"]:
        encrypted_net(settings.infer.net.parent).unlink(missing_ok=True)
    elif not record.get("exported"):
        settings.infer.net.unlink(missing_ok=True)
    written = (settings.train.out / RECORD_FILE).read_bytes()
    write_atomically(record_beside(settings.infer.net), written)  # the same file, it may be
    write_run(settings.infer.net.parent, {**run, "schema": RUN_SCHEMA})
    return target


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


def copy_lines(settings: Settings, *, after: str = "") -> list[str]:
    """Return the shell commands that hand the network over by hand.

    What the last run left decides what is copied, unless one in the backend ``after`` would come.
    """
    out, net = settings.train.out, settings.infer.net
    if after or not (out / RECORD_FILE).is_file():
        is_sealed = base.seals(settings, after or base.pick(settings))
        is_plain = not is_sealed or settings.train.export_net
    else:
        is_sealed = bool(read_run(out)["encrypted"])
        is_plain = not is_sealed or bool(read_record(out).get("exported"))
    pairs = [
        *([(encrypted_net(out), encrypted_net(net.parent))] if is_sealed else []),
        *([(out / NET_FILE, net)] if is_plain else []),
        (out / RECORD_FILE, record_beside(net)),
        *([(out / RUN_FILE, net.with_name(RUN_FILE))] if (out / RUN_FILE).is_file() else []),
    ]
    kept = {target for _, target in pairs}
    old = [path for path in (net, encrypted_net(net.parent)) if path.exists() and path not in kept]
    return [
        shell_line(["mkdir", "-p", pairs[0][1].parent]),
        *(shell_line(["cp", source, target]) for source, target in pairs),
        *([shell_line(["rm", *old])] if old else []),
    ]


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


def readable_in(infer: InferSettings, *, graphene: bool = False) -> tuple[tuple[str, ...], str]:
    """Return the backends that can open the network which was handed over, and how it came."""
    run = read_run(infer.net.parent)
    plain = ("docker", "native") if infer.net.is_file() else ()
    if encrypted_net(infer.net.parent).is_file() and run["encrypted"]:
        return (str(run["backend"]), *plain), f"sealed by a {run['backend']} run"
    if graphene:
        return BACKENDS, "plain, as old Graphene hands it over"
    return plain or ("docker", "native"), "plain"


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
    from workflow.backends import run  # which imports this module

    try:
        status = run.run_native(str(run.INFER_SCRIPT), schema_args(net, record["digests"]["net"]))
    except WorkflowError as error:
        raise WorkflowError(f"{error.message}; run: inv train", code=error.code) from error
    if status:
        raise WorkflowError("pytorchexample.py failed; its lines stand above", code=status)


def schema_args(net: Path, sha256: str) -> list[str]:
    """Return the script's arguments that have it look at the network alone."""
    return ["--check-net", f"--net={shown(net)}", f"--net-sha256={sha256}"]


def _copy_encrypted(out: Path, infer: InferSettings, run: dict[str, Any]) -> Path:
    source, target = encrypted_net(out), encrypted_net(infer.net.parent)
    if not source.is_file():
        raise WorkflowError(f"{source} is missing; run: inv train")
    if sha256_file(source) != run["encrypted"]:
        raise WorkflowError(f"{source} is not the file that the run left; run: inv train")
    _copy(source, target, run["encrypted"])
    return target


def _copy(source: Path, target: Path, sha256: str) -> None:
    if target.is_file() and sha256_file(target) == sha256:
        note(f"{target}: already there, verified")
        return
    write_atomically(target, source.read_bytes())
    if sha256_file(target) != sha256:
        raise WorkflowError(f"{target} was not copied whole; run: inv copy-net")
    note(f"{target}: copied and verified")
