"""Settings and counts of a run that explain a figure."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from vidbench.model.card import Published
from vidbench.model.protocol import RULES, Protocol, Views
from vidbench.model.verdict import judge
from vidbench.model.zoo import MODELS

PUBLISHED = Published(("https://x/a.pyth",), "a.pyth", 76.0, 92.0, "10x3", "zoo", "Apache-2.0")


def test_other_views_say_which_way_the_figure_goes(records: Any) -> None:
    labels, guesses = records.sound(10, 19_761, accuracy=0.70)
    found = records.verdict_of(labels, guesses, protocol="pyslowfast 1x1")
    assert found.verdict == "below"
    told = records.cause(found, "preset")
    assert told.numbers == {"views": ["1x1", "10x3"], "expected": "lower"}
    assert "--views 10x3" in told.remedy
    assert "20 points" not in told.evidence
    worse = records.verdict_of(*records.sound(10, 2000, accuracy=0.4), protocol="pyslowfast 1x1")
    assert "another cause as well" in records.cause(worse, "preset").evidence
    more = records.verdict_of(labels, guesses, published=replace(PUBLISHED, views="1x1"))
    assert records.cause(more, "preset").numbers["expected"] == "higher"
    for unsaid in ("", "pyslowfast"):
        assert not records.ids(records.verdict_of(*records.sound(1, 300), protocol=unsaid))
    rule = Protocol(RULES["mmaction2"], Views(10, 3))
    other = judge(records.outcome(labels, guesses), PUBLISHED, protocol=rule)
    assert records.cause(other, "preset").numbers["rule"] == ["mmaction2", "pyslowfast"]


def test_another_input_than_the_cards(records: Any) -> None:
    card = MODELS.get("x3d_s")
    used = replace(card.preprocess, short_side=256)
    found = records.verdict_of(*records.sound(1, 300), card=card, preprocess=used)
    assert records.cause(found, "preset").numbers["short_side"] == [256, card.preprocess.short_side]
    assert "preset" not in records.ids(
        records.verdict_of(*records.sound(1, 300), card=card, preprocess=card.preprocess)
    )


def test_missing_videos_bound_the_figure(records: Any) -> None:
    labels, guesses = records.sound(11, 900)
    right = int((labels == guesses).sum())
    found = records.verdict_of(labels, guesses, listed=1000, clips=1000, failed=80)
    told = records.cause(found, "missing-videos")
    assert told.numbers["lowest"] == pytest.approx(right / 10)
    assert told.numbers["highest"] == pytest.approx((right + 100) / 10)
    assert told.numbers["published_inside"]
    assert "80 failed" in told.evidence


def test_a_part_of_the_list_says_what_its_interval_holds(records: Any) -> None:
    labels, guesses = records.sound(12, 60)
    found = records.verdict_of(labels, guesses, listed=19_761)
    assert records.ids(found) == {"part-of-the-list"}
    assert found.causes[0].numbers["published_inside"]
    assert found.interval[1] - found.interval[0] > 15


def test_another_copy_of_the_set_is_possible_and_only_then(records: Any) -> None:
    labels, guesses = records.sound(13, 19_761)
    measured = 100 * float((labels == guesses).mean())
    found = records.verdict_of(labels, guesses, published=replace(PUBLISHED, top1=measured + 1.2))
    assert (found.verdict, records.ids(found)) == ("below", {"copy-of-the-set"})
    assert found.tolerance == (0.5, 0.5)
    assert found.difference == pytest.approx(-1.2, abs=1e-3)
    assert records.verdict_of(labels, guesses, published=replace(PUBLISHED, top1=measured - 1.2)).verdict == "above"
    assert "copy-of-the-set" not in records.ids(
        records.verdict_of(labels, guesses, published=replace(PUBLISHED, top1=90.0))
    )


def test_even_lists_of_any_length_are_no_subsets(records: Any) -> None:
    draw = np.random.default_rng(15)
    for trial in range(3000):
        n, k = int(draw.integers(1, 600)), int(draw.choice([2, 10, 101, 400]))
        labels = draw.integers(0, k, n)
        if trial % 100 == 0 or n < 20:
            assert "class-subset" not in records.ids(records.verdict_of(labels, labels, k, None, scores=()))
