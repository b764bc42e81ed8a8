"""Accuracy from counts: added up as integers, divided once, with an interval."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence


def wilson(successes: int, trials: int, z: float = 1.959963984540054) -> tuple[float, float]:
    """The Wilson score interval of a share; 95 % by default, (0, 1) without trials.

    Source: Wilson, "Probable inference, the law of succession, and statistical inference", JASA 1927.
    """
    if trials == 0:
        return 0.0, 1.0
    share = successes / trials
    denominator = 1 + z * z / trials
    centre = (share + z * z / (2 * trials)) / denominator
    half = z * math.sqrt(share * (1 - share) / trials + z * z / (4 * trials * trials)) / denominator
    # the rounding of the square root must not exclude what was observed
    return max(0.0, min(centre - half, share)), min(1.0, max(centre + half, share))


def rank_of(label: int, scores: Sequence[float]) -> int:
    """How many classes score higher than `label`; ties count for the lower index, as in argmax."""
    own = scores[label]
    return sum(score > own or (score == own and index < label) for index, score in enumerate(scores))


def argmax(scores: Sequence[float]) -> int:
    """The first index of the largest score."""
    return max(range(len(scores)), key=scores.__getitem__)


def mean_class_accuracy(labels: Sequence[int], predictions: Sequence[int]) -> float | None:
    """The mean, over the classes that occur, of the share of their clips that is right."""
    totals: dict[int, int] = {}
    rights: dict[int, int] = {}
    for label, prediction in zip(labels, predictions, strict=True):
        totals[label] = totals.get(label, 0) + 1
        rights[label] = rights.get(label, 0) + (label == prediction)
    if not totals:
        return None
    return math.fsum(rights[label] / totals[label] for label in totals) / len(totals)


def confusion(labels: Sequence[int], predictions: Sequence[int], classes: int) -> list[list[int]]:
    """Counts by true class (row) and predicted class (column)."""
    counts = [[0] * classes for _ in range(classes)]
    for label, prediction in zip(labels, predictions, strict=True):
        counts[label][prediction] += 1
    return counts


def confused_pairs(
    labels: Sequence[int], predictions: Sequence[int], names: Sequence[str], limit: int
) -> list[dict[str, str | int | float]]:
    """The largest confusions, for any number of classes: which class is taken for which other one.

    Returns:
        At most `limit` entries by falling count, then label, then prediction: `true` and `predicted`, the names;
        `clips`, how many of the true class were given the other one; `of`, how many clips it has; `share`,
        clips / of.
    """
    totals = Counter(labels)
    wrong = Counter((label, guess) for label, guess in zip(labels, predictions, strict=True) if label != guess)
    ordered = sorted(wrong.items(), key=lambda entry: (-entry[1], entry[0]))
    return [
        {
            "true": names[label],
            "predicted": names[guess],
            "clips": clips,
            "of": totals[label],
            "share": clips / totals[label],
        }
        for (label, guess), clips in ordered[:limit]
    ]
