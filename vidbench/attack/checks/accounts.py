"""Checks of the accounts: budget, precision, the sample, which rates are told, and the run's own figure (C18-C26)."""

from __future__ import annotations

from collections.abc import Sequence

from vidbench.attack.checks.counts import Counts
from vidbench.attack.checks.flag import Flag
from vidbench.model.metrics import wilson

HEADLINE = 200
"""Clips that a figure for a headline should rest on."""


def within_budget(outside: Sequence[str], audited: int) -> Flag:
    """C18: every attacked clip is in the ball and the box, measured in float64; by hearsay for a run's records.

    Args:
        outside: Those that are not, in words.
        audited: How many were looked at.
    """
    title = "perturbations within the budget"
    if not outside:
        return Flag("C18", title, "pass", f"All {audited} attacked clips are within the budget, measured in float64.")
    return Flag(
        "C18", title, "E", f"{len(outside)} of {audited} attacked clips are outside the budget, first {outside[0]}.",
        "A figure of another budget says nothing about this one: run the attack again.",
    )  # fmt: skip


def confirmed(lost: int, successes: int, random: bool, other_answers: int, compared: int) -> Flag:
    """C19: an independent float32 pass of the reference network agrees with what attacks saw.

    Args:
        lost: Successes that it did not confirm, which do not count.
        successes: As attacks saw them.
        random: Whether the model draws random numbers, so that passes may differ.
        other_answers: Clean clips whose class differs from the one in the run under judgement.
        compared: Clean clips that could be compared with it.
    """
    title = "successes confirmed in float32"
    evidence = f"{lost} of {successes} successes were not confirmed by a float32 pass of the reference network"
    if compared:
        evidence += f"; {other_answers} of {compared} clean clips are classified otherwise than in the run"
    if other_answers > 1 and other_answers > 0.01 * compared and not random:
        return Flag("C19", title, "E", f"{evidence}.", "The run's weights, clips or preprocessing are other ones.")
    # rounding flips a clip on the boundary now and then; many are another function
    if lost > 1 and lost > 0.05 * successes:
        return Flag("C19", title, "W" if random else "E", f"{evidence}.",
                    "Craft in float32 and in the reference layout.")  # fmt: skip
    return Flag("C19", title, "I" if lost or other_answers else "pass", f"{evidence}.")


def sample_size(counts: Counts) -> Flag:
    """C24: how far chance in the choice of clips may move the figure: Wilson's interval, 95 %."""
    title = "sample size"
    said = []
    for at in counts.radii:
        low, high = wilson(at.robust["best"], counts.clips)
        said.append(f"{100 * low:.1f} to {100 * high:.1f} % at eps {at.eps}")
    evidence = f"With {counts.clips} clips robust accuracy is at most, with 95 % confidence, {'; '.join(said)}."
    if counts.clips >= HEADLINE:
        return Flag("C24", title, "pass", evidence)
    return Flag("C24", title, "I", evidence, f"For a headline attack {HEADLINE} clips or more.")


def all_rates(counts: Counts) -> Flag:
    """C25: clean accuracy, robust accuracy (RA), that among clips right before (AR), and attack success (ASR) together.

    RobustART's AR is conditional, so that it can lie above the clean accuracy.
    """
    said = []
    for at in counts.radii:
        robust = at.robust["best"]
        kept = 100 * robust / counts.clean if counts.clean else None
        rates = "no AR, as no clip is right before" if kept is None else f"AR {kept:.1f} %, ASR {100 - kept:.1f} %"
        said.append(f"at eps {at.eps} RA {100 * counts.share(robust):.1f} %, {rates}")
    evidence = f"Clean {100 * counts.share(counts.clean):.1f} %; {'; '.join(said)}."
    return Flag("C25", "rates side by side", "I", evidence)


def one_view() -> Flag:
    """C26: which views are attacked."""
    return Flag(
        "C26", "views", "I",
        "The centre view of each clip is attacked and judged alone; over several views robustness is another figure.",
    )  # fmt: skip


def reported_holds(eps: str, reported: int, best: int, counts: Counts) -> Flag:
    """R1: what a run reports is what the strongest attacks here leave, of the same clips.

    Each clip more that breaks is proof; a run is called wrong where they take more than ten points.

    Args:
        eps: The radius.
        reported: Clips that the run calls robust.
        best: Clips that withstand everything.
        counts: For the number of clips.
    """
    title = "the reported figure stands"
    evidence = f"At eps {eps} the run reports {counts.percent(reported)}; {counts.percent(best)} withstand everything."
    if counts.exceeds(reported, best, 10.0):
        return Flag("R1", title, "E", evidence, "Report the smaller figure: its attacks are listed.")
    if counts.exceeds(reported, best, 1.0):
        return Flag("R1", title, "W", evidence, "Report the smaller figure: its attacks are listed.")
    return Flag("R1", title, "pass", evidence)
