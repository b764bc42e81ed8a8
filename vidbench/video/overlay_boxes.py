"""Draw persons' boxes and what they do onto a video: which box is where at which moment, and how it looks."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from PIL import Image, ImageDraw

from vidbench.video.overlay import SMALLEST_TEXT, Face, Shown, fitted

Box = tuple[float, float, float, float]

# told apart by eyes that do not tell red from green: Okabe and Ito's colours, without black
_COLOURS = (
    (230, 159, 0),
    (86, 180, 233),
    (0, 158, 115),
    (240, 228, 66),
    (0, 114, 178),
    (213, 94, 0),
    (204, 121, 167),
)
_EDGE = (0, 0, 0)
_PANEL = (12, 14, 18, 205)
_TEXT = (255, 255, 255, 255)
_KEPT_TAGS = 64


@dataclass(frozen=True)
class Figure:
    """A person at a moment.

    Attributes:
        box: x1, y1, x2, y2 in fractions of the frame's width and height.
        rows: What the person does, and how likely in [0, 1], None where that is not said; may be empty.
        person: A number that the person has in the whole video; None where it is not known.
        tone: The number of its colour; None takes the person's, or the place among the figures.
    """

    box: Box
    rows: tuple[tuple[str, float | None], ...] = ()
    person: int | None = None
    tone: int | None = None


@dataclass(frozen=True)
class Scene:
    """A keyframe.

    Attributes:
        time_s: Seconds from the start of the container.
        figures: The persons there.
    """

    time_s: float
    figures: tuple[Figure, ...]


def figures_at(scenes: Sequence[Scene], hop_s: float, time_s: float) -> tuple[Figure, ...]:
    """Who is shown at a moment.

    A person with a number who is in the keyframe before and in the one after moves on a straight line between the
    two boxes, and does what the nearer one says. Anyone else is shown for half a hop before and after a keyframe.

    Args:
        scenes: By rising time, every `hop_s`, also where nobody is.
        hop_s: Seconds between keyframes.
        time_s: The moment.
    """
    after = bisect_right(scenes, time_s, key=lambda scene: scene.time_s)
    first = scenes[after - 1] if after > 0 else None
    second = scenes[after] if after < len(scenes) else None
    shown: list[Figure] = []
    tracked: set[int] = set()
    if first is not None and second is not None:
        share = (time_s - first.time_s) / (second.time_s - first.time_s)
        ahead = {figure.person: figure for figure in second.figures if figure.person is not None}
        for figure in first.figures:
            if figure.person is not None and figure.person in ahead:
                other = ahead[figure.person]
                a, b = figure.box, other.box
                box = tuple(low + share * (high - low) for low, high in zip(a, b, strict=True))
                shown.append(replace(figure if share < 0.5 else other, box=(box[0], box[1], box[2], box[3])))
                tracked.add(figure.person)
    near = []
    if first is not None and time_s - first.time_s < hop_s / 2:
        near.append(first)
    if second is not None and second.time_s - time_s <= hop_s / 2:
        near.append(second)
    for scene in near:
        shown.extend(figure for figure in scene.figures if figure.person is None or figure.person not in tracked)
    return tuple(shown)


class BoxPainter:
    """Paints the boxes of each frame; given to `vidbench.video.overlay.draw_video`.

    Args:
        scenes: By rising time.
        hop_s: Seconds between them.
        face: The typeface.
    """

    def __init__(self, scenes: Sequence[Scene], hop_s: float, face: Face) -> None:
        self._scenes = scenes
        self._hop_s = hop_s
        self._face = face
        self._tags: dict[object, Image.Image] = {}

    def __call__(self, shown: Shown) -> None:
        """Paint the boxes and tags of one frame, in place."""
        figures = figures_at(self._scenes, self._hop_s, shown.time_s)
        if not figures:
            return
        canvas = Image.fromarray(shown.picture)
        pen = ImageDraw.Draw(canvas)
        line = max(2, round(min(shown.width, shown.height) / 150))
        places = []
        for number, figure in enumerate(figures):
            colour = _colour(figure, number)
            place = pixels(figure.box, shown.width, shown.height)
            places.append(place)
            x1, y1, x2, y2 = place
            # a dark rim on both sides, so that the line is seen on any ground
            pen.rectangle((x1 - 1, y1 - 1, x2 + 1, y2 + 1), outline=_EDGE, width=line + 2)
            pen.rectangle(place, outline=colour, width=line)
        taken: list[tuple[int, int, int, int]] = []
        for number, (figure, place) in enumerate(zip(figures, places, strict=True)):
            colour = _colour(figure, number)
            tag = self._tag(figure, colour, canvas.width, canvas.height)
            if tag is not None:
                left, top = place_tag(place, tag.size, canvas.size, taken)
                taken.append((left, top, left + tag.width, top + tag.height))
                canvas.paste(tag, (left, top), tag)
        shown.picture[:] = np.asarray(canvas)

    def _tag(self, figure: Figure, colour: tuple[int, int, int], width: int, height: int) -> Image.Image | None:
        key = (figure.rows, figure.person, colour)
        if key not in self._tags:
            if len(self._tags) >= _KEPT_TAGS:
                self._tags.clear()
            made = draw_tag(figure, colour, width, height, self._face)
            if made is None:
                return None
            self._tags[key] = made
        return self._tags[key]


def _colour(figure: Figure, place: int) -> tuple[int, int, int]:
    chosen = next(number for number in (figure.tone, figure.person, place) if number is not None)
    return _COLOURS[chosen % len(_COLOURS)]


def pixels(box: Box, width: int, height: int) -> tuple[int, int, int, int]:
    """The first and last column and row of a box, both inside a frame of `width` x `height` pixels."""
    x1, y1, x2, y2 = box
    left = min(max(round(x1 * width), 0), width - 1)
    top = min(max(round(y1 * height), 0), height - 1)
    right = min(max(round(x2 * width) - 1, left), width - 1)
    bottom = min(max(round(y2 * height) - 1, top), height - 1)
    return left, top, right, bottom


def draw_tag(figure: Figure, colour: tuple[int, int, int], width: int, height: int, face: Face) -> Image.Image | None:
    """A person's number and actions, white on a dark plate with a bar of the box's colour; None where there are none.

    Text is a 24th of the frame's shorter side, and no smaller than can be read. The plate is at most half as wide
    and half as high as the frame: names are shortened by an ellipsis, the least likely actions are left out.
    """
    lines = [(name, "" if share is None else f" {share:.2f}") for name, share in figure.rows]
    if figure.person is not None:
        lines.insert(0, (f"person {figure.person}", ""))
    if not lines:
        return None
    size = max(SMALLEST_TEXT, round(min(width, height) / 24))
    font = face.at(size)
    gap = max(1, size // 4)
    bar = max(2, size // 4)
    row = size + gap
    lines = lines[: max(1, (height // 2 - gap) // row)]
    room = max(width // 2, min(width, 12 * size)) - bar - 2 * gap
    texts = [fitted(name, font, room - font.getlength(share)) + share for name, share in lines]
    wide = min(round(max(font.getlength(text) for text in texts)) + bar + 2 * gap, width)
    tag = Image.new("RGBA", (wide, min(len(texts) * row + gap, height)), _PANEL)
    pen = ImageDraw.Draw(tag, "RGBA")
    pen.rectangle((0, 0, bar - 1, tag.height), fill=(*colour, 255))
    for number, text in enumerate(texts):
        pen.text((bar + gap, gap + number * row + size / 2), text, font=font, fill=_TEXT, anchor="lm")
    return tag


def place_tag(
    box: tuple[int, int, int, int],
    size: tuple[int, int],
    frame: tuple[int, int],
    taken: Sequence[tuple[int, int, int, int]],
) -> tuple[int, int]:
    """Where a tag goes: above its box, below it, inside it, or to its right or left; where no other tag is.

    Where all of these are taken, the nearest free place of a grid; where the frame is full, above its box.
    """
    x1, y1, x2, y2 = box
    wide, high = size
    wanted = [(x1, y1 - high), (x1, y2 + 1), (x1, y1), (x1, y2 - high), (x2 + 1, y1), (x1 - wide, y1)]
    inside = [(x, y) for x, y in wanted if 0 <= x <= frame[0] - wide and 0 <= y <= frame[1] - high]
    moved = [(min(max(x, 0), frame[0] - wide), min(max(y, 0), frame[1] - high)) for x, y in wanted]
    lattice = [
        (x, y)
        for y in range(0, frame[1] - high + 1, max(1, high // 4))
        for x in range(0, frame[0] - wide + 1, max(1, wide // 4))
    ]
    lattice.sort(key=lambda place: abs(place[0] - x1) + abs(place[1] - y1))
    for left, top in (*inside, *moved, *lattice):
        if all(left >= c or left + wide <= a or top >= d or top + high <= b for a, b, c, d in taken):
            return left, top
    return moved[0]
