"""Drawn places without persons, in two disjoint worlds: sky, walls, ground, and things that stand about."""

from __future__ import annotations

import colorsys

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

from tests.figures.walkers import Colour, World

Array = npt.NDArray[np.uint8]

_WALLS = {"train": ("gradient", "noise", "bricks", "planks"), "test": ("gradient", "marble", "tiles", "hatching")}
_THINGS = {
    "train": ("crate", "pole", "tree", "lamp", "sign", "clutter", "clutter", "clutter", "car"),
    "test": ("barrel", "column", "bush", "bottle", "window", "cone", "table"),
}


def backdrop(rng: np.random.Generator, world: World, size: tuple[int, int], things: int) -> Array:
    """A place (height, width, 3): a wall above a ground, and so many things that are no persons."""
    width, height = size
    horizon = round(height * rng.uniform(0.3, 0.6))
    picture = np.empty((height, width, 3), np.uint8)
    picture[:horizon] = _surface(rng, world, (width, horizon), light=True)
    picture[horizon:] = _surface(rng, world, (width, height - horizon), light=False)
    image = Image.fromarray(picture)
    pen = ImageDraw.Draw(image)
    for bottom in np.sort(rng.uniform(horizon * 0.9, height, things)):
        kind = _THINGS[world][rng.integers(len(_THINGS[world]))]
        _thing(pen, rng, kind, float(rng.uniform(0, width)), float(bottom), height * float(rng.uniform(0.1, 0.5)))
    return np.asarray(image).copy()


def wall(rng: np.random.Generator, world: World, size: tuple[int, int]) -> Array:
    """A piece of wall (height, width, 3) to walk behind, with darker edges."""
    width, height = size
    piece = _surface(rng, world, (width, height), light=bool(rng.random() < 0.5))
    edge = max(1, min(3, width // 8))
    piece[:, :edge] = piece[:, :edge] // 2
    piece[:, -edge:] = piece[:, -edge:] // 2
    return piece


def _surface(rng: np.random.Generator, world: World, size: tuple[int, int], *, light: bool) -> Array:
    width, height = size
    kind = _WALLS[world][rng.integers(len(_WALLS[world]))]
    base, other = np.array(_colour(rng, light)), np.array(_colour(rng, light))
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    unit = float(rng.integers(8, 24))
    match kind:
        case "noise":
            mix = _cloudy(rng, (height, width))
        case "bricks":
            row = y // unit
            mix = ((y % unit < 2) | ((x + (row % 2) * unit) % (2 * unit) < 2)).astype(np.float32)
        case "planks":
            mix = (x // unit % 2) * 0.3 + (x % unit < 1.5) * 0.5
        case "marble":
            mix = 0.5 + 0.5 * np.sin(x / unit + 6 * _cloudy(rng, (height, width)))
        case "tiles":
            mix = ((x // unit + y // unit) % 2) * 0.35 + ((x % unit < 1) | (y % unit < 1)) * 0.4
        case "hatching":
            mix = ((x + y) % unit < 2) * 0.6 + ((x - y) % (2 * unit) < 2) * 0.4
        case _:
            mix = y / max(1, height)
    blend = base + (other - base) * np.clip(mix, 0, 1)[..., None] * (0.8 if kind == "gradient" else 0.6)
    grain = rng.normal(0, rng.uniform(0, 6), (height, width, 1))
    surface: Array = np.clip(blend + grain, 0, 255).astype(np.uint8)
    return surface


def _cloudy(rng: np.random.Generator, shape: tuple[int, int]) -> npt.NDArray[np.float32]:
    """Smooth noise in 0..1: coarse and fine random fields, enlarged and added."""
    total = np.zeros(shape, np.float32)
    for cells, weight in ((4, 0.5), (12, 0.3), (40, 0.2)):
        coarse = Image.fromarray(rng.integers(0, 256, (cells, cells), dtype=np.uint8))
        total += weight * np.asarray(coarse.resize((shape[1], shape[0]), Image.Resampling.BICUBIC), np.float32) / 255
    return total


def _thing(pen: ImageDraw.ImageDraw, rng: np.random.Generator, kind: str, x: float, bottom: float, tall: float) -> None:
    first, second = _colour(rng, bool(rng.random() < 0.5)), _colour(rng, False)
    half = tall * float(rng.uniform(0.15, 0.5))
    top = bottom - tall
    match kind:
        case "crate" | "sign":
            if kind == "sign":
                pen.rectangle((x - 2, top, x + 2, bottom), fill=second)
                bottom = top + tall * 0.4
            pen.rectangle((x - half, top, x + half, bottom), fill=first, outline=second, width=2)
            pen.line((x - half, top, x + half, bottom), fill=second, width=2)
        case "pole":
            pen.rectangle((x - tall / 20, bottom - 2.5 * tall, x + tall / 20, bottom), fill=second)
        case "lamp":  # a ball on a stick: the thing most like a head
            pen.rectangle((x - tall / 25, top, x + tall / 25, bottom), fill=second)
            pen.ellipse((x - tall / 9, top - tall / 9, x + tall / 9, top + tall / 9), fill=first)
        case "tree":
            pen.rectangle((x - tall / 12, top, x + tall / 12, bottom), fill=(92, 64, 40))
            _blobs(pen, rng, x, top, tall * 0.4, (40, 95, 45))
        case "bush":
            _blobs(pen, rng, x, bottom - half * 0.6, half, (70, 110, 50))
        case "car":
            long, roof = 0.9 * tall, bottom - tall * 0.75
            pen.rounded_rectangle((x - long, bottom - tall * 0.45, x + long, bottom - tall * 0.1), 5, fill=first)
            pen.rounded_rectangle((x - long * 0.5, roof, x + long * 0.5, bottom - tall * 0.4), 5, fill=first)
            for wheel in (-0.55, 0.55):
                _disc(pen, x + wheel * long, bottom - tall * 0.12, tall * 0.14, (25, 25, 25))
        case "barrel":
            pen.rounded_rectangle((x - tall * 0.3, top, x + tall * 0.3, bottom), tall * 0.1, fill=first)
            for part in (0.25, 0.5, 0.75):
                pen.line((x - tall * 0.3, top + part * tall, x + tall * 0.3, top + part * tall), fill=second, width=2)
        case "column":
            pen.rectangle((x - tall / 10, bottom - 2 * tall, x + tall / 10, bottom), fill=first)
            pen.rectangle((x - tall / 6, bottom - tall / 12, x + tall / 6, bottom), fill=second)
        case "bottle":
            pen.rounded_rectangle((x - tall * 0.14, top + tall * 0.35, x + tall * 0.14, bottom), 4, fill=first)
            pen.rectangle((x - tall * 0.05, top, x + tall * 0.05, top + tall * 0.4), fill=first)
        case "window":
            pen.rectangle((x - half, top - tall / 2, x + half, bottom - tall / 2), fill=first, outline=second, width=3)
            pen.line((x, top - tall / 2, x, bottom - tall / 2), fill=second, width=2)
        case "cone":
            pen.polygon(((x - tall * 0.3, bottom), (x + tall * 0.3, bottom), (x, top)), fill=(225, 110, 30))
        case "table":
            pen.rectangle((x - half * 2, top, x + half * 2, top + tall * 0.12), fill=first)
            for leg in (-1.8, 1.8):
                pen.rectangle((x + leg * half - 2, top, x + leg * half + 2, bottom), fill=first)
        case _:  # clutter: shapes of a limb's or trunk's size and clothes' colours, in no order
            for _ in range(int(rng.integers(3, 9))):
                across, down = rng.uniform(-half, half), rng.uniform(0, tall)
                wide, high = rng.uniform(0.03, 0.3, 2) * tall
                box = (x + across - wide, bottom - down - high, x + across + wide, bottom - down + high)
                fill = _colour(rng, bool(rng.random() < 0.5))
                shape = rng.integers(4)
                if shape == 0:
                    pen.ellipse(box, fill=fill)
                elif shape == 1:
                    pen.polygon(((box[0], box[3]), (box[2], box[3]), (x + across, box[1])), fill=fill)
                elif shape == 2:
                    pen.rounded_rectangle(box, 3, fill=fill)
                else:
                    pen.line(box, fill=fill, width=max(2, round(0.08 * tall)))


def _blobs(
    pen: ImageDraw.ImageDraw, rng: np.random.Generator, x: float, y: float, radius: float, colour: Colour
) -> None:
    for _ in range(12):
        light = float(rng.uniform(0.6, 1.2))
        fill = (round(colour[0] * light), round(colour[1] * light), round(colour[2] * light))
        across, down = rng.normal(0, radius * 0.45, 2)
        _disc(pen, x + float(across), y + float(down), radius * float(rng.uniform(0.25, 0.5)), fill)


def _disc(pen: ImageDraw.ImageDraw, x: float, y: float, radius: float, colour: Colour) -> None:
    pen.ellipse((x - radius, y - radius, x + radius, y + radius), fill=colour)


def _colour(rng: np.random.Generator, light: bool) -> Colour:
    bright = rng.uniform(0.5, 0.95) if light else rng.uniform(0.2, 0.6)
    red, green, blue = colorsys.hsv_to_rgb(rng.random(), rng.uniform(0.0, 0.6), bright)
    return round(red * 255), round(green * 255), round(blue * 255)
