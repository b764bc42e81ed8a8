"""Checks of whether an attack had enough: steps, restarts, losses, and a curve that falls (C13-C16)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import median

from vidbench.attack.checks.counts import Counts
from vidbench.attack.checks.flag import Flag

LATE = 0.05


@dataclass(frozen=True)
class Course:
    """How PGD went at one radius.

    Attributes:
        eps: As typed.
        steps: In all.
        robust: Clips left after so many steps, half of them and all among these.
        late: Per clip that was left: the share of its margin's whole ascent that fell into the last tenth of steps.
    """

    eps: str
    steps: int
    robust: Mapping[int, int]
    late: Sequence[float]


def enough_steps(courses: Sequence[Course], counts: Counts) -> Flag:
    """C13: half the steps would have done, and the margin no longer rises (Pintor et al. 2022, arXiv:2106.09947)."""
    title = "enough steps"
    if not courses:
        return Flag("C13", title, "I", "No gradient attack could run.")
    said = []
    for course in courses:
        left = ", ".join(f"{count} after {steps}" for steps, count in sorted(course.robust.items()))
        half = max(steps for steps in course.robust if 2 * steps <= course.steps)
        gained = counts.exceeds(course.robust[half], course.robust[course.steps], 0.5)
        rising = median(course.late) if len(course.late) > 1 else 0.0
        if gained or rising > LATE:
            return Flag(
                "C13", title, "W",
                f"At eps {course.eps} PGD leaves {left} steps of {counts.clips} clips, and {100 * rising:.1f} % of "
                "the margin's ascent fell into the last tenth of the steps.",
                f"Give more than {course.steps} --steps.",
            )  # fmt: skip
        said.append(f"{left} steps at eps {course.eps}")
    return Flag("C13", title, "pass", f"Clips left of {counts.clips}: {'; '.join(said)}.")


def enough_restarts(courses: Sequence[Course], counts: Counts) -> Flag:
    """C14: five random starts break no more than one.

    Args:
        courses: `robust` by number of starts.
        counts: Of the sweep.
    """
    title = "enough restarts"
    if not courses:
        return Flag("C14", title, "I", "No gradient attack could run.")
    course = max(courses, key=lambda one: one.robust[min(one.robust)] - one.robust[max(one.robust)])
    one, most = course.robust[min(course.robust)], course.robust[max(course.robust)]
    evidence = (
        f"At eps {course.eps} one random start of PGD leaves {counts.percent(one)}, {max(course.robust)} leave "
        f"{counts.percent(most)}."
    )
    if counts.exceeds(one, most, 0.5):
        return Flag("C14", title, "W", evidence, "Attack with more restarts: results still depend on the start.")
    return Flag("C14", title, "pass", evidence)


def losses_agree(counts: Counts, saturated: int, clips: int) -> Flag:
    """C15: the cross entropy breaks what the scale-free losses break; where it saturates it breaks less.

    A difference of logits ratio that breaks less than the cross entropy is usual, and no fault of the model.

    Args:
        counts: Of the sweep: `ce`, `dlr` and `margin` are unions over the attacks of a loss.
        saturated: Clips whose cross entropy has no gradient though their margin has.
        clips: Clips whose gradients were looked at.
    """
    title = "losses agree"
    gaps = [gap for other in ("margin", "dlr") if (gap := counts.worst_gap("ce", other))]
    if not gaps:
        return Flag("C15", title, "I", "No gradient attack could run.")
    at, entropy, other = max(gaps, key=lambda gap: gap[1] - gap[2])
    named = ", ".join(f"{name} {at.robust[name]}" for name in ("ce", "dlr", "margin") if name in at.robust)
    evidence = (
        f"At eps {at.eps}, clips left of {counts.clips} by loss: {named}; the cross entropy has no gradient at "
        f"{saturated} of {clips} clips that have a margin's."
    )
    if counts.exceeds(entropy, other, 1.0) or saturated > 0.1 * clips:
        return Flag("C15", title, "W", evidence, "The cross entropy saturates: attack with the margin or APGD-DLR.")
    return Flag("C15", title, "pass", evidence)


def falls_with_eps(counts: Counts, names: Sequence[str]) -> Flag:
    """C16: no attack, begun anew at each radius, leaves more clips at a larger one.

    Args:
        counts: Of the sweep.
        names: Attacks to look at.
    """
    title = "robust accuracy falls with eps"
    if len(counts.radii) < 2:
        return Flag("C16", title, "I", "One radius makes no curve.")
    for name in names:
        curve = [(at.eps, at.robust[name]) for at in counts.radii if name in at.robust]
        for (small, before), (large, after) in pairwise(curve):
            if counts.exceeds(after, before, 1.0):
                return Flag(
                    "C16", title, "E",
                    f"{name} leaves {counts.percent(before)} at eps {small}, but {counts.percent(after)} at {large}.",
                    "An attack that larger radii hinder does not converge: give more steps, or smaller ones.",
                )  # fmt: skip
    best = ", ".join(f"{at.robust['best']} at {at.eps}" for at in counts.radii)
    return Flag("C16", title, "pass", f"Clips left of {counts.clips} by everything that was run: {best}.")
