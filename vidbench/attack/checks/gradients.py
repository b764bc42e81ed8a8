"""Checks of gradients: there, true to the loss, and smooth (C4-C6)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, median

from vidbench.attack.checks.flag import Flag

ROUGH = 0.1


@dataclass(frozen=True)
class Slope:
    """A clip's directional derivatives at one step width, measured and by autograd.

    Attributes:
        ratio: Measured over analytic along the gradient's sign.
        agree: Random directions in which both have the same sign.
        directions: Random directions that were tried.
    """

    ratio: float
    agree: int
    directions: int


@dataclass(frozen=True)
class Gradient:
    """The gradient of a clip's margin at the clean clip.

    Attributes:
        norm: Its L2 norm, 0 where it vanishes.
        finite: Whether all its values are numbers.
        dead_frames: Frames without any.
        frames: T.
        cross_entropy_norm: The norm of the cross entropy's gradient.
        slopes: By step width, "0.001".
        cosine: Mean cosine with the gradients at clips with noise of 1/255; None where there is no gradient.
        spread: Standard deviation of those gradients' norms over their mean.
    """

    norm: float
    finite: bool
    dead_frames: int
    frames: int
    cross_entropy_norm: float
    slopes: Mapping[str, Slope]
    cosine: float | None
    spread: float | None

    @property
    def usable(self) -> bool:
        """Whether it points anywhere."""
        return self.finite and self.norm > 0


def there(found: Sequence[Gradient]) -> Flag:
    """C4: gradients neither vanish nor overflow; the margin's, which does not saturate as the cross entropy does."""
    title = "gradients that are there"
    zero = sum(one.finite and one.norm == 0 for one in found)
    infinite = sum(not one.finite for one in found)
    dead = sum(one.dead_frames for one in found if one.usable)
    frames = sum(one.frames for one in found if one.usable)
    evidence = f"Of {len(found)} gradients {zero} are zero and {infinite} not finite"
    bad = zero + infinite
    # one clip of many is a clip; one of two is the model
    if bad > 0.1 * len(found):
        return Flag("C4", title, "E", f"{evidence}: gradient attacks stand still there.",
                    "Find the rounding or saturating operation; attack with the identity in its place.")  # fmt: skip
    if bad > 0.01 * len(found):
        return Flag("C4", title, "W", f"{evidence}.", "Look at these clips one by one.")
    if dead:
        return Flag("C4", title, "I", f"{evidence}; {dead} of {frames} frames have none: the model leaves them out.")
    return Flag("C4", title, "pass", f"{evidence}.")


def trustworthy(found: Sequence[Gradient]) -> Flag:
    """C5: gradients foretell what finite differences measure, at one step width at least.

    A step width passes where the median of measured over analytic along the gradient's sign is in [0.5, 2], and the
    signs agree in more than 90 % of random directions. Curvature spoils wide steps and rounding narrow ones, so that
    a model is trusted at its best width.
    """
    title = "gradients that foretell the loss"
    usable = [one for one in found if one.usable and one.slopes]
    if not usable:
        return Flag("C5", title, "I", "No clip has a gradient to compare with finite differences.")
    widths = {width: _agreement([one.slopes[width] for one in usable if width in one.slopes])
              for width in usable[0].slopes}  # fmt: skip
    width, (ratio, agreement) = max(widths.items(), key=lambda item: (_trusted(*item[1]), item[1][1]))
    evidence = (
        f"over {len(usable)} clips, at the best of {len(widths)} step widths ({width}), measured over analytic slope "
        f"is {ratio:.3g} in the median, and {100 * agreement:.0f} % of the signs agree"
    )
    if _trusted(ratio, agreement):
        return Flag("C5", title, "pass", f"{evidence[0].upper()}{evidence[1:]}.")
    return Flag(
        "C5", title, "E", f"Gradients do not describe the loss: {evidence} (wanted: 0.5 to 2, above 90 %).",
        "Replace the concealing operation by the identity in the backward pass (BPDA), or attack by scores.",
    )  # fmt: skip


def smooth(found: Sequence[Gradient]) -> Flag:
    """C6: neighbours have similar gradients; on a rough loss gradient steps are random steps."""
    title = "gradients that are alike nearby"
    cosines = [one.cosine for one in found if one.cosine is not None]
    spreads = [one.spread for one in found if one.spread is not None]
    if not cosines:
        return Flag("C6", title, "I", "No clip has a gradient to compare with its neighbours'.")
    evidence = (
        f"Under noise of 1/255 gradients keep a cosine of {median(cosines):.3f} in the median with the clean one, "
        f"and their norms spread by {fmean(spreads):.2f} of their mean."
    )
    if median(cosines) > ROUGH:
        return Flag("C6", title, "pass", evidence)
    return Flag("C6", title, "W", evidence, "Average gradients over noise, or attack by scores: steps here are random.")


def _agreement(slopes: Sequence[Slope]) -> tuple[float, float]:
    tried = sum(slope.directions + 1 for slope in slopes)
    agree = sum(slope.agree + (slope.ratio > 0) for slope in slopes)
    return median(slope.ratio for slope in slopes), agree / tried


def _trusted(ratio: float, agreement: float) -> bool:
    return 0.5 <= ratio <= 2 and agreement > 0.9
