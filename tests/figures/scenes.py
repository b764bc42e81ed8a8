"""Rendered scenes of walking persons, with the true box, identity and visible part of each in each frame.

The worlds "train" and "test" share no cloth, palette, wall, thing or build, so that a detector trained on one is
tested on what it has not seen. A scene depends on its arguments alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt

from tests.figures.backdrops import backdrop, wall
from tests.figures.walkers import PHASES, STRIDE, Figure, World, look

Kind = Literal["walk", "crossing", "occlusion", "fast", "crowd", "enter_leave", "empty", "cut"]
KINDS: tuple[Kind, ...] = get_args(Kind)
Array = npt.NDArray[np.uint8]
Box = tuple[float, float, float, float]

BREADTH = 0.36  # mean width of a walker's box in body heights; speeds are given in box widths a second


@dataclass(frozen=True, slots=True)
class Truth:
    """One person in one frame: tight box x1, y1, x2, y2 of the visible pixels, and their part of the whole figure.

    Pixels outside the frame, behind another person or behind a wall are not visible. A person of whom nothing is
    visible has no truth in that frame.
    """

    person: int
    box: Box
    visible: float


@dataclass(frozen=True, slots=True)
class Path:
    """Where a person's feet are: straight lines between points (second, x, y) in pixels; before and after: nowhere."""

    points: tuple[tuple[float, float, float], ...]
    tall: float  # body height in pixels at y = `at`
    at: float
    nearing: float = 0.0  # how much taller, in parts, for each body height that the feet come nearer

    def where(self, seconds: npt.NDArray[np.float64]) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        """x and y at each of the times; NaN before the first and after the last point."""
        times, xs, ys = np.array(self.points, dtype=float).T
        return (
            np.interp(seconds, times, xs, left=np.nan, right=np.nan),
            np.interp(seconds, times, ys, left=np.nan, right=np.nan),
        )


@dataclass(slots=True)
class _Actor:
    """A person's figure, and for each frame its height, phase, facing and feet; height 0 where it is not there."""

    figure: Figure
    states: list[tuple[int, int, int, int, int]]


@dataclass(frozen=True, slots=True)
class Occluder:
    """A wall to walk behind: its left edge, its colours (height, width, 3) from the top down to the line `foot`."""

    left: int
    foot: int
    colours: Array


@dataclass(slots=True)
class Take:
    """Frames of one camera in one place."""

    place: Array
    actors: list[_Actor]
    occluders: list[Occluder]
    count: int
    first_person: int = 0

    def empty(self) -> Array:
        """The place with its walls and without persons."""
        picture = self.place.copy()
        for occluder in self.occluders:
            _stand(picture, occluder)
        return picture

    def frame(self, index: int) -> tuple[Array, list[Truth]]:
        """The picture and what is true in it; whoever's feet are lower is nearer and hides the others."""
        picture = self.place.copy()
        owner = np.full(picture.shape[:2], -1, np.int16)
        layers: list[tuple[int, int, Occluder | None]] = [
            (actor.states[index][4], number, None) for number, actor in enumerate(self.actors) if actor.states[index][0]
        ]
        layers += [(occluder.foot, -1, occluder) for occluder in self.occluders]
        whole: dict[int, int] = {}
        for _, number, occluder in sorted(layers, key=lambda layer: layer[:2]):
            if occluder is not None:
                _stand(picture, occluder)
                owner[: occluder.foot, occluder.left : occluder.left + occluder.colours.shape[1]] = -1
            else:
                whole[number] = _paint(picture, owner, self.actors[number], index, number)
        return picture, self._truths(owner, whole)

    def _truths(self, owner: npt.NDArray[np.int16], whole: dict[int, int]) -> list[Truth]:
        found = []
        for number in sorted(whole):
            mine = owner == number
            rows, columns = np.flatnonzero(mine.any(1)), np.flatnonzero(mine.any(0))
            if len(rows):
                box = (float(columns[0]), float(rows[0]), float(columns[-1] + 1), float(rows[-1] + 1))
                found.append(Truth(self.first_person + number, box, float(mine.sum()) / whole[number]))
        return found


@dataclass(slots=True)
class Scene:
    """A rendered video: pictures (H, W, 3) uint8 RGB by `frames()`, and the truth of each.

    `truth` renders the scene when it is first asked for, and keeps the answer. `cuts` are the first frames after
    hard changes of shot. Persons are numbered from 0; after a cut come new persons.
    """

    kind: Kind
    world: World
    size: tuple[int, int]
    fps: float
    takes: list[Take]
    _truth: list[list[Truth]] | None = field(default=None, repr=False)

    def __len__(self) -> int:
        return sum(take.count for take in self.takes)

    @property
    def cuts(self) -> tuple[int, ...]:
        """The first frame of each shot but the first."""
        return tuple(int(total) for total in np.cumsum([take.count for take in self.takes])[:-1])

    @property
    def truth(self) -> list[list[Truth]]:
        """For each frame, the persons of whom something is visible, by number."""
        if self._truth is None:
            self._truth = [truths for _, truths in self.rendered()]
        return self._truth

    def frames(self) -> Iterator[Array]:
        """The pictures in order."""
        return (picture for picture, _ in self.rendered())

    def rendered(self) -> Iterator[tuple[Array, list[Truth]]]:
        """Pictures with their truths, in one pass."""
        for take in self.takes:
            for index in range(take.count):
                yield take.frame(index)

    def empty(self, frame: int) -> Array:
        """What that frame would be without persons."""
        for take in self.takes:
            if frame < take.count:
                return take.empty()
            frame -= take.count
        raise IndexError("frame beyond the end of the scene")


def scene(
    kind: Kind,
    seed: int,
    *,
    world: World,
    size: tuple[int, int] = (320, 240),
    seconds: float = 6.0,
    fps: float = 30.0,
    identical: bool = False,
) -> Scene:
    """A scene of that kind; `identical` dresses and builds all persons alike.

    - walk: 2 or 3 persons go to and fro and stop, each in a strip of their own, so that nobody hides another
    - crossing: 2 to 4 persons come from both sides, meet in the middle and go on
    - occlusion: one walks behind a wall, is hidden for 0.5 to 1.5 s and comes out; another passes before it
    - fast: one goes to and fro at 2 to 4 box widths a second
    - crowd: 8 to 11 smaller persons in all directions
    - enter_leave: persons come in at one edge and leave at the other or the same, one after the other
    - empty: nobody
    - cut: a `walk` and a `crossing` elsewhere, joined in the middle
    """
    rng = np.random.default_rng([seed, KINDS.index(kind), ("train", "test").index(world)])
    if kind == "cut":
        half = seconds / 2
        takes = [
            scene(part, int(rng.integers(2**31)), world=world, size=size, seconds=half, fps=fps, identical=identical)
            .takes[0]
            for part in ("walk", "crossing")
        ]  # fmt: skip
        takes[1] = replace(takes[1], first_person=len(takes[0].actors))
        return Scene(kind, world, size, fps, takes)
    place = backdrop(rng, world, size, things=int(rng.integers(3, 8)))
    paths, occluders = _SCRIPTS[kind](rng, world, size, seconds)
    count = round(seconds * fps)
    times = np.arange(count) / fps
    shared = look(rng, world)
    actors = []
    for path in paths:
        own = look(rng, world)
        actors.append(_Actor(Figure(shared if identical else own), _states(path, times, float(rng.random()))))
    return Scene(kind, world, size, fps, [Take(place, actors, occluders, count)])


def _states(path: Path, times: npt.NDArray[np.float64], start: float) -> list[tuple[int, int, int, int, int]]:
    xs, ys = path.where(times)
    # what it does next tells where it looks; at the last frame, what it did
    dx = np.diff(xs, append=2 * xs[-1:] - xs[-2:-1] if len(xs) > 1 else xs[-1:])
    dy = np.diff(ys, append=2 * ys[-1:] - ys[-2:-1] if len(ys) > 1 else ys[-1:])
    states, cycle, facing = [], start, 1
    pause = times[1] - times[0] if len(times) > 1 else 1.0  # slower than 3 % of the height a second is standing
    for x, y, right, down in zip(xs, ys, np.nan_to_num(dx), np.nan_to_num(dy), strict=True):
        if np.isnan(x):
            states.append((0, 0, 0, 0, 0))
            continue
        tall = path.tall * (1 + path.nearing * (y - path.at) / path.tall)
        step = float(np.hypot(right, down))
        cycle += step / (STRIDE * tall)
        if step < 0.03 * tall * pause:
            phase, facing = -1, 0
        else:
            phase = int(cycle * PHASES) % PHASES
            facing = 0 if abs(right) < abs(down) else (1 if right > 0 else -1)
        states.append((round(tall), phase, facing, round(x), round(y)))
    return states


def _paint(picture: Array, owner: npt.NDArray[np.int16], actor: _Actor, index: int, number: int) -> int:
    """Draw the person, note whose pixels these are, and return how many pixels the whole figure has."""
    tall, phase, facing, x, y = actor.states[index]
    sprite = actor.figure.sprite(tall, phase, facing)
    left, top = x - sprite.foot[0], y - sprite.foot[1]
    height, width = sprite.solid.shape
    x1, y1 = max(0, left), max(0, top)
    x2, y2 = min(picture.shape[1], left + width), min(picture.shape[0], top + height)
    if x1 < x2 and y1 < y2:
        part = (slice(y1 - top, y2 - top), slice(x1 - left, x2 - left))
        under, cover = picture[y1:y2, x1:x2], sprite.cover[part]
        under[:] = (under + cover * (sprite.colours[part].astype(np.float32) - under)).astype(np.uint8)
        owner[y1:y2, x1:x2][sprite.solid[part]] = number
    return int(sprite.solid.sum())


def _stand(picture: Array, occluder: Occluder) -> None:
    right = occluder.left + occluder.colours.shape[1]
    picture[: occluder.foot, occluder.left : right] = occluder.colours


Script = Callable[[np.random.Generator, World, tuple[int, int], float], tuple[list[Path], list[Occluder]]]


def _walk(
    rng: np.random.Generator, world: World, size: tuple[int, int], seconds: float
) -> tuple[list[Path], list[Occluder]]:
    width, height = size
    count = int(rng.integers(2, 4))
    strip = width / count
    paths = []
    for number in range(count):
        tall = min(_tall(rng, world, size), 0.9 * strip)
        y = float(rng.uniform(max(tall + 4, 0.7 * height), height - 3))
        margin = 0.38 * tall
        low, high = strip * number + margin, strip * (number + 1) - margin
        ends = (low, high) if low < high else ((low + high) / 2,) * 2
        speed = float(rng.uniform(0.4, 1.4)) * BREADTH * tall
        paths.append(_to_and_fro(rng, ends, y, tall, speed, seconds, rest=float(rng.uniform(0, 1.2))))
    return paths, []


def _crossing(
    rng: np.random.Generator, world: World, size: tuple[int, int], seconds: float
) -> tuple[list[Path], list[Occluder]]:
    width, height = size
    tall = _tall(rng, world, size)
    paths = []
    for number in range(int(rng.integers(2, 5))):
        own = tall * float(rng.uniform(0.9, 1.1))
        y = min(height * 0.97, height * 0.8 + number * 0.09 * tall)
        # the first two meet half-way through, the others later
        when = seconds * (0.5 + (0.0, 0.0, 0.25, 0.25)[number] + float(rng.uniform(-0.04, 0.04)))
        meet = width * float(rng.uniform(0.42, 0.58))
        speed = float(rng.uniform(0.7, 1.2)) * BREADTH * own * (1 if number % 2 else -1)
        # whoever walks slowly starts inside the frame
        begin, end = meet - speed * when, meet + speed * (seconds - when)
        drift = 0.08 * tall * float(rng.uniform(-1, 1))
        paths.append(Path(((0.0, begin, y - drift), (seconds, end, y + drift)), own, y, nearing=0.3))
    return paths, []


def _occlusion(
    rng: np.random.Generator, world: World, size: tuple[int, int], seconds: float
) -> tuple[list[Path], list[Occluder]]:
    width, height = size
    tall = _tall(rng, world, size) * 0.9
    speed = float(rng.uniform(1.0, 1.5)) * BREADTH * tall
    hidden = float(rng.uniform(0.6, 1.05))
    # figures are 0.2 to 0.6 body heights wide, so much do they swing
    broad = round(0.45 * tall + speed * hidden)
    left = max(0, round((width - broad) * float(rng.uniform(0.4, 0.6))))
    foot = round(0.82 * height)
    way = 1 if rng.random() < 0.5 else -1
    middle, when = left + broad / 2, seconds / 2
    y = foot - 4.0
    behind = Path(((0.0, middle - way * speed * when, y), (seconds, middle + way * speed * when, y)), tall, y)
    near = float(min(height - 3, foot + 0.15 * tall))
    pace = -way * float(rng.uniform(0.5, 0.9)) * speed
    before = Path(((0.0, middle - pace * when, near), (seconds, middle + pace * when, near)), tall * 1.05, near)
    return [behind, before], [Occluder(left, foot, wall(rng, world, (broad, foot)))]


def _fast(
    rng: np.random.Generator, world: World, size: tuple[int, int], seconds: float
) -> tuple[list[Path], list[Occluder]]:
    width, height = size
    tall = _tall(rng, world, size) * 0.85
    speed = float(rng.uniform(2.0, 4.0)) * BREADTH * tall
    margin = 0.4 * tall
    y = float(rng.uniform(0.8, 0.97)) * height
    return [_to_and_fro(rng, (margin, width - margin), y, tall, speed, seconds, rest=0.0)], []


def _crowd(
    rng: np.random.Generator, world: World, size: tuple[int, int], seconds: float
) -> tuple[list[Path], list[Occluder]]:
    width, height = size
    count = int(rng.integers(8, 12))
    tall = 0.55 * _tall(rng, world, size)
    paths = []
    for lane in rng.permutation(count):
        y = float(height * 0.45 + (height * 0.53) * (lane + rng.uniform(0.2, 0.8)) / count)
        own = tall * (1 + 0.35 * (y / height - 0.7))
        ends = tuple(np.sort(rng.uniform(0.3 * own, width - 0.3 * own, 2)))
        speed = float(rng.uniform(0.4, 1.3)) * BREADTH * own
        paths.append(_to_and_fro(rng, (ends[0], ends[1]), y, own, speed, seconds, rest=float(rng.uniform(0, 1))))
    return paths, []


def _enter_leave(
    rng: np.random.Generator, world: World, size: tuple[int, int], seconds: float
) -> tuple[list[Path], list[Occluder]]:
    width, height = size
    paths = []
    for number in range(int(rng.integers(3, 6))):
        tall = _tall(rng, world, size) * 0.9
        y = float(rng.uniform(0.75, 0.98)) * height
        begin = seconds * (0.12 * number + float(rng.uniform(0, 0.08)))
        speed = float(rng.uniform(1.0, 1.8)) * BREADTH * tall
        out = 0.45 * tall
        start, goal = (-out, width + out) if rng.random() < 0.5 else (width + out, -out)
        if rng.random() < 0.3:  # half-way in, and back
            turn = (start + goal) / 2
            there = begin + abs(turn - start) / speed
            points = [(begin, start, y), (there, turn, y), (2 * there - begin, start, y)]
        else:
            points = [(begin, start, y), (begin + abs(goal - start) / speed, goal, y)]
        paths.append(Path(tuple(points), tall, y))
    return paths, []


def _nobody(
    rng: np.random.Generator, world: World, size: tuple[int, int], seconds: float
) -> tuple[list[Path], list[Occluder]]:
    return [], []


_SCRIPTS: dict[Kind, Script] = {
    "walk": _walk, "crossing": _crossing, "occlusion": _occlusion, "fast": _fast, "crowd": _crowd,
    "enter_leave": _enter_leave, "empty": _nobody,
}  # fmt: skip


def _tall(rng: np.random.Generator, world: World, size: tuple[int, int]) -> float:
    """A body height in pixels; the heights of the test world lie between those of the other."""
    width, height = size
    low, high = ((0.36, 0.5), (0.62, 0.8))[rng.integers(2)] if world == "train" else (0.5, 0.62)
    return min(height, 0.75 * width) * float(rng.uniform(low, high))


def _to_and_fro(
    rng: np.random.Generator, ends: tuple[float, float], y: float, tall: float, speed: float, seconds: float,
    *, rest: float,
) -> Path:  # fmt: skip
    """From a random place between the ends to one end, a rest, to the other, and so on, until the scene is over."""
    low, high = ends
    time, x = 0.0, float(rng.uniform(low, high)) if low < high else low
    goal = high if rng.random() < 0.5 else low
    points = [(time, x, y)]
    while time < seconds:
        time += max(abs(goal - x) / speed, 0.05)
        x = goal
        points.append((time, x, y))
        if rest > 0:
            time += rest
            points.append((time, x, y))
        goal = low if goal == high else high
    return Path(tuple(points), tall, y)
