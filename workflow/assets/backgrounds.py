"""What an insect of the drawn sample stands on: rough ground, leaf, flower, honeycomb, sky."""

from __future__ import annotations

import math
import random
from cmath import rect
from collections.abc import Iterable, Mapping
from itertools import product

from PIL import Image, ImageChops, ImageDraw, ImageFilter, ImageOps

Colour = tuple[int, int, int]
Size = tuple[int, int]

MARGIN = 2  # what the relief of a ground needs beyond its edges, in pixels

# fmt: off
# Ground: dark and light colour, cells of its noise (width, height in pixels), depth of its bumps.
GROUNDS: Mapping[str, tuple[Colour, Colour, tuple[Size, ...], float]] = {
    "soil": ((30, 20, 13), (158, 118, 82), ((18, 18), (7, 7), (3, 3)), 1.6),
    "sand": ((150, 120, 80), (238, 214, 172), ((9, 9), (3, 3), (2, 2)), 0.9),
    "stone": ((70, 70, 72), (194, 190, 182), ((30, 30), (9, 9), (3, 3)), 1.2),
    "bark": ((38, 26, 18), (154, 122, 94), ((7, 60), (5, 24), (3, 6)), 2.2),
    "leaf": ((100, 136, 52), (170, 204, 110), ((50, 50), (7, 7)), 0.3),
    "flower": ((14, 40, 12), (100, 146, 62), ((60, 60), (25, 25)), 0.2),
    "comb": ((120, 70, 14), (240, 180, 76), ((20, 20), (4, 4)), 0.4),
    "sky": ((86, 142, 210), (226, 236, 246), ((150, 80), (70, 36), (30, 16)), 0.1),
}
PETALS = ((240, 238, 230), (246, 206, 44), (224, 122, 168), (150, 112, 212), (242, 148, 64))
WAX = ((80, 42, 10), (160, 92, 16), (206, 138, 34))
# fmt: on


def draw_place(name: str, rng: random.Random, size: Size, sun: complex) -> Image.Image:
    """Draw the ground `name`, lit from where `sun` points."""
    dark, light, cells, depth = GROUNDS[name]
    bumps, tone = _noise(rng, size, cells), _noise(rng, size, ((90, 90), (30, 30)))
    # How steeply the bumps fall towards the sun, and so how brightly they are lit.
    beyond = ImageChops.offset(bumps, round(MARGIN * sun.real), round(MARGIN * sun.imag))
    slope = ImageChops.subtract(beyond, bumps, 1 / depth, 128)
    bright = Image.blend(tone, bumps, 0.4)
    image = ImageOps.colorize(bright, _vary(rng, dark, 12), _vary(rng, light, 16))
    image = ImageChops.overlay(image, slope.convert("RGB"))
    image = ImageOps.crop(image, MARGIN)
    draw, centre = ImageDraw.Draw(image), complex(*size) * rng.uniform(0.4, 0.6)
    if name in PATTERNS:
        PATTERNS[name](rng, draw, centre)
    return image.filter(ImageFilter.GaussianBlur(rng.choice((0.6, 0.9, 1.5, 2.2))))


def _noise(rng: random.Random, size: Size, cells: Iterable[Size]) -> Image.Image:
    """Return grey noise with a margin: a random value every cell, smooth, octave upon octave."""
    image = Image.new("L", (size[0] + 2 * MARGIN, size[1] + 2 * MARGIN))
    for index, (width, height) in enumerate(cells, 1):
        grid = (size[0] // width + 3, size[1] // height + 3)
        octave = Image.frombytes("L", grid, rng.randbytes(grid[0] * grid[1]))
        image = Image.blend(image, octave.resize(image.size, Image.Resampling.BICUBIC), 1 / index)
    return ImageOps.autocontrast(image)


def _vary(rng: random.Random, colour: Colour, spread: int) -> Colour:
    more = rng.randint(-spread, spread)
    red, green, blue = (max(0, c + more + rng.randint(-4, 4)) for c in colour)
    return red, green, blue


def _draw_leaf(rng: random.Random, draw: ImageDraw.ImageDraw, centre: complex) -> None:
    rib, green = rect(1, rng.uniform(0, 7)), _vary(rng, (78, 140, 44), 20)
    for step, slant in product(range(-14, 14), (0.8, -0.8)):
        vein = rib * rect(1, slant)
        middle = centre + rib * step * 25 + vein * 184
        _draw_bulge(draw, middle, vein * 180, 17, _vary(rng, green, 4))
    draw.line(pairs((centre - 500 * rib, centre + 500 * rib)), (158, 192, 102), 6)


def _draw_flower(rng: random.Random, draw: ImageDraw.ImageDraw, centre: complex) -> None:
    colour, count, half = rng.choice(PETALS), rng.randint(8, 15), rng.uniform(60, 88)
    for petal in range(2 * count):
        turn = (petal + petal // count / 2) * math.tau / count + rng.uniform(-0.07, 0.07)
        along = rect(half * rng.uniform(0.96, 1.04), turn)
        _draw_bulge(draw, centre + along, along, half * 3.6 / count, _vary(rng, colour, 14))
    for _ in range(500):
        spot = centre + rect(half * 0.55 * math.sqrt(rng.random()), rng.uniform(0, 7))
        draw.circle((spot.real, spot.imag), rng.uniform(1, 3), _vary(rng, (200, 146, 30), 50))


def _draw_comb(rng: random.Random, draw: ImageDraw.ImageDraw, centre: complex) -> None:
    cell = rng.uniform(15, 22)
    for row, column in product(range(-9, 10), repeat=2):
        spot = centre + complex(column + row % 2 / 2, row * 0.866) * cell * 1.8
        red, green, blue = _vary(rng, rng.choice(WAX), 10)
        for rise in range(5, 10):
            tone = (red * rise // 9, green * rise // 9, blue * rise // 9)
            draw.regular_polygon((spot.real, spot.imag, cell * (1.45 - 0.09 * rise)), 6, 30, tone)


PATTERNS = {"leaf": _draw_leaf, "flower": _draw_flower, "comb": _draw_comb}


def _draw_bulge(
    draw: ImageDraw.ImageDraw, middle: complex, along: complex, width: float, colour: Colour
) -> None:
    """Draw an oval that rises towards its long axis: ever narrower, ever brighter."""
    for rise in range(7):
        tone = tuple(c * (15 + rise) // 20 for c in colour)
        draw.polygon(pairs(oval(middle, along, width * (1 - rise / 7))), tone)


def oval(middle: complex, along: complex, width: float) -> list[complex]:
    """Return the outline of an oval with the half-axis `along`, and `width` to either side."""
    across = along / abs(along) * 1j * width
    turns = [step * math.pi / 10 for step in range(20)]
    return [middle + along * math.cos(turn) + across * math.sin(turn) for turn in turns]


def pairs(spots: Iterable[complex]) -> list[tuple[float, float]]:
    """Return the spots as Pillow wants them."""
    return [(spot.real, spot.imag) for spot in spots]
