"""A sound run is seldom called below or above."""

from dataclasses import replace

import numpy as np

from vidbench.model.card import Published
from vidbench.model.metrics import wilson
from vidbench.model.tolerance import Z, tolerance

PUBLISHED = Published(("https://x/a.pyth",), "a.pyth", 76.0, 92.0, "10x3", "zoo", "Apache-2.0")


def test_sound_runs_are_called_below_or_above_less_than_once_in_1000_times() -> None:
    draw = np.random.default_rng(0)
    for videos in (30, 100, 1000, 10_000):
        hits = draw.binomial(videos, 0.76, 4000)
        called = 0
        for hit in hits:
            figure = int(hit) / videos
            room, _ = tolerance(figure, wilson(int(hit), videos, Z), videos, replace(PUBLISHED, data="x"))
            assert room is not None
            called += not -room[1] <= 100 * figure - 76.0 <= room[0]
        # 4 are expected of 4000 without the band; more than 12 has a chance of 3e-4
        assert called <= 12
