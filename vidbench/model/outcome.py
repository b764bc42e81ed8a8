"""What a run measured, and one thing that explains it: the terms that a verdict is made of."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Json = dict[str, Any]
Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Certainty = Literal["certain", "likely", "possible"]


@dataclass(frozen=True)
class Outcome:
    """What a run measured.

    Attributes:
        listed: Videos in the list, whatever the limit.
        clips: Videos that were asked for.
        evaluated: Videos with a score.
        failed: Videos that were tried and have none.
        num_classes: Outputs of the network, K.
        labels: Of the evaluated videos, in [0, K); empty for several labels a video.
        predictions: Likewise.
        scores: K probabilities a video, in the order of `labels`. Taken once, a few hundred rows at a time, so that
            a generator over the records will do. Empty where they are not at hand.
        classes: The model's class names by id; empty where unknown.
        list_classes: What the list calls its labels, as by its folders; may be empty or partial.
        mean_ap: Mean average precision in [0, 1], where that is measured instead of top-1.
        mean_ap_interval: Its 95 % interval, as of `vidbench.model.multilabel.mean_ap_interval`.
    """

    listed: int
    clips: int
    evaluated: int
    failed: int
    num_classes: int
    labels: Sequence[int] = ()
    predictions: Sequence[int] = ()
    scores: Iterable[Sequence[float]] = ()
    classes: Sequence[str] = ()
    list_classes: Mapping[int, str] = field(default_factory=dict)
    mean_ap: float | None = None
    mean_ap_interval: tuple[float, float] = (0.0, 1.0)


@dataclass(frozen=True)
class Cause:
    """One thing that the records or the settings show.

    Attributes:
        id: A name that stays: "labels-out-of-order", "random-weights", "untrained", "softmax-twice",
            "constant-output", "input-preprocessing", "collapsed", "worse-than-guessing", "preset", "other-weights",
            "missing-videos", "part-of-the-list", "class-subset", "copy-of-the-set".
        certainty: "certain" is a fact, "likely" a test that is wrong less than once in 1000, "possible" a guess.
        text: What it is, for people.
        evidence: Why that is to be believed, with numbers.
        remedy: What to run or change.
        numbers: The numbers of the evidence.
    """

    id: str
    certainty: Certainty
    text: str
    evidence: str
    remedy: str
    numbers: Json = field(default_factory=dict)


def checked(outcome: Outcome) -> tuple[Ints, Ints]:
    """Labels and predictions as arrays.

    Raises:
        ValueError: Labels, predictions and counts that do not fit together.
    """
    labels = np.asarray(outcome.labels, dtype=np.int64)
    guesses = np.asarray(outcome.predictions, dtype=np.int64)
    if len(labels) != len(guesses):
        raise ValueError(f"{len(labels)} labels and {len(guesses)} predictions")
    if outcome.mean_ap is None and len(labels) != outcome.evaluated:
        raise ValueError(f"{len(labels)} labels of {outcome.evaluated} evaluated videos")
    if outcome.num_classes < 1 or not outcome.evaluated + outcome.failed <= outcome.clips <= outcome.listed:
        raise ValueError("more videos evaluated than asked for, more asked for than listed, or no class")
    for values in (labels, guesses):
        if len(values) and not 0 <= values.min() <= values.max() < outcome.num_classes:
            raise ValueError(f"a label or prediction outside 0 to {outcome.num_classes - 1}")
    return labels, guesses


def many(count: int, noun: str, plural: str = "s") -> str:
    """`1 video`, `2,000 videos`, `3 classes`."""
    return f"{count:,} {noun}{'' if count == 1 else plural}"
