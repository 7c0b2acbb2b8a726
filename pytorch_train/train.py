"""Fine-tune a pretrained network on a folder of labelled images; keep the best of all epochs.

Reads  DATA/train/CLASS/* and DATA/val/CLASS/*, where DATA is a folder or the pack of one, and the
state_dict of the pretrained network.
Writes NET (the network), OUT/history.json (a line of figures an epoch), OUT/record.json (what was
run, on what, with which digests), beside them the evidence (docs/evidence-format.md) and, until
these are there, a checkpoint an epoch. The recipe is that of "Finetuning Torchvision Models".

In an image each TRAIN_… variable stands in place of an option, so that GSC measures it. NET then
lies on an encrypted mount; only --export-net, chosen when the image is built, writes it to OUT too.
"""

from __future__ import annotations

import argparse
import dataclasses
import time
from pathlib import Path
from typing import Any, Sequence

from pytorch_common import start  # isort: split

import torch

from pytorch_common import contract, evidence
from pytorch_common.architectures import versions
from pytorch_common.checkpoint import load_base_weights, save_net
from pytorch_common.errors import RunError
from pytorch_common.files import (
    code_digest,
    hidden_note,
    lacking_classes,
    printable,
    some_of,
    write_atomically,
)
from pytorch_common.network import build_network
from pytorch_common.preprocess import preprocessing
from pytorch_common.script import (
    answer,
    image_limits,
    json_bytes,
    leave,
    note,
    run_facts,
    run_script,
)
from pytorch_common.trainable import batch_problem, classes_problem
from pytorch_train.arguments import parse_arguments
from pytorch_train.labelled import find_images
from pytorch_train.loop import Course, Data, all_bad_images_named, fine_tune
from pytorch_train.resume import Checkpoints
from pytorch_train.source import source_of

start.settled()

CODE = Path(__file__).resolve().parents[1]
MEGABYTE = 10**6


def main(argv: Sequence[str]) -> int:
    """Train, report an epoch a line, write network, evidence and record; return the exit status."""
    args = parse_arguments(argv)
    options = settle(args)
    started = time.monotonic()

    data = load_data(args, contract.IMAGE_SIZES[options.arch])
    note_passed_over(args.data, data)
    if problem := batch_problem(options, len(data.training)):
        raise RunError(problem)
    classes = data.training.classes
    base, base_sha256 = None, None
    if options.method != contract.SCRATCH:
        base, base_sha256 = load_base_weights(args.weights, args.weights_sha256)
    network = build_network(options.arch, len(classes), options.method, base)
    note(
        f"{options.arch}, {options.method}: {len(data.training)} images to train, "
        f"{len(data.validation)} to validate, classes {some_of(classes, len(classes))}, "
        f"{options.threads} threads"
    )

    with all_bad_images_named(data, options.threads):
        digests = {
            "base_weights": base_sha256,
            "data": data_digest(args, data),
            "code": code_digest(CODE, "pytorch_common", "pytorch_train"),
        }
        run = {**dataclasses.asdict(options), **digests, **versions()}
        checkpoints = Checkpoints(args.checkpoints / args.net.name, run)
        course = fine_tune(network, data, options, checkpoints, resume=args.resume)

    net_sha256 = save_net(
        args.net,
        {**network.state_dict(), **course.best_state},
        classes=classes,
        preprocess=preprocessing(data.size),
        settings=dataclasses.asdict(options),
    )
    record = make_record(options, course, data, {**digests, "net": net_sha256})
    record["elapsed_s"] = round(time.monotonic() - started, 3)
    if args.export_net:
        write_atomically(args.out / contract.NET_FILE, args.net.read_bytes())
        record["exported"] = True
    history = {"schema": contract.HISTORY_SCHEMA, "epochs": course.history}
    files = {contract.HISTORY_FILE: json_bytes(history), contract.RECORD_FILE: json_bytes(record)}
    evidence.write_training(args.out, record, data.limits, files)
    for name, content in files.items():
        write_atomically(args.out / name, content)
    checkpoints.clear()
    metrics = record["metrics"]
    answer(
        f"best validation accuracy {metrics['best_val_accuracy']:.4f} "
        f"({metrics['best_val_correct']} of {len(data.validation)}) "
        f"in epoch {metrics['best_epoch']}"
    )
    answer(f"{args.net}  sha256 {net_sha256}")
    return 0


def settle(args: argparse.Namespace) -> contract.TrainOptions:
    """Fix threads, seeds and algorithms, so that the same in gives the same out.

    Returns the options with the number of threads that is really used.
    """
    options: contract.TrainOptions = args.options
    if options.portable and "CPU capability usage: AVX2" not in torch.__config__.show():
        raise RunError(
            "--portable: expected the kernels of AVX2; this processor has none, or torch "
            "was imported before train.py could ask for them"
        )
    threads = options.thread_count()
    torch.set_num_threads(threads)
    torch.manual_seed(options.seed)
    # What torch.use_deterministic_algorithms(True) does, but without importing torch's compiler.
    torch.set_deterministic_debug_mode("error")
    # That fills fresh memory too, to make a bug repeatable: two hundredths of the time.
    if hasattr(torch.utils, "deterministic"):
        torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    return dataclasses.replace(options, threads=threads)


def load_data(args: argparse.Namespace, size: int) -> Data:
    """Return the images to train and to validate on.

    Raises: RunError where DATA is no such tree or the two do not have the same classes.
    """
    data: Path = args.data
    try:
        source = source_of(data, args.data_sha256)
        training, validation = (find_images(data / split, source) for split in ("train", "val"))
    except OSError as error:
        got = f"{error.strerror}: {printable(error.filename)}" if error.strerror else str(error)
        raise RunError(
            f"{data}: expected train/CLASS/… and val/CLASS/… with images in each, got: {got}"
        ) from error
    if different := sorted(set(training.classes) ^ set(validation.classes)):
        lacking = lacking_classes(training.classes, validation.classes)
        raise RunError(
            f"{data}: not the same classes in train and val: {some_of(different)} ({lacking})"
        )
    if problem := classes_problem(training.classes):
        raise RunError(f"{data}: {problem}")
    limits = image_limits(args)
    return Data(training, validation, size, args.cache_mb * MEGABYTE, limits)


def data_digest(args: argparse.Namespace, data: Data) -> str:
    """Return the canonical digest of the data set.

    Raises: RunError where it is not the one asked for.
    """
    digest = data.training.source.digest(args.data)
    if args.data_sha256 not in ("", digest):
        expected = printable(args.data_sha256)
        raise RunError(f"{printable(args.data)}: expected the data set {expected}, got {digest}")
    return digest


def note_passed_over(folder: Path, data: Data) -> None:
    """Say what lies in the data set and is not trained on."""
    lines = [hidden_note(folder)]
    for split, images in (("train", data.training), ("val", data.validation)):
        lines.append(images.source.passed_over(folder / split, images.paths))
    for line in filter(None, lines):
        note(line)


def make_record(
    options: contract.TrainOptions, course: Course, data: Data, digests: dict[str, Any]
) -> dict[str, Any]:
    """Return what was run, on what, and what came of it (schema: docs/files.md)."""
    best = course.best_epoch()
    return {
        "schema": contract.RECORD_SCHEMA,
        **run_facts(versions()),
        "settings": dataclasses.asdict(options),
        "classes": data.training.classes,
        "images": {"train": len(data.training), "val": len(data.validation)},
        "digests": digests,
        "metrics": {
            "best_epoch": best["epoch"],
            "best_val_accuracy": best["val_accuracy"],
            "best_val_correct": best["val_correct"],
        },
    }


if __name__ == "__main__":
    leave(run_script(main))
