"""An ant or a bee: strings of balls in space, seen from any side and painted on layers.

A spot on a picture is a complex number, so that to turn is to multiply.
"""

from __future__ import annotations

import math
import random
from cmath import phase, rect
from collections.abc import Mapping
from itertools import pairwise

from PIL import Image, ImageChops, ImageDraw, ImageFilter

from workflow.assets.backgrounds import Colour, Size, oval, pairs

Point = tuple[float, float, float]
Ball = tuple[Point, float, Colour]
Disk = tuple[complex, float, Colour]

FINE = 2  # an insect is painted this many times larger, then reduced
HAIRS = {"fur": 420, "bands": 150, "face": 120, "pollen": 20}

# fmt: off
# Part: material, radius, points (right, ahead, up), in hundredths of a body. Two points make an
# egg, three or more a limb. A part that starts right of the middle grows on the left as well.
BODIES: Mapping[str, tuple[tuple[str, float, tuple[Point, ...]], ...]] = {
    "ant": (
        ("gaster", 13.5, ((0, -56, 12), (0, -20, 16))), ("limb", 3.5, ((0, -17, 13), (0, -11, 14))),
        ("limb", 5.8, ((0, -9, 14), (0, 8, 15))), ("limb", 7.2, ((0, 3, 15), (0, 20, 16))),
        ("limb", 9.8, ((0, 24, 16), (0, 42, 14))), ("limb", 8, ((-6.5, 27, 16), (6.5, 27, 16))),
        ("eye", 2.2, ((8.3, 33, 19), (8.5, 36, 19))),
        ("limb", 2.4, ((5, 42, 13), (7, 47, 12), (1.5, 52, 12))),
        ("limb", 1.6, ((4, 40, 18), (20, 46, 26), (24, 58, 20), (20, 70, 12))),
        ("limb", 2.3, ((3, 12, 10), (15, 20, 25), (34, 40, 5), (46, 50, 0))),
        ("limb", 2.3, ((3, 5, 10), (17, 3, 25), (40, 2, 5), (52, -4, 0))),
        ("limb", 2.5, ((3, -2, 10), (20, -10, 28), (40, -36, 5), (50, -50, 0))),
    ),
    "bee": (
        ("bands", 16, ((0, -62, 12), (0, -13, 20))), ("fur", 15, ((0, -12, 22), (0, 12, 22))),
        ("face", 9.2, ((-8, 25, 18), (8, 25, 18))), ("eye", 4.8, ((11.2, 23, 17), (10, 31, 16))),
        ("limb", 1.3, ((3, 32, 20), (7, 40, 26), (16, 52, 20))),
        ("limb", 2.6, ((5, 10, 10), (15, 20, 20), (26, 32, 5), (32, 42, 0))),
        ("limb", 2.7, ((5, 2, 10), (20, 2, 20), (34, 0, 5), (44, -6, 0))),
        ("limb", 3.1, ((5, -6, 10), (20, -16, 20), (30, -34, 5), (36, -46, 0))),
        ("pollen", 4.2, ((25, -22, 14), (30, -32, 8))),
        ("wing", 8.5, ((5, -5, 30), (18, -18, 32), (34, -32, 34))),
        ("wing", 10.5, ((5, 3, 31), (30, -12, 36), (57, -26, 40))),
    ),
}
# Each insect takes one of these sets of colours; several colours of one material make stripes.
COLOURS: Mapping[str, tuple[Mapping[str, tuple[Colour, ...]], ...]] = {
    "ant": (
        {"limb": ((36, 27, 25),), "gaster": ((32, 24, 22),)},
        {"limb": ((66, 30, 20),), "gaster": ((50, 25, 18),) * 4 + ((88, 46, 28),)},
        {"limb": ((132, 54, 24),), "gaster": ((44, 26, 20),) * 4 + ((96, 46, 26),)},
        {"limb": ((170, 78, 32),), "gaster": ((146, 64, 26),) * 4 + ((84, 36, 18),)},
    ),
    "bee": (
        {"bands": ((48, 31, 20), *((208, 138, 42),) * 2), "fur": ((172, 130, 72),)},
        {"bands": ((36, 24, 16), (228, 168, 52)), "fur": ((208, 168, 92),)},
        {"bands": ((70, 44, 24), (214, 150, 70)), "fur": ((140, 104, 62),)},
        {"bands": (*((34, 28, 24),) * 3, *((236, 194, 64),) * 2), "fur": ((222, 178, 70),)},
    ),
}
COMMON = {
    "limb": ((48, 33, 24),), "eye": ((16, 12, 12),), "face": ((42, 31, 25),),
    "pollen": ((236, 164, 40),), "wing": ((78, 52, 30),),
}
# fmt: on


def grow(kind: str, rng: random.Random) -> list[tuple[str, list[Ball]]]:
    """Return the material and the balls of each part, the paired ones on both sides."""
    parts, colours = [], {**COMMON, **rng.choice(COLOURS[kind])}
    for material, radius, points in BODIES[kind]:
        for side in (-1, 1) if points[0][0] > 0 else (1,):
            sway = rng.uniform(-6, 6) if len(points) > 2 else 0
            line = [(x * side, y + sway * i, z) for i, (x, y, z) in enumerate(points)]
            parts.append((material, _string(line, radius, colours[material])))
    return parts


def _string(line: list[Point], radius: float, colours: tuple[Colour, ...]) -> list[Ball]:
    """Return balls from point to point: an egg between two, tapering over more."""
    spots, balls = [], []
    for (x, y, z), end in pairwise(line):
        count = 4 + int(0.7 * math.dist((x, y, z), end))
        for t in (step / count for step in range(count)):
            spots.append((x + (end[0] - x) * t, y + (end[1] - y) * t, z + (end[2] - z) * t))
    for index, spot in enumerate(spots):
        t = index / len(spots)
        size = math.sqrt(1.02 - (2 * t - 1) ** 2) if len(line) == 2 else 1.1 - 0.6 * t
        balls.append((spot, radius * size, colours[int(t * 16) % len(colours)]))
    return balls


class Easel:
    """Hold the layers on which one insect is painted, and whence it is seen and lit."""

    def __init__(self, rng: random.Random, size: Size, sun: complex, lane: tuple[int, int]) -> None:
        self.rng, self.sun = rng, sun
        wide, high = size[0] * FINE, size[1] * FINE
        left, top = (lane[0] + rng.uniform(0.44, 0.56)) / lane[1], rng.uniform(0.46, 0.54)
        self.middle = complex(wide * left, high * top)
        self.unit = min(wide * 1.5 / lane[1], wide, high) * rng.uniform(0.0052, 0.0076)
        self.turn, self.tilt = rect(1, rng.uniform(0, 7)), rect(1, rng.uniform(0, 1))
        modes = {"skin": "RGBA", "light": "L", "shadow": "L", "glass": "RGBA"}
        self.layers = {name: Image.new(mode, (wide, high)) for name, mode in modes.items()}
        self.draw = {name: ImageDraw.Draw(layer) for name, layer in self.layers.items()}

    def see(self, point: Point) -> tuple[complex, float]:
        """Return where a point appears, and how near it is."""
        ground = complex(point[0], point[1]) * self.turn
        side = complex(ground.imag, -point[2]) * self.tilt
        return self.middle + self.unit * complex(ground.real, -side.real), -side.imag

    def nearness(self, part: tuple[str, list[Ball]]) -> float:
        """Return how near the middle of a part is: the nearest is painted last."""
        return self.see(part[1][len(part[1]) // 2][0])[1]

    def paint(self, material: str, balls: list[Ball]) -> None:
        """Paint a part: its skin and its shadow, the light that falls on it, its hairs."""
        if material == "wing":
            self._paint_wing(balls)
            return
        farthest_first = 1 if self.see(balls[0][0])[1] < self.see(balls[-1][0])[1] else -1
        ring = self._ring(balls)
        disks = [self._paint_ball(*ball, ring) for ball in balls[::farthest_first]]
        self._paint_light(disks, gloss=200 if material in HAIRS else 255)
        for _ in range(HAIRS.get(material, 0)):
            self._paint_hair(*self.rng.choice(disks))

    def _ring(self, balls: list[Ball]) -> complex:
        """Return the short half-axis of a stripe of radius 1, or 0 where one colour covers all.

        A stripe is a ring around the part: the more the part points at us, the rounder it looks.
        """
        if len({colour for _, _, colour in balls}) == 1:
            return 0
        (tail, low), (head, high) = self.see(balls[0][0]), self.see(balls[-1][0])
        return (head - tail) / abs(head - tail) * max(0.25, abs(high - low) / 50)

    def _dot(self, layer: str, spot: complex, radius: float, tone: int | Colour) -> None:
        self.draw[layer].circle((spot.real, spot.imag), radius, tone)

    def _paint_ball(self, point: Point, radius: float, colour: Colour, ring: complex) -> Disk:
        spot, ground = self.see(point)[0], self.see((point[0], point[1], 0))[0]
        radius *= self.unit
        if ring:
            self.draw["skin"].polygon(pairs(oval(spot, ring * radius, radius)), colour)
        else:
            self._dot("skin", spot, radius, colour)
        self._dot("shadow", ground - self.sun * point[2] * self.unit, radius, 200)
        return spot, radius, colour

    def _paint_light(self, disks: list[Disk], gloss: int) -> None:
        """Paint ever smaller and brighter disks, each a step nearer to the sun."""
        levels = max(2, min(8, int(max(radius for _, radius, _ in disks) / 4)))
        for rise in (level / levels for level in range(levels)):
            tone = int(55 + (gloss - 55) * rise**0.8)
            for spot, radius, _ in disks:
                at = spot + self.sun * radius * rise * 0.6
                self._dot("light", at, radius * (1 - rise), tone)

    def _paint_hair(self, spot: complex, radius: float, colour: Colour) -> None:
        # Plain random() alone: there are several hundred hairs on a bee.
        draw_lot = self.rng.random
        out, odd = rect(math.sqrt(draw_lot()), 7 * draw_lot()), int(40 * draw_lot()) - 20
        way = rect(self.unit * (2 + 3 * draw_lot()), phase(out) + draw_lot() - 0.5)
        line = pairs((spot + out * radius, spot + out * radius + way))
        self.draw["skin"].line(line, tuple(max(0, c + odd) for c in colour))
        self.draw["light"].line(line, int(140 + 65 * (out / self.sun).real + 1.2 * odd))

    def _paint_wing(self, balls: list[Ball]) -> None:
        (root, width, colour), (tip, _, _) = balls[0], balls[-1]
        foot, half = complex(*root[:2]), complex(tip[0] - root[0], tip[1] - root[1]) / 2
        flat = oval(foot + half, half, width)
        rim = [self.see((s.real, s.imag, root[2] + abs(s - foot) / 6))[0] for s in flat]
        inner = [spot * 0.6 + (rim[0] + rim[10]) * 0.2 for spot in rim]
        draw, base, vein = self.draw["glass"], self.see(root)[0], (*colour, 170)
        draw.polygon(pairs(rim), (216, 214, 204, 90))
        draw.polygon(pairs(inner), (228, 236, 242, 120))
        for spot in rim[17:] + rim[:4]:
            draw.line(pairs((base, spot)), vein, 1)
        draw.line(pairs(base + (spot - base) * 0.62 for spot in rim[16:] + rim[:5]), vein, 2)
        draw.line(pairs(rim), vein, 2)
        draw.line(pairs(rim[:11] if tip[0] > 0 else rim[10:]), vein, 4)
        fall = self.see((0, 0, 0))[0] - self.see((0, 0, 30))[0] - self.sun * 30 * self.unit
        self.draw["shadow"].polygon(pairs(spot + fall for spot in rim), 70)

    def lay_on(self, scene: Image.Image, *, shadow: bool) -> None:
        """Lay the layers on the scene: the shadow, the lit skin, the wings."""
        small = {name: layer.reduce(FINE) for name, layer in self.layers.items()}
        if shadow:
            soft = small["shadow"].filter(ImageFilter.GaussianBlur(2.5))
            scene.paste((16, 12, 14), mask=soft.point(lambda v: v * 3 // 4))
        light = small["light"].filter(ImageFilter.GaussianBlur(0.7))
        dim = light.point(lambda v: min(255, v * 3 // 2)).convert("RGB")
        gloss = light.point(lambda v: max(0, v - 160)).convert("RGB")
        skin = ImageChops.add(ImageChops.multiply(small["skin"].convert("RGB"), dim), gloss)
        scene.paste(skin, mask=small["skin"].getchannel("A"))
        scene.paste(small["glass"], mask=small["glass"].getchannel("A"))
