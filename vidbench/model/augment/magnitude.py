"""RandAugment's policy text, and what a magnitude of 0 to 10 means to each of its operations; without torch."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

MOST = 10.0
_PART = re.compile(r"(mstd|inc|m|n|p)(\d+(?:\.\d+)?)")


@dataclass(frozen=True)
class RandAugmentPolicy:
    """A parsed policy.

    Attributes:
        magnitude: Strength, 0 to 10.
        number: Operations per clip.
        spread: Standard deviation of the magnitude from operation to operation; infinite: uniform in [0, magnitude].
        increasing: Whether a larger magnitude is a stronger operation throughout; see `argument`.
        probability: How often each of the drawn operations is applied.
    """

    magnitude: float = 10.0
    number: int = 2
    spread: float = 0.0
    increasing: bool = False
    probability: float = 0.5


def parse_randaugment(text: str) -> RandAugmentPolicy:
    """The policy that timm writes as `rand-m7-n4-mstd0.5-inc1`.

    `m`: magnitude, 10 unless given; `n`: operations per clip, 2; `mstd`: spread of the magnitude, 0, and above 100
    it is uniform in [0, m], as with timm; `inc1`: the increasing variant; `p`: probability of each operation, 0.5.

    Raises:
        ValueError: A part that is none of these, stands twice, or is out of its range.
    """
    words = text.split("-")
    if words[0] == "rand":
        words = words[1:]
    found: dict[str, float] = {}
    for word in words:
        match = _PART.fullmatch(word)
        if match is None:
            raise ValueError(f"randaugment {text!r}: {word!r} is none of m7, n4, mstd0.5, inc1, p0.5")
        if match[1] in found:
            raise ValueError(f"randaugment {text!r}: {match[1]} stands twice")
        found[match[1]] = float(match[2])
    number, spread = found.get("n", 2.0), found.get("mstd", 0.0)
    if found.get("m", MOST) > MOST:
        raise ValueError(f"randaugment {text!r}: magnitudes go from 0 to {MOST:g}")
    if not number.is_integer() or number < 1:
        raise ValueError(f"randaugment {text!r}: n is a whole number from 1")
    if found.get("p", 0.5) > 1:
        raise ValueError(f"randaugment {text!r}: p is a probability")
    if found.get("inc", 0.0) not in (0.0, 1.0):
        raise ValueError(f"randaugment {text!r}: inc is 0 or 1")
    return RandAugmentPolicy(
        magnitude=found.get("m", MOST),
        number=int(number),
        spread=math.inf if spread > 100 else spread,
        increasing=found.get("inc", 0.0) == 1.0,
        probability=found.get("p", 0.5),
    )


# names as timm has them, less the endings that tell variants apart
OPERATIONS = (
    "AutoContrast", "Equalize", "Invert", "Rotate", "Posterize", "Solarize", "SolarizeAdd", "Color", "Contrast",
    "Brightness", "Sharpness", "ShearX", "ShearY", "TranslateX", "TranslateY",
)  # fmt: skip
PLAIN = ("AutoContrast", "Equalize", "Invert")
FACTORS = ("Color", "Contrast", "Brightness", "Sharpness")
_SPANS = {"Rotate": 30.0, "ShearX": 0.3, "ShearY": 0.3, "TranslateX": 0.45, "TranslateY": 0.45}


def argument(name: str, magnitude: float, increasing: bool, sign: int) -> float:
    """What an operation is called with at a magnitude of 0 to 10.

    Rotate: degrees, to 30. ShearX, ShearY: pixels per pixel, to 0.3. TranslateX, TranslateY: shares of the side, to
    0.45. Posterize: bits kept, 4 down to 0 if increasing, else 0 up to 4. Solarize: the level of 0 to 256 from which
    values are inverted, 256 down to 0 if increasing, else 0 up. SolarizeAdd: levels, to 110. Color, Contrast,
    Brightness, Sharpness: a factor, 1 away to 0.1 or 1.9 if increasing, else 0.1 up to 1.9. Others take none: 0.

    At magnitude 0 of the increasing variant all but AutoContrast, Equalize, Invert and Posterize (4 bits) do nothing.

    Args:
        name: One of `OPERATIONS`.
        magnitude: 0 to 10.
        increasing: The variant.
        sign: 1 or -1: which way, where there are two.
    """
    share = magnitude / MOST
    if name in _SPANS:
        return sign * share * _SPANS[name]
    if name == "Posterize":
        bits = int(share * 4)
        return 4 - bits if increasing else bits
    if name == "Solarize":
        level = int(share * 256)
        return 256 - level if increasing else level
    if name == "SolarizeAdd":
        return int(share * 110)
    if name in FACTORS:
        return max(0.1, 1 + sign * share * 0.9) if increasing else share * 1.8 + 0.1
    return 0.0
