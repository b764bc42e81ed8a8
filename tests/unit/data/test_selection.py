"""Which clips of a set: balanced, growing, deterministic."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vidbench.data.selection import Selection, parse_names
from vidbench.errors import UnknownNameError, UsageError

Row = tuple[str, str]
ROWS: list[Row] = [(f"class {number % 7}", f"clip{number:03d}") for number in range(100)]


def choose(selection: Selection, rows: list[Row] | None = None) -> list[Row]:
    return selection.choose(ROWS if rows is None else rows, lambda row: row[0], lambda row: row[1])


def test_without_a_seed_the_first_ones() -> None:
    assert choose(Selection(limit=5)) == ROWS[:5]


def test_a_sample_is_balanced_and_in_order() -> None:
    chosen = choose(Selection(limit=21, sample_seed=3))
    assert set(Counter(label for label, _ in chosen).values()) == {3}
    assert chosen == sorted(chosen, key=lambda row: row[1])
    assert chosen != choose(Selection(limit=21, sample_seed=4))


def test_so_many_of_each_class() -> None:
    assert Counter(label for label, _ in choose(Selection(per_class=2))) == {f"class {n}": 2 for n in range(7)}


def test_classes_in_any_spelling() -> None:
    assert {label for label, _ in choose(Selection(classes=("class_3", "class 5")))} == {"class 3", "class 5"}
    with pytest.raises(UnknownNameError, match="class 3"):
        choose(Selection(classes=("clas 3",)))
    assert parse_names(" a, b c ,,d ") == ("a", "b c", "d")


def test_without_labels_nothing_can_be_chosen_by_class() -> None:
    rows = [("", "a"), ("", "b")]
    assert choose(Selection(limit=1), rows) == rows[:1]
    with pytest.raises(UsageError, match="no labels"):
        choose(Selection(per_class=1), rows)


@given(
    st.lists(
        st.tuples(st.sampled_from("abc"), st.integers(0, 500)), unique_by=lambda row: row[1], min_size=1, max_size=60
    ),
    st.integers(1, 60),
    st.integers(1, 60),
    st.integers(0, 5),
)
def test_a_greater_limit_adds_and_takes_nothing_away(
    pairs: list[tuple[str, int]], limit: int, more: int, seed: int
) -> None:
    rows = [(label, str(number)) for label, number in pairs]
    small = choose(Selection(limit=limit, sample_seed=seed), rows)
    large = choose(Selection(limit=limit + more, sample_seed=seed), rows)
    assert set(small) <= set(large)
    assert len(small) == min(limit, len(rows))
    counts = Counter(label for label, _ in small)
    full = Counter(label for label, _ in rows)
    # no class is more than one ahead of another that still has clips
    open_counts = [counts[label] for label in full if counts[label] < full[label]]
    assert not open_counts or max(counts.values()) - min(open_counts) <= 1


def test_videos_by_name() -> None:
    assert Selection(ids=("clip003", "clip001")).named(ROWS, lambda row: row[1]) == [ROWS[1], ROWS[3]]
    assert Selection().named(ROWS, lambda row: row[1]) == ROWS
    with pytest.raises(UnknownNameError, match="clip001"):
        Selection(ids=("clip0011",)).named(ROWS, lambda row: row[1])
