"""Classifying images with the network that was handed over."""

from __future__ import annotations

import dataclasses
import glob
import os
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from pytorch_common.contract import (
    HANDOVER_DIR,
    IN_DIR,
    LIST_FILE,
    NET_FILE,
    OUT_DIR,
    RESULT_JSON_FILE,
    RESULT_TEXT_FILE,
)
from workflow.assets.handover import (
    DIGEST_IN_SHELL,
    accepted_digest,
    accepted_net,
    digest_line,
    encrypted_net,
    not_handed_over,
    readable_in,
)
from workflow.backends import base, preflight, run
from workflow.core.console import answer_json, note, shown
from workflow.core.errors import WorkflowError
from workflow.core.ownership import refuse_foreign, refuse_unfit
from workflow.core.settings import GRAPHENE, PROJECT, InferSettings, Settings
from workflow.core.shell_lines import shell_line, show, unquoted
from workflow.gsc import commands, enclaves
from workflow.images.build_spec import INFER, image_name
from workflow.images.container_spec import ContainerSpec, Mount, docker_run
from workflow.images.staging import inner_name, staged


def classify(
    settings: Settings, images: Sequence[str], *, as_json: bool = False, quiet: bool = False
) -> None:
    """Classify files, folders and glob patterns; write result.txt and result.json, print one.

    With ``quiet`` none is printed.

    Raises: WorkflowError where the network is missing or not the recorded one, and, after all
    others are classified, where a file was no image.
    """
    infer = settings.infer
    if not images:
        raise WorkflowError("no image given; run: inv classify --image PATH (file, folder or glob)")
    names = [name for image in images for name in expand(image)]
    if settings.dry:
        show(*classify_lines(settings, base.pick(settings), names))
        return
    backend = base.pick(settings)
    place = preflight.running(settings, backend)
    if backend != "native":
        place.append(partial(enclaves.runnable, settings, INFER, backend))
    inputs = [partial(check_place, infer), partial(check_opens, settings, backend)]
    preflight.require(settings, backend, inputs=inputs, place=place)
    base.announce(settings, backend)
    if line := not_handed_over(settings):
        note(line)
    if backend == "native":
        status = _classify_native(settings, names, quiet=as_json or quiet)
    else:
        status = _classify_in_container(settings, backend, names, quiet=as_json or quiet)
    if as_json and (infer.out / RESULT_JSON_FILE).is_file():
        answer_json((infer.out / RESULT_JSON_FILE).read_text(encoding="utf-8").rstrip("\n"))
    if status and not (infer.out / RESULT_JSON_FILE).is_file():
        raise WorkflowError("pytorchexample.py failed; its lines stand above", code=status)
    if status:
        raise WorkflowError("not every file was an image; the lines above name them", code=status)


def check_opens(settings: Settings, backend: str) -> None:
    """Refuse a network that was handed over in a form that the backend cannot open.

    Raises: WorkflowError, and where there is no network or not the recorded one.
    """
    accepted_digest(settings.infer)
    can_open, how = readable_in(settings.infer, graphene=settings.gsc.dialect == GRAPHENE)
    if backend not in can_open:
        raise WorkflowError(
            f"the network that was handed over is {how}, which the backend {backend} cannot "
            f"open; classify with --backend {' or '.join(can_open)}, or run: inv train --backend "
            f"{backend}, then: inv copy-net"
        )


def infer_args(settings: Settings, net_sha256: str) -> list[str]:
    """Return the script's arguments; the images' names come on standard input."""
    infer = settings.infer
    limits = dataclasses.asdict(settings.limits).items()
    return [
        *(f"--net={shown(infer.net)}", f"--net-sha256={net_sha256}", f"--out={shown(infer.out)}"),
        *(f"--top-k={infer.top_k}", f"--threads={infer.threads}"),
        *(f"--{name.replace('_', '-')}={value}" for name, value in limits),
        *(["--ignore-profiles=1"] if infer.ignore_profiles else []),
        *("--image", "-"),
    ]


def infer_spec(
    settings: Settings,
    backend: str,
    image: str,
    *,
    user: str,
    images: Path,
    arguments: Sequence[str] = (),
) -> ContainerSpec:
    """Return what the classifying container is given: the network and the images to read alone."""
    infer = settings.infer
    if base.seals(settings, backend):
        # Writable, because Gramine opens an encrypted file for writing even to read it.
        handover = Mount(encrypted_net(infer.net.parent).parent, HANDOVER_DIR)
    else:
        handover = Mount(infer.net, f"{HANDOVER_DIR}/{NET_FILE}", read_only=True)
    mounts = (Mount(infer.out, OUT_DIR), handover, Mount(images, IN_DIR, read_only=True))
    return run.container_spec(
        settings, backend, image, user=user, mounts=mounts, arguments=arguments
    )


def classify_lines(settings: Settings, backend: str, names: Sequence[str]) -> list[str]:
    """Return the shell commands that classify by hand."""
    infer = settings.infer
    if backend == "native":
        listing = shell_line(["printf", r"%s\0", *names])
        command = ["python", shown(run.INFER_SCRIPT), *infer_args(settings, DIGEST_IN_SHELL)]
        environment = {"PYTHONPATH": str(PROJECT)}
        line = shell_line(command, environment=environment, stdin=listing)
        return [digest_line(infer), unquoted(line)]
    image, user = image_name(settings, INFER), "$(id -u):$(id -g)"
    if backend in base.SHIELDED:
        image = commands.signed_name(commands.app_name(image, backend))
    folder = infer.out.parent / "in"
    spec = infer_spec(settings, backend, image, user=user, images=folder)
    line = unquoted(shell_line(docker_run(spec)))
    inside = [inner_name(name) for name in names]
    copies = [
        _copy_line(name, folder / inner.lstrip("/"))
        for name, inner in zip(names, inside, strict=True)
    ]
    listing = shell_line(["printf", r"%s\0", *inside], stdout=folder / LIST_FILE)
    return [shell_line(["mkdir", "-p", infer.out, folder]), *copies, listing, line]


def _copy_line(name: str, target: Path) -> str:
    if not os.path.isdir(name):  # noqa: PTH112 - a Path raises for a name that is too long
        return shell_line(["install", "-D", "-m", "644", name, target])
    make = shell_line(["mkdir", "-p", target.parent])
    return f"{make} && {shell_line(['cp', '-r', name, target])}"


def expand(image: str) -> list[str]:
    """Return the paths that a pattern matches; anything else stays as it is.

    A path that is not there is left to the script, which says so in a line of the result.
    """
    if "://" in image:
        return [image]  # no address is fetched, and the result says so
    path = str(Path(os.path.expanduser(image)))  # noqa: PTH111 - there may be no home
    if glob.has_magic(path) and not os.path.lexists(path):
        return sorted(glob.glob(path, recursive=True)) or [path]  # noqa: PTH207 - absolute too
    return [path]


def clean_results(settings: Settings) -> None:
    """Delete the results of the last run, or print the command that does."""
    if settings.dry:
        show(*clean_lines(settings.infer))
    else:
        clean_result(settings.infer)


def clean_result(infer: InferSettings) -> None:
    """Delete result.txt and result.json, so that no answer outlives its question.

    Raises: WorkflowError where no task made them.
    """
    check_place(infer)
    for name in (RESULT_TEXT_FILE, RESULT_JSON_FILE):
        (infer.out / name).unlink(missing_ok=True)


def check_place(infer: InferSettings) -> None:
    """Refuse to answer into a folder where a person's own files have the names of ours.

    Raises: WorkflowError naming the first of them.
    """
    refuse_unfit(infer.out, "infer.out")
    results = (infer.out / name for name in (RESULT_TEXT_FILE, RESULT_JSON_FILE))
    refuse_foreign(results, instead="name another folder: --out (or infer.out)")


def clean_lines(infer: InferSettings) -> list[str]:
    """Return the shell command that deletes the results by hand."""
    return [shell_line(["rm", "-f", infer.out / RESULT_TEXT_FILE, infer.out / RESULT_JSON_FILE])]


def _classify_native(settings: Settings, names: Sequence[str], *, quiet: bool) -> int:
    net_sha256 = accepted_net(settings.infer.net)
    clean_result(settings.infer)
    stdin = b"".join(os.fsencode(name) + b"\0" for name in names)
    args = infer_args(settings, net_sha256)
    return run.run_native(str(run.INFER_SCRIPT), args, stdin=stdin, quiet=quiet)


def _classify_in_container(
    settings: Settings, backend: str, names: Sequence[str], *, quiet: bool
) -> int:
    infer = settings.infer
    image, arguments = enclaves.runnable(settings, INFER, backend)
    if backend == "sgx":
        enclaves.check_can_hand_over(settings)
        enclaves.warn_of_weaknesses(image)
    clean_result(infer)
    who = run.this_person()
    is_sealed = base.seals(settings, backend)
    folders = [infer.out, *([encrypted_net(infer.net.parent).parent] if is_sealed else [])]
    with (
        staged(names, infer.out.parent, settings.limits) as images,
        run.lent(folders, who) as user,
    ):
        spec = infer_spec(settings, backend, image, user=user, images=images, arguments=arguments)
        return run.run_container(spec, backend, quiet=quiet)
