"""Render a small action data set as H.264 videos whose classes only time tells apart.

A clip shows a figure that carries a ball. Four quantities say how it looks, all of them cyclic: its place
across and down, the angle it is turned by, and where it is in pulsing, that is in growing and shrinking.
Every clip of every class starts all four uniformly on their cycles, and a class says which one advances. A
quantity that is uniform on its cycle stays so when it advances, so at every instant the distribution of a
single frame is the same for all classes: a model that looks at one frame, whichever one, can only guess.

Places are cyclic because the figure tiles the plane: it repeats every `side` pixels in both directions,
where `side` is the frame's short side, so every square crop shows one whole figure, perhaps wrapped round.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field

from vidbench.errors import InputError, disk_errors
from vidbench.progress import Reporter, SilentReporter
from vidbench.seeds import seed_for
from vidbench.video.encode import encode

__all__ = [
    "CLASSES",
    "CONTENT_VERSION",
    "SPLITS",
    "ClipSpec",
    "SyntheticRequest",
    "SyntheticResult",
    "draw",
    "frames",
    "render",
]

CONTENT_VERSION = 1
"""Raised whenever the same request would give other pictures."""

CLASSES: tuple[str, ...] = (
    "move_left",
    "move_right",
    "move_up",
    "move_down",
    "spin",
    "pulse",
)
"""The class names; a class's label is its place in this tuple."""

SPLITS: tuple[str, ...] = ("train", "val")

SIDECAR = "synthetic.json"

Array: TypeAlias = npt.NDArray[np.float32]
Picture: TypeAlias = npt.NDArray[np.uint8]
Colour: TypeAlias = tuple[int, int, int]

QUANTITIES: tuple[str, ...] = ("across", "down", "turn", "pulse")
"""The cyclic quantities, in the order in which `ClipSpec` holds them; a cycle is 1."""

# What each class advances, and which ways: positive is right, down, clockwise.
_ADVANCES: dict[str, tuple[str, tuple[int, ...]]] = {
    "move_left": ("across", (-1,)),
    "move_right": ("across", (1,)),
    "move_up": ("down", (-1,)),
    "move_down": ("down", (1,)),
    "spin": ("turn", (-1, 1)),
    "pulse": ("pulse", (1,)),
}

# Cycles per second: slow enough that 8 frames spread over 3 s stay under half a cycle apart (no aliasing),
# fast enough that 1 s shows a pulse turn back and a move cross a third of the frame.
_SPEEDS: dict[str, tuple[float, float]] = {
    "across": (0.30, 0.55),
    "down": (0.30, 0.55),
    "turn": (0.50, 0.75),
    "pulse": (0.80, 1.15),
}

_SIZES: tuple[tuple[int, int], ...] = (
    (96, 72),
    (112, 84),
    (128, 96),
    (128, 72),
    (96, 96),
    (72, 96),
    (84, 112),
)
_RATES: tuple[Fraction, ...] = (Fraction(24), Fraction(25), Fraction(30), Fraction(30000, 1001))

# Two dark background colours, then the light colours a figure may have on them.
_PALETTES: tuple[tuple[Colour, Colour, tuple[Colour, ...]], ...] = (
    ((42, 50, 92), (101, 84, 154), ((209, 166, 71), (209, 103, 84), (103, 189, 168))),
    ((20, 68, 92), (42, 141, 145), ((209, 175, 84), (209, 117, 92), (205, 197, 175))),
    ((77, 37, 73), (176, 79, 108), ((209, 171, 105), (119, 184, 196), (209, 197, 180))),
    ((26, 62, 53), (92, 143, 101), ((209, 156, 75), (209, 190, 123), (200, 133, 138))),
    ((29, 33, 51), (73, 92, 132), ((209, 139, 123), (123, 194, 164), (209, 187, 107))),
    ((66, 48, 33), (141, 99, 66), ((209, 182, 123), (131, 185, 194), (209, 153, 139))),
    ((48, 26, 84), (114, 64, 154), ((209, 177, 90), (115, 197, 180), (209, 144, 164))),
    ((33, 66, 44), (77, 121, 132), ((209, 197, 156), (209, 138, 98), (194, 156, 205))),
)


@dataclass(frozen=True)
class ClipSpec:
    """Everything that is drawn for one clip.

    Lengths are in units of ``side``, the short side of the frame; cyclic quantities are in cycles and come in
    the order of `QUANTITIES`.

    Attributes:
        name: The class, one of `CLASSES`.
        label: Its label, 0 to ``len(CLASSES) - 1``.
        width: Pixels, even.
        height: Pixels, even.
        fps: Frames per second.
        count: Frames.
        start: The cyclic quantities at time 0, each uniform in [0, 1).
        velocity: Their cycles per second; all but the class's own are 0.
        swell: How much pulsing adds to and takes from the size, as a share of it.
        shape: The figure's outline, one of the names in the module's table.
        radius: The figure's mean radius.
        ball: The ball's mean radius.
        arm: The mean distance from the figure's centre to the ball's.
        side_angle: Where the ball is held, in cycles clockwise from the figure's right.
        background: Two RGB colours that are blended into each other.
        figure: The figure's RGB colour.
        rim: The RGB colour of the figure's rim and ball.
        texture: The seed of the background's texture.
    """

    name: str
    label: int
    width: int
    height: int
    fps: Fraction
    count: int
    start: tuple[float, ...]
    velocity: tuple[float, ...]
    swell: float
    shape: str
    radius: float
    ball: float
    arm: float
    side_angle: float
    background: tuple[Colour, Colour]
    figure: Colour
    rim: Colour
    texture: int

    @property
    def side(self) -> int:
        """The short side of the frame in pixels, which is also the distance between repeated figures."""
        return min(self.width, self.height)

    def states(self) -> npt.NDArray[np.float64]:
        """The cyclic quantities in every frame: (count, 4), each in [0, 1)."""
        time = np.arange(self.count)[:, None] / float(self.fps)
        return np.mod(np.asarray(self.start) + np.asarray(self.velocity) * time, 1.0)


def draw(seed: int, split: str, label: int, index: int) -> ClipSpec:
    """Draw one clip; it depends on these four arguments alone.

    Args:
        seed: The data set's seed.
        split: One of `SPLITS`.
        label: 0 to ``len(CLASSES) - 1``.
        index: The clip's number within its split and class.
    """
    name = CLASSES[label]
    rng = np.random.default_rng(seed_for(seed, "synthetic", CONTENT_VERSION, split, label, index))
    width, height = _SIZES[int(rng.integers(len(_SIZES)))]
    fps = _RATES[int(rng.integers(len(_RATES)))]
    count = int(rng.integers(40, 57))
    start = tuple(float(value) for value in rng.random(len(QUANTITIES)))
    # Every class draws every speed, so that nothing but the velocity tells the classes apart.
    speeds = {quantity: float(rng.uniform(*_SPEEDS[quantity])) for quantity in QUANTITIES}
    way = float(rng.random())
    own, ways = _ADVANCES[name]
    speeds[own] *= ways[int(way * len(ways))]
    shape = list(_SHAPES)[int(rng.integers(len(_SHAPES)))]
    radius, ball = float(rng.uniform(0.17, 0.19)), float(rng.uniform(0.085, 0.1))
    first, second, figures = _PALETTES[int(rng.integers(len(_PALETTES)))]
    if rng.random() < 0.5:
        first, second = second, first
    figure = figures[int(rng.integers(len(figures)))]
    return ClipSpec(
        name=name,
        label=label,
        width=width,
        height=height,
        fps=fps,
        count=count,
        start=start,
        velocity=tuple(speeds[quantity] if quantity == own else 0.0 for quantity in QUANTITIES),
        swell=float(rng.uniform(0.34, 0.40)),
        shape=shape,
        radius=radius,
        ball=ball,
        arm=radius + ball + float(rng.uniform(0.0, 0.015)),
        side_angle=float(rng.random()),
        background=(first, second),
        figure=figure,
        rim=(218, 216, 210),
        texture=int(rng.integers(2**31)),
    )


def frames(spec: ClipSpec) -> Iterator[Picture]:
    """Render a clip: ``spec.count`` pictures, each (height, width, 3) uint8 RGB."""
    side, cycles = spec.side, 2 * np.pi * spec.states()
    empty = np.rint(_background(spec)).astype(np.uint8)
    size = 1 + spec.swell * np.sin(cycles[:, 3])
    angle = cycles[:, 2]
    centre = cycles[:, :2] / (2 * np.pi) * side
    hand = angle + 2 * np.pi * spec.side_angle
    ball = centre + (size * spec.arm * side)[:, None] * np.stack([np.cos(hand), np.sin(hand)], axis=1)
    layers = (_figures(spec, centre, angle, size), _balls(spec, ball, size))
    for index in range(spec.count):
        picture = empty.copy()
        for layer in layers:
            _paste(picture, layer, index, side)
        yield picture


# --- shapes: signed distances (negative inside) in units of the figure's radius, x right, y down


def _circle(x: Array, y: Array, cx: float, cy: float, radius: float) -> Array:
    distance: Array = np.hypot(x - np.float32(cx), y - np.float32(cy)) - np.float32(radius)
    return distance


def _capsule(x: Array, y: Array, ax: float, ay: float, bx: float, by: float, radius: float) -> Array:
    dx, dy = bx - ax, by - ay
    along = np.clip(((x - ax) * dx + (y - ay) * dy) / (dx * dx + dy * dy), 0, 1)
    distance: Array = np.hypot(x - ax - along * dx, y - ay - along * dy) - np.float32(radius)
    return distance


def _polygon(x: Array, y: Array, *points: tuple[float, float]) -> Array:
    distance = np.full(x.shape, np.inf, np.float32)
    inside = np.zeros(x.shape, bool)
    for (ax, ay), (bx, by) in zip(points, points[1:] + points[:1], strict=True):
        distance = np.minimum(distance, _capsule(x, y, ax, ay, bx, by, 0.0))
        if ay != by:
            inside ^= ((ay > y) != (by > y)) & (x < ax + (y - ay) * (bx - ax) / (by - ay))
    return np.where(inside, -distance, distance)


def _union(*parts: Array) -> Array:
    nearest: Array = np.minimum.reduce(parts)
    return nearest


def _fish(x: Array, y: Array) -> tuple[Array, Array]:
    body = np.maximum(_circle(x, y, 0.18, -0.42, 0.88), _circle(x, y, 0.18, 0.42, 0.88))
    tail = _polygon(x, y, (-0.42, 0.0), (-0.84, -0.44), (-0.78, 0.0), (-0.84, 0.44)) - np.float32(0.04)
    return _union(body, tail), _circle(x, y, 0.55, -0.1, 0.11)


def _rocket(x: Array, y: Array) -> tuple[Array, Array]:
    hull = np.maximum(_circle(x, y, -0.1, -0.72, 1.06), _circle(x, y, -0.1, 0.72, 1.06))
    hull = np.maximum(hull, -0.62 - x)
    fins = _polygon(x, y, (-0.15, -0.2), (-0.70, -0.62), (-0.78, -0.2), (-0.78, 0.2), (-0.70, 0.62), (-0.15, 0.2))
    return _union(hull, fins - np.float32(0.05)), _circle(x, y, 0.22, 0.0, 0.15)


def _drop(x: Array, y: Array) -> tuple[Array, Array]:
    cone = _polygon(x, y, (0.93, 0.0), (-0.087, -0.546), (-0.087, 0.546))
    return _union(_circle(x, y, -0.38, 0.0, 0.62), cone), _circle(x, y, -0.42, -0.02, 0.22)


def _heart(x: Array, y: Array) -> tuple[Array, Array]:
    tip = _polygon(x, y, (-0.95, 0.0), (0.06, -0.75), (0.3, 0.0), (0.06, 0.75))
    lobes = _union(_circle(x, y, 0.34, -0.42, 0.44), _circle(x, y, 0.34, 0.42, 0.44))
    return _union(tip, lobes), _circle(x, y, 0.38, -0.40, 0.16)


def _moon(x: Array, y: Array) -> tuple[Array, Array]:
    crescent = np.maximum(_circle(x, y, -0.05, 0.0, 0.92), -_circle(x, y, 0.5, 0.0, 0.66))
    return crescent, _circle(x, y, -0.5, 0.1, 0.13)


def _person(x: Array, y: Array) -> tuple[Array, Array]:
    limbs = _union(
        _capsule(x, y, 0.12, 0.0, -0.26, 0.0, 0.24),
        _capsule(x, y, -0.28, -0.06, -0.74, -0.34, 0.17),
        _capsule(x, y, -0.28, 0.06, -0.74, 0.34, 0.17),
        _capsule(x, y, 0.16, -0.08, 0.50, -0.60, 0.15),
        _capsule(x, y, 0.14, 0.1, -0.14, 0.64, 0.15),
    )
    return _union(limbs, _circle(x, y, 0.6, 0.0, 0.34)), _circle(x, y, 0.66, 0.0, 0.12)


def _boot(x: Array, y: Array) -> tuple[Array, Array]:
    leg = _capsule(x, y, 0.58, -0.36, -0.5, -0.36, 0.3)
    return _union(leg, _capsule(x, y, -0.5, -0.36, -0.5, 0.46, 0.3)), _circle(x, y, 0.55, -0.36, 0.13)


_SHAPES: dict[str, Callable[[Array, Array], tuple[Array, Array]]] = {
    "boot": _boot,
    "drop": _drop,
    "fish": _fish,
    "heart": _heart,
    "moon": _moon,
    "person": _person,
    "rocket": _rocket,
}
"""Each shape's outline, within radius 1, and its eye; none looks the same after less than a full turn."""

_TABLE = 256
_REACH = 1.1


@cache
def _distances(shape: str) -> tuple[Array, Array]:
    """A shape's outline and eye on a grid over [-1.1, 1.1] squared, row by row: (cells,) each."""
    axis = ((np.arange(_TABLE, dtype=np.float32) + 0.5) / _TABLE * 2 - 1) * np.float32(_REACH)
    grid: Array = np.stack(np.meshgrid(axis, axis)).astype(np.float32)
    outline, eye = _SHAPES[shape](grid[0], grid[1])
    return outline.astype(np.float32).ravel(), eye.astype(np.float32).ravel()


# --- painting


@dataclass(frozen=True)
class _Layer:
    """One thing to paint, per frame: where its square patch goes, what it adds and what it lets through.

    All three colour channels are held even where they are equal: numpy is several times faster on arrays that
    need no broadcasting along a last axis of 3.
    """

    corner: npt.NDArray[np.int64]  # (count, 2), x and y of the patch's first pixel in an endless plane
    add: Array  # (count, size, size, 3), 0 to 255
    keep: Array  # (count, size, size, 3), 0 to 1


def _coverage(distance: Array) -> Array:
    """How much of a pixel lies inside an edge that is `distance` pixels away."""
    share: Array = np.clip(np.float32(0.5) - distance, 0, 1)
    return share


def _patch(centre: npt.NDArray[np.float64], reach: float) -> tuple[npt.NDArray[np.int64], Array, Array]:
    """Corners of a square patch around each centre, and its pixels' x and y from the centre, in pixels."""
    half = math.ceil(reach + 1)
    corner = np.floor(centre).astype(np.int64) - half
    steps = np.arange(2 * half, dtype=np.float32) + np.float32(0.5)
    offset = (corner - centre).astype(np.float32)[:, :, None] + steps
    return corner, offset[:, 0, None, :], offset[:, 1, :, None]


def _figures(
    spec: ClipSpec,
    centre: npt.NDArray[np.float64],
    angle: npt.NDArray[np.float64],
    size: npt.NDArray[np.float64],
) -> _Layer:
    radius = np.float32(spec.radius * spec.side)
    outline, eye = _distances(spec.shape)
    rim = max(1.2, 0.09 * float(radius))
    cover = _coverage(outline * radius)
    fill = np.minimum(cover, _coverage(outline * radius + np.float32(rim)) * (1 - _coverage(eye * radius)))
    ink, colour = (np.asarray(value, np.float32) for value in (spec.rim, spec.figure))
    add = (cover - fill)[:, None] * ink + fill[:, None] * colour
    keep = np.repeat(1 - cover[:, None], 3, axis=1)

    corner, x, y = _patch(centre, float(radius * size.max()))
    scale = _TABLE / (2 * _REACH) / (float(radius) * size)
    cos, sin = ((scale * turn(angle)).astype(np.float32)[:, None, None] for turn in (np.cos, np.sin))
    middle, last = np.float32(_TABLE / 2), np.float32(_TABLE - 1)
    column = np.clip(cos * x + (sin * y + middle), 0, last).astype(np.intp)
    row = np.clip(cos * y - (sin * x - middle), 0, last).astype(np.intp)
    cell = row * _TABLE + column
    return _Layer(corner, add.take(cell, axis=0), keep.take(cell, axis=0))


def _balls(spec: ClipSpec, centre: npt.NDArray[np.float64], size: npt.NDArray[np.float64]) -> _Layer:
    radius = (spec.ball * spec.side * size).astype(np.float32)[:, None, None]
    corner, x, y = _patch(centre, float(radius.max()))
    cover = np.repeat(_coverage(np.sqrt(x * x + y * y) - radius)[..., None], 3, axis=-1)
    return _Layer(corner, cover * np.asarray(spec.rim, np.float32), 1 - cover)


def _paste(picture: Picture, layer: _Layer, index: int, side: int) -> None:
    """Blend one frame's patch into the picture at every place where the tiling shows it."""
    height, width = picture.shape[:2]
    add, keep = layer.add[index], layer.keep[index]
    size = len(add)
    left, top = (int(start) % side - side for start in layer.corner[index])
    for y in range(top, height, side):
        for x in range(left, width, side):
            y0, y1, x0, x1 = max(y, 0), min(y + size, height), max(x, 0), min(x + size, width)
            if y0 < y1 and x0 < x1:
                part = (slice(y0 - y, y1 - y), slice(x0 - x, x1 - x))
                blend = picture[y0:y1, x0:x1] * keep[part]
                blend += add[part]
                blend += np.float32(0.5)
                picture[y0:y1, x0:x1] = blend


def _background(spec: ClipSpec) -> Array:
    """A gradient with soft clouds and pale discs: (height, width, 3), 0 to 255."""
    rng = np.random.default_rng(spec.texture)
    side = spec.side
    x = ((np.arange(spec.width, dtype=np.float32) + 0.5) / side)[None, :]
    y = ((np.arange(spec.height, dtype=np.float32) + 0.5) / side)[:, None]
    turn = rng.uniform(0, 2 * np.pi)
    blend = 0.5 + 0.45 * (math.cos(turn) * (x - x.mean()) + math.sin(turn) * (y - y.mean()))
    for _ in range(4):
        turn, pitch, phase = rng.uniform(0, 2 * np.pi), rng.uniform(3, 9), rng.uniform(0, 2 * np.pi)
        blend += 0.11 * np.sin(pitch * math.cos(turn) * x + (pitch * math.sin(turn) * y + phase))
    pale = np.zeros_like(blend)
    for _ in range(int(rng.integers(5, 9))):
        cx, cy = rng.uniform(0, spec.width / side), rng.uniform(0, spec.height / side)
        radius, strength = rng.uniform(0.04, 0.2), rng.uniform(-0.08, 0.1)
        disc = np.clip((radius - np.sqrt((x - cx) ** 2 + (y - cy) ** 2)) * (side / 2) + 0.5, 0, 1)
        pale += strength * disc
    blend = np.clip(blend, 0, 1)
    planes = []
    for first, second in zip(*spec.background, strict=True):
        plane = first + blend * (second - first)
        planes.append(np.clip(plane + pale * (255 - plane), 0, 255))
    return np.stack(planes, axis=-1).astype(np.float32)


class SyntheticRequest(BaseModel):
    """What to render.

    Attributes:
        out: The data set's folder; made if need be.
        train_per_class: Training clips per class.
        val_per_class: Validation clips per class.
        seed: The seed that every clip is drawn from.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    out: Path
    train_per_class: int = Field(default=40, ge=1, le=10_000)
    val_per_class: int = Field(default=10, ge=1, le=10_000)
    seed: int = Field(default=0, ge=0)


@dataclass(frozen=True)
class SyntheticResult:
    """Where the data set is and how large it is.

    Attributes:
        out: The data set's folder.
        classes: The class names in label order.
        lists: Per split, the file that lists its videos, one ``./<path> <label>`` per line.
        videos: Per split, the number of videos.
        bytes: The size of all videos together.
    """

    out: Path
    classes: tuple[str, ...]
    lists: dict[str, Path]
    videos: dict[str, int]
    bytes: int


def render(request: SyntheticRequest, reporter: Reporter | None = None) -> SyntheticResult:
    """Render the data set, or the part of it that an earlier run of the same request left undone.

    Writes ``<split>/<class>/<class>_<index>.mp4``, ``<split>list.txt``, ``classes.txt`` and
    ``synthetic.json``. A video that exists is complete, because it appears under its name only then.

    Raises:
        InputError: The folder cannot be used, or holds another data set.
    """
    reporter = reporter or SilentReporter()
    out = request.out
    with disk_errors(out):
        _claim(request)
        counts = dict(zip(SPLITS, (request.train_per_class, request.val_per_class), strict=True))
        clips = {
            split: [(label, index) for label in range(len(CLASSES)) for index in range(count)]
            for split, count in counts.items()
        }
        for split in SPLITS:
            for name in CLASSES:
                (out / split / name).mkdir(parents=True, exist_ok=True)
        jobs = [(split, label, index) for split in SPLITS for label, index in clips[split]]
        _render_all(request, jobs, reporter)
        lists = {split: out / f"{split}list.txt" for split in SPLITS}
        for split, path in lists.items():
            lines = [f"./{_place(split, label, index)} {label}\n" for label, index in clips[split]]
            _write(path, "".join(lines))
        _write(out / "classes.txt", "".join(f"{name}\n" for name in CLASSES))
        size = sum((out / _place(*job)).stat().st_size for job in jobs)
    return SyntheticResult(
        out=out,
        classes=CLASSES,
        lists=lists,
        videos={split: len(clips[split]) for split in SPLITS},
        bytes=size,
    )


def _render_all(request: SyntheticRequest, jobs: list[tuple[str, int, int]], reporter: Reporter) -> None:
    def work(job: tuple[str, int, int]) -> None:
        path = request.out / _place(*job)
        if not path.exists():
            spec = draw(request.seed, *job)
            encode(path, frames(spec), spec.fps, preset="ultrafast")

    # Threads suffice: the encoder and numpy's larger steps run outside the interpreter's lock.
    workers = min(4, os.cpu_count() or 1)
    with (
        reporter.task("Rendering", total=len(jobs), unit="videos") as task,
        ThreadPoolExecutor(workers) as pool,
    ):
        pending = [pool.submit(work, job) for job in jobs]
        try:
            for done in as_completed(pending):
                done.result()
                task.advance()
        except BaseException:
            pool.shutdown(wait=True, cancel_futures=True)
            raise


def _place(split: str, label: int, index: int) -> str:
    name = CLASSES[label]
    return f"{split}/{name}/{name}_{index:04d}.mp4"


def _claim(request: SyntheticRequest) -> None:
    """Make the folder this request's own, or see that it already is."""
    out, sidecar = request.out, request.out / SIDECAR
    if out.exists() and not out.is_dir():
        raise InputError(f"{out} is a file, not a folder", "Give the data set a folder of its own.")
    wanted = {"content": CONTENT_VERSION, **request.model_dump(exclude={"out"})}
    if not sidecar.exists():
        taken = [name for name in (*SPLITS, *(f"{split}list.txt" for split in SPLITS)) if (out / name).exists()]
        if taken:
            raise InputError(
                f"{out} holds {', '.join(taken)}, but no {SIDECAR} that says they are a rendered data set",
                "Give the data set a folder of its own.",
            )
        out.mkdir(parents=True, exist_ok=True)
        _write(sidecar, json.dumps(wanted, indent=2) + "\n")
        return
    try:
        found = json.loads(sidecar.read_text(encoding="utf-8"))
    except ValueError:
        found = None
    if found != wanted:
        raise InputError(
            f"{out} holds another synthetic data set: {_difference(found, wanted)}",
            f"Render into another folder, or delete {out} first.",
        )


def _difference(found: object, wanted: dict[str, object]) -> str:
    if not isinstance(found, dict):
        return f"{SIDECAR} cannot be read"
    keys = [key for key in {**wanted, **found} if found.get(key) != wanted.get(key)]
    return ", ".join(f"{key} is {found.get(key)} and not {wanted.get(key)}" for key in keys)


def _write(path: Path, text: str) -> None:
    partial = path.with_name(path.name + ".part")
    partial.write_text(text, encoding="utf-8", newline="\n")
    partial.replace(path)
