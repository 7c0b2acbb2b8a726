"""What can be trained on: which classes, in batches of which size. Standard library only."""

from __future__ import annotations

from typing import Any

from pytorch_common.contract import TrainOptions

WANTS_TWO_IMAGES = ("inception_v3",)
"""Architectures that cannot train on a batch of one image: a layer of theirs normalises, over the
batch, one value a channel for each image. A test asks the networks themselves."""

CLASSES_MAX = 10_000
"""As many as the largest public data set of photographs has: iNaturalist 2021."""
CLASS_NAME_MAX_CHARS = 255


def batch_problem(options: TrainOptions, image_count: int) -> str | None:
    """Say why so many images cannot be trained on in batches of this size, None where they can.

    The remedy leaves every image and every other run as they are: another batch size.
    """
    size = min(options.batch_size, image_count)
    last = image_count % size or size
    if options.arch not in WANTS_TWO_IMAGES or last > 1:
        return None
    if image_count == 1:
        return f"{options.arch} cannot be trained on a single image"
    fits = [number for number in range(2, image_count + 1) if image_count % number != 1]
    below = [number for number in fits if number < size][-1:]
    above = [number for number in fits if number > size][:1]
    sizes = " or ".join(map(str, below + above))
    return (
        f"{options.arch} cannot be trained on a batch of one image, which {image_count} images in "
        f"batches of {options.batch_size} leave; take --batch-size {sizes}"
    )


def classes_problem(classes: Any) -> str | None:
    """Say what keeps a network from having these classes, None when nothing does."""
    if not isinstance(classes, list) or not 2 <= len(classes) <= CLASSES_MAX:
        found = len(classes) if isinstance(classes, list) else type(classes).__name__
        return f"expected from 2 to {CLASSES_MAX} classes, got {found}"
    for name in classes:
        is_text = isinstance(name, str) and bool(name.strip()) and name.isprintable()
        if not is_text or len(name) > CLASS_NAME_MAX_CHARS:
            got = ascii(name)[:80] if isinstance(name, str) else type(name).__name__
            return f"expected printable class names, got {got}"
    if len(set(classes)) < len(classes):
        return "expected each class once"
    return None
