"""Figures against independent implementations."""

import math

import numpy as np
import pytest
from sklearn.metrics import balanced_accuracy_score, confusion_matrix, top_k_accuracy_score

from vidbench.model.metrics import argmax, confused_pairs, confusion, mean_class_accuracy, rank_of, wilson

generator = np.random.default_rng(0)
SCORES = generator.random((200, 7))
LABELS = generator.integers(0, 7, 200)


def test_top_k_equals_scikit_learn() -> None:
    for k in (1, 5):
        ours = sum(rank_of(int(label), row.tolist()) < k for label, row in zip(LABELS, SCORES, strict=True)) / 200
        assert ours == top_k_accuracy_score(LABELS, SCORES, k=k)


def test_ties_go_to_the_lower_index() -> None:
    assert argmax([0.5, 0.5, 0.1]) == 0
    assert [rank_of(label, [0.5, 0.5, 0.1]) for label in range(3)] == [0, 1, 2]


def test_mean_class_accuracy_and_confusion_equal_scikit_learn() -> None:
    guesses = SCORES.argmax(axis=1)
    ours = mean_class_accuracy(LABELS.tolist(), guesses.tolist())
    assert ours == pytest.approx(balanced_accuracy_score(LABELS, guesses))
    assert confusion(LABELS.tolist(), guesses.tolist(), 7) == confusion_matrix(LABELS, guesses).tolist()
    assert mean_class_accuracy([], []) is None


@pytest.mark.parametrize(
    ("successes", "trials", "low", "high"),
    # Newcombe 1998, "Two-sided confidence intervals for the single proportion", table I, method 3
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_wilson_equals_the_published_table(successes: int, trials: int, low: float, high: float) -> None:
    assert wilson(successes, trials) == pytest.approx((low, high), abs=5e-5)


def test_wilson_edges() -> None:
    assert wilson(0, 0) == (0.0, 1.0)
    assert wilson(10, 10)[1] == 1.0
    assert all(not math.isnan(value) for value in wilson(5, 10))


def test_confused_pairs_are_the_largest_fields_off_the_diagonal() -> None:
    guesses = SCORES.argmax(axis=1)
    names = [f"class {label}" for label in range(7)]
    matrix = confusion_matrix(LABELS, guesses)
    pairs = confused_pairs(LABELS.tolist(), guesses.tolist(), names, 100)
    counts = [(names.index(str(one["true"])), names.index(str(one["predicted"])), one["clips"]) for one in pairs]
    assert {(row, column): clips for row, column, clips in counts} == {
        (row, column): matrix[row, column]
        for row in range(7)
        for column in range(7)
        if row != column and matrix[row, column]
    }
    assert counts == sorted(counts, key=lambda one: (-one[2], one[0], one[1]))
    assert all(one["of"] == matrix[row].sum() for one, (row, _, _) in zip(pairs, counts, strict=True))
    assert all(one["share"] == one["clips"] / one["of"] for one in pairs)
    assert confused_pairs(LABELS.tolist(), guesses.tolist(), names, 3) == pairs[:3]


def test_confused_pairs_of_none_and_of_many_classes() -> None:
    assert confused_pairs([], [], [], 5) == []
    assert confused_pairs([1, 2], [1, 2], "abc", 5) == []
    names = [str(label) for label in range(20000)]
    assert confused_pairs([19999, 19999, 3], [0, 19999, 3], names, 5) == [
        {"true": "19999", "predicted": "0", "clips": 1, "of": 2, "share": 0.5}
    ]
