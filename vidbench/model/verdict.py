"""What a measured accuracy means beside the published one: the verdict, and what it says to people."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Literal

from vidbench.model.card import ModelCard, Preprocess, Published
from vidbench.model.known_orders import class_names
from vidbench.model.label_order import find_order
from vidbench.model.metrics import wilson
from vidbench.model.outcome import Cause, Ints, Json, Outcome, checked, many
from vidbench.model.protocol import Protocol
from vidbench.model.run_faults import (
    class_subset,
    copy_of_the_set,
    missing_videos,
    other_weights,
    part_of_the_list,
    preset,
)
from vidbench.model.score_faults import Scores, random_weights, score_faults, worse_than_guessing
from vidbench.model.tolerance import VALIDATION, Z, at_chance, stretched, tolerance

__all__ = ["Cause", "Judgement", "Outcome", "Verdict", "judge", "lines", "published_for"]

Judgement = Literal["within tolerance", "below", "above", "not comparable", "no published figure", "at chance"]

_REMARKS = ("missing-videos", "part-of-the-list", "class-subset")
_RANK = {"certain": 0, "likely": 1, "possible": 2}


@dataclass(frozen=True)
class Verdict:
    """A measured figure beside the published one. All figures in per cent, differences in points.

    Attributes:
        verdict: The judgement.
        reason: Why that one.
        metric: "top-1" or "mAP".
        measured: The figure; None where nothing was evaluated.
        interval: 95 %, of the figure over all videos that such a list could have been drawn from.
        published: The published figure, None where there is none.
        published_by: Who published it, with the protocol.
        difference: Measured less published.
        tolerance: How much below and above the measured figure the published one may lie; None without one.
        tolerance_why: What makes it up.
        protocol: The protocol of the measurement.
        evaluated: Videos that were measured.
        top5: Measured, where scores were given.
        published_top5: As published.
        causes: Certain ones first.
    """

    verdict: Judgement
    reason: str
    metric: str
    measured: float | None
    interval: tuple[float, float]
    published: float | None
    published_by: str
    difference: float | None
    tolerance: tuple[float, float] | None
    tolerance_why: str
    protocol: str
    evaluated: int
    top5: float | None
    published_top5: float | None
    causes: tuple[Cause, ...]

    def as_dict(self) -> Json:
        """For JSON."""
        document = asdict(self)
        document["causes"] = [asdict(cause) for cause in self.causes]
        document["interval"] = list(self.interval)
        document["tolerance"] = list(self.tolerance) if self.tolerance else None
        return document


def published_for(card: ModelCard, weights: str) -> Published | None:
    """The published figure of the weights that are asked for: a tag's own, otherwise the card's."""
    return next((other for other in card.others if other.tag and other.tag == weights), card.published)


def judge(
    outcome: Outcome,
    published: Published | None,
    *,
    card: ModelCard | None = None,
    protocol: Protocol | str = "",
    weights: str = "pretrained",
    preprocess: Preprocess | None = None,
    data: str = "",
) -> Verdict:
    """Put a measured figure beside the published one.

    Args:
        outcome: What was measured.
        published: The figure to compare with, as of `published_for`.
        card: Of the model, where it is a catalogue one.
        protocol: What the videos were scored by, "pyslowfast 10x3"; empty where unknown.
        weights: "pretrained", "random", a tag, or a file.
        preprocess: The input as it was used, where it may differ from the card's.
        data: The set that the list is of, where known, as "kinetics400".

    Raises:
        ValueError: Labels, predictions, scores and counts that do not fit together.
    """
    labels, guesses = checked(outcome)
    scores = Scores.gather(outcome, labels)
    figure = _Figure.of(outcome, published, labels, guesses)
    room, why = tolerance(figure.value, figure.wide, outcome.evaluated, published)
    guessing = not figure.several and at_chance(figure.wide, 1 / outcome.num_classes, figure.goal)
    subset = None if figure.several else class_subset(labels, outcome.num_classes)
    verdict, reason = _judgement(
        outcome, card, published, figure, room, guessing, subset is not None and subset[1], weights, data
    )
    causes: list[Cause | None] = [random_weights() if weights == "random" else None]
    if outcome.evaluated and not figure.several:
        order = find_order(labels, guesses, outcome, class_names(outcome, card))
        unexplained = guessing and order is None and weights != "random"
        causes += [*score_faults(labels, guesses, outcome, scores, unexplained), order]
        if order is None and figure.wide[1] < 1 / outcome.num_classes:
            causes.append(worse_than_guessing(figure.value or 0.0, 1 / outcome.num_classes, outcome.evaluated))
    causes += [
        subset[0] if subset else None,
        preset(published, card, protocol, preprocess, figure.value, figure.goal),
        other_weights(weights, published),
        missing_videos(outcome, figure.value, figure.goal, room, figure.several),
        part_of_the_list(outcome, *figure.interval, figure.goal),
    ]
    found = [cause for cause in causes if cause is not None]
    if verdict == "below" and (copy := _copy(figure, published, outcome.evaluated, found)):
        found.append(copy)
    low, high = figure.interval
    return Verdict(
        verdict=verdict,
        reason=reason,
        metric="mAP" if figure.several else "top-1",
        measured=None if figure.value is None else round(100 * figure.value, 4),
        interval=(round(100 * low, 4), round(100 * high, 4)),
        published=figure.goal,
        published_by=f"{published.source}, {published.protocol} {published.views}".rstrip() if published else "",
        difference=figure.difference,
        tolerance=room,
        tolerance_why=why,
        protocol=str(protocol),
        evaluated=outcome.evaluated,
        top5=None if scores is None else round(100 * scores.top5 / outcome.evaluated, 4),
        published_top5=published.top5 if published else None,
        # remarks on how much was measured come after what may be wrong
        causes=tuple(sorted(found, key=lambda cause: (cause.id in _REMARKS, _RANK[cause.certainty]))),
    )


def lines(verdict: Verdict) -> list[str]:
    """The verdict for people: at most six lines."""
    views = f" ({verdict.protocol})" if verdict.protocol else ""
    if verdict.measured is None:
        first = f"{verdict.metric}: nothing measured"
    else:
        first = f"{verdict.metric} {verdict.measured:.2f} %{views} over {many(verdict.evaluated, 'video')}"
    if verdict.published is not None:
        first += f"; published {verdict.published:.2f} % ({verdict.published_by})"
        if verdict.difference is not None:
            first += f": {_points(verdict.difference)}"
    text = [first, f"Verdict: {verdict.verdict}. {verdict.reason}"]
    shown = verdict.causes[:3] if len(verdict.causes) <= 3 else verdict.causes[:2]
    for place, cause in enumerate(shown):
        sure = "" if cause.certainty == "certain" else f"{cause.certainty.capitalize()}: "
        text.append(f"{sure}{cause.text}: {cause.evidence}")
        if place == 0:
            text.append(f"  -> {cause.remedy}")
    if len(shown) < len(verdict.causes):
        rest = ", ".join(cause.id for cause in verdict.causes[len(shown) :])
        text.append(f"Also: {rest} (--json tells)")
    return text


@dataclass(frozen=True)
class _Figure:
    """The measured figure beside the published one.

    Attributes:
        several: Whether it is mean average precision rather than top-1.
        value: In [0, 1]; None where nothing was measured.
        interval: 95 %, in [0, 1].
        wide: 99.9 %.
        goal: The published figure in per cent.
    """

    several: bool
    value: float | None
    interval: tuple[float, float]
    wide: tuple[float, float]
    goal: float | None

    @classmethod
    def of(cls, outcome: Outcome, published: Published | None, labels: Ints, guesses: Ints) -> _Figure:
        told = published is not None and published.mean_ap is not None and published.top1 is None
        if told or outcome.mean_ap is not None:
            value, interval = outcome.mean_ap, outcome.mean_ap_interval
            wide = stretched(value, interval) if value is not None else (0.0, 1.0)
            return cls(True, value, interval, wide, published.mean_ap if published else None)
        n, right = outcome.evaluated, int((labels == guesses).sum())
        goal = published.top1 if published else None
        return cls(False, right / n if n else None, wilson(right, n), wilson(right, n, Z), goal)

    @property
    def difference(self) -> float | None:
        """Points above the published figure."""
        if self.value is None or self.goal is None:
            return None
        return round(100 * self.value - self.goal, 4)


def _copy(figure: _Figure, published: Published | None, n: int, causes: Sequence[Cause]) -> Cause | None:
    """Another copy of the set, where nothing else is likely and nearly the whole set is a little too low."""
    whole = VALIDATION.get(published.data, 0) if published else 0
    if not whole or n < 0.9 * whole or figure.difference is None or figure.difference <= -2:
        return None
    if any(cause.certainty == "likely" for cause in causes):
        return None
    return copy_of_the_set(figure.difference, n, whole)


def _judgement(
    outcome: Outcome,
    card: ModelCard | None,
    published: Published | None,
    figure: _Figure,
    room: tuple[float, float] | None,
    guessing: bool,
    subset: bool,
    weights: str,
    data: str,
) -> tuple[Judgement, str]:
    if figure.value is None:
        return "not comparable", "No video was evaluated, or the published figure is of another measure."
    if guessing and not subset:
        return "at chance", f"Guessing among {outcome.num_classes} classes gives {100 / outcome.num_classes:.2f} %."
    if published is None or figure.goal is None:
        return "no published figure", "Nobody published a figure of these weights that vidbench knows of."
    if weights == "random":
        return "not comparable", "The weights are random; the published figure is of trained ones."
    if card is not None and card.num_classes != outcome.num_classes:
        return "not comparable", f"{outcome.num_classes} classes here, {card.num_classes} in the published measurement."
    if data and data != published.data:
        return "not comparable", f"The list is of {data}, the published figure of {published.data}."
    if subset:
        return "not comparable", f"The list has few of the {outcome.num_classes} classes that were published."
    assert room is not None
    difference = 100 * figure.value - figure.goal
    span = f"-{room[0]:.1f}/+{room[1]:.1f}"
    # the interval is that of the measured figure, so a figure that is too low is held against its upper half
    if difference < -room[1]:
        return "below", f"{-difference:.2f} points are more than the tolerance ({span})."
    if difference > room[0]:
        return "above", f"{difference:.2f} points are more than the tolerance ({span})."
    return "within tolerance", f"The tolerance is {span} points."


def _points(difference: float) -> str:
    return f"{abs(difference):.2f} points {'below' if difference < 0 else 'above'}" if difference else "equal"
