"""How many clips withstood which attack at which radius: what most checks compare."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Radius:
    """One eps of the sweep.

    Attributes:
        eps: As typed.
        value: As a number.
        robust: Clips that are right before and after, by the name of the attack. Three names are unions, a clip
            counting as broken where any of them breaks it: `white-box`, all attacks that follow the model's own
            gradients; `transfer`, all that follow other gradients; `best`, everything that was run.
    """

    eps: str
    value: float
    robust: Mapping[str, int]


@dataclass(frozen=True)
class Counts:
    """All radii.

    Attributes:
        clips: Clips that were attacked, wrong ones included.
        clean: Right before any attack.
        radii: Ascending.
    """

    clips: int
    clean: int
    radii: Sequence[Radius]

    def share(self, count: int) -> float:
        """A count as a share of the clips; 0 without clips."""
        return count / self.clips if self.clips else 0.0

    def percent(self, count: int) -> str:
        """A count for people: "12/48 (25.0 %)"."""
        return f"{count}/{self.clips} ({100 * self.share(count):.1f} %)"

    def exceeds(self, larger: int, smaller: int, points: float) -> bool:
        """Whether a count is above another by more than one clip, which chance can do, and by more than `points`."""
        return larger - smaller > 1 and 100 * self.share(larger - smaller) > points

    def worst_gap(self, larger: str, smaller: str) -> tuple[Radius, int, int] | None:
        """The radius at which one attack leaves most clips that another breaks, with both counts; None where
        no radius has both.
        """
        both = [(at, at.robust[larger], at.robust[smaller]) for at in self.radii if {larger, smaller} <= {*at.robust}]
        return max(both, key=lambda found: found[1] - found[2], default=None)
