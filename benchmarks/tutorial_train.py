"""The yardstick of training: the loop of "Finetuning Torchvision Models", read plainly.

Written for this project and kept as slow as it is: it says what the same recipe costs when nothing
is done about speed. Prints one JSON line.
"""

from __future__ import annotations

import argparse
import copy
import json
import time
from pathlib import Path
from typing import Any, cast

import torch
from torch import nn, optim
from torch.utils.data import DataLoader
from torchvision import datasets, models, transforms

MEAN, STD = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
TRANSFORMS = {
    "train": transforms.Compose([
        transforms.RandomResizedCrop(224),
        transforms.RandomHorizontalFlip(),
        transforms.ToTensor(),
        transforms.Normalize(MEAN, STD),
    ]),
    "val": transforms.Compose([
        transforms.Resize(224),
        transforms.CenterCrop(224),
        transforms.ToTensor(),
        transforms.Normalize(MEAN, STD),
    ]),
}  # fmt: skip


def main() -> None:
    """Train as the tutorial does and print what it prints of each epoch, as one line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--weights", type=Path, required=True)
    parser.add_argument("--arch", choices=["squeezenet1_0", "squeezenet1_1"], required=True)
    parser.add_argument("--method", choices=["feature-extract", "full"], required=True)
    parser.add_argument("--epochs", type=int, required=True)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--workers", type=int, default=0, help="processes that load images")
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    torch.set_num_threads(args.threads)

    model = initialize_model(args.arch, args.weights, args.method == "feature-extract")
    loaders = {
        split: DataLoader(
            datasets.ImageFolder(str(args.data / split), transform),
            batch_size=8,
            shuffle=True,
            num_workers=args.workers,
        )
        for split, transform in TRANSFORMS.items()
    }
    trained = [weight for weight in model.parameters() if weight.requires_grad]
    optimizer = optim.SGD(trained, lr=0.001, momentum=0.9)
    started = time.monotonic()
    history = train_model(model, loaders, optimizer, args.epochs)
    print(json.dumps({**history, "loop_s": time.monotonic() - started}))  # noqa: T201


def initialize_model(arch: str, weights: Path, feature_extract: bool) -> nn.Module:
    """Build the network on the pretrained weights, with a head for two classes."""
    model: Any = getattr(models, arch)(weights=None)
    model.load_state_dict(torch.load(weights, weights_only=True))
    for parameter in model.parameters():
        parameter.requires_grad = not feature_extract
    model.classifier[1] = nn.Conv2d(512, 2, kernel_size=1)
    return cast(nn.Module, model)


def train_model(
    model: nn.Module, loaders: dict[str, Any], optimizer: optim.Optimizer, epochs: int
) -> dict[str, list[float]]:
    """Train and validate for all epochs, keep the best weights.

    Returns by epoch the mean loss of the training images and how many validation images were right.
    """
    criterion = nn.CrossEntropyLoss()
    best, best_weights = -1, copy.deepcopy(model.state_dict())
    history: dict[str, list[float]] = {"train_loss": [], "val_correct": []}
    for _ in range(epochs):
        for phase in ("train", "val"):
            model.train(phase == "train")
            loss_sum, correct = 0.0, 0
            for images, labels in loaders[phase]:
                optimizer.zero_grad()
                with torch.set_grad_enabled(phase == "train"):
                    logits = model(images)
                    loss = criterion(logits, labels)
                    if phase == "train":
                        loss.backward()
                        optimizer.step()
                loss_sum += loss.item() * images.size(0)
                correct += int((logits.argmax(1) == labels).sum())
            if phase == "train":
                history["train_loss"].append(loss_sum / len(loaders[phase].dataset))
            else:
                history["val_correct"].append(correct)
                if correct > best:
                    best, best_weights = correct, copy.deepcopy(model.state_dict())
    model.load_state_dict(best_weights)
    return history


if __name__ == "__main__":
    main()
