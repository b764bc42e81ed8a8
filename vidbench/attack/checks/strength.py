"""Checks of an attack's strength beside others: unbounded, one step, scores, transfer, noise (C7-C12, C21)."""

from __future__ import annotations

from collections.abc import Sequence

from vidbench.attack.checks.counts import Counts
from vidbench.attack.checks.flag import Flag


def unbounded(robust: int | None, counts: Counts, classes: int) -> Flag:
    """C7: with eps 1 every image is in reach, so that nothing withstands; PGD, 100 steps of 0.05.

    Args:
        robust: Clips that withstood; None where no gradient attack could run.
        counts: Of the sweep.
        classes: K.
    """
    title = "an unbounded attack breaks everything"
    if robust is None:
        return Flag("C7", title, "I", "No gradient attack could run.")
    evidence = f"PGD over the whole pixel range leaves {counts.percent(robust)} right; chance is {100 / classes:.1f} %."
    if counts.exceeds(robust, 0, 5.0):
        return Flag("C7", title, "E", evidence, "The attack does not work on this model: mend it before counting.")
    return Flag("C7", title, "pass", evidence)


def grey(right: int, counts: Counts, classes: int) -> Flag:
    """C8: a grey clip tells nothing, so that the model is at chance there; what C7 can reach at least."""
    evidence = f"Of an even grey clip the model is right for {counts.percent(right)}; chance is {100 / classes:.1f} %."
    return Flag("C8", "the grey clip", "I", evidence)


def iterations_pay(counts: Counts) -> Flag:
    """C9: many small steps break at least what one large step breaks (Athalye et al. 2018)."""
    title = "iterated at least as strong as one step"
    gap = counts.worst_gap("pgd", "fgsm")
    if gap is None:
        return Flag("C9", title, "I", "No gradient attack could run.")
    at, many, one = gap
    evidence = f"At eps {at.eps} PGD leaves {counts.percent(many)} and FGSM {counts.percent(one)}."
    if counts.exceeds(many, one, 0.5):
        return Flag("C9", title, "E", evidence, "Iteration that does not help is a sign of concealed gradients.")
    return Flag("C9", title, "pass", evidence)


def gradients_pay(counts: Counts, queries: int) -> Flag:
    """C10: who sees gradients breaks at least what Square breaks by scores alone."""
    title = "white box at least as strong as black box"
    gap = counts.worst_gap("white-box", "square")
    if gap is None:
        return Flag("C10", title, "I", "Gradient attacks or Square could not run.")
    at, white, black = gap
    evidence = (
        f"At eps {at.eps} gradient attacks leave {counts.percent(white)} and Square with {queries} queries "
        f"{counts.percent(black)}."
    )
    if counts.exceeds(white, black, 0.2):
        return Flag("C10", title, "E", evidence, "Gradients are concealed: the white-box figure is no robustness.")
    return Flag("C10", title, "pass", evidence)


def own_gradients_pay(counts: Counts, sources: Sequence[str]) -> Flag:
    """C11: a model's own gradients serve at least as well as those of its undefended part.

    Args:
        counts: Of the sweep.
        sources: Whose gradients else were followed, in words; empty where there were none.
    """
    title = "white box at least as strong as transfer"
    gap = counts.worst_gap("white-box", "transfer")
    if gap is None:
        if not sources:
            return Flag("C11", title, "pass", "There is nothing to transfer from.")
        return Flag("C11", title, "I", "No attack by the model's own gradients could run.")
    at, white, transfer = gap
    evidence = (
        f"At eps {at.eps} attacks by the model's own gradients leave {counts.percent(white)}, by those of "
        f"{' and '.join(sources)} {counts.percent(transfer)}."
    )
    if counts.exceeds(white, transfer, 0.5):
        return Flag(
            "C11", title, "E", evidence, "What stands before the network hides its gradients; it does not help."
        )
    return Flag("C11", title, "pass", evidence)


def beats_noise(counts: Counts) -> Flag:
    """C12: an attack breaks more than noise of the same size, where anything breaks clips at all."""
    title = "the attack beats noise"
    weak = []
    untouched = []
    for at in counts.radii:
        if not {"white-box", "noise", "best"} <= {*at.robust}:
            continue
        white, noise, best = at.robust["white-box"], at.robust["noise"], at.robust["best"]
        if white >= noise and counts.exceeds(white, best, 0.5):
            weak.append((at, white, noise, best))
        if white >= noise and white == counts.clean:
            untouched.append(at.eps)
    if weak:
        at, white, noise, best = weak[-1]
        return Flag(
            "C12", title, "W",
            f"At eps {at.eps} gradient attacks leave {counts.percent(white)} and noise {counts.percent(noise)}, though "
            f"only {counts.percent(best)} withstand everything.",
            "An attack no better than noise measures nothing.",
        )  # fmt: skip
    if untouched:
        return Flag("C12", title, "I", f"At eps {', '.join(untouched)} nothing breaks a clip: too small to tell.")
    pairs = ", ".join(
        f"{at.robust['white-box']} against {at.robust['noise']} at {at.eps}"
        for at in counts.radii if {"white-box", "noise"} <= {*at.robust}
    )  # fmt: skip
    if not pairs:
        return Flag("C12", title, "I", "No gradient attack could run.")
    return Flag("C12", title, "pass", f"Clips left by gradient attacks and by noise, of {counts.clips}: {pairs}.")


def near_identities(paths: Sequence[str], operations: Sequence[str], counts: Counts) -> Flag:
    """C21: modules that change their input next to nothing, but its gradient much, are passed by in the backward pass.

    Backward pass differentiable approximation (Athalye et al. 2018, section 4.1), with the identity.

    Args:
        paths: Such modules, or the defences by name.
        operations: Operations without a useful gradient that the forward pass calls.
        counts: Of the sweep, `bypass` among them where it was run.
    """
    title = "near-identities with other gradients"
    calls = f" The forward pass calls {', '.join(operations)}." if operations else ""
    if not paths:
        return Flag("C21", title, "I" if operations else "pass", f"No module is near the identity.{calls}")
    named = ", ".join(paths)
    gap = counts.worst_gap("white-box", "bypass")
    if gap is None:
        left = ", ".join(f"{counts.percent(at.robust['bypass'])} at eps {at.eps}"
                         for at in counts.radii if "bypass" in at.robust)  # fmt: skip
        passed_by = f"With the identity in the backward pass of {named} attacks leave {left}; there are no other"
        return Flag("C21", title, "I", f"{passed_by if left else f'{named} could not be passed by'}.{calls}")
    at, white, passed = gap
    evidence = (
        f"With the identity in the backward pass of {named}, attacks at eps {at.eps} leave {counts.percent(passed)} "
        f"instead of {counts.percent(white)}.{calls}"
    )
    if counts.exceeds(white, passed, 0.5):
        return Flag("C21", title, "E", evidence, "Count the figure with the identity in the backward pass.")
    return Flag("C21", title, "I", evidence)
