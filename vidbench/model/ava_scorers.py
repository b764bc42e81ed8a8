"""The rules of three published scorers of AVA: ActivityNet's, PySlowFast's and MMAction2's."""

from __future__ import annotations

import heapq
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from vidbench.model.ava_boxes import Shape, Table
from vidbench.model.ava_map import Bools, Boxes, Ints, Reals, average_precision, by_action, claims

Scorer = Literal["activitynet", "pyslowfast", "mmaction2"]
SCORERS: tuple[Scorer, ...] = get_args(Scorer)

NOT_LISTED = "class not in the label map"
OVER_CAP = "over the cap of the image"
EXCLUDED = "excluded second"
NO_TRUTH = "second without ground truth"
NO_AREA = "box without area"


@dataclass(frozen=True)
class Rules:
    """What a scorer does with its files, where scorers differ.

    All three take IoU 0.5 and the area under the envelope of precision over recall, and the mean over classes.

    Attributes:
        truth: Lines of the ground truth that it reads.
        detections: Lines of the detections that it reads.
        cap: Detections of an image that count, the best of all classes together; None for all.
        sorted: "heap": an image's boxes fall by score, those of one score in the order in which a binary heap that
            took them one by one holds them, which also decides which of them the cap leaves; "stable": by falling
            score, those of one score as in the file; "file": as in the file. Ground truth is sorted likewise by its
            last column, the person's number, but by "file" for "file". The order decides who claims a box first,
            and which of two boxes that are overlapped equally is claimed.
        images: Detections that count are those on "named" images, which any line of the ground truth names; on
            "all"; or on images "with truth": with a box of a listed class.
        exclusions: Whether it takes excluded seconds.
        excluded_truth: Boxes of excluded seconds stay in the number of ground-truth boxes, so they count as missed.
        drops_flat: Detections without area are dropped; otherwise they are wrong.
        unseen: A class with ground truth and without a detection that counts has precision 0; otherwise it is left
            out of the mean.
        single: Boxes and scores are float32.
        by_truth: Equal scores of different images are ranked in the images' order in the ground truth, otherwise in
            that of the detections; the later first.

    Source: ActivityNet's Evaluation/get_ava_performance.py (82304fa), PySlowFast's slowfast/utils/ava_eval_helper.py
    (287ec00), MMAction2's mmaction/evaluation/functional/ava_utils.py (4d6c934). MMAction2 also drops scores of 0.002
    or less, in its network's head: the file it scores no longer has them, so nothing is dropped here.
    """

    truth: Shape
    detections: Shape
    cap: int | None
    sorted: Literal["heap", "stable", "file"]
    images: Literal["named", "all", "with truth"]
    exclusions: bool
    excluded_truth: bool
    drops_flat: bool
    unseen: bool
    single: bool
    by_truth: bool


RULES: dict[Scorer, Rules] = {
    "activitynet": Rules(
        truth=Shape((2, 7, 8), whole=False, upright=True),
        detections=Shape((2, 7, 8), whole=False, upright=False),
        cap=50,
        sorted="heap",
        images="named",
        exclusions=False,
        excluded_truth=False,
        drops_flat=True,
        unseen=True,
        single=False,
        by_truth=False,
    ),
    "pyslowfast": Rules(
        truth=Shape((7, 8), whole=True, upright=True),
        detections=Shape((8,), whole=True, upright=False),
        cap=None,
        sorted="file",
        images="all",
        exclusions=True,
        excluded_truth=False,
        drops_flat=True,
        unseen=True,
        single=False,
        by_truth=False,
    ),
    "mmaction2": Rules(
        truth=Shape((7, 8), whole=True, upright=True),
        detections=Shape((7, 8), whole=True, upright=True),
        cap=None,
        sorted="stable",
        images="with truth",
        exclusions=True,
        excluded_truth=True,
        drops_flat=False,
        unseen=False,
        single=True,
        by_truth=True,
    ),
}


@dataclass(frozen=True)
class ClassScore:
    """One class.

    Attributes:
        average_precision: In [0, 1]; nan where the class has none: without ground truth, or by `Rules.unseen`.
        positives: Boxes of the ground truth.
        detections: Detections that count.
    """

    average_precision: float
    positives: int
    detections: int


@dataclass(frozen=True)
class Scored:
    """What a scorer says.

    Attributes:
        classes: By number, all of the label map.
        detections_left_out: Detections that do not count, by reason; each stands at its first reason.
        truth_left_out: Boxes of the ground truth, likewise.
        excluded_missed: Boxes of excluded seconds that count as missed, by `Rules.excluded_truth`.
        detections: Those that count, in the order in which they claim boxes.
        found: Of each of them the row in `truth` that it finds; -1 where it is wrong.
        truth: The boxes that can be found.
    """

    classes: dict[int, ClassScore]
    detections_left_out: dict[str, int]
    truth_left_out: dict[str, int]
    excluded_missed: int
    detections: Boxes
    found: Ints
    truth: Boxes


def score_tables(detections: Table, truth: Table, classes: Sequence[int], rules: Rules, excluded: Ints) -> Scored:
    """Average precision per class by the rules of a scorer.

    Args:
        detections: As read by `rules.detections`.
        truth: As read by `rules.truth`; its images and those of the detections have the same numbers.
        classes: Numbers of the classes in the label map.
        rules: One of `RULES`, or a change of it.
        excluded: Numbers of the excluded images; may be none.

    Raises:
        ValueError: Exclusions for a scorer that takes none.
    """
    if len(excluded) and not rules.exclusions:
        raise ValueError("these rules take no exclusions")
    listed = np.asarray(classes, dtype=np.int64)
    truth_sieve = _Sieve(truth.boxes)
    truth_sieve.keep(np.isin(truth_sieve.boxes.action, listed), NOT_LISTED)
    known = truth_sieve.boxes
    truth_order = _image_order(known.image)
    truth_sieve.keep(~np.isin(known.image, excluded), EXCLUDED)
    missed = truth_sieve.left_out.pop(EXCLUDED, 0) if rules.excluded_truth else 0

    sieve = _Sieve(detections.boxes)
    sieve.keep(np.isin(sieve.boxes.action, listed), NOT_LISTED)
    order = truth_order if rules.by_truth else _image_order(sieve.boxes.image)
    places = _places(sieve.boxes, rules.sorted, rules.cap)
    if rules.cap is not None:
        sieve.keep(places < rules.cap, OVER_CAP)
        places = places[places < rules.cap]
    sieve.boxes = sieve.boxes.take(np.lexsort((places, _rank(sieve.boxes.image, order))))
    sieve.keep(~np.isin(sieve.boxes.image, excluded), EXCLUDED)
    if rules.images != "all":
        sieve.keep(np.isin(sieve.boxes.image, truth.images if rules.images == "named" else known.image), NO_TRUTH)
    if rules.drops_flat:
        corners = sieve.boxes.box
        sieve.keep((corners[:, 0] < corners[:, 2]) & (corners[:, 1] < corners[:, 3]), NO_AREA)

    matched = truth_sieve.boxes
    matched = matched.take(np.lexsort((_places(matched, rules.sorted, None), matched.image)))
    counted, findable = (_single(sieve.boxes), _single(matched)) if rules.single else (sieve.boxes, matched)
    found = claims(counted, findable)
    return Scored(
        _per_class(counted, found >= 0, known if rules.excluded_truth else matched, classes, rules),
        sieve.left_out,
        truth_sieve.left_out,
        missed,
        sieve.boxes,
        found,
        matched,
    )


class _Sieve:
    """Boxes of which some are left out, and how many for what reason."""

    def __init__(self, boxes: Boxes) -> None:
        self.boxes = boxes
        self.left_out: dict[str, int] = {}

    def keep(self, kept: Bools, reason: str) -> None:
        """Leave out all others."""
        dropped = int(len(kept) - np.count_nonzero(kept))
        if dropped:
            self.left_out[reason] = dropped
            self.boxes = self.boxes.take(kept)


def _per_class(
    detections: Boxes, right: Bools, counted: Boxes, classes: Sequence[int], rules: Rules
) -> dict[int, ClassScore]:
    rows = by_action(detections.action)
    positives = {action: len(boxes) for action, boxes in by_action(counted.action).items()}
    none = np.zeros(0, dtype=np.int64)
    scores: dict[int, ClassScore] = {}
    for action in classes:
        own, boxes = rows.get(action, none), positives.get(action, 0)
        ap = average_precision(detections.score[own], right[own], boxes)
        scores[action] = ClassScore(ap if rules.unseen or len(own) else float("nan"), boxes, len(own))
    return scores


def _single(boxes: Boxes) -> Boxes:
    return Boxes(boxes.image, boxes.action, boxes.box.astype(np.float32), boxes.score.astype(np.float32))


def _image_order(images: Ints) -> Ints:
    """The images in the order in which they first appear."""
    found, first = np.unique(images, return_index=True)
    return found[np.argsort(first)]


def _rank(images: Ints, order: Ints) -> Ints:
    """The place of each image in `order`; those that are not in it come last."""
    size = int(max(images.max(initial=-1), order.max(initial=-1))) + 1
    ranks = np.full(size, len(order), dtype=np.int64)
    ranks[order] = np.arange(len(order))
    return ranks[images]


def _places(boxes: Boxes, kind: Literal["heap", "stable", "file"], cap: int | None) -> Ints:
    """The place of each box among those of its image, from 0; those that a cap drops have places from `cap`."""
    if kind == "file":
        return np.arange(len(boxes), dtype=np.int64)
    order = np.lexsort((-boxes.score, boxes.image))
    image = boxes.image[order]
    new = np.diff(image, prepend=-1) > 0
    starts = np.flatnonzero(new)
    places = np.empty(len(boxes), dtype=np.int64)
    places[order] = np.arange(len(boxes)) - np.repeat(starts, np.diff(np.append(starts, len(boxes))))
    if kind == "heap":
        for rows in _tied(boxes, order, places[order], cap):
            places[rows] = len(boxes)
            kept = _from_heap(boxes, rows, cap)
            places[kept] = np.arange(len(kept))
    return places


def _tied(boxes: Boxes, order: Ints, place: Ints, cap: int | None) -> list[Ints]:
    """The rows, as in the file, of each image where equal scores change what is kept, or who claims first."""
    kept = order if cap is None else order[place < cap]
    tied = _repeats(boxes.image[kept], boxes.score[kept])
    kept = kept[np.isin(boxes.image[kept], boxes.image[kept[tied]])]
    # among boxes of other actions the place in the heap does not matter, but at the cut
    kept = kept[np.lexsort((-boxes.score[kept], boxes.action[kept], boxes.image[kept]))]
    images = boxes.image[kept[_repeats(boxes.image[kept], boxes.action[kept], boxes.score[kept])]]
    if cap is not None:
        cut = np.flatnonzero(place == cap)
        equal = boxes.score[order[cut]] == boxes.score[order[cut - 1]]
        images = np.concatenate([images, boxes.image[order[cut[equal]]]])
    if not len(images):
        return []
    rows = np.flatnonzero(np.isin(boxes.image, images))
    rows = rows[np.argsort(boxes.image[rows], kind="stable")]
    return np.split(rows, np.flatnonzero(np.diff(boxes.image[rows])) + 1)


def _repeats(*columns: Reals | Ints) -> Ints:
    """The rows that equal the row before them in all columns."""
    same = np.ones(max(len(columns[0]) - 1, 0), dtype=bool)
    for column in columns:
        same &= column[1:] == column[:-1]
    return np.flatnonzero(same) + 1


def _from_heap(boxes: Boxes, rows: Ints, cap: int | None) -> list[int]:
    """The rows of one image that a heap of at most `cap` boxes keeps, by falling score, then by place in the heap."""
    columns = (boxes.score[rows], boxes.action[rows], *boxes.box[rows][:, [1, 0, 3, 2]].T)
    heap: list[tuple[float, ...]] = []
    # boxes that are equal in all are one for the heap, whichever of them it holds
    equal: defaultdict[tuple[float, ...], list[int]] = defaultdict(list)
    for row, entry in zip(rows.tolist(), zip(*(column.tolist() for column in columns), strict=True), strict=True):
        equal[entry].append(row)
        if cap is None or len(heap) < cap:
            heapq.heappush(heap, entry)
        elif entry[0] > heap[0][0]:
            heapq.heapreplace(heap, entry)
    return [equal[entry].pop() for entry in sorted(heap, key=lambda entry: -entry[0])]
