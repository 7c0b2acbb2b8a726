"""The labelled images of one split: where they are, what they show, and some of them in memory."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from pytorch_common.ahead import ahead
from pytorch_common.content import ImageError
from pytorch_common.contract import DATA_SUFFIXES, IMAGE_LIMITS, ImageLimits
from pytorch_common.errors import RunError
from pytorch_common.files import printable
from pytorch_common.images import read_image
from pytorch_train.source import FOLDERS, Source

IMAGES_AHEAD = 8
"""How many images threads decode ahead of the one that is waited for."""


class Budget:
    """Say how much may still be kept in memory."""

    def __init__(self, size_bytes: int) -> None:
        self._left = size_bytes

    def take(self, size_bytes: int) -> bool:
        """Tell whether there is room for so much, and count it as taken."""
        if size_bytes > self._left:
            return False
        self._left -= size_bytes
        return True


class BadImageError(RunError):
    """Name a file of the data set that is no image, and say why."""


@dataclass(frozen=True)
class Labelled:
    """The images of a folder of CLASS/…, in the order of torchvision's ImageFolder."""

    classes: list[str]
    """Names of the class folders, sorted."""
    paths: list[Path]
    labels: list[int]
    """For each path the place of its class in ``classes``."""
    source: Source = FOLDERS

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.paths)


class Decoded:
    """The images themselves: decoded when asked for, and kept as far as the budget goes."""

    def __init__(self, images: Labelled, limits: ImageLimits = IMAGE_LIMITS) -> None:
        self._paths, self._limits, self._source = images.paths, limits, images.source
        self._kept: dict[int, tuple[tuple[int, int], bytes]] = {}

    def __getitem__(self, index: int) -> Image.Image:
        """Return the image as 8-bit RGB.

        Colours are those of the file, as the tutorial takes them: no profile is applied.

        Raises: BadImageError, naming the file, where it is no image.
        """
        if index in self._kept:
            return Image.frombytes("RGB", *self._kept[index])
        path = self._paths[index]
        try:
            return read_image(path, self._limits, read=self._source.read)
        except ImageError as error:
            raise BadImageError(f"{printable(path)}: {error}") from error

    def problems(self, pool: ThreadPoolExecutor) -> list[str]:
        """Return the line of each file that is no image."""
        return [line for line in ahead(pool, self._problem, range(len(self._paths)), 1) if line]

    def _problem(self, index: int) -> str:
        try:
            self[index]
        except BadImageError as error:
            return str(error)
        return ""

    def keep(self, budget: Budget, pool: ThreadPoolExecutor) -> None:
        """Decode image after image, and keep each, until the budget is spent.

        All of them at once, before there are tensors: in between, they would leave the memory of
        those in pieces. As bytes, because Pillow itself takes four for a pixel.
        """
        indices = range(len(self._paths))
        for index, image in zip(indices, ahead(pool, self.__getitem__, indices, IMAGES_AHEAD)):
            if not budget.take(3 * image.width * image.height):
                break
            self._kept[index] = image.size, image.tobytes()


def find_images(split: Path, source: Source = FOLDERS) -> Labelled:
    """List the images of a split, those with a hidden name aside.

    Raises: FileNotFoundError or NotADirectoryError where it has no classes, or one has no images.
    """
    classes = source.classes(split)
    if not classes:
        raise FileNotFoundError(f"no class folders in {printable(split)}")
    paths: list[Path] = []
    labels: list[int] = []
    for label, name in enumerate(classes):
        found = _images(source.files(split / name))
        if not found:
            raise FileNotFoundError(f"no images in {split / name}")
        paths += found
        labels += [label] * len(found)
    return Labelled(classes, paths, labels, source)


def _images(paths: list[Path]) -> list[Path]:
    """Return what ends like an image, in torchvision's order: folder by folder."""
    found = (path for path in paths if path.name.lower().endswith(DATA_SUFFIXES))
    return sorted(found, key=lambda path: (str(path.parent), path.name))
