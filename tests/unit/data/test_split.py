"""Shares of a split, and who stays with whom."""

from __future__ import annotations

import pytest

from vidbench.data.split import compile_pattern, parse_shares, side_of, source_of
from vidbench.errors import UsageError


def test_the_rest_is_train() -> None:
    assert parse_shares("val=0.1,test=0.2") == pytest.approx({"test": 0.2, "val": 0.1, "train": 0.7})
    assert list(parse_shares("test=0.2,val=0.1")) == ["test", "val", "train"]
    assert parse_shares("train=0.8,val=0.2") == {"val": 0.2, "train": 0.8}
    assert parse_shares("a=.5, b=.5") == {"a": 0.5, "b": 0.5}


@pytest.mark.parametrize(
    "text",
    ["", "val", "val=0", "val=1", "val=1.5", "val=-0.1", "val=.6,test=.6", "val=.1,val=.1", "train=.5,val=.1", "/=.1"]
)  # fmt: skip
def test_shares_that_are_none(text: str) -> None:
    with pytest.raises(UsageError, match="--split"):
        parse_shares(text)


@pytest.mark.parametrize(
    ("name", "pattern", "source"),
    [
        ("0wR5jVB-WPk_000417_000427.mp4", None, ("0wR5jVB-WPk", "kinetics name")),
        ("a_b_000001_000011.webm", None, ("a_b", "kinetics name")),
        ("clip.one.mp4", None, ("clip.one", "file name")),
        ("v_Archery_g01_c02.avi", r"(v_.+_g\d+)_c", ("v_Archery_g01", "pattern")),
        ("other_000001_000011.mp4", r"(v_.+_g\d+)_c", ("other", "kinetics name")),
    ],
)
def test_sources(name: str, pattern: str | None, source: tuple[str, str]) -> None:
    assert source_of(name, compile_pattern(pattern)) == source


@pytest.mark.parametrize("text", ["(", "abc"])
def test_patterns_that_are_none(text: str) -> None:
    with pytest.raises(UsageError, match="--source-pattern"):
        compile_pattern(text)


def test_sides_are_fixed_and_have_their_shares() -> None:
    shares = parse_shares("val=0.1,test=0.2")
    # fixed for ever: a change would move videos between the train and test sets of users
    assert [i for i in range(60) if side_of(f"video{i}", 0, shares) == "test"] == [
        11,
        12,
        15,
        18,
        22,
        25,
        28,
        33,
        35,
        40,
        56,
    ]
    assert parse_shares("test=0.2,val=0.1") == shares
    sides = [side_of(f"video{i}", 7, shares) for i in range(5000)]
    assert sides.count("test") / 5000 == pytest.approx(0.2, abs=0.02)
    assert sides.count("val") / 5000 == pytest.approx(0.1, abs=0.02)
    assert sides != [side_of(f"video{i}", 8, shares) for i in range(5000)]
