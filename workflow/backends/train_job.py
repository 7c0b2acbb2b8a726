"""A run of train.py: what it is given and what it leaves."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from pytorch_common.contract import (
    CHECKPOINTS_DIR,
    CLAIMS_FILE,
    HANDOVER_DIR,
    HISTORY_FILE,
    MODEL_SIGNATURE_FILE,
    NET_FILE,
    OUT_DIR,
    PUBLIC_KEY_FILE,
    QUOTE_FILE,
    RECORD_FILE,
    SCRATCH,
)
from pytorch_common.files import code_digest
from workflow.assets import pretrained
from workflow.assets.splits import data_digest
from workflow.assets.trained import (
    ENCRYPTED_FOLDER,
    RUN_FILE,
    check_net,
    encrypted_net,
    is_encrypted,
    left_by_verifiers,
    read_record,
    read_run,
    write_run,
)
from workflow.backends.base import Backend
from workflow.backends.job import Job, removal
from workflow.core.console import note, shown
from workflow.core.disk import sha256_file
from workflow.core.errors import WorkflowError
from workflow.core.settings import PROJECT, Settings, TrainSettings
from workflow.core.shell_lines import shell_line
from workflow.images.build_spec import TRAIN
from workflow.images.container_spec import Mount

TRAIN_SCRIPT = PROJECT / "pytorch_train" / "train.py"
CHECKPOINTS_FOLDER = "checkpoints"
"""Below the folder of net.pt: what a container keeps to go on from, sealed under SGX."""
SCRATCH_FOLDER = "scratch"
"""Where the comparison with training from scratch is written, below the folder of net.pt."""


@dataclass(frozen=True)
class TrainJob(Job):
    """Run train.py."""

    resume: bool = False
    role: ClassVar[str] = TRAIN
    is_alone: ClassVar[bool] = True

    @property
    def script(self) -> Path:
        return TRAIN_SCRIPT

    @property
    def out(self) -> Path:
        return self.settings.train.out

    def arguments(self) -> list[str]:
        is_scratch = self.settings.train.method == SCRATCH
        return self._arguments(None if is_scratch else pretrained.base_weights(self.settings))

    def arguments_by_hand(self) -> list[str]:
        is_scratch = self.settings.train.method == SCRATCH
        return self._arguments(None if is_scratch else pretrained.weights_path(self.settings))

    def clear(self) -> None:
        # An image goes on from any checkpoint that it finds, so a run from the start finds none.
        old = [] if self.resume else checkpoints(self.settings.train)
        for path in [*training_results(self.settings.train), *old, *left_by_verifiers(self.out)]:
            path.unlink(missing_ok=True)

    def mounts(self, inputs: Path | None, *, sealed: bool) -> tuple[Mount, ...]:
        handover = self.out / ENCRYPTED_FOLDER if sealed else self.out
        return (
            Mount(self.out, OUT_DIR),
            Mount(handover, HANDOVER_DIR),
            Mount(self.out / CHECKPOINTS_FOLDER, CHECKPOINTS_DIR),
        )

    def folders(self, *, sealed: bool) -> list[Path]:
        inner = (*((ENCRYPTED_FOLDER,) if sealed else ()), CHECKPOINTS_FOLDER)
        return [self.out, *(self.out / name for name in inner)]

    def preparation(self, *, sealed: bool) -> list[str]:
        old = [] if self.resume else checkpoints(self.settings.train)
        return [
            shell_line(["mkdir", "-p", *self.folders(sealed=sealed)]),
            *removal([*old, *left_by_verifiers(self.out)]),
        ]

    def preparation_of_native(self) -> list[str]:
        return removal(left_by_verifiers(self.out))

    def _arguments(self, weights: Path | None) -> list[str]:
        return [*train_arguments(self.settings, weights), *(["--resume"] if self.resume else [])]


def train_arguments(settings: Settings, weights: Path | None) -> list[str]:
    """Return train.py's arguments; every option is given, none left to a default."""
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


def training_results(train: TrainSettings) -> list[Path]:
    """Return the files that a training leaves, its checkpoints aside.

    The claims come last: by them it is known whose the other evidence is.
    """
    evidence = (PUBLIC_KEY_FILE, QUOTE_FILE, MODEL_SIGNATURE_FILE, CLAIMS_FILE)
    names = (NET_FILE, HISTORY_FILE, RECORD_FILE, RUN_FILE, *evidence)
    return [encrypted_net(train.out), *(train.out / name for name in names)]


def checkpoints(train: TrainSettings) -> list[Path]:
    """Return the checkpoints that are there: beside the network, or in a container's mount."""
    folders = (train.out, train.out / CHECKPOINTS_FOLDER, train.out / ENCRYPTED_FOLDER)
    return [path for folder in folders for path in folder.glob(f"{NET_FILE}.epoch-*")]


def is_up_to_date(settings: Settings, backend: Backend) -> bool:
    """Tell whether the network is what these settings, weights, images and code would make here."""
    out = settings.train.out
    try:
        record, run = read_record(out), read_run(out)
        if run["encrypted"]:
            if sha256_file(encrypted_net(out)) != run["encrypted"]:
                return False
        else:
            check_net(out / NET_FILE, record)
        backend.runnable(settings, TRAIN)
        image_id = backend.image_id(settings, TRAIN)
    except (WorkflowError, FileNotFoundError):
        return False
    if (run["backend"], run.get("image_id")) != (backend.name, image_id):
        return False
    if image_id and bool(record.get("exported")) != settings.train.export_net:
        return False
    return _is_as_asked_for(settings, record) and (out / HISTORY_FILE).is_file()


def write_down(settings: Settings, backend: Backend) -> None:
    """Hold what the run left to what it should be, and write down what it really used.

    Of a run without image the script's own record says it all.

    Raises: WorkflowError where a network that should be sealed lies there in plain, or the record
    is of another backend.
    """
    if not (facts := backend.facts(settings, TRAIN)):
        return
    out = settings.train.out
    record = read_record(out)
    if record["backend"] != backend.name:
        raise WorkflowError(
            f"{out / RECORD_FILE}: the run says it was in the backend {record['backend']}, not "
            f"{backend.name}; its results are not used"
        )
    facts["encrypted"] = sealed_digest(settings) if backend.seals else None
    if not facts["encrypted"] or record.get("exported"):
        check_net(out / NET_FILE, record)
    write_run(out, facts)


def sealed_digest(settings: Settings) -> str:
    """Return the digest of the sealed network as it lies here.

    Raises: WorkflowError where it is not sealed, as it should be.
    """
    net = encrypted_net(settings.train.out)
    if not net.is_file() or not is_encrypted(net):
        raise WorkflowError(f"{net} is not encrypted, as it should be; nothing of it is used")
    note(f"{net}: encrypted, as it leaves the enclave")
    return sha256_file(net)


def _is_as_asked_for(settings: Settings, record: dict[str, object]) -> bool:
    """Tell whether the record is of today's options, weights, images and code."""
    options = settings.train_options
    options = dataclasses.replace(options, threads=options.thread_count())
    is_scratch = options.method == SCRATCH
    expected = {
        "base_weights": None if is_scratch else sha256_file(pretrained.base_weights(settings)),
        "data": data_digest(settings.data.dir),
        "code": code_digest(PROJECT, "pytorch_common", "pytorch_train"),
    }
    digests = record["digests"]
    assert isinstance(digests, dict)  # noqa: S101 - read_record has looked
    found = {name: digests.get(name) for name in expected}
    return record.get("settings") == dataclasses.asdict(options) and found == expected
