"""One seed per thing that is random: never per rank, batch or order of work."""

from __future__ import annotations

import hashlib


def seed_for(seed: int, *parts: object) -> int:
    """A 63-bit seed that depends on `seed` and on what it is for.

    The same parts give the same seed on every machine, in every order and batch, so that a resumed
    or split run draws the same random numbers as one that ran through.

    Args:
        seed: The user's `--seed`.
        parts: What the numbers are for: a clip's key, a restart, an epoch.
    """
    text = "\x1f".join(str(part) for part in (seed, *parts))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1
