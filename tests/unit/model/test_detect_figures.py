"""Curves of precision over recall: their area is the average precision, and which classes have one."""

import numpy as np
import pytest

from vidbench.model.ava_boxes import Images
from vidbench.model.ava_map import Boxes, average_precision
from vidbench.model.ava_scorers import ClassScore, Scored
from vidbench.model.detect_figures import RECALLS, curves, precision_at
from vidbench.model.score import ClassResult, FileResult, ScoredFiles, ScoreResult


def test_precision_at_each_recall_by_hand() -> None:
    # right, wrong, right of four positives: 1 up to recall 0.25, 2/3 up to 0.5, nothing beyond
    found = precision_at(np.array([0.9, 0.8, 0.7]), np.array([True, False, True]), 4)
    assert found[:26] == [1.0] * 26
    assert found[26:51] == [pytest.approx(2 / 3)] * 25
    assert found[51:] == [0.0] * 50


def test_the_mean_of_a_curve_is_about_the_average_precision() -> None:
    generator = np.random.default_rng(0)
    scores, right = generator.random(4000), generator.random(4000) < 0.3
    positives = int(right.sum()) + 100
    area = np.mean(precision_at(scores, right, positives)[1:])
    assert area == pytest.approx(average_precision(scores, right, positives), abs=0.01)


def test_without_a_right_detection_precision_is_zero() -> None:
    assert precision_at(np.zeros(0), np.zeros(0, dtype=bool), 3) == [0.0] * RECALLS


def files(precisions: dict[int, float]) -> ScoredFiles:
    """One detection and one positive for each class, at the given average precision."""
    none = np.zeros((len(precisions), 4))
    ids = np.array(list(precisions), dtype=np.int64)
    boxes = Boxes(np.zeros(len(ids), dtype=np.int64), ids, none, np.linspace(0.1, 0.9, len(ids)))
    scored = Scored(
        {number: ClassScore(ap, 1, 1) for number, ap in precisions.items()}, {}, {}, 0, boxes,
        np.arange(len(ids)), boxes,
    )  # fmt: skip
    classes = tuple(ClassResult(number, f"c{number}", ap, 1, 1, ap == ap) for number, ap in precisions.items())
    file = FileResult(None, 0, 0, 0, {})  # type: ignore[arg-type]
    result = ScoreResult("activitynet", 0.5, len(ids), classes, (), file, file, 1, 0, 0, (), None)
    return ScoredFiles(result, scored, Images(True))


def test_the_best_the_median_and_the_worst_class_and_all_together_are_drawn() -> None:
    found = curves(files({1: 0.2, 2: 0.9, 3: 0.5, 4: float("nan")}))
    assert [one["name"] for one in found] == ["best: c2", "median: c3", "worst: c1", "all classes"]
    assert [one["positives"] for one in found] == [1, 1, 1, 3]


@pytest.mark.parametrize(
    ("precisions", "names"),
    [({1: 0.2}, ["best: c1"]), ({1: 0.2, 2: 0.4}, ["best: c2", "worst: c1", "all classes"]), ({1: float("nan")}, [])],
    ids=["one", "two", "none"],
)
def test_few_classes_are_drawn_once(precisions: dict[int, float], names: list[str]) -> None:
    assert [one["name"] for one in curves(files(precisions))] == names
