"""Draw a stand-in data set of ants and bees, for trying the tools without a network."""

from __future__ import annotations

import io
import os
import random
import re
import tempfile
from cmath import rect
from collections.abc import Mapping
from functools import partial
from itertools import product
from pathlib import Path

from PIL import Image, ImageChops

from pytorch_common.files import write_atomically
from workflow.assets.backgrounds import GROUNDS, draw_place
from workflow.assets.insects import BODIES, Easel, grow
from workflow.core.errors import WorkflowError
from workflow.core.ownership import refuse_to_replace

__all__ = ["GROUNDS", "PLACES", "SIZES", "draw_insect", "is_sample", "make_sample"]

COUNTS: Mapping[str, int] = {"train": 60, "val": 20}
MARKER = "NOT_REAL_DATA.txt"
_NAMES = re.compile(rf"{re.escape(MARKER)}|(train|val)/(ant|bee)s/sample_(ant|bee)_\d+\.jpg")
NOTICE = """These pictures are not hymenoptera_data, and not photographs.
They are drawings of ants and bees, made by this project (workflow/assets/sample.py) for trying the
tools without a network. An accuracy measured on them says nothing about photographs.
"""
SIZES = ((320, 240), (340, 226), (300, 260), (288, 288), (240, 300), (360, 240))
# Both kinds are met on leaf, flower, sand and stone, so that no background tells the class alone.
PLACES = {
    "ant": ("soil", "soil", "sand", "sand", "bark", "stone", "leaf", "leaf", "flower"),
    "bee": ("flower", "flower", "flower", "leaf", "leaf", "comb", "sky", "sand", "stone"),
}


def make_sample(root: Path, counts: Mapping[str, int] = COUNTS, seed: int = 0) -> None:
    """Write `counts` drawings a class under `root`, the whole tree or nothing.

    Raises: WorkflowError where something other than an earlier sample is in the way.
    """
    if os.path.lexists(root) and not is_sample(root):
        raise WorkflowError(f"{root}: not a drawn sample (no {MARKER} in it); move it away first")
    refuse_to_replace(root, partial(is_drawn, root), instead="move it away first")
    root.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{root.name}.", dir=root.parent) as folder:
        _write_tree(Path(folder, "new"), counts, seed)
        if root.exists():
            root.replace(Path(folder, "old"))
        Path(folder, "new").replace(root)


def is_sample(root: Path) -> bool:
    """Tell whether the folder carries the marker of a drawn sample."""
    return (root / MARKER).is_file()


def is_drawn(root: Path, path: Path) -> bool:
    """Tell whether the file has the name of one that is drawn."""
    name = path.relative_to(root).as_posix()
    return not path.is_symlink() and bool(_NAMES.fullmatch(name))


def draw_insect(kind: str, rng: random.Random) -> Image.Image:
    """Draw an "ant" or a "bee", or two, on some ground: the same picture for the same `rng`."""
    place, size, sun = rng.choice(PLACES[kind]), rng.choice(SIZES), rect(1, rng.uniform(0, 7))
    scene, count = draw_place(place, rng, size, sun), rng.choice((1, 1, 1, 1, 2))
    for index in range(count):
        easel = Easel(rng, size, sun, (index, count))
        for material, balls in sorted(grow(kind, rng), key=easel.nearness):
            easel.paint(material, balls)
        easel.lay_on(scene, shadow=place != "sky")
    left, top = rng.uniform(30, 100), rng.uniform(30, 100)
    glow = Image.radial_gradient("L").resize(size, box=(left, top, left + 128, top + 128))
    return ImageChops.multiply(scene, glow.point(lambda v: 255 - v * v // 480).convert("RGB"))


def _write_tree(root: Path, counts: Mapping[str, int], seed: int) -> None:
    for split, kind in product(counts, BODIES):
        for index in range(counts[split]):
            # A stream of its own for each picture: none depends on how many stand before it.
            rng = random.Random(f"{seed}/{split}/{kind}/{index}")  # noqa: S311 - not a secret
            draw_insect(kind, rng).save(file := io.BytesIO(), "JPEG", quality=90)
            path = root / split / f"{kind}s" / f"sample_{kind}_{index:03}.jpg"
            write_atomically(path, file.getvalue())
    write_atomically(root / MARKER, NOTICE.encode())
