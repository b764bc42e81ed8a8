"""Drawn persons: their looks in two disjoint worlds, and the picture of one in a phase of the walking cycle."""

from __future__ import annotations

import colorsys
import math
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal, TypeVar

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

T = TypeVar("T")
World = Literal["train", "test"]
Colour = tuple[int, int, int]
Array = npt.NDArray[np.uint8]

PHASES = 16  # pictures of one walking cycle (two steps)
STRIDE = 0.85  # body heights that one cycle takes the walker forward
OVERSAMPLING = 2  # pictures are drawn so much larger and averaged down, so that edges are smooth

# The colours of clothes: twelve sectors of the hue circle, dealt out in turn.
_HUES = {"train": (0, 2, 4, 6, 8, 10), "test": (1, 3, 5, 7, 9, 11)}
_WEAVES = {"train": ("plain", "bands", "pinstripes", "checks", "noise"), "test": ("plain", "diagonal", "dots", "rings")}
_SKIN: dict[World, tuple[Colour, ...]] = {
    "train": ((245, 208, 180), (214, 162, 122), (168, 116, 78), (112, 74, 50), (70, 46, 34)),
    "test": ((232, 190, 158), (192, 138, 98), (140, 95, 62), (90, 60, 44)),
}
_HAIR: dict[World, tuple[Colour, ...]] = {
    "train": ((25, 20, 18), (70, 45, 25), (190, 150, 80), (150, 150, 150), (130, 50, 20)),
    "test": ((45, 32, 22), (105, 70, 40), (215, 185, 120), (200, 200, 205)),
}
# Shoulder breadth, head and leg length relative to the middle figure; the test world lies in the gaps.
_BUILDS = {
    "train": ((0.84, 0.92), (0.97, 1.01), (1.06, 1.2)),
    "test": ((0.92, 0.97), (1.01, 1.06)),
}


@dataclass(frozen=True, slots=True)
class Look:
    """What a person looks like, whatever the posture and the distance."""

    skin: Colour
    hair: Colour
    top: Colour
    second: Colour
    weave: str
    bottom: Colour
    shoes: Colour
    legs: str  # trousers, shorts or skirt
    sleeves: str  # long or short
    crown: str  # short or long hair, or a hat
    bag: Colour | None
    breadth: float
    head: float
    leg: float
    seed: int


def look(rng: np.random.Generator, world: World) -> Look:
    """A person of that world, drawn by lot."""

    def build() -> float:
        low, high = _BUILDS[world][rng.integers(len(_BUILDS[world]))]
        return float(rng.uniform(low, high))

    return Look(
        skin=_one(rng, _SKIN[world]),
        hair=_one(rng, _HAIR[world]),
        top=_cloth(rng, world),
        second=_cloth(rng, world),
        weave=_one(rng, _WEAVES[world]),
        bottom=_cloth(rng, world),
        shoes=_one(rng, ((30, 25, 25), (90, 60, 40), (225, 225, 225), (140, 30, 30))),
        legs=_one(rng, ("trousers", "trousers", "shorts", "skirt")),
        sleeves=_one(rng, ("long", "short")),
        crown=_one(rng, ("short", "long", "hat")),
        bag=_cloth(rng, world) if rng.random() < 0.25 else None,
        breadth=build(),
        head=build(),
        leg=build(),
        seed=int(rng.integers(2**31)),
    )


@dataclass(slots=True)
class Sprite:
    """One picture of a person: colours (h, w, 3), cover (h, w, 1) in 0..1, and where the feet's middle lies in it."""

    colours: Array
    cover: npt.NDArray[np.float32]
    solid: npt.NDArray[np.bool_]
    foot: tuple[int, int]


@dataclass
class Figure:
    """A person who can be drawn at any height in pixels, in any phase of the walking cycle; keeps what it drew."""

    look: Look
    _drawn: dict[tuple[int, int, int], Sprite] = field(default_factory=dict)
    _clothes: dict[int, Image.Image] = field(default_factory=dict)

    def sprite(self, height: int, phase: int, facing: int) -> Sprite:
        """The person `height` pixels tall; phase in 0..PHASES-1, or -1 standing; facing -1 left, 0 front, 1 right."""
        key = (height, phase, facing)
        if key not in self._drawn:
            self._drawn[key] = self._draw(height, phase, facing)
        return self._drawn[key]

    @cached_property
    def _cloth(self) -> Image.Image:
        return Image.fromarray(weave(self.look.weave, self.look.top, self.look.second, self.look.seed))

    def _draw(self, height: int, phase: int, facing: int) -> Sprite:
        side = height * OVERSAMPLING
        if height not in self._clothes:
            self._clothes[height] = self._cloth.resize((side, side), Image.Resampling.BILINEAR)
        # a margin on all sides for what swings out
        width, margin = round(1.1 * side), round(0.04 * side)
        sheet = Image.new("RGBA", (width, side + 2 * margin), (0, 0, 0, 0))
        _Pen(sheet, side, width / 2, margin, self.look, self._clothes[height]).person(phase, facing)
        small = sheet.resize((width // OVERSAMPLING, sheet.height // OVERSAMPLING), Image.Resampling.BOX)
        if facing < 0:
            small = small.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        pixels = np.asarray(small)
        solid = pixels[..., 3] >= 128
        rows, columns = np.flatnonzero(solid.any(1)), np.flatnonzero(solid.any(0))
        top, bottom, left, right = rows[0], rows[-1] + 1, columns[0], columns[-1] + 1
        cut = pixels[top:bottom, left:right]
        # cover is 0 or 1 at the rim, too: the truth is then exactly what was painted
        cover = np.where(cut[..., 3:] >= 128, np.maximum(cut[..., 3:], 200), 0).astype(np.float32)
        foot = (round(small.width / 2) - int(left), round((side + margin) / OVERSAMPLING) - int(top))
        return Sprite(np.ascontiguousarray(cut[..., :3]), cover / np.float32(255), solid[top:bottom, left:right], foot)


class _Pen:
    """Draws the parts of a person who faces right or the viewer; lengths are parts of the body height."""

    def __init__(self, sheet: Image.Image, side: int, middle: float, top: float, look: Look, cloth: Image.Image):
        self.sheet, self.side, self.middle, self.top, self.look, self.cloth = sheet, side, middle, top, look, cloth
        self.draw = ImageDraw.Draw(sheet)

    def person(self, phase: int, facing: int) -> None:
        """Far limbs first, near limbs last."""
        look, turn = self.look, 2 * math.pi * phase / PHASES
        swing = 0.0 if phase < 0 else math.sin(turn)
        front = facing == 0
        hip = 1 - min(0.5, 0.48 * look.leg)
        bob = 0.0 if phase < 0 else 0.012 * math.cos(2 * turn)
        hip, shoulder = hip + bob, 0.185 * look.head + bob
        half = (0.115 if front else 0.085) * look.breadth
        apart = 0.055 * look.breadth if front else 0.015
        if look.bag and not front:
            self._box(-half - 0.07, shoulder + 0.02, -half + 0.05, hip - 0.08, look.bag)
        for sign in (-1, 1):
            # a foot is lifted while its leg swings forward
            lifted = 0.0 if phase < 0 else max(0.0, sign * math.cos(turn))
            self._leg(apart * sign, hip, 0.5 * swing * sign * (0.25 if front else 1), lifted, 0.9 + 0.1 * sign)
        for sign in (-1, 1):
            if sign == 1:
                self._trunk(half, shoulder, hip, front)
                self._head(shoulder, front, bob)
            arms = -0.6 * swing * sign * (0.2 if front else 1)
            self._arm((half - 0.01) * sign if front else 0.0, shoulder, arms, 0.92 + 0.08 * sign, front, sign)

    def _trunk(self, half: float, shoulder: float, hip: float, front: bool) -> None:
        waist = half * (0.85 if front else 0.95)
        end = hip + 0.03
        if self.look.legs == "skirt":
            skirt = [(-waist, hip - 0.06), (waist, hip - 0.06), (waist * 1.5, hip + 0.2), (-waist * 1.5, hip + 0.2)]
            self.draw.polygon([self._at(*point) for point in skirt], fill=(*self.look.bottom, 255))
        outline = [(-half, shoulder + 0.03), (-half * 0.7, shoulder), (half * 0.7, shoulder), (half, shoulder + 0.03),
                   (waist, hip - 0.06), (waist, end), (-waist, end), (-waist, hip - 0.06)]  # fmt: skip
        left, top = round(self.middle - half * self.side), round(self.top + shoulder * self.side)
        size = (round(2 * half * self.side) + 1, round((end - shoulder) * self.side) + 1)
        mask = Image.new("L", size)
        corners = [(x - left, y - top) for x, y in (self._at(*point) for point in outline)]
        ImageDraw.Draw(mask).polygon(corners, fill=255)
        # the cloth hangs on the body's middle line, one body height square
        across, down = round(self.side / 2 - half * self.side), round(shoulder * self.side)
        self.sheet.paste(self.cloth.crop((across, down, across + size[0], down + size[1])), (left, top), mask)

    def _head(self, shoulder: float, front: bool, bob: float) -> None:
        look = self.look
        across, tall = 0.058 * look.head, 0.075 * look.head
        y = tall + bob + 0.005
        ahead = 0.0 if front else 0.012
        if look.crown == "long":
            self._oval(ahead - (0 if front else 0.018), y + 0.015, across * 1.15, tall * 1.2, look.hair)
        self._line((0.0, shoulder + 0.02), (ahead, y), 0.05, _dim(look.skin, 0.85))
        self._oval(ahead, y, across, tall, look.skin)
        if front:
            for x in (-0.4, 0.4):
                self._oval(x * across, y + 0.1 * tall, 0.008, 0.008, (30, 25, 25))
            self._line((-0.3 * across, y + 0.5 * tall), (0.3 * across, y + 0.5 * tall), 0.008, _dim(look.skin, 0.6))
        else:
            self._oval(ahead + across, y + 0.2 * tall, 0.012, 0.012, look.skin)
            self._oval(ahead + 0.5 * across, y + 0.05 * tall, 0.008, 0.008, (30, 25, 25))
        back = ahead - (0.0 if front else 0.012)
        (x1, y1), (x2, y2) = self._at(back - across * 1.05, y - tall * 1.03), self._at(back + across, y + tall * 0.7)
        self.draw.pieslice((x1, y1, x2, y2), 180 if front else 150, 360 if front else 330, fill=(*look.hair, 255))
        if look.crown == "hat":
            self._box(ahead - across * 1.1, y - tall * 0.98, ahead + across * 1.1, y - tall * 0.4, look.second)
            rim = 1.3 if front else 1.8
            self._box(ahead - across * 1.2, y - tall * 0.5, ahead + across * rim, y - tall * 0.36, look.second)

    def _leg(self, x: float, hip: float, angle: float, lifted: float, light: float) -> None:
        look = self.look
        thick = 0.075 * look.breadth
        length = (1 - hip - 0.02) / 2
        knee = (x + length * math.sin(angle), hip + length * math.cos(angle))
        below = angle - 0.75 * lifted - 0.1 * abs(angle)
        ankle = (knee[0] + length * math.sin(below), knee[1] + length * math.cos(below))
        bare, cloth = _dim(look.skin, light), _dim(look.bottom, light)
        toe = (ankle[0] + 0.06, min(ankle[1] + 0.005, 0.985))
        self._line(ankle, toe, 0.04, _dim(look.shoes, light))
        self._line(knee, ankle, thick * 0.8, cloth if look.legs == "trousers" else bare)
        self._line((x, hip), knee, thick, bare if look.legs == "skirt" else cloth)

    def _arm(self, x: float, shoulder: float, angle: float, light: float, front: bool, sign: int) -> None:
        look = self.look
        thick, length = 0.055 * look.breadth, 0.165
        outward = 0.12 * sign if front else 0.0
        elbow = (x + length * math.sin(angle + outward), shoulder + 0.035 + length * math.cos(angle))
        bent = angle + 0.3 + max(0.0, angle) * 0.5 if not front else outward * 0.3
        hand = (elbow[0] + length * math.sin(bent), elbow[1] + length * math.cos(bent))
        sleeve = _dim(look.top, light * 0.9)
        self._line(elbow, hand, thick * 0.8, sleeve if look.sleeves == "long" else _dim(look.skin, light))
        self._oval(*hand, 0.026, 0.03, _dim(look.skin, light))
        self._line((x, shoulder + 0.035), elbow, thick, sleeve)

    def _at(self, x: float, y: float) -> tuple[float, float]:
        return self.middle + x * self.side, self.top + y * self.side

    def _box(self, x1: float, y1: float, x2: float, y2: float, colour: Colour) -> None:
        self.draw.rounded_rectangle((*self._at(x1, y1), *self._at(x2, y2)), 0.015 * self.side, fill=(*colour, 255))

    def _oval(self, x: float, y: float, across: float, tall: float, colour: Colour) -> None:
        box = (*self._at(x - across, y - tall), *self._at(x + across, y + tall))
        self.draw.ellipse(box, fill=(*colour, 255))

    def _line(self, start: tuple[float, float], end: tuple[float, float], thick: float, colour: Colour) -> None:
        self.draw.line(
            (*self._at(*start), *self._at(*end)), fill=(*colour, 255), width=max(1, round(thick * self.side))
        )
        for x, y in (start, end):
            self._oval(x, y, thick / 2, thick / 2, colour)


def weave(kind: str, first: Colour, second: Colour, seed: int) -> Array:
    """A cloth (128, 128, 3) for a whole body height: two colours in a pattern."""
    y, x = np.mgrid[0:128, 0:128]
    period = 8 + seed % 7
    match kind:
        case "bands":
            mix = (y // (period // 2)) % 2
        case "pinstripes":
            mix = x % (period // 2) == 0
        case "checks":
            mix = (x // (period // 2) + y // (period // 2)) % 2
        case "noise":
            mix = np.random.default_rng(seed).random((128, 128)) ** 2
        case "diagonal":
            mix = ((x + y) // (period // 2)) % 2
        case "dots":
            mix = (x % period - period / 2) ** 2 + (y % period - period / 2) ** 2 < (period / 3) ** 2
        case "rings":
            mix = (np.hypot(x - 64, y - 42) // (period // 2)) % 2
        case _:
            mix = np.zeros((128, 128))
    # folds and light from above
    shade = 1 - 0.12 * np.sin(x / 5 + seed) * np.sin(y / 23) - 0.1 * (y / 128)
    blend = mix[..., None] * np.array(second) + (1 - mix[..., None]) * np.array(first)
    cloth: Array = np.clip(blend * shade[..., None], 0, 255).astype(np.uint8)
    return cloth


def _cloth(rng: np.random.Generator, world: World) -> Colour:
    if rng.random() < 0.25:  # black to white
        level = int(rng.integers(25, 235))
        return level, level, level
    hue = (float(rng.choice(_HUES[world])) + rng.uniform(0.1, 0.9)) / 12
    red, green, blue = colorsys.hsv_to_rgb(hue, rng.uniform(0.35, 0.95), rng.uniform(0.25, 0.95))
    return round(red * 255), round(green * 255), round(blue * 255)


def _one(rng: np.random.Generator, choices: tuple[T, ...]) -> T:
    return choices[int(rng.integers(len(choices)))]


def _dim(colour: Colour, light: float) -> Colour:
    red, green, blue = colour
    return round(red * light), round(green * light), round(blue * light)
