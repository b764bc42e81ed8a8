"""What a measured accuracy means beside the published one: the verdict, and the causes that the records show."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import islice
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from vidbench.errors import InputError
from vidbench.formats.labels import TABLES, LabelTable, table
from vidbench.model.card import ModelCard, Preprocess, Published
from vidbench.model.metrics import wilson
from vidbench.model.protocol import Protocol

Json = dict[str, Any]
Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Judgement = Literal["within tolerance", "below", "above", "not comparable", "no published figure", "at chance"]
Certainty = Literal["certain", "likely", "possible"]

BAND = 0.5
"""Points by which two decoders and two scalers may differ on the same videos and one protocol."""

Z = 3.2905267314919255
"""Half the length of an interval in standard deviations, such that it misses once in 1000."""

ALPHA = 1e-6
"""False-alarm rate of one test of an order of the labels. Some 40 orders are tried: together under 1e-4."""

VALIDATION = {"kinetics400": 19_761, "something-something-v2": 24_777, "ssv2": 24_777, "charades": 1_863}
"""Videos of the sets that published figures were measured on. Kinetics-400: the copy of video-nonlocal-net."""

_CHUNK = 256


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
    labels, guesses = _checked(outcome)
    facts = _Scores.gather(outcome, labels)
    several = _several(outcome, published)
    n, chance = outcome.evaluated, 1 / outcome.num_classes
    figure: float | None
    if several:
        figure, (low, high) = outcome.mean_ap, outcome.mean_ap_interval
        goal = published.mean_ap if published else None
        wide = _stretched(figure, (low, high)) if figure is not None else (0.0, 1.0)
    else:
        right = int((labels == guesses).sum())
        figure = right / n if n else None
        low, high = wilson(right, n)
        wide = wilson(right, n, Z)
        goal = published.top1 if published else None
    tolerance, why = _tolerance(figure, wide, n, published)
    at_chance = not several and _at_chance(wide, chance, goal)
    causes: list[Cause] = []
    if weights == "random":
        causes.append(_random())
    if n and not several:
        names = _class_names(outcome, card)
        order = _order(labels, guesses, outcome, names)
        causes += _of_scores(labels, guesses, outcome, facts, at_chance and order is None and weights != "random")
        causes += [order] if order else []
        if not order and wide[1] < chance:
            causes.append(_worse_than_guessing(figure or 0.0, chance, n))
    subset = _subset(labels, outcome.num_classes) if not several else None
    if subset:
        causes.append(subset[0])
    preset = _preset(published, card, protocol, preprocess, figure, goal)
    causes += [preset] if preset else []
    if weights not in ("pretrained", "random", "") and published and weights not in (published.tag, published.file):
        causes.append(_other_weights(weights, published))
    missing = _missing(outcome, figure, goal, tolerance, several)
    causes += [missing] if missing else []
    verdict, reason = _judgement(
        outcome, card, published, goal, figure, tolerance, at_chance, subset is not None and subset[1], weights, data
    )
    part = _part(outcome, low, high, goal)
    causes += [part] if part else []
    difference = round(100 * figure - goal, 4) if figure is not None and goal is not None else None
    whole = VALIDATION.get(published.data, 0) if published else 0
    if verdict == "below" and difference is not None and difference > -2 and whole and n >= 0.9 * whole:
        causes += [] if any(cause.certainty == "likely" for cause in causes) else [_copy(difference, n, whole)]
    rank = {"certain": 0, "likely": 1, "possible": 2}
    return Verdict(
        verdict=verdict,
        reason=reason,
        metric="mAP" if several else "top-1",
        measured=None if figure is None else round(100 * figure, 4),
        interval=(round(100 * low, 4), round(100 * high, 4)),
        published=goal,
        published_by=f"{published.source}, {published.protocol} {published.views}".rstrip() if published else "",
        difference=difference,
        tolerance=tolerance,
        tolerance_why=why,
        protocol=str(protocol),
        evaluated=n,
        top5=None if facts is None else round(100 * facts.top5 / n, 4),
        published_top5=published.top5 if published else None,
        # remarks on how much was measured come after what may be wrong
        causes=tuple(sorted(causes, key=lambda cause: (cause.id in _REMARKS, rank[cause.certainty]))),
    )


_REMARKS = ("missing-videos", "part-of-the-list", "class-subset")


def lines(verdict: Verdict) -> list[str]:
    """The verdict for people: at most six lines."""
    views = f" ({verdict.protocol})" if verdict.protocol else ""
    if verdict.measured is None:
        first = f"{verdict.metric}: nothing measured"
    else:
        first = f"{verdict.metric} {verdict.measured:.2f} %{views} over {_many(verdict.evaluated, 'video')}"
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


def _checked(outcome: Outcome) -> tuple[Ints, Ints]:
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


def _several(outcome: Outcome, published: Published | None) -> bool:
    if published is not None and published.mean_ap is not None and published.top1 is None:
        return True
    return outcome.mean_ap is not None


def _stretched(figure: float, interval: tuple[float, float]) -> tuple[float, float]:
    """A 95 % interval as long as a 99.9 % one."""
    factor = Z / 1.959963984540054
    return figure - factor * (figure - interval[0]), figure + factor * (interval[1] - figure)


def _tolerance(
    figure: float | None, wide: tuple[float, float], n: int, published: Published | None
) -> tuple[tuple[float, float] | None, str]:
    """Points below and above the measured figure in which the published one is the same, and why.

    n of the N videos that were published leave the share 1 - n/N of the variance (the finite-population correction):
    over the whole set nothing is left to chance but the band. So a sound run of any length is called below or above
    less than once in 1000 times.
    """
    if figure is None or published is None:
        return None, ""
    whole = VALIDATION.get(published.data, 0)
    left = math.sqrt(max(0.0, 1 - n / whole)) if whole else 1.0
    down, up = (100 * left * max(0.0, reach) for reach in (figure - wide[0], wide[1] - figure))
    parts = [f"{BAND} points for other decoders and scalers"]
    if left > 0:
        drawn = f"{_many(n, 'video')} of the {whole:,} published" if whole else _many(n, "video")
        parts.insert(0, f"-{down:.1f}/+{up:.1f} points of chance in {drawn} (99.9 %)")
    return (round(down + BAND, 4), round(up + BAND, 4)), " and ".join(parts)


def _at_chance(wide: tuple[float, float], chance: float, goal: float | None) -> bool:
    """Whether guessing explains the figure and half of what is expected does not, each at 99.9 %."""
    expected = goal / 100 if goal is not None and goal / 100 > chance else None
    ceiling = chance + (0.5 * (expected - chance) if expected else 0.1 * (1 - chance))
    return wide[0] <= chance <= wide[1] < ceiling


def _judgement(
    outcome: Outcome,
    card: ModelCard | None,
    published: Published | None,
    goal: float | None,
    figure: float | None,
    tolerance: tuple[float, float] | None,
    at_chance: bool,
    subset: bool,
    weights: str,
    data: str,
) -> tuple[Judgement, str]:
    if figure is None:
        return "not comparable", "No video was evaluated, or the published figure is of another measure."
    if at_chance and not subset:
        return "at chance", f"Guessing among {outcome.num_classes} classes gives {100 / outcome.num_classes:.2f} %."
    if published is None or goal is None:
        return "no published figure", "Nobody published a figure of these weights that vidbench knows of."
    if weights == "random":
        return "not comparable", "The weights are random; the published figure is of trained ones."
    if card is not None and card.num_classes != outcome.num_classes:
        return "not comparable", f"{outcome.num_classes} classes here, {card.num_classes} in the published measurement."
    if data and data != published.data:
        return "not comparable", f"The list is of {data}, the published figure of {published.data}."
    if subset:
        return "not comparable", f"The list has few of the {outcome.num_classes} classes that were published."
    assert tolerance is not None
    difference = 100 * figure - goal
    span = f"-{tolerance[0]:.1f}/+{tolerance[1]:.1f}"
    # the interval is that of the measured figure, so a figure that is too low is held against its upper half
    if difference < -tolerance[1]:
        return "below", f"{-difference:.2f} points are more than the tolerance ({span})."
    if difference > tolerance[0]:
        return "above", f"{difference:.2f} points are more than the tolerance ({span})."
    return "within tolerance", f"The tolerance is {span} points."


# ---- the order of the labels


@dataclass(frozen=True)
class _Order:
    """A guess of which prediction each label means: -1 for none."""

    kind: str
    text: str
    remedy: str
    mapping: Ints


@dataclass(frozen=True)
class _Match:
    order: _Order
    moved: int
    wins: int
    losses: int


def _order(labels: Ints, guesses: Ints, outcome: Outcome, names: Sequence[str]) -> Cause | None:
    """The order of classes that explains the predictions much better than the one the list has.

    Orders that are known from practice are held against all videos. Any other one-to-one order is looked for in one
    half of each class's videos and held against the other half, so that noise cannot pass for an order.
    """
    k = outcome.num_classes
    matches = [_match(order, labels, guesses) for order in _known_orders(k, names, outcome.list_classes)]
    best = max((match for match in matches if match), key=lambda match: match.wins - match.losses, default=None)
    fit, test = _halves(labels)
    counts = np.zeros((k, k), dtype=np.int64)
    np.add.at(counts, (labels[fit], guesses[fit]), 1)
    mapping = one_to_one(counts)
    mapping = _clear_cycles(mapping, counts)
    other = _Order("another order", "", "", mapping)
    found = _match(other, labels[test], guesses[test])
    # fitted to the data, so not an order that anybody would guess: it has to be much clearer than confusion
    found = found if found and _clear(found.wins, found.losses, found.moved) else None
    if found and best and not _better(mapping, best.order.mapping, labels[test], guesses[test]):
        found = None
    if not found and not best:
        return _by_names(labels, guesses, outcome, names)
    if found:
        shown = _pairs(mapping, labels, guesses, names)
        remedy = "Write the labels by the class table of the weights (`vidbench data list` does), or check what it is."
        chosen = _Order("another order", f"the labels follow another order of classes: {shown}", remedy, mapping)
        judged_labels, judged_guesses, over = labels[test], guesses[test], " held-out"
        match = _Match(chosen, found.moved, found.wins, found.losses)
    else:
        assert best is not None
        match, judged_labels, judged_guesses, over = best, labels, guesses, ""
    total = len(judged_labels)
    mapped = int((match.order.mapping[judged_labels] == judged_guesses).sum())
    given = int((judged_labels == judged_guesses).sum())
    evidence = (
        f"{100 * mapped / total:.1f} % of {total}{over} videos right in that order, "
        f"{100 * given / total:.1f} % as given; of {match.moved} whose class changes {match.wins} become right, "
        f"{match.losses} wrong"
    )
    numbers = {
        "kind": match.order.kind,
        "videos": total,
        "right_as_given": given,
        "right_in_order": mapped,
        "moved": match.moved,
        "become_right": match.wins,
        "become_wrong": match.losses,
        "pairs": _pair_rows(match.order.mapping, labels, guesses)[:10],
    }
    return Cause("labels-out-of-order", "likely", match.order.text, evidence, match.order.remedy, numbers)


def _by_names(labels: Ints, guesses: Ints, outcome: Outcome, names: Sequence[str]) -> Cause | None:
    """What the list's class names say, where there are too few videos for a test and predictions do not deny it."""
    own = _table_of(names)
    if own is None:
        return None
    places = {label: own.find(name) for label, name in outcome.list_classes.items()}
    moved = {label: place for label, place in places.items() if place is not None and place != label}
    wins = sum(moved.get(label) == guess for label, guess in zip(labels.tolist(), guesses.tolist(), strict=True))
    losses = int((labels == guesses)[np.isin(labels, list(moved))].sum())
    if wins <= losses:
        return None
    first = min(moved)
    evidence = (
        f"{len(moved)} of {len(places)} class names: the list has {outcome.list_classes[first]!r} at {first}, the "
        f"model {names[first]!r}; by the names {wins} of the videos concerned are right, as given {losses}"
    )
    text, remedy = _NAMES
    numbers: Json = {"kind": "names", "moved": len(moved), "become_right": wins, "become_wrong": losses}
    return Cause("labels-out-of-order", "possible", text, evidence, remedy, numbers)


def _clear(wins: int, losses: int, videos: int) -> bool:
    """Whether classes that moved are right as only an order makes them: most videos, or ten times those as given.

    Weak networks have classes that they take for another one more often than for themselves; such a class seldom has
    most of its videos there, and still has a good part of them right.
    """
    return 2 * wins > videos or wins > 10 * losses


def _clear_cycles(mapping: Ints, counts: Ints) -> Ints:
    """The mapping, less the cycles that confusion can make.

    In an order every class that takes another's place has left its own; where one class is just taken for another,
    the other one stays. So classes that change places in a ring move together or not at all.
    """
    kept = np.arange(len(mapping))
    seen = np.zeros(len(mapping), dtype=bool)
    for start in range(len(mapping)):
        ring: list[int] = []
        at = start
        while not seen[at]:
            seen[at] = True
            ring.append(at)
            at = int(mapping[at])
        if len(ring) > 1:
            wins, losses = int(counts[ring, mapping[ring]].sum()), int(counts[ring, ring].sum())
            if _clear(wins, losses, int(counts[ring].sum())):
                kept[ring] = mapping[ring]
    return kept


def _match(order: _Order, labels: Ints, guesses: Ints) -> _Match | None:
    """Whether an order explains the videos whose class it changes; None where that can be noise.

    Two tests, each wrong at most with the chance ALPHA by Chernoff's bound. For a sound network a video's own class is
    at least as probable as the one that the order puts in its place, so it wins at most half of the videos on which the
    two differ. For a network that pays no heed to the video, the order wins no more than the shares of labels and
    predictions make it: a list of one class and a network with one answer is no order.
    Classes that are truly confused may go against the first; such a pair does not win twice as often as it loses.
    """
    meant = order.mapping[labels]
    moved = meant != labels
    count = int(moved.sum())
    wins, losses = int((guesses[moved] == meant[moved]).sum()), int((guesses[moved] == labels[moved]).sum())
    if wins <= 2 * losses or _tail(wins, wins + losses, 0.5) > ALPHA:
        return None
    shares = np.bincount(guesses[moved], minlength=len(order.mapping)) / count
    known = meant[moved]
    if _tail(wins, count, float(np.where(known >= 0, shares[known], 0.0).mean())) > ALPHA:
        return None
    return _Match(order, count, wins, losses)


def _better(one: Ints, other: Ints, labels: Ints, guesses: Ints) -> bool:
    """Whether the first order explains more videos than the second, by the same test."""
    first, second = one[labels] == guesses, other[labels] == guesses
    wins, losses = int((first & ~second).sum()), int((second & ~first).sum())
    return wins > 2 * losses and _tail(wins, wins + losses, 0.5) < ALPHA


def _tail(wins: int, trials: int, share: float) -> float:
    """Upper bound of the chance of that many wins or more, each with the chance `share`: Chernoff's, exp(-n KL)."""
    if trials == 0 or wins <= share * trials:
        return 1.0
    if share <= 0:
        return 0.0
    seen = wins / trials
    divergence = seen * math.log(seen / share)
    if seen < 1:
        divergence += (1 - seen) * math.log((1 - seen) / (1 - share))
    return math.exp(-trials * divergence)


def _halves(labels: Ints) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """The videos of every class by turns into two halves."""
    order = np.argsort(labels, kind="stable")
    ranked = labels[order]
    starts = np.flatnonzero(np.append(True, ranked[1:] != ranked[:-1]))
    place = np.arange(len(labels)) - np.repeat(starts, np.diff(np.append(starts, len(labels))))
    fit = np.empty(len(labels), dtype=bool)
    fit[order] = place % 2 == 0
    return fit, ~fit


def one_to_one(counts: Ints) -> Ints:
    """The one-to-one mapping of rows to columns with the largest sum of counts; of equal ones the more faithful one.

    Shortest augmenting paths with potentials, O(K^3). Source: Jonker and Volgenant, "A shortest augmenting path
    algorithm for dense and sparse linear assignment problems", Computing 38, 1987.

    Args:
        counts: (K, K), by label (row) and prediction (column).

    Returns:
        (K,) the column of each row.
    """
    size = len(counts)
    # less than one count for staying, over all rows together
    gain = counts * (2.0 * size) + np.eye(size)
    cost = gain.max() - gain
    rows, columns = np.zeros(size + 1), np.zeros(size + 1)
    owner = np.zeros(size + 1, dtype=np.int64)
    for row in range(1, size + 1):
        owner[0] = row
        column = 0
        nearest = np.full(size + 1, np.inf)
        used = np.zeros(size + 1, dtype=bool)
        before = np.zeros(size + 1, dtype=np.int64)
        while True:
            used[column] = True
            at = owner[column]
            reduced = cost[at - 1] - rows[at] - columns[1:]
            shorter = ~used[1:] & (reduced < nearest[1:])
            nearest[1:][shorter] = reduced[shorter]
            before[1:][shorter] = column
            open_ = np.where(used, np.inf, nearest)
            open_[0] = np.inf
            column = int(open_.argmin())
            step = open_[column]
            rows[owner[used]] += step
            columns[used] -= step
            nearest[~used] -= step
            if owner[column] == 0:
                break
        while column:
            owner[column] = owner[before[column]]
            column = int(before[column])
    mapping = np.empty(size, dtype=np.int64)
    mapping[owner[1:] - 1] = np.arange(size)
    return mapping


def _pair_rows(mapping: Ints, labels: Ints, guesses: Ints) -> list[list[int]]:
    """Label, prediction, videos of the label with that prediction, videos of the label; the clearest ones first."""
    totals = np.bincount(labels, minlength=len(mapping))
    hits = np.bincount(labels[mapping[labels] == guesses], minlength=len(mapping))
    moved = [label for label in range(len(mapping)) if mapping[label] != label and hits[label]]
    clear = sorted(moved, key=lambda label: (2 * hits[label] <= totals[label], label))
    return [[label, int(mapping[label]), int(hits[label]), int(totals[label])] for label in clear]


def _pairs(mapping: Ints, labels: Ints, guesses: Ints, names: Sequence[str]) -> str:
    """The first pairs, as "3 → 17 (92 of 95)"."""
    return ", ".join(
        f"{label} → {guess}{f' {names[guess]}' if names else ''} ({hits} of {total})"
        for label, guess, hits, total in _pair_rows(mapping, labels, guesses)[:3]
    )


def _class_names(outcome: Outcome, card: ModelCard | None) -> Sequence[str]:
    """The model's class names by id, empty where nobody knows them."""
    if len(outcome.classes) == outcome.num_classes:
        return outcome.classes
    if card is not None and card.labels in TABLES and card.num_classes == outcome.num_classes:
        known = table(card.labels)
        if list(known.classes) == list(range(outcome.num_classes)):
            return known.names
    return ()


_NAMES = (
    "the list's class names stand at other numbers than the model's",
    "Write the labels by the class table of the weights; `vidbench data list` does.",
)

_SPELLINGS: dict[str, Callable[[str], str]] = {
    "with quotes round names of several words": lambda name: f'"{name}"' if " " in name else name,
    "without blanks": lambda name: name.replace(" ", ""),
    "with underscores": lambda name: name.replace(" ", "_"),
    "without quotes and brackets": lambda name: "".join(sign for sign in name if sign not in "\"'()[]"),
    "whatever the letter case": str.casefold,
    "with capitals before small letters": lambda name: name,
}


def _known_orders(k: int, names: Sequence[str], list_classes: Mapping[int, str]) -> Iterator[_Order]:
    """Orders that lists and weights are known to come in, each once."""
    seen: set[bytes] = {np.arange(k).tobytes()}
    for order in _all_orders(k, names, list_classes):
        key = order.mapping.tobytes()
        if key not in seen:
            seen.add(key)
            yield order


def _all_orders(k: int, names: Sequence[str], list_classes: Mapping[int, str]) -> Iterator[_Order]:
    ids = np.arange(k)
    by_table = _NAMES[1]
    own = _table_of(names)
    if own is not None and list_classes:
        mapping = ids.copy()
        for label, name in list_classes.items():
            found = own.find(name)
            if 0 <= label < k and found is not None:
                mapping[label] = found
        yield _Order("names", _NAMES[0], _NAMES[1], mapping)
    yield _Order(
        "shifted",
        "the labels are one too high, as if counted from 1",
        "Subtract 1 from every label of the list.",
        ids - 1,
    )
    yield _Order(
        "shifted",
        "the labels are one too low, as if the model had another class before its first",
        "Add 1 to every label of the list, or take the first class off the network's output.",
        np.where(ids + 1 < k, ids + 1, -1),
    )
    yield _Order("reversed", "the labels are in reverse order", f"Write {k - 1} - label for every label.", ids[::-1])
    if own is not None:
        for name in TABLES:
            other = table(name)
            mapping = _by_table(own, other, k)
            # a table that shares hardly a name says nothing
            if (mapping >= 0).sum() >= min(10, k):
                yield _Order("table", f"the labels are the numbers of {name}", by_table, mapping)
    sorts = [("numbers sorted as text (0, 1, 10, 100, ...)", sorted(range(k), key=str))]
    if own is not None:
        sorts += [(f"class names sorted {how}", _sorted_by(names, spell)) for how, spell in _SPELLINGS.items()]
    for how, places in sorts:
        mapping = np.asarray(places, dtype=np.int64)
        yield _Order("sorting", f"the labels follow {how}", by_table, mapping)
        yield _Order(
            "sorting",
            f"the network's outputs follow {how}",
            "Number the labels in that order too, or take weights in the order of the class table.",
            np.argsort(mapping),
        )


def _sorted_by(names: Sequence[str], spell: Callable[[str], str]) -> list[int]:
    return sorted(range(len(names)), key=lambda index: spell(names[index]))


def _table_of(names: Sequence[str]) -> LabelTable | None:
    try:
        return LabelTable("the model", dict(enumerate(names))) if names else None
    except InputError:  # two classes of one spelling: their names order nothing
        return None


def _by_table(own: LabelTable, other: LabelTable, k: int) -> Ints:
    mapping = np.full(k, -1, dtype=np.int64)
    for label, title in other:
        found = own.find(title)
        if label < k and found is not None:
            mapping[label] = found
    return mapping


# ---- what the scores say


@dataclass(frozen=True)
class _Scores:
    """Sums over the score rows, gathered a few hundred rows at a time.

    Attributes:
        rows: How many.
        top5: Videos whose label is among the five best; ties count for the lower class.
        confidence: Mean of the largest score.
        largest: The largest score of all.
        entropy: Mean entropy as a share of log K, 1 where all classes score alike.
        spread: The largest difference of a class's scores between two videos.
        probabilities: Whether all rows are in [0, 1] and sum to 1.
    """

    rows: int
    top5: int
    confidence: float
    largest: float
    entropy: float
    spread: float
    probabilities: bool

    @classmethod
    def gather(cls, outcome: Outcome, labels: Ints) -> _Scores | None:
        k = outcome.num_classes
        rows = top5 = 0
        confidence = entropy = 0.0
        low, high = np.full(k, np.inf), np.full(k, -np.inf)
        probabilities = True
        source = iter(outcome.scores)
        while chunk := list(islice(source, _CHUNK)):
            scores: Floats = np.asarray(chunk, dtype=np.float64)
            if scores.shape[1:] != (k,) or not np.isfinite(scores).all():
                raise ValueError(f"scores that are not {k} finite numbers a video")
            truth = labels[rows : rows + len(scores)]
            rows += len(scores)
            probabilities &= bool(((scores >= 0) & (scores <= 1)).all() and (abs(scores.sum(1) - 1) < 1e-3).all())
            if len(truth) == len(scores):
                own = scores[np.arange(len(scores)), truth][:, None]
                ahead = (scores > own) | ((scores == own) & (np.arange(k) < truth[:, None]))
                top5 += int((ahead.sum(1) < min(5, k)).sum())
            confidence += float(scores.max(1).sum())
            logs = np.log(np.where(scores > 0, scores, 1.0))
            entropy += float(-(scores * logs).sum())
            low, high = np.minimum(low, scores.min(0)), np.maximum(high, scores.max(0))
        if not rows or not len(labels):
            return None
        if rows != len(labels):
            raise ValueError(f"{rows} rows of scores of {len(labels)} videos")
        spread, largest = float((high - low).max()), float(high.max())
        entropy /= rows * math.log(k) if k > 1 else rows
        return cls(rows, top5, confidence / rows, largest, entropy, spread, probabilities)


def _of_scores(
    labels: Ints, guesses: Ints, outcome: Outcome, facts: _Scores | None, at_chance: bool
) -> Iterator[Cause]:
    """Causes that predictions and scores show by themselves; `at_chance`: nothing else is known to explain that."""
    n, k = len(labels), outcome.num_classes
    counts = np.bincount(guesses, minlength=k)
    top = int(counts.argmax())
    share, kinds = counts[top] / n, _effective(guesses)
    # a sound network that is right for 30 % of a list cannot give one class to 90 % of it where no class has half
    # of the list, nor use a tenth of its classes: for 20 videos the chance is below 1e-6 already
    varied = np.bincount(labels).max() / n <= 0.5
    collapsed = n >= 20 and varied and (share > 0.9 or kinds < 0.1 * _effective(labels))
    used = f"{100 * share:.0f} % of {n} predictions are class {top}, {kinds:.1f} classes in effect"
    used += f" where the list has {_effective(labels):.1f}"
    numbers: Json = {"largest_share": float(share), "class": top, "effective_classes": kinds}
    sound = facts is not None and facts.probabilities
    if facts is not None:
        numbers |= {"confidence": facts.confidence, "entropy": facts.entropy, "spread": facts.spread}
    if facts is not None and n >= 20 and varied and facts.spread < 1e-6:
        evidence = f"no class's score differs by more than {facts.spread:.0e} between any two of {n} videos"
        remedy = "Look at the frames: `vidbench model predict` on one video with --json; then at the weights."
        text = "every video gets the same scores: the network does not see them"
        yield Cause("constant-output", "certain", text, evidence, remedy, numbers)
        return
    if at_chance and facts is not None and sound and k > 2 and facts.entropy > 0.95:
        # a trained network that guesses is sure of itself: its entropy on videos, noise and black frames alike is
        # well below this; only fresh layers and classes it was not trained on score all classes alike
        evidence = (
            f"the largest score is {facts.confidence:.4f} on average where equal scores are {1 / k:.4f}, and the "
            f"entropy is {100 * facts.entropy:.1f} % of the largest possible" + (f"; {used}" if collapsed else "")
        )
        remedy = "Check which tensors of the file were loaded: `vidbench model show`, `vidbench weights import`."
        text = "the network, or the layer that classifies, looks untrained: all classes score nearly alike"
        yield Cause("untrained", "likely", text, evidence, remedy, numbers)
    elif collapsed and facts is not None and sound and k >= 10 and facts.confidence >= max(0.2, 5 / k):
        # confident answers need trained weights; that they hardly depend on the video points at what went in
        evidence = f"{used}, with a mean confidence of {facts.confidence:.2f}"
        remedy = "Check mean, std, channel order (RGB) and range (0 to 1) against the card: `vidbench model show`."
        text = "few answers, given with confidence: input preprocessing (normalisation, channel order, range)"
        yield Cause("input-preprocessing", "likely", text, evidence, remedy, numbers)
    elif collapsed:
        remedy = "Check that the weights' last layer was loaded, and the input's mean, std and range."
        yield Cause("collapsed", "likely", "the network gives few answers whatever the video", used, remedy, numbers)
    right = int((labels == guesses).sum())
    bound = math.e / (math.e + k - 1)
    # of probabilities the softmax is at most e/(e+K-1); a network whose accuracy is surely twice that, and which is
    # as sure of itself as it is right, cannot stay below on every video
    if facts is not None and sound and k >= 10 and facts.largest <= bound + 1e-6 and wilson(right, n, Z)[0] > 2 * bound:
        evidence = f"no score exceeds {facts.largest:.4f}, and the softmax of probabilities cannot exceed {bound:.4f}"
        text = "softmax was taken twice: the network gives probabilities already, and its views are averaged wrongly"
        remedy = "Take the softmax off the network's last layer (`activation = None` of pytorchvideo's head)."
        yield Cause("softmax-twice", "likely", text, evidence, remedy, {"largest": facts.largest, "bound": bound})


def _effective(values: Ints) -> float:
    """How many equally frequent classes have the same entropy."""
    shares = np.bincount(values) / len(values)
    shares = shares[shares > 0]
    return float(np.exp(-(shares * np.log(shares)).sum()))


def _random() -> Cause:
    remedy = "Take trained ones: --weights pretrained --pull, or --weights FILE."
    return Cause("random-weights", "certain", "the weights are random", "the run was asked for them", remedy)


def _worse_than_guessing(figure: float, chance: float, n: int) -> Cause:
    evidence = f"{100 * figure:.2f} % of {n} videos right, and guessing gives {100 * chance:.2f} %"
    remedy = "Compare the list's class numbers with the model's class names: `vidbench model show`."
    text = "fewer right than by guessing, so labels and outputs do not speak of the same classes"
    return Cause("worse-than-guessing", "likely", text, evidence, remedy, {"chance": 100 * chance})


# ---- what the settings and counts say

_VIEWS = re.compile("[0-9]+x[0-9]+")


def _preset(
    published: Published | None,
    card: ModelCard | None,
    protocol: Protocol | str,
    preprocess: Preprocess | None,
    figure: float | None,
    goal: float | None,
) -> Cause | None:
    if published is None:
        return None
    rule, _, views = str(protocol).partition(" ")
    notes: list[str] = []
    numbers: Json = {}
    expected = 0
    remedy: list[str] = []
    if _VIEWS.fullmatch(views) and _VIEWS.fullmatch(published.views) and views != published.views:
        here, there = (tuple(int(part) for part in text.split("x")) for text in (views, published.views))
        expected = (here > there and here[1] >= there[1]) - (here < there and here[1] <= there[1])
        notes.append(f"views {views}, published {published.views}")
        if here[0] == 1 < there[0]:
            notes.append("one clip instead of several is lower, by several points as a rule")
        elif here[1] < there[1]:
            notes.append("one crop instead of three is lower: 0.4 to 1.1 points for the X3D of PySlowFast's zoo")
        numbers["views"] = [views, published.views]
        remedy.append(f"--views {published.views}")
    if rule and rule != published.protocol:
        notes.append(f"frames by the rule {rule}, published {published.protocol}: some tenths either way")
        numbers["rule"] = [rule, published.protocol]
        remedy.append(f"--protocol {published.protocol}")
    if preprocess is not None and card is not None and preprocess != card.preprocess:
        for name, used in asdict(preprocess).items():
            meant = getattr(card.preprocess, name)
            if used != meant:
                notes.append(f"{name} {used}, published {meant}")
                numbers[name] = [used, meant]
        remedy.append("the card's input (leave the options that change it out)")
    if not notes:
        return None
    numbers["expected"] = ("either way", "higher", "lower")[expected]
    below = figure is not None and goal is not None and 100 * figure < goal
    if (
        below
        and goal is not None
        and figure is not None
        and goal - 100 * figure > 20
        and set(numbers)
        <= {
            "views",
            "rule",
            "expected",
        }
    ):
        notes.append("views and rule alone do not cost 20 points, so there is another cause as well")
    text = "the protocol is not that of the published figure"
    return Cause("preset", "certain", text, "; ".join(notes), f"Measure with {', '.join(remedy)}.", numbers)


def _other_weights(weights: str, published: Published) -> Cause:
    evidence = f"weights {weights}, published for {published.file}"
    remedy = "Take the published file: --weights pretrained, with --pull where it is not here."
    return Cause("other-weights", "possible", "the weights may not be the published ones", evidence, remedy)


def _missing(
    outcome: Outcome, figure: float | None, goal: float | None, tolerance: tuple[float, float] | None, several: bool
) -> Cause | None:
    missing = outcome.clips - outcome.evaluated
    if not missing or figure is None:
        return None
    text = f"{_many(missing, 'video')} of {outcome.clips} have no score"
    remedy = "See the failed ones in clips.jsonl and `vidbench data check`; the same command tries them again."
    numbers: Json = {"missing": missing, "failed": outcome.failed, "clips": outcome.clips}
    if several:
        return Cause("missing-videos", "certain", text, f"{outcome.failed} failed", remedy, numbers)
    right = figure * outcome.evaluated
    low, high = 100 * right / outcome.clips, 100 * (right + missing) / outcome.clips
    evidence = f"{outcome.failed} failed; over all {outcome.clips} top-1 is between {low:.2f} and {high:.2f} %"
    numbers |= {"lowest": low, "highest": high}
    if goal is not None and tolerance is not None:
        inside = low - BAND <= goal <= high + BAND
        numbers["published_inside"] = inside
        evidence += ", the published figure " + ("inside" if inside else "outside")
    return Cause("missing-videos", "certain", text, evidence, remedy, numbers)


def _part(outcome: Outcome, low: float, high: float, goal: float | None) -> Cause | None:
    if outcome.clips >= outcome.listed or not outcome.evaluated:
        return None
    evidence = f"the 95 % interval is {100 * low:.1f} to {100 * high:.1f} %"
    numbers: Json = {"clips": outcome.clips, "listed": outcome.listed}
    if goal is not None:
        inside = 100 * low <= goal <= 100 * high
        numbers["published_inside"] = inside
        evidence += ", the published figure " + ("inside" if inside else "outside")
    text = f"{outcome.clips} of {outcome.listed} listed videos were asked for"
    remedy = "Leave --limit out; the first videos of a list that is sorted by class are of few classes."
    return Cause("part-of-the-list", "certain", text, evidence, remedy, numbers)


def _subset(labels: Ints, k: int) -> tuple[Cause, bool] | None:
    """Too few classes for a list drawn from all of them, and whether the figure is then of another task.

    n labels drawn evenly from K classes leave empty classes of known mean and variance (the occupancy problem). A list
    4 standard deviations and one class below is a subset: by chance less than once in 1000 times. Sets whose classes
    are of unequal sizes have some fewer, so the figure is called incomparable only below 80 % of the mean.
    """
    n = len(labels)
    if n == 0 or k == 1:
        return None
    found = len(np.unique(labels))
    one, two = (1 - 1 / k) ** n, max(0.0, 1 - 2 / k) ** n
    mean = k * (1 - one)
    deviation = math.sqrt(max(0.0, k * one + k * (k - 1) * two - (k * one) ** 2))
    if found >= mean - 4 * deviation - 1:
        return None
    counts = np.bincount(labels, minlength=k)
    evidence = f"{_many(n, 'video')} of {found} classes; drawn from all {k} they would be of about {mean:.0f}"
    if found == 1:
        evidence += f"; every label is {int(counts.argmax())}"
    remedy = "Measure over a list of all classes, without --limit where the list is sorted by class."
    text = f"the list has {_many(found, 'class', 'es')} of the model's {k}, and some classes are easier than others"
    cause = Cause("class-subset", "likely", text, evidence, remedy, {"classes": found, "of": k, "expected": mean})
    return cause, found < 0.8 * mean


def _copy(difference: float, n: int, whole: int) -> Cause:
    evidence = (
        f"{-difference:.2f} points below over {n:,} videos (published: {whole:,}); others who tested published "
        "weights on their copies of Kinetics-400 were 0.6 to 1.6 points below"
    )
    remedy = "Compare the list with the published one; `vidbench data check` finds videos that were scaled or recoded."
    return Cause("copy-of-the-set", "possible", "another copy of the validation set", evidence, remedy)


def _points(difference: float) -> str:
    return f"{abs(difference):.2f} points {'below' if difference < 0 else 'above'}" if difference else "equal"


def _many(count: int, noun: str, plural: str = "s") -> str:
    return f"{count:,} {noun}{'' if count == 1 else plural}"
