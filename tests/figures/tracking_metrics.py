"""How well tracks agree with the truth: CLEAR-MOT and the identity measures, at an intersection over union.

Frames are lists of (identity, box) with boxes x1, y1, x2, y2 in pixels; an identity stands once in a frame.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.optimize import linear_sum_assignment

Box = tuple[float, float, float, float]
Frame = Sequence[tuple[int, Box]]
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class ClearMot:
    """Counts over all frames, after Bernardin and Stiefelhagen 2008, "Evaluating Multiple Object Tracking Performance".

    `mota` is 1 - (misses + false positives + switches) / truths: 1 at best, below 0 where there are more errors than
    truths, NaN without truths. `motp` is the mean intersection over union of the matches, NaN without matches.
    """

    truths: int
    matches: int
    misses: int
    false_positives: int
    switches: int
    mota: float
    motp: float


@dataclass(frozen=True, slots=True)
class Identity:
    """Ristani et al. 2016, "Performance Measures and a Data Set for Multi-Target, Multi-Camera Tracking".

    Each true identity is paired with at most one found identity, over the whole video, so that most boxes agree:
    these are `idtp`. `idp` is their part of the found boxes, `idr` of the true ones, `idf1` the harmonic mean; each
    in 0..1, NaN where there is nothing to divide by.
    """

    idtp: int
    truths: int
    results: int
    idp: float
    idr: float
    idf1: float


def clear_mot(truth: Sequence[Frame], result: Sequence[Frame], *, iou: float = 0.5) -> ClearMot:
    """Match frame by frame; a pair of the last frame stays one while it overlaps by at least `iou`.

    The others are matched so that as many pairs as possible are made, and among these the best overlapping. A switch
    is a match with another identity than the person's last match, however long ago that was.
    """
    _check(truth, result)
    current: dict[int, int] = {}  # pairs of the last frame
    last: dict[int, int] = {}  # each person's last match
    matches = misses = extra = switches = 0
    quality = 0.0
    for true, found in zip(truth, result, strict=True):
        overlap = overlaps([box for _, box in true], [box for _, box in found])
        where = {name: column for column, (name, _) in enumerate(found)}
        pairs: dict[int, int] = {}
        for row, (person, _) in enumerate(true):
            if person in current and current[person] in where:
                column = where[current[person]]
                if overlap[row, column] >= iou:
                    pairs[row] = column
        rows = [row for row in range(len(true)) if row not in pairs]
        columns = [column for column in range(len(found)) if column not in pairs.values()]
        for row, column in _best_pairs(overlap[np.ix_(rows, columns)], iou):
            pairs[rows[row]] = columns[column]
        current = {true[row][0]: found[column][0] for row, column in pairs.items()}
        switches += sum(last.get(person, name) != name for person, name in current.items())
        last |= current
        matches += len(pairs)
        misses += len(true) - len(pairs)
        extra += len(found) - len(pairs)
        quality += sum(float(overlap[row, column]) for row, column in pairs.items())
    total = matches + misses
    return ClearMot(
        truths=total,
        matches=matches,
        misses=misses,
        false_positives=extra,
        switches=switches,
        mota=1 - (misses + extra + switches) / total if total else float("nan"),
        motp=quality / matches if matches else float("nan"),
    )


def identity(truth: Sequence[Frame], result: Sequence[Frame], *, iou: float = 0.5) -> Identity:
    """Pair true and found identities one to one over the whole video, so that most boxes overlap by at least `iou`."""
    _check(truth, result)
    persons = sorted({name for frame in truth for name, _ in frame})
    names = sorted({name for frame in result for name, _ in frame})
    row, column = {name: at for at, name in enumerate(persons)}, {name: at for at, name in enumerate(names)}
    agreed = np.zeros((len(persons), len(names)), np.int64)
    for true, found in zip(truth, result, strict=True):
        good = overlaps([box for _, box in true], [box for _, box in found]) >= iou
        for at, name in zip(*np.nonzero(good), strict=True):
            agreed[row[true[at][0]], column[found[name][0]]] += 1
    # the cheapest pairing, in misses and false positives, is the one with most agreeing boxes
    chosen = linear_sum_assignment(agreed, maximize=True)
    idtp = int(agreed[chosen].sum())
    truths, results = sum(map(len, truth)), sum(map(len, result))
    return Identity(
        idtp=idtp,
        truths=truths,
        results=results,
        idp=idtp / results if results else float("nan"),
        idr=idtp / truths if truths else float("nan"),
        idf1=2 * idtp / (truths + results) if truths + results else float("nan"),
    )


def without_ignored(
    truth: Sequence[Frame], result: Sequence[Frame], ignored: Sequence[Sequence[Box]], *, iou: float = 0.5
) -> list[list[tuple[int, Box]]]:
    """The result without the boxes that lie on `ignored` ones, such as persons who are mostly hidden.

    Such a box is neither right nor wrong. Each found box is first matched, one to one, with all boxes of its frame,
    so that one which belongs to a person of `truth` stays.
    """
    _check(truth, result)
    kept = []
    for true, found, others in zip(truth, result, ignored, strict=True):
        all_boxes = [box for _, box in true] + list(others)
        pairs = _best_pairs(overlaps(all_boxes, [box for _, box in found]), iou)
        gone = {column for row, column in pairs if row >= len(true)}
        kept.append([entry for column, entry in enumerate(found) if column not in gone])
    return kept


def overlaps(first: Sequence[Box], second: Sequence[Box]) -> Floats:
    """Intersection over union of each box of the first with each of the second: (len(first), len(second)) in 0..1."""
    a, b = np.array(first, dtype=float).reshape(-1, 1, 4), np.array(second, dtype=float).reshape(1, -1, 4)
    sides = np.minimum(a[..., 2:], b[..., 2:]) - np.maximum(a[..., :2], b[..., :2])
    common = np.clip(sides, 0, None).prod(-1)
    union = (a[..., 2:] - a[..., :2]).prod(-1) + (b[..., 2:] - b[..., :2]).prod(-1) - common
    shares: Floats = np.divide(common, union, out=np.zeros_like(common), where=union > 0)
    return shares


def _best_pairs(overlap: Floats, iou: float) -> list[tuple[int, int]]:
    """As many pairs as possible of at least that overlap; of these the ones with the largest sum."""
    allowed = overlap >= iou
    # one more pair is worth more than any gain in overlap
    worth = np.where(allowed, overlap + min(overlap.shape, default=0) + 1, 0.0)
    rows, columns = linear_sum_assignment(worth, maximize=True)
    return [(int(row), int(column)) for row, column in zip(rows, columns, strict=True) if allowed[row, column]]


def _check(truth: Sequence[Frame], result: Sequence[Frame]) -> None:
    if len(truth) != len(result):
        raise ValueError(f"{len(truth)} frames of truth, {len(result)} of result")
    for part, frames in (("truth", truth), ("result", result)):
        for index, frame in enumerate(frames):
            if len({name for name, _ in frame}) < len(frame):
                raise ValueError(f"an identity stands twice in frame {index} of the {part}")
