"""Weights and inputs that are wrong are told by predictions and scores."""

from typing import Any

import numpy as np
import pytest

from vidbench.model.card import Published

PUBLISHED = Published(("https://x/a.pyth",), "a.pyth", 76.0, 92.0, "10x3", "zoo", "Apache-2.0")


def test_random_weights_that_were_asked_for(records: Any) -> None:
    draw = np.random.default_rng(0)
    found = records.verdict_of(draw.integers(0, 400, 200), draw.integers(0, 400, 200), weights="random")
    assert found.verdict == "at chance"
    assert found.causes[0].id == "random-weights"
    assert "untrained" not in records.ids(found)
    with_luck = records.verdict_of(*records.sound(1, 200), weights="random")
    assert with_luck.verdict == "not comparable"


def fresh_scores(seed: int, videos: int, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Scores of a fresh layer: logits of a bias and a little noise; they prefer few classes."""
    draw = np.random.default_rng(seed)
    logits = draw.normal(0, 0.2, k) + draw.normal(0, 0.02, (videos, k))
    scores = np.exp(logits)
    return scores / scores.sum(1, keepdims=True), scores.argmax(1)


@pytest.mark.parametrize(("k", "videos"), [(400, 60), (400, 3000), (10, 300)])
def test_an_untrained_layer_is_told_by_its_scores(records: Any, k: int, videos: int) -> None:
    scores, guesses = fresh_scores(1, videos, k)
    labels = np.random.default_rng(2).integers(0, k, videos)
    found = records.verdict_of(labels, guesses, k, scores=scores.tolist(), published=None if k == 10 else PUBLISHED)
    assert found.verdict == "at chance"
    assert found.causes[0].id == "untrained"
    assert "labels-out-of-order" not in records.ids(found)
    assert found.causes[0].numbers["entropy"] > 0.95
    assert "equal scores are" in found.causes[0].evidence


def test_few_confident_answers_point_at_the_input(records: Any) -> None:
    draw = np.random.default_rng(3)
    labels = draw.integers(0, 400, 300)
    guesses = np.where(draw.random(300) < 0.95, 77, draw.integers(0, 400, 300))
    found = records.verdict_of(labels, guesses)
    assert found.verdict == "at chance"
    told = records.cause(found, "input-preprocessing")
    assert told.numbers["class"] == 77
    assert "mean confidence of 0.70" in told.evidence
    # without confidence, or without scores, nothing is said of the input
    unsure = records.verdict_of(labels, guesses, scores=records.rows(guesses, 400, 0.1))
    assert "input-preprocessing" not in records.ids(unsure)
    assert records.ids(records.verdict_of(labels, guesses, scores=())) == {"collapsed"}


def test_a_network_that_does_not_see_its_input(records: Any) -> None:
    labels = np.random.default_rng(3).integers(0, 400, 100)
    guesses = np.full(100, 9)
    found = records.verdict_of(labels, guesses, scores=records.rows(guesses, 400, 0.3))
    assert records.ids(found) == {"constant-output"}
    assert found.causes[0].certainty == "certain"


def test_a_list_of_one_class_is_no_collapse(records: Any) -> None:
    labels, guesses = records.sound(1, 80, labels=[9] * 80)
    found = records.verdict_of(labels, np.where(labels == guesses, 9, guesses))
    assert found.verdict == "not comparable"
    assert records.ids(found) == {"class-subset"}
    assert "every label is 9" in found.causes[0].evidence
    assert "1 class of the model's 400" in found.causes[0].text


def test_softmax_of_probabilities_is_told(records: Any) -> None:
    labels, guesses = records.sound(9, 300)
    flat = [np.exp(row) / np.exp(row).sum() for row in records.rows(guesses, 400)]
    found = records.verdict_of(labels, guesses, scores=flat)
    assert records.ids(found) == {"softmax-twice"}
    assert found.verdict == "within tolerance"


def test_fewer_right_than_by_guessing(records: Any) -> None:
    draw = np.random.default_rng(4)
    labels = draw.integers(0, 10, 400)
    # never the right class, and none of the others more than another
    guesses = (labels + draw.integers(1, 10, 400)) % 10
    found = records.verdict_of(labels, guesses, 10, None)
    assert "worse-than-guessing" in records.ids(found)
    assert "guessing gives 10.00 %" in records.cause(found, "worse-than-guessing").evidence
