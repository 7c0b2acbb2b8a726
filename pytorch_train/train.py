"""Fine-tune a pretrained network on a folder of labelled images; keep the best of all epochs.

Reads  DATA/train/CLASS/* and DATA/val/CLASS/*, and the state_dict of the pretrained network.
Writes NET (the network), OUT/history.json (a line of figures an epoch) and OUT/record.json (what
was run, on what, with which digests). The recipe is that of "Finetuning Torchvision Models".

In an image each TRAIN_… variable stands in place of an option, so that GSC measures it. NET then
lies on an encrypted mount; only --export-net, chosen when the image is built, writes it to OUT too.
"""

from __future__ import annotations

import argparse
import dataclasses
import math
import os
import sys
import time
from pathlib import Path
from typing import Any, Dict, Iterable, Sequence, Tuple

import PIL
import torch
import torchvision
from torch import nn
from torch.utils.data import DataLoader
from torchvision.datasets import ImageFolder

from pytorch_common import contract
from pytorch_common.checkpoint import load_base_weights, save_net
from pytorch_common.errors import RunError
from pytorch_common.files import code_digest, tree_digest, write_atomically
from pytorch_common.images import ImageError, read_image
from pytorch_common.network import build_network, logits_and_loss
from pytorch_common.preprocess import preprocessing, train_transform, validation_transform
from pytorch_common.script import Progress, answer, json_bytes, note, run_facts, run_script

CODE = Path(__file__).resolve().parents[1]

Epoch = Dict[str, Any]
Batch = Tuple[torch.Tensor, torch.Tensor]
Batches = DataLoader[Batch]


def main(argv: Sequence[str]) -> int:
    """Train, report an epoch a line, write the three files; return the exit status."""
    args = parse_arguments(argv)
    options = settle(args)
    started = time.monotonic()

    training, validation = load_images(args.data, contract.IMAGE_SIZES[options.arch])
    base, base_sha256 = None, None
    if options.method != contract.SCRATCH:
        base, base_sha256 = load_base_weights(args.weights)
    network = build_network(options.arch, len(training.classes), options.method, base)
    note(
        f"{options.arch}, {options.method}: {len(training)} images to train, {len(validation)} to "
        f"validate, classes {', '.join(training.classes)}, {options.threads} threads"
    )

    history, best_state = fine_tune(network, training, validation, options)

    preprocess = preprocessing(contract.IMAGE_SIZES[options.arch])
    net_sha256 = save_net(
        args.net,
        best_state,
        classes=training.classes,
        preprocess=preprocess,
        settings=dataclasses.asdict(options),
    )
    digests = {
        "base_weights": base_sha256,
        "data": tree_digest(args.data),
        "code": code_digest(CODE, "pytorch_common", "pytorch_train"),
        "net": net_sha256,
    }
    record = make_record(options, history, training, validation, digests)
    record["elapsed_s"] = round(time.monotonic() - started, 3)
    if args.export_net:
        write_atomically(args.out / contract.NET_FILE, args.net.read_bytes())
        record["exported"] = True
    history_file = {"schema": contract.HISTORY_SCHEMA, "epochs": history}
    write_atomically(args.out / contract.HISTORY_FILE, json_bytes(history_file))
    write_atomically(args.out / contract.RECORD_FILE, json_bytes(record))
    metrics = record["metrics"]
    answer(
        f"best validation accuracy {metrics['best_val_accuracy']:.4f} "
        f"({metrics['best_val_correct']} of {len(validation)}) in epoch {metrics['best_epoch']}"
    )
    answer(f"{args.net}  sha256 {net_sha256}")
    return 0


def parse_arguments(argv: Sequence[str]) -> argparse.Namespace:
    """Parse the command line; a TRAIN_… variable replaces the default of its option."""
    parser = argparse.ArgumentParser(prog="train.py", description="Fine-tune a pretrained network.")
    here = Path(__file__).resolve().parent
    out = Path(os.environ.get("TRAIN_OUT", "/out"))
    data = os.environ.get("TRAIN_DATA", here / "hymenoptera_data")
    parser.add_argument("--data", type=Path, default=data)
    parser.add_argument("--weights", type=Path, default=os.environ.get("TRAIN_WEIGHTS"))
    parser.add_argument("--out", type=Path, default=out, help="folder of history and record")
    net = os.environ.get("TRAIN_NET")
    parser.add_argument(
        "--net", type=Path, default=net, help=f"the network (OUT/{contract.NET_FILE})"
    )
    parser.add_argument(
        "--export-net",
        action="store_true",
        default=os.environ.get(contract.EXPORT_VARIABLE) == "1",
        help=f"write the network to OUT/{contract.NET_FILE} too, in plain",
    )
    for field in dataclasses.fields(contract.TrainOptions):
        default = os.environ.get(contract.option_variable(field.name), field.default)
        flag = "--" + field.name.replace("_", "-")
        parser.add_argument(flag, type=type(field.default), default=default)
    args = parser.parse_args(argv)
    args.net = args.net or args.out / contract.NET_FILE
    args.options = contract.TrainOptions(
        **{name: getattr(args, name) for name in contract.option_names()}
    )
    if problems := args.options.problems():
        parser.error("; ".join(problems))
    if args.options.method != contract.SCRATCH and args.weights is None:
        parser.error("--weights: expected the pretrained network's file, or --method scratch")
    return args


def settle(args: argparse.Namespace) -> contract.TrainOptions:
    """Fix threads, seeds and algorithms, so that the same in gives the same out.

    Returns the options with the number of threads that is really used.
    """
    options: contract.TrainOptions = args.options
    threads = options.threads or contract.available_threads()
    torch.set_num_threads(threads)
    torch.manual_seed(options.seed)
    torch.use_deterministic_algorithms(True)
    return dataclasses.replace(options, threads=threads)


def load_images(data: Path, size: int) -> tuple[ImageFolder, ImageFolder]:
    """Return the images to train and to validate on, with their transforms.

    Raises: RunError where DATA is no such tree or the two do not have the same classes.
    """
    try:
        training = ImageFolder(
            str(data / "train"), transform=train_transform(size=size), loader=_read_or_stop
        )
        validation = ImageFolder(
            str(data / "val"), transform=validation_transform(size=size), loader=_read_or_stop
        )
    except (FileNotFoundError, NotADirectoryError) as error:
        raise RunError(
            f"{data}: expected train/CLASS/… and val/CLASS/… with images in each, got: {error}"
        ) from error
    if training.classes != validation.classes:
        different = sorted(set(training.classes) ^ set(validation.classes))
        raise RunError(f"{data}: not the same classes in train and val: {', '.join(different)}")
    if len(training.classes) < 2:
        raise RunError(f"{data}: expected two classes or more, got {training.classes}")
    return training, validation


def fine_tune(
    network: nn.Module,
    training: ImageFolder,
    validation: ImageFolder,
    options: contract.TrainOptions,
) -> tuple[list[Epoch], dict[str, torch.Tensor]]:
    """Train for all epochs; return the history and the state of the best epoch.

    The best is the first of those with the most validation images right, as in the tutorial.
    """
    # No worker processes: their locks need POSIX semaphores in shared memory, which an enclave
    # does not have (SemLock fails), so this process decodes the images itself.
    order = torch.Generator().manual_seed(options.seed)
    training_batches: Batches = DataLoader(
        training, options.batch_size, shuffle=True, num_workers=0, generator=order
    )
    validation_batches: Batches = DataLoader(validation, options.batch_size, num_workers=0)
    optimizer = torch.optim.SGD(
        [parameter for parameter in network.parameters() if parameter.requires_grad],
        lr=options.learning_rate,
        momentum=options.momentum,
    )
    progress = Progress()
    history: list[Epoch] = []
    best_state: dict[str, torch.Tensor] = {}
    best_correct = -1
    for number in range(1, options.epochs + 1):
        started = time.monotonic()
        label = f"epoch {number}/{options.epochs}"
        train_loss, train_correct = train_one_epoch(
            network, progress.follow(training_batches, f"{label} train"), optimizer
        )
        val_loss, val_correct = evaluate(
            network, progress.follow(validation_batches, f"{label} val")
        )
        history.append({
            "epoch": number,
            "train_loss": train_loss / len(training),
            "train_accuracy": train_correct / len(training),
            "val_loss": val_loss / len(validation),
            "val_accuracy": val_correct / len(validation),
            "val_correct": val_correct,
            "elapsed_s": round(time.monotonic() - started, 3),
        })  # fmt: skip
        note(epoch_line(history[-1], options.epochs))
        if val_correct > best_correct:
            best_correct = val_correct
            best_state = {key: value.clone() for key, value in network.state_dict().items()}
    return history, best_state


def train_one_epoch(
    network: nn.Module, batches: Iterable[Batch], optimizer: torch.optim.Optimizer
) -> tuple[float, int]:
    """Take a step a batch; return the sum of the losses and the number of images right.

    batches: of images, float32 (N, 3, size, size), and labels, int64 (N,).
    Raises: RunError where the loss is no longer a number.
    """
    network.train()
    loss_sum, correct = 0.0, 0
    for images, labels in batches:
        optimizer.zero_grad()
        logits, loss = logits_and_loss(network, images, labels)
        if not math.isfinite(loss.item()):
            raise RunError("training diverged: the loss is no number; lower --learning-rate")
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        loss_sum += loss.item() * len(labels)
        correct += int((logits.argmax(dim=1) == labels).sum())
    return loss_sum, correct


@torch.no_grad()
def evaluate(network: nn.Module, batches: Iterable[Batch]) -> tuple[float, int]:
    """Return the sum of the losses and the number of images right, weights unchanged."""
    network.eval()
    loss_sum, correct = 0.0, 0
    for images, labels in batches:
        logits, loss = logits_and_loss(network, images, labels)
        loss_sum += loss.item() * len(labels)
        correct += int((logits.argmax(dim=1) == labels).sum())
    return loss_sum, correct


def epoch_line(epoch: Epoch, epochs: int) -> str:
    """Return the epoch's figures as one line for a log."""
    return (
        f"epoch {epoch['epoch']:>{len(str(epochs))}}/{epochs}"
        f"  train loss {epoch['train_loss']:.4f} accuracy {epoch['train_accuracy']:.4f}"
        f"  val loss {epoch['val_loss']:.4f} accuracy {epoch['val_accuracy']:.4f}"
        f"  {epoch['elapsed_s']:.1f} s"
    )


def make_record(
    options: contract.TrainOptions,
    history: list[Epoch],
    training: ImageFolder,
    validation: ImageFolder,
    digests: dict[str, Any],
) -> dict[str, Any]:
    """Return what was run, on what, and what came of it (schema: the README's "record.json")."""
    best = max(history, key=lambda epoch: (epoch["val_correct"], -epoch["epoch"]))
    versions = {
        "torch": torch.__version__,
        "torchvision": torchvision.__version__,
        "pillow": PIL.__version__,
    }
    return {
        "schema": contract.RECORD_SCHEMA,
        **run_facts(versions),
        "settings": dataclasses.asdict(options),
        "classes": training.classes,
        "images": {"train": len(training), "val": len(validation)},
        "digests": digests,
        "metrics": {
            "best_epoch": best["epoch"],
            "best_val_accuracy": best["val_accuracy"],
            "best_val_correct": best["val_correct"],
        },
    }


def _read_or_stop(path: str) -> Any:
    try:
        return read_image(Path(path))
    except ImageError as error:
        raise RunError(f"{path}: {error}") from error


if __name__ == "__main__":
    sys.exit(run_script(main))
