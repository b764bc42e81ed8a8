"""Which order of the labels explains the predictions, where it is not the one that the list has."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vidbench.model.assignment import one_to_one
from vidbench.model.known_orders import BY_NAMES, Order, known_orders, table_of
from vidbench.model.outcome import Cause, Ints, Json, Outcome

ALPHA = 1e-6
"""False-alarm rate of one test of an order of the labels. Some 40 orders are tried: together under 1e-4."""


@dataclass(frozen=True)
class _Match:
    order: Order
    moved: int
    wins: int
    losses: int


def find_order(labels: Ints, guesses: Ints, outcome: Outcome, names: Sequence[str]) -> Cause | None:
    """The order of classes that explains the predictions much better than the one the list has.

    Orders that are known from practice are held against all videos. Any other one-to-one order is looked for in one
    half of each class's videos and held against the other half, so that noise cannot pass for an order.
    """
    k = outcome.num_classes
    matches = [_match(order, labels, guesses) for order in known_orders(k, names, outcome.list_classes)]
    best = max((match for match in matches if match), key=lambda match: match.wins - match.losses, default=None)
    fit, test = _halves(labels)
    counts = np.zeros((k, k), dtype=np.int64)
    np.add.at(counts, (labels[fit], guesses[fit]), 1)
    mapping = one_to_one(counts)
    mapping = _clear_cycles(mapping, counts)
    other = Order("another order", "", "", mapping)
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
        chosen = Order("another order", f"the labels follow another order of classes: {shown}", remedy, mapping)
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
    own = table_of(names)
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
    text, remedy = BY_NAMES
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


def _match(order: Order, labels: Ints, guesses: Ints) -> _Match | None:
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
