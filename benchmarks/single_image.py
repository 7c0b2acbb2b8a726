"""The yardstick of classifying: the usual script that loads a network and looks at an image.

Written for this project and kept as plain as such scripts are: torchvision's network and
transforms, one image after the other. Prints one JSON line: for each image its probabilities.
"""

from __future__ import annotations

import json
import sys
from typing import Any

import torch
from PIL import Image
from torchvision import models, transforms


def main(net: str, images: list[str]) -> None:
    """Classify the images one by one and print the probabilities of each."""
    content = torch.load(net, weights_only=True)
    about = json.loads(content["description"]) if "description" in content else content
    classes = about["classes"]
    model: Any = getattr(models, about["arch"])(weights=None, num_classes=len(classes))
    model.load_state_dict(content["state_dict"])
    model.eval()
    preprocess = transforms.Compose([
        transforms.Resize(224),
        transforms.CenterCrop(224),
        transforms.ToTensor(),
        transforms.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]),
    ])  # fmt: skip
    found = []
    for path in images:
        with Image.open(path) as image:
            batch = preprocess(image.convert("RGB")).unsqueeze(0)
        with torch.no_grad():
            probabilities = torch.softmax(model(batch)[0], dim=0)
        found.append(dict(zip(classes, probabilities.tolist(), strict=True)))
    print(json.dumps(found))  # noqa: T201


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
