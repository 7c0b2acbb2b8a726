"""The loop over the epochs: train, evaluate, keep the best."""

from __future__ import annotations

import contextlib
import math
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Dict, Iterable, Iterator, Protocol

import torch
from torch import nn

from pytorch_common import contract
from pytorch_common.ahead import workers
from pytorch_common.errors import RunError
from pytorch_common.files import some_of
from pytorch_common.network import (
    FORWARD_BATCH,
    changing_state,
    logits_and_loss,
    mixes_images,
    split,
)
from pytorch_common.script import Progress, note
from pytorch_train.batches import Batch, TrainingBatches, ValidationBatches, seed_of
from pytorch_train.labelled import BadImageError, Budget, Decoded, Labelled
from pytorch_train.resume import Checkpoints
from pytorch_train.sgd import Sgd

Epoch = Dict[str, Any]


class Optimizer(Protocol):
    """Whatever takes steps: Sgd, or one of torch.optim."""

    def zero_grad(self) -> None:
        """Forget the gradients of the last step."""

    def step(self) -> Any:
        """Change the weights."""


@dataclass
class Course:
    """How far a run has come: what it needs to go on, beside the network and the optimizer."""

    history: list[Epoch] = field(default_factory=list)
    """A line of figures an epoch."""
    best_state: dict[str, torch.Tensor] = field(default_factory=dict)
    """What training had changed when most validation images were right."""

    def best_epoch(self) -> Epoch:
        """Return the first of the epochs with the most validation images right."""
        return max(self.history, key=lambda epoch: (epoch["val_correct"], -epoch["epoch"]))


@dataclass(frozen=True)
class Data:
    """The images of a run, and how many of them may be kept in memory."""

    training: Labelled
    validation: Labelled
    size: int
    """Side of the network's square input in pixels."""
    cache_bytes: int
    limits: contract.ImageLimits = contract.IMAGE_LIMITS


@contextlib.contextmanager
def all_bad_images_named(data: Data, threads: int) -> Iterator[None]:
    """Where a file turns out to be no image, read all the others once, for one line about all.

    Raises: RunError with the first ten, and how many there are.
    """
    try:
        yield
    except (BadImageError, PermissionError) as error:
        with workers(threads) as pool:
            splits = (Decoded(images, data.limits) for images in (data.training, data.validation))
            bad = [line for images in splits for line in images.problems(pool)]
        if len(bad) < 2:
            raise
        raise RunError(f"{len(bad)} files are no images: {some_of(bad)}") from error


def fine_tune(
    network: nn.Module,
    data: Data,
    options: contract.TrainOptions,
    checkpoints: Checkpoints,
    *,
    resume: bool = False,
) -> Course:
    """Train for all epochs; the network ends as the last epoch leaves it.

    With ``resume`` the newest checkpoint is gone on from, as if nothing had stopped the run.
    ``options.threads`` prepare images, because worker processes cannot work in an enclave: their
    locks need POSIX semaphores in shared memory, which it does not have.
    """
    network.to(memory_format=torch.channels_last)
    weights = [weight for weight in network.parameters() if weight.requires_grad]
    optimizer = Sgd(weights, learning_rate=options.learning_rate, momentum=options.momentum)
    course = _resumed(network, optimizer, checkpoints) if resume else Course()
    if len(course.history) == options.epochs:
        return course
    with workers(options.threads) as pool:
        parts = split(network)
        images, validation = _kept_in_memory(data, parts.backbone, pool)
        for number in range(len(course.history) + 1, options.epochs + 1):
            training = TrainingBatches(
                images,
                data.training.labels,
                parts.backbone,
                size=data.size,
                batch_size=options.batch_size,
                seed=options.seed,
                epoch=number,
                pool=pool,
            )
            # Each epoch starts from a seed of its own, so that a resumed one draws what it would.
            torch.manual_seed(seed_of(options.seed, number))
            epoch = _one_epoch(number, options.epochs, parts.tail, training, validation, optimizer)
            course.history.append(epoch)
            if course.best_epoch() is epoch:
                state = changing_state(network)
                course.best_state = {name: value.clone() for name, value in state.items()}
            checkpoints.save(number, _checkpoint(network, optimizer, course))
            note(epoch_line(epoch, options.epochs))
    return course


def _kept_in_memory(
    data: Data, backbone: nn.Module | None, pool: ThreadPoolExecutor
) -> tuple[Decoded, ValidationBatches]:
    """Return the images to train on and the batches to validate on, as many kept as may be."""
    budget = Budget(data.cache_bytes)
    validation = ValidationBatches(
        Decoded(data.validation, data.limits),
        data.validation.labels,
        backbone,
        size=data.size,
        pool=pool,
    )
    validation.keep(budget)
    images = Decoded(data.training, data.limits)
    images.keep(budget, pool)
    return images, validation


def _checkpoint(network: nn.Module, optimizer: Sgd, course: Course) -> dict[str, Any]:
    """Return all that the next epoch starts from."""
    return {
        "state": changing_state(network),
        "velocities": optimizer.velocities,
        "best_state": course.best_state,
        "history": course.history,
    }


def _resumed(network: nn.Module, optimizer: Sgd, checkpoints: Checkpoints) -> Course:
    """Set network and optimizer to where the newest checkpoint left them, where there is one."""
    content = checkpoints.newest()
    if content is None:
        note("no checkpoint here; training from the beginning")
        return Course()
    network.load_state_dict({**network.state_dict(), **content["state"]})
    for velocity, saved in zip(optimizer.velocities, content["velocities"]):
        velocity.copy_(saved)
    note(f"resuming after epoch {content['epoch']}")
    return Course(content["history"], content["best_state"])


def _one_epoch(
    number: int,
    epochs: int,
    network: nn.Module,
    training: TrainingBatches,
    validation: ValidationBatches,
    optimizer: Optimizer,
) -> Epoch:
    """Train and evaluate; return the epoch's figures."""
    started = time.monotonic()
    progress, label = Progress(), f"epoch {number}/{epochs}"
    batches = progress.follow(training, f"{label} train")
    train_loss, train_correct = train_one_epoch(network, batches, optimizer)
    val_loss, val_correct = evaluate(network, progress.follow(validation, f"{label} val"))
    train_count, val_count = training.image_count, validation.image_count
    return {
        "epoch": number,
        "train_loss": train_loss / train_count,
        "train_accuracy": train_correct / train_count,
        "val_loss": val_loss / val_count,
        "val_accuracy": val_correct / val_count,
        "val_correct": val_correct,
        "elapsed_s": round(time.monotonic() - started, 3),
    }


def train_one_epoch(
    network: nn.Module, batches: Iterable[Batch], optimizer: Optimizer
) -> tuple[float, int]:
    """Take a step a batch; return the sum of the losses and the number of images right.

    The gradient of a batch is the sum of those of its parts, which need half the memory, unless
    the network looks at the batch as a whole.

    batches: of images, float32 (N, 3, size, size), or features, and labels, int64 (N,).
    Raises: RunError where the loss is no longer a number.
    """
    network.train()
    loss_sum, correct = 0.0, 0
    for images, labels in batches:
        optimizer.zero_grad()
        at_once = len(labels) if mixes_images(network) else FORWARD_BATCH
        for part, part_labels in zip(torch.split(images, at_once), torch.split(labels, at_once)):
            logits, loss = logits_and_loss(network, part, part_labels)
            if not math.isfinite(loss.item()):
                raise RunError("training diverged: the loss is no number; lower --learning-rate")
            (loss * (len(part) / len(images))).backward()  # type: ignore[no-untyped-call]
            loss_sum += loss.item() * len(part)
            correct += int((logits.argmax(dim=1) == part_labels).sum())
        optimizer.step()
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
