"""What the settings of a run and its counts of videos have to do with a figure that is off."""

from __future__ import annotations

import math
import re
from dataclasses import asdict

import numpy as np

from vidbench.model.card import ModelCard, Preprocess, Published
from vidbench.model.outcome import Cause, Ints, Json, Outcome, many
from vidbench.model.protocol import Protocol
from vidbench.model.tolerance import BAND

_VIEWS = re.compile("[0-9]+x[0-9]+")


def preset(
    published: Published | None,
    card: ModelCard | None,
    protocol: Protocol | str,
    preprocess: Preprocess | None,
    figure: float | None,
    goal: float | None,
) -> Cause | None:
    """Views, rule or input that are not those of the published figure."""
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
    far = figure is not None and goal is not None and goal - 100 * figure > 20
    if far and numbers.keys() <= {"views", "rule", "expected"}:
        notes.append("views and rule alone do not cost 20 points, so there is another cause as well")
    text = "the protocol is not that of the published figure"
    return Cause("preset", "certain", text, "; ".join(notes), f"Measure with {', '.join(remedy)}.", numbers)


def other_weights(weights: str, published: Published | None) -> Cause | None:
    """A file of weights that is not the published one by its name."""
    if published is None or weights in ("pretrained", "random", "", published.tag, published.file):
        return None
    evidence = f"weights {weights}, published for {published.file}"
    remedy = "Take the published file: --weights pretrained, with --pull where it is not here."
    return Cause("other-weights", "possible", "the weights may not be the published ones", evidence, remedy)


def missing_videos(
    outcome: Outcome, figure: float | None, goal: float | None, tolerance: tuple[float, float] | None, several: bool
) -> Cause | None:
    """Videos without a score, and between which figures they leave the one over all videos."""
    missing = outcome.clips - outcome.evaluated
    if not missing or figure is None:
        return None
    text = f"{missing} of {many(outcome.clips, 'video')} without a score"
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


def part_of_the_list(outcome: Outcome, low: float, high: float, goal: float | None) -> Cause | None:
    """A limit, and whether the interval holds the published figure; `low` and `high` in [0, 1]."""
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


def class_subset(labels: Ints, k: int) -> tuple[Cause, bool] | None:
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
    evidence = (
        f"{many(n, 'video')} of {many(found, 'class', 'es')}; drawn from all {k} they would be of about {mean:.0f}"
    )
    if found == 1:
        evidence += f"; every label is {int(counts.argmax())}"
    remedy = "Measure over a list of all classes, without --limit where the list is sorted by class."
    text = f"the list has {many(found, 'class', 'es')} of the model's {k}, and some classes are easier than others"
    cause = Cause("class-subset", "likely", text, evidence, remedy, {"classes": found, "of": k, "expected": mean})
    return cause, found < 0.8 * mean


def copy_of_the_set(difference: float, n: int, whole: int) -> Cause:
    """What is left where a figure is a little too low over nearly the whole set; `difference` in points."""
    evidence = (
        f"{-difference:.2f} points below over {n:,} videos (published: {whole:,}); others who tested published "
        "weights on their copies of Kinetics-400 were 0.6 to 1.6 points below"
    )
    remedy = "Compare the list with the published one; `vidbench data check` finds videos that were scaled or recoded."
    return Cause("copy-of-the-set", "possible", "another copy of the validation set", evidence, remedy)
