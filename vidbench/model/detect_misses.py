"""The worst misses of an action detector: wrong detections of high score, and actions that it scored low or not."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vidbench.errors import disk_errors
from vidbench.model.ava_map import IOU, Ints, Reals, overlap
from vidbench.model.ava_scorers import Scored
from vidbench.model.score import ScoredFiles
from vidbench.video.clip import VideoError
from vidbench.video.overlay import Shown, load_face
from vidbench.video.overlay_boxes import Box, BoxPainter, Figure, Scene
from vidbench.video.strip import save_png

Json = dict[str, Any]
FOLDER = "misses"
PRODUCTS = (f"{FOLDER}/*.png",)

_LONG_SIDE = 600
# a true box is drawn so many pixels larger where the detected one would hide it
_ROOM = 6
_SAME = 0.8
_DETECTED, _TRUE = 5, 1
_NAMED = 4
# of millions of detections the worst are enough to choose from
_LOOKED_AT = 100_000


@dataclass(frozen=True)
class Miss:
    """One mistake.

    Attributes:
        wrong: A detection that is wrong; otherwise an action of the ground truth that was missed.
        image: The number of its image.
        action: The class.
        detected: The detection's box, in fractions of the frame; None where no detection finds the action.
        true: The box of the ground truth: of a wrong detection the one that it overlaps most, if by `IOU` or more.
        score: Of the detection, for the class.
        doing: What the person in the true box does, by class number.
        twice: A wrong detection whose person and class are right, but another detection has them already.
    """

    wrong: bool
    image: int
    action: int
    detected: Box | None
    true: Box | None
    score: float | None
    doing: tuple[int, ...]
    twice: bool = False


def worst(scored: Scored, count: int) -> tuple[Miss, ...]:
    """The wrong detections of the highest scores, then the actions that were found at the lowest or not at all.

    Of one keyframe at most one of each kind is taken; a class comes again only where there are too few classes. At
    most half of the missed actions are ones that no detection finds, unless there are too few others: those speak of
    the boxes, not of the network. Equal scores stand in the order of image, class and place.

    Args:
        scored: What was counted.
        count: How many of each kind, at most.
    """
    return tuple(_wrong(scored, row) for row in _worst_wrong(scored, count)) + tuple(
        _missed(scored, row, by) for row, by in _worst_missed(scored, count)
    )


def _worst_wrong(scored: Scored, count: int) -> list[int]:
    found = scored.detections
    rows = np.flatnonzero(scored.found < 0)
    order = rows[np.lexsort((rows, found.action[rows], found.image[rows], -found.score[rows]))]
    return _varied(order, found.image, found.action, count)


def _worst_missed(scored: Scored, count: int) -> list[tuple[int, int]]:
    """Rows of the ground truth, each with the detection that finds it, or -1."""
    truth = scored.truth
    by = np.full(len(truth), -1, dtype=np.int64)
    hits = np.flatnonzero(scored.found >= 0)
    by[scored.found[hits]] = hits
    unfound, found = np.flatnonzero(by < 0), np.flatnonzero(by >= 0)
    scores = scored.detections.score[by[found]]
    found = found[np.lexsort((found, truth.action[found], truth.image[found], scores))]
    unfound = unfound[np.lexsort((unfound, truth.action[unfound], truth.image[unfound]))]
    low = _varied(found, truth.image, truth.action, count)
    lost = _varied(unfound, truth.image, truth.action, count)
    share = max(count - len(low), count // 2)
    rows = [*low[: count - min(share, len(lost))], *lost[:share]]
    return [(row, int(by[row])) for row in rows]


def _varied(order: Ints, images: Ints, actions: Ints, count: int) -> list[int]:
    """The first rows of distinct images and classes; then, while there are too few, of distinct images."""
    taken: list[int] = []
    seen_images: set[int] = set()
    seen_actions: set[int] = set()
    for again in (False, True):
        for row in order[:_LOOKED_AT].tolist():
            if len(taken) == count:
                break
            image, action = int(images[row]), int(actions[row])
            if image in seen_images or (action in seen_actions and not again):
                continue
            taken.append(row)
            seen_images.add(image)
            seen_actions.add(action)
    # of both rounds together, the worst first
    places = {row: place for place, row in enumerate(order[:_LOOKED_AT].tolist())} if len(taken) > 1 else {}
    return sorted(taken, key=lambda row: places.get(row, 0))


def _wrong(scored: Scored, row: int) -> Miss:
    found = scored.detections
    image, action = int(found.image[row]), int(found.action[row])
    there = np.flatnonzero(scored.truth.image == image)
    true: int | None = None
    if len(there):
        boxes = np.repeat(found.box[row][None], len(there), axis=0)
        shares = np.nan_to_num(overlap(boxes, scored.truth.box[there]))
        if shares.max() >= IOU:
            true = int(there[int(shares.argmax())])
    doing = _doing(scored, true)
    box = None if true is None else _box(scored.truth.box[true])
    return Miss(True, image, action, _box(found.box[row]), box, float(found.score[row]), doing, action in doing)


def _missed(scored: Scored, row: int, by: int) -> Miss:
    truth, found = scored.truth, scored.detections
    detected = None if by < 0 else _box(found.box[by])
    score = None if by < 0 else float(found.score[by])
    image, action = int(truth.image[row]), int(truth.action[row])
    return Miss(False, image, action, detected, _box(truth.box[row]), score, _doing(scored, row))


def _doing(scored: Scored, row: int | None) -> tuple[int, ...]:
    """All classes of the person whose box a row of the ground truth has."""
    if row is None:
        return ()
    truth = scored.truth
    same = (truth.image == truth.image[row]) & (truth.box == truth.box[row]).all(axis=1)
    return tuple(sorted(set(truth.action[same].tolist())))


def _box(corners: Reals) -> Box:
    x1, y1, x2, y2 = (float(value) for value in corners)
    return x1, y1, x2, y2


def write_misses(
    folder: Path,
    files: ScoredFiles,
    names: Mapping[int, str],
    picture: Callable[[str, int], NDArray[np.uint8]],
    count: int,
) -> tuple[tuple[Json, ...], tuple[str, ...]]:
    """Write a picture of each of the worst misses, and remove those of earlier runs that are none any more.

    Args:
        folder: The run folder; pictures are `misses/wrong-<place>.png` and `misses/missed-<place>.png` in it, the
            worst of each kind first, from 01.
        files: What was scored.
        names: Of the classes.
        picture: The frame of a keyframe by video and second, `(H, W, 3)` uint8 RGB.
        count: Of each kind, at most.

    Returns:
        The pictures, as `file`, `caption`, `kind` ("wrong" or "missed"), `video`, `second`, `class` and `score`; and
        a remark for each that could not be drawn.
    """
    moments = {number: key for key, number in files.images.items()}
    examples: list[Json] = []
    remarks: list[str] = []
    with disk_errors(folder / FOLDER):
        for place, miss in _placed(worst(files.scored, count)):
            video, text = moments[miss.image]
            second = int(float(text))
            try:
                image = picture(video, second)
            except VideoError as error:
                remarks.append(f"{video} {second:04d}: no picture: {error}")
                continue
            file = Path(FOLDER) / f"{'wrong' if miss.wrong else 'missed'}-{place:02d}.png"
            save_png(folder / file, draw(image, miss, names))
            examples.append(
                {
                    "file": file.as_posix(),
                    "caption": caption(miss, f"{video} {second:04d}", names),
                    "kind": "wrong" if miss.wrong else "missed",
                    "video": video,
                    "second": second,
                    "class": names[miss.action],
                    "score": miss.score,
                }
            )
        kept = {Path(example["file"]).name for example in examples}
        for old in (folder / FOLDER).glob("*.png"):
            if old.name not in kept:
                old.unlink()
    return tuple(examples), tuple(remarks)


def _placed(found: Sequence[Miss]) -> Iterator[tuple[int, Miss]]:
    """Each with its place among those of its kind, from 1."""
    for wrong in (True, False):
        yield from enumerate((miss for miss in found if miss.wrong is wrong), start=1)


def caption(miss: Miss, moment: str, names: Mapping[int, str]) -> str:
    """A sentence that says what is wrong."""
    name = names[miss.action]
    if not miss.wrong:
        if miss.score is None:
            return f"{moment}: {name} is missed: no detection has this box and class"
        return f"{moment}: {name} is found with a score of {miss.score:.3f} only"
    said = f"{moment}: {name} with a score of {miss.score:.3f}"
    if miss.twice:
        return f"{said}, where another detection has this person already"
    if miss.true is None:
        return f"{said}, where no person of the ground truth is"
    return f"{said}, but the person does: {_listed(miss.doing, names)}"


def _listed(actions: Sequence[int], names: Mapping[int, str]) -> str:
    told = [names.get(action, str(action)) for action in actions]
    return ", ".join(told[:_NAMED]) + (f" and {len(told) - _NAMED} more" if len(told) > _NAMED else "")


def draw(image: NDArray[np.uint8], miss: Miss, names: Mapping[int, str]) -> Image.Image:
    """The frame with the true box in blue and the detected one above it in vermilion, each with its classes.

    All pictures have one longer side, so that letters are of one size.
    """
    height, width = image.shape[:2]
    share = _LONG_SIDE / max(width, height)
    size = (max(1, round(width * share)), max(1, round(height * share)))
    canvas = np.array(Image.fromarray(image).resize(size, Image.Resampling.LANCZOS))
    figures = []
    if miss.true is not None:
        doing = miss.doing if miss.wrong else (miss.action,)
        rows = tuple((f"true: {names.get(action, str(action))}", None) for action in doing[:_NAMED])
        figures.append(Figure(_apart(miss.true, miss.detected, size), rows, tone=_TRUE))
    if miss.detected is not None:
        figures.append(Figure(miss.detected, ((names[miss.action], miss.score),), tone=_DETECTED))
    shown = Shown(0, 0.0, canvas, size[0], size[1])
    BoxPainter([Scene(0.0, tuple(figures))], 1.0, load_face())(shown)
    return Image.fromarray(canvas)


def _apart(true: Box, detected: Box | None, size: tuple[int, int]) -> Box:
    """The true box, a little larger where it is nearly the detected one."""
    if detected is None or float(overlap(np.array([true]), np.array([detected]))[0]) < _SAME:
        return true
    across, down = _ROOM / size[0], _ROOM / size[1]
    return true[0] - across, true[1] - down, true[2] + across, true[3] + down
