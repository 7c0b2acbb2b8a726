"""Classifying images with the network that was handed over."""

from __future__ import annotations

import glob
import os
from collections.abc import Sequence
from pathlib import Path

from pytorch_common.contract import RESULT_JSON_FILE, RESULT_TEXT_FILE
from workflow.errors import WorkflowError
from workflow.notes import answer, note
from workflow.paths import shown
from workflow.run import INFER_SCRIPT, UNPROTECTED, run_native
from workflow.settings import InferSettings
from workflow.training import check_net, read_record, record_beside


def classify(
    infer: InferSettings, images: Sequence[str], *, as_json: bool = False, quiet: bool = False
) -> None:
    """Classify files, folders and glob patterns; write result.txt and result.json, print one.

    With ``quiet`` none is printed.

    Raises: WorkflowError where the network is missing or not the recorded one, and, after all
    others are classified, where a file was no image.
    """
    if not images:
        raise WorkflowError("no image given; run: inv classify --image PATH (file, folder or glob)")
    net_sha256 = accepted_net(infer.net)
    paths = [path for image in images for path in expand(image)]
    clean_result(infer)
    note(UNPROTECTED)
    stdin = b"".join(os.fsencode(path) + b"\0" for path in paths)
    args = infer_args(infer, net_sha256)
    status = run_native(str(INFER_SCRIPT), args, stdin=stdin, quiet=as_json or quiet)
    if as_json and (infer.out / RESULT_JSON_FILE).is_file():
        answer((infer.out / RESULT_JSON_FILE).read_text().rstrip("\n"))
    if status:
        raise WorkflowError("not every file was an image; the lines above name them", code=status)


def infer_args(infer: InferSettings, net_sha256: str) -> list[str]:
    """Return the script's arguments; the images' names come on standard input."""
    return [
        *(f"--net={shown(infer.net)}", f"--net-sha256={net_sha256}", f"--out={shown(infer.out)}"),
        *(f"--top-k={infer.top_k}", f"--threads={infer.threads}", "--image", "-"),
    ]


def accepted_net(net: Path) -> str:
    """Return the digest of the network that was handed over, verified against its record.

    Raises: WorkflowError naming the task that makes it.
    """
    if not net.is_file():
        raise WorkflowError(f"{net} is missing; run: inv train, then: inv copy-net")
    record = read_record(record_beside(net).parent)
    check_net(net, record)
    return str(record["digests"]["net"])


def expand(image: str) -> list[str]:
    """Return the paths that a pattern matches; anything else stays as it is.

    A path that is not there is left to the script, which says so in a line of the result.
    """
    path = str(Path(image).expanduser())
    if glob.has_magic(path) and not os.path.lexists(path):
        return sorted(glob.glob(path, recursive=True)) or [path]  # noqa: PTH207 - absolute too
    return [path]


def clean_result(infer: InferSettings) -> None:
    """Delete result.txt and result.json, so that no answer outlives its question."""
    for name in (RESULT_TEXT_FILE, RESULT_JSON_FILE):
        (infer.out / name).unlink(missing_ok=True)
