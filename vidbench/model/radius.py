"""How far a clip may be changed, as users write it: "8/255" of the pixel range; without torch."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

from vidbench.errors import UsageError

Norm = Literal["linf", "l2", "l1", "l21"]


@dataclass(frozen=True)
class Eps:
    """A radius in units of the pixel range [0, 1], written as the user wrote it.

    Attributes:
        text: "8/255", "0.5".
        exact: The same as a fraction.
    """

    text: str
    exact: Fraction

    @property
    def value(self) -> float:
        """As a float."""
        return float(self.exact)

    @classmethod
    def parse(cls, text: str, norm: Norm) -> Eps:
        """Read "8/255" or "0.03"; 0 is the clean point of a sweep.

        Raises:
            UsageError: No number, negative, or above 1 for Linf (the whole pixel range).
        """
        try:
            exact = Fraction(text.strip())
        except (ValueError, ZeroDivisionError):
            raise UsageError(f"eps {text!r} is not a number", "Write a fraction of the pixel range: 8/255.") from None
        if exact < 0:
            raise UsageError(f"eps {text} is negative", "eps is a radius; 0 is the clean point of a sweep.")
        if norm == "linf" and exact > 1:
            raise UsageError(
                f"eps {text} is above 1, the whole pixel range",
                f"Clips are in [0, 1]: write {text}/255 for {text} grey levels.",
            )
        return cls(text.strip(), exact)
