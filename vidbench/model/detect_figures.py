"""The figures of an evaluation of action detection: per class, per group, and precision over recall."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from vidbench.model.ava_map import Bools, Reals, average_precision
from vidbench.model.score import ClassResult, FileResult, ScoredFiles

Json = dict[str, Any]

RECALLS = 101
"""Recalls at which a curve has a precision: 0, 0.01, ..., 1."""


def figures(files: ScoredFiles) -> Json:
    """What `summary.json` says of the scores.

    `per_class` has every class that counts, `average_precision` being None where it has none; `curves` are those of
    the best, the median and the worst class of the mean, and of all its classes together.
    """
    found = files.result
    without = [one for one in found.classes if not one.ground_truth]
    return {
        "scorer": found.scorer,
        "mean_ap": _figure(found.mean_ap),
        "classes_in_mean": found.classes_in_mean,
        "classes_without_truth": [one.id for one in without],
        "seconds": found.seconds,
        "excluded_seconds": found.excluded,
        "ground_truth": _file(found.ground_truth),
        "detections": _file(found.detections),
        "excluded_missed": found.excluded_missed,
        "per_class": [
            {
                "id": one.id,
                "class": one.name,
                "average_precision": _figure(one.average_precision),
                "positives": one.ground_truth,
                "detections": one.detections,
            }
            for one in found.classes
        ],
        "groups": [
            {
                "group": one.name,
                "first": one.first,
                "last": one.last,
                "classes": one.classes,
                "mean_ap": _figure(one.mean_ap),
            }
            for one in found.groups
        ],
        "curves": curves(files),
    }


def curves(files: ScoredFiles) -> list[Json]:
    """Precision over recall of the best, the median and the worst class, and of all classes together.

    "All classes" ranks the detections of all classes of the mean by score alone: its average precision tells how well
    the scores of different classes compare, which the mean over classes does not.

    Returns:
        Each with `name`, `class` (its number, None for all), `average_precision`, `positives` and `precision`, the
        best precision at each of `RECALLS` recalls or more, 0 where that recall is never reached.
    """
    own = [one for one in files.result.classes if one.in_mean and one.ground_truth]
    ranked = sorted(own, key=lambda one: (-one.average_precision, one.id))
    detections, right = files.scored.detections, files.scored.found >= 0
    drawn: list[Json] = []
    for said, one in _chosen(ranked):
        rows = detections.action == one.id
        name = f"{said}: {one.name}"
        drawn.append(_curve(name, one.id, detections.score[rows], right[rows], one.ground_truth))
    if len(own) > 1:
        rows = np.isin(detections.action, [one.id for one in own])
        positives = sum(one.ground_truth for one in own)
        drawn.append(_curve("all classes", None, detections.score[rows], right[rows], positives))
    return drawn


def _chosen(ranked: list[ClassResult]) -> list[tuple[str, ClassResult]]:
    """The best, the median and the worst of classes that fall by average precision; each once."""
    if len(ranked) < 3:
        return list(zip(("best", "worst"), ranked, strict=False))
    return [("best", ranked[0]), ("median", ranked[len(ranked) // 2]), ("worst", ranked[-1])]


def _curve(name: str, number: int | None, scores: Reals, right: Bools, positives: int) -> Json:
    return {
        "name": name,
        "class": number,
        "average_precision": average_precision(scores, right, positives),
        "positives": positives,
        "precision": [round(value, 6) for value in precision_at(scores, right, positives)],
    }


def precision_at(scores: Reals, right: Bools, positives: int) -> list[float]:
    """The best precision at each of `RECALLS` recalls or more; ranked as `average_precision` ranks.

    Args:
        scores: (N,).
        right: (N,) whether the detection is right.
        positives: Boxes of the ground truth, 1 or more.
    """
    hits = right[np.argsort(scores, kind="stable")[::-1]]
    ranks = np.flatnonzero(hits)
    precision = np.arange(1, len(ranks) + 1) / (ranks + 1)
    best = np.append(np.maximum.accumulate(precision[::-1])[::-1], 0.0)
    # the k-th right detection reaches recall k / positives; whole numbers, so that 0.29 is not 29 hundredths less
    needed = [max(1, -(-step * positives // (RECALLS - 1))) for step in range(RECALLS)]
    return [float(best[min(count, len(best)) - 1]) for count in needed]


def _figure(value: float) -> float | None:
    return None if math.isnan(value) else value


def _file(read: FileResult) -> Json:
    return {"boxes": read.boxes, "counted": read.counted, "left_out": dict(read.left_out)}
