"""Checks of what a model answers: the same each time, logits, joined to its input (C1-C3, C22, C23)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from vidbench.attack.checks.flag import Flag

SAME = 1e-4
"""Largest difference of logits between equal passes, relative to the largest logit: kernels may sum in any order."""
DLR_CLASSES = 4


@dataclass(frozen=True)
class Answer:
    """What a model answered to one clean clip.

    Attributes:
        change: Largest difference of its logits over equal passes, relative to the largest logit.
        flips: Whether its class changed between them.
        finite: Whether all its logits are numbers.
        probabilities: Whether they are in [0, 1] and add up to 1 within 1e-5.
    """

    change: float
    flips: bool
    finite: bool
    probabilities: bool


def steady(answers: Sequence[Answer], passes: int, draws: int, reported_draws: int | None) -> Flag:
    """C1: equal passes give equal logits; otherwise attacks must average over draws (Athalye et al. 2018).

    Args:
        answers: Of the clean clips.
        passes: How many equal passes there were.
        draws: Passes that the attacks here averaged over.
        reported_draws: Passes that the run under judgement averaged over; None without a run.
    """
    title = "the same answer each time"
    finite = [answer for answer in answers if answer.finite]
    largest = max((answer.change for answer in finite), default=0.0)
    flips = sum(answer.flips for answer in finite)
    evidence = (
        f"over {passes} equal passes the logits changed by up to {largest:.1e} of the largest, and the class of "
        f"{flips} of {len(answers)} clips changed"
    )
    if largest <= SAME and flips == 0:
        return Flag("C1", title, "pass", f"{evidence}.")
    if reported_draws is not None and reported_draws < 2:
        return Flag("C1", title, "E", f"{evidence}; the run did not average over draws.",
                    "Attack it with --draws 16 or more.")  # fmt: skip
    return Flag(
        "C1", title, "W", f"{evidence}; attacks here averaged over {draws} draws.",
        "Make the model deterministic to compare, or give the figure with its number of draws.",
    )  # fmt: skip


def gives_logits(answers: Sequence[Answer]) -> Flag:
    """C2: the output is finite logits, not probabilities, of which the cross entropy is a softmax of a softmax."""
    title = "the output is finite logits"
    lost = sum(not answer.finite for answer in answers)
    if lost:
        severe = lost > 0.1 * len(answers)
        return Flag(
            "C2", title, "E" if severe else "W",
            f"The output for {lost} of {len(answers)} clean clips is not finite; such clips count as wrong.",
            "Find the layer that overflows; fp16 overflows above 65504.",
        )  # fmt: skip
    if answers and all(answer.probabilities for answer in answers):
        return Flag(
            "C2", title, "E",
            f"For all {len(answers)} clips the outputs are in [0, 1] and add up to 1: they are probabilities, so that "
            "gradients of the cross entropy vanish where the model is sure.",
            "Take the softmax off the network's end.",
        )  # fmt: skip
    return Flag("C2", title, "pass", f"The outputs for {len(answers)} clips are finite and no probabilities.")


def joined(connected: Sequence[bool], reason: str) -> Flag:
    """C3: autograd leads from the logits back to the clip.

    Args:
        connected: Per clip.
        reason: What autograd said where it did not.
    """
    title = "autograd reaches the input"
    cut = sum(not one for one in connected)
    if not cut:
        return Flag("C3", title, "pass", f"Autograd reaches the input for all {len(connected)} clips.")
    return Flag(
        "C3", title, "E",
        f"For {cut} of {len(connected)} clips there is no gradient ({reason}): no gradient attack can run.",
        "Replace the operation that cuts the graph by one with a gradient (BPDA), or attack by scores alone.",
    )  # fmt: skip


def differentiates_inside(backward_operations: int) -> Flag:
    """C22: nothing is differentiated inside the forward pass: a defence that optimises at test time needs attacks of
    its own (Croce et al. 2022, arXiv:2202.13711).
    """
    title = "no gradients inside the forward pass"
    evidence = f"{backward_operations} backward operations ran inside one forward pass."
    if backward_operations == 0:
        return Flag("C22", title, "pass", evidence)
    return Flag(
        "C22", title, "W", evidence,
        "Attack the model without what optimises at test time, and through the unrolled optimisation.",
    )  # fmt: skip


def enough_classes(classes: int) -> Flag:
    """C23: the difference of logits ratio needs a third class, and a fourth to be of use."""
    title = "classes for the difference of logits ratio"
    if classes >= DLR_CLASSES:
        return Flag("C23", title, "pass", f"{classes} classes.")
    return Flag("C23", title, "I", f"With {classes} classes APGD-DLR was left out; the margin loss stands in for it.")
