"""Fine-tuning the network, in the backend that is asked for."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from pytorch_common.contract import (
    HANDOVER_DIR,
    HISTORY_FILE,
    NET_FILE,
    OUT_DIR,
    RECORD_FILE,
    SCRATCH,
    available_threads,
)
from pytorch_common.files import code_digest, sha256_file, tree_digest
from workflow.assets import pretrained
from workflow.assets.handover import (
    ENCRYPTED_FOLDER,
    RUN_FILE,
    check_net,
    encrypted_net,
    is_encrypted,
    read_record,
    read_run,
    write_run,
)
from workflow.backends import base, preflight, run
from workflow.core.console import note, shown
from workflow.core.errors import WorkflowError
from workflow.core.locks import alone_in
from workflow.core.ownership import refuse_foreign, refuse_unfit
from workflow.core.settings import PROJECT, Settings, TrainSettings
from workflow.core.shell_lines import shell_line, show, unquoted
from workflow.gsc import commands, enclaves
from workflow.images.build_spec import TRAIN, image_name
from workflow.images.container_spec import ContainerSpec, Mount, docker_run

SCRATCH_FOLDER = "scratch"
"""Where the comparison with training from scratch is written, below the folder of net.pt."""


def train(settings: Settings, *, resume: bool = False, compare_scratch: bool = False) -> None:
    """Fine-tune the network and write net.pt, history.json and record.json.

    With ``resume`` a run that was stopped is gone on with, and one that ended is left as it is.
    With ``compare_scratch`` the same network is trained from random weights too, into a folder
    below, as the tutorial does.

    Raises: WorkflowError where an input or image is missing or the script fails.
    """
    backend = base.pick(settings)
    if compare_scratch and backend in base.SHIELDED:
        raise WorkflowError(
            "--compare-scratch: a sealed image has one method built in; compare with --backend "
            'docker or native and an --out of its own, or see "train" in the README'
        )
    if settings.dry:
        show(*train_lines(settings, backend, resume=resume))
        if compare_scratch:
            show(*train_lines(_beside(settings, backend), backend, resume=resume))
        return
    place = preflight.running(settings, backend)
    if backend != "native":
        place.append(partial(_runnable, settings, backend))
    inputs = preflight.training(settings)
    written = [settings, *([_beside(settings, backend)] if compare_scratch else [])]
    inputs += [partial(check_place, each) for each in written]
    preflight.require(settings, backend, inputs=inputs, place=place)
    base.announce(settings, backend)
    with alone_in(settings.train.out):
        if resume and is_up_to_date(settings, backend):
            note(f"{settings.train.out}: already trained with these settings, verified")
        elif backend == "native":
            _train_native(settings, resume=resume)
        else:
            _train_in_container(settings, backend, resume=resume)
    if compare_scratch:
        beside = _beside(settings, backend)
        note(f"for comparison, the same network from scratch: {shown(beside.train.out)}")
        train(beside, resume=resume)


def _beside(settings: Settings, backend: str) -> Settings:
    """Return the settings of the comparison with training from scratch."""
    beside = dataclasses.replace(
        settings.train, method=SCRATCH, out=settings.train.out / SCRATCH_FOLDER
    )
    machine = dataclasses.replace(settings.machine, backend=backend)
    return dataclasses.replace(settings, train=beside, machine=machine)


def train_args(settings: Settings, weights: Path | None) -> list[str]:
    """Return the script's arguments; every option is given, none left to a default."""
    options = dataclasses.asdict(settings.train_options)
    paths = {"data": settings.data.dir, "out": settings.train.out, "weights": weights}
    options["cache_mb"] = settings.train.cache_mb
    if known := pretrained.known_sha256(settings, weights):
        options["weights_sha256"] = known
    options.update(dataclasses.asdict(settings.limits))
    return [
        f"--{name.replace('_', '-')}={shown(value) if isinstance(value, Path) else value}"
        for name, value in {**paths, **options}.items()
        if value is not None
    ]


def train_lines(settings: Settings, backend: str, *, resume: bool = False) -> list[str]:
    """Return the shell commands that train by hand."""
    out = settings.train.out
    if backend == "native":
        weights = None if settings.train.method == SCRATCH else pretrained.weights_path(settings)
        script = shown(run.TRAIN_SCRIPT)
        environment = {"PYTHONPATH": str(PROJECT)}
        command = ["python", script, *train_args(settings, weights)]
        command += ["--resume"] if resume else []
        return [shell_line(command, environment=environment)]
    image = image_name(settings, TRAIN)
    if backend in base.SHIELDED:
        image = commands.signed_name(commands.app_name(image, backend))
    user = "$(id -u):$(id -g)"
    spec = train_spec(settings, backend, image, user=user, arguments=())
    line = unquoted(shell_line(docker_run(spec)))
    old = [] if resume else _checkpoints(settings.train)
    return [
        shell_line(["mkdir", "-p", out, *_sealed_folders(settings, backend)]),
        *([shell_line(["rm", *old])] if old else []),
        line,
    ]


def train_spec(
    settings: Settings, backend: str, image: str, *, user: str, arguments: Sequence[str]
) -> ContainerSpec:
    """Return what the training container is given.

    The hand-over is a folder of its own where it is an encrypted mount, else the folder of results.
    """
    out = settings.train.out
    handover = next(iter(_sealed_folders(settings, backend)), out)
    mounts = (Mount(out, OUT_DIR), Mount(handover, HANDOVER_DIR))
    return run.container_spec(
        settings, backend, image, user=user, mounts=mounts, arguments=arguments
    )


def is_up_to_date(settings: Settings, backend: str = "native") -> bool:
    """Tell whether the network is what these settings, weights, images and code would make here."""
    out = settings.train.out
    try:
        record, facts = read_record(out), read_run(out)
        if facts["encrypted"]:
            if sha256_file(encrypted_net(out)) != facts["encrypted"]:
                return False
        else:
            check_net(out / NET_FILE, record)
        image = None if backend == "native" else _runnable(settings, backend)[0]
    except (WorkflowError, FileNotFoundError):
        return False
    if (facts["backend"], facts.get("image_id")) != (backend, _image_id(image)):
        return False
    if bool(record.get("exported")) != settings.train.export_net and backend != "native":
        return False
    options = settings.train_options
    options = dataclasses.replace(options, threads=options.threads or available_threads())
    scratch = options.method == SCRATCH
    expected = {
        "base_weights": None if scratch else sha256_file(pretrained.base_weights(settings)),
        "data": tree_digest(settings.data.dir),
        "code": code_digest(PROJECT, "pytorch_common", "pytorch_train"),
    }
    digests = {name: record["digests"].get(name) for name in expected}
    same = record.get("settings") == dataclasses.asdict(options) and digests == expected
    return same and (out / HISTORY_FILE).is_file()


def _weights(settings: Settings) -> Path | None:
    """Return the verified file to start from, None from scratch."""
    return None if settings.train.method == SCRATCH else pretrained.base_weights(settings)


def _train_native(settings: Settings, *, resume: bool) -> None:
    weights = _weights(settings)
    _forget(settings.train, resume=resume)
    args = [*train_args(settings, weights), *(["--resume"] if resume else [])]
    status = run.run_native(str(run.TRAIN_SCRIPT), args)
    if status:
        raise WorkflowError("train.py failed; its lines stand above", code=status)


def _train_in_container(settings: Settings, backend: str, *, resume: bool) -> None:
    from workflow.images import container_run

    image, arguments = _runnable(settings, backend)
    out, sealed = settings.train.out, _sealed_folders(settings, backend)
    if backend == "sgx":
        enclaves.check_can_hand_over(settings)
        enclaves.warn_of_weaknesses(image)
    if container_run.remove_left_over(out):
        note(f"{shown(out)}: the container of a killed run was still here, and is stopped")
    # An image goes on from any checkpoint that it finds, so a run from the start finds none.
    _forget(settings.train, resume=resume)
    with run.lent([out, *sealed], run.this_person()) as user:
        spec = train_spec(settings, backend, image, user=user, arguments=arguments)
        status = run.run_container(spec, backend)
    if status:
        raise WorkflowError("train.py failed; its lines stand above", code=status)
    _write_down(settings, backend, image)


def _runnable(settings: Settings, backend: str) -> tuple[str, list[str]]:
    """Return the image to run and the arguments it takes.

    Raises: WorkflowError where it is missing, stale, or sealed with other options.
    """
    return enclaves.runnable(settings, TRAIN, backend)


def _write_down(settings: Settings, backend: str, image: str) -> None:
    """Hold what the run left to what it should be, and write down what it really used.

    Raises: WorkflowError where a network that should be sealed lies there in plain, or the record
    is of another backend.
    """
    out = settings.train.out
    record = read_record(out)
    if record["backend"] != backend:
        raise WorkflowError(
            f"{out / RECORD_FILE}: the run says it was in the backend {record['backend']}, not "
            f"{backend}; its results are not used"
        )
    facts: dict[str, Any] = {"backend": backend, "image": image, "image_id": _image_id(image)}
    if backend in base.SHIELDED:
        name = image.removeprefix("gsc-")
        facts["insecure"] = enclaves.insecure_options(name)
        facts["measurement"] = dataclasses.asdict(enclaves.measure(settings.gsc, name))
    facts["encrypted"] = _sealed_digest(settings, backend)
    if not facts["encrypted"] or record.get("exported"):
        check_net(out / NET_FILE, record)
    write_run(out, facts)


def _sealed_digest(settings: Settings, backend: str) -> str | None:
    """Return the digest of the sealed network as it lies here, None where none is sealed.

    Raises: WorkflowError where one that should be sealed is not.
    """
    if not base.seals(settings, backend):
        return None
    net = encrypted_net(settings.train.out)
    if not net.is_file() or not is_encrypted(net):
        raise WorkflowError(f"{net} is not encrypted, as it should be; nothing of it is used")
    note(f"{net}: encrypted, as it leaves the enclave")
    return sha256_file(net)


def check_place(settings: Settings) -> None:
    """Refuse to train into a folder where a person's own files have the names of ours.

    Into the data set neither: a run would change what it is trained on.

    Raises: WorkflowError naming the first of them.
    """
    train, data = settings.train, settings.data.dir
    refuse_unfit(train.out, "train.out")
    if data in (train.out, *train.out.parents):
        raise WorkflowError(
            f"train.out: {train.out} lies in the data set {data}; name one beside it"
        )
    refuse_foreign([*_results(train), *_checkpoints(train)], instead="name another folder: --out")


def _forget(train: TrainSettings, *, resume: bool) -> None:
    """Delete the results of an earlier run, so that none outlives it; its checkpoints too."""
    for path in [*_results(train), *([] if resume else _checkpoints(train))]:
        path.unlink(missing_ok=True)


def _results(train: TrainSettings) -> list[Path]:
    names = (NET_FILE, HISTORY_FILE, RECORD_FILE, RUN_FILE)
    return [*(train.out / name for name in names), encrypted_net(train.out)]


def _checkpoints(train: TrainSettings) -> list[Path]:
    folders = (train.out, train.out / ENCRYPTED_FOLDER)
    return [path for folder in folders for path in folder.glob(f"{NET_FILE}.epoch-*")]


def _sealed_folders(settings: Settings, backend: str) -> list[Path]:
    return [settings.train.out / ENCRYPTED_FOLDER] if base.seals(settings, backend) else []


def _image_id(name: str | None) -> str | None:
    from workflow.images import daemon

    image = daemon.find_image(name) if name else None
    return image.id if image else None
