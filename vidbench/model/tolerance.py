"""How far a measured figure may lie from the published one by chance, and what guessing would reach."""

from __future__ import annotations

import math

from vidbench.model.card import Published
from vidbench.model.outcome import many

BAND = 0.5
"""Points by which two decoders and two scalers may differ on the same videos and one protocol."""

Z = 3.2905267314919255
"""Half the length of an interval in standard deviations, such that it misses once in 1000."""

VALIDATION = {"kinetics400": 19_761, "something-something-v2": 24_777, "ssv2": 24_777, "charades": 1_863}
"""Videos of the sets that published figures were measured on. Kinetics-400: the copy of video-nonlocal-net."""


def stretched(figure: float, interval: tuple[float, float]) -> tuple[float, float]:
    """A 95 % interval as long as a 99.9 % one."""
    factor = Z / 1.959963984540054
    return figure - factor * (figure - interval[0]), figure + factor * (interval[1] - figure)


def tolerance(
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
        drawn = f"{many(n, 'video')} of the {whole:,} published" if whole else many(n, "video")
        parts.insert(0, f"-{down:.1f}/+{up:.1f} points of chance in {drawn} (99.9 %)")
    return (round(down + BAND, 4), round(up + BAND, 4)), " and ".join(parts)


def at_chance(wide: tuple[float, float], chance: float, goal: float | None) -> bool:
    """Whether guessing explains the figure and half of what is expected does not, each at 99.9 %."""
    expected = goal / 100 if goal is not None and goal / 100 > chance else None
    ceiling = chance + (0.5 * (expected - chance) if expected else 0.1 * (1 - chance))
    return wide[0] <= chance <= wide[1] < ceiling
