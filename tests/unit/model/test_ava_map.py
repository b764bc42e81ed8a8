"""Right detections and the area under the curve, against a plain loop and by hand."""

import math

import numpy as np
import pytest

from vidbench.model import ava_map
from vidbench.model.ava_map import Boxes, average_precision, by_action, overlap, true_positives


def boxes(rows: list[tuple[int, int, tuple[float, ...], float]]) -> Boxes:
    image, action, box, score = zip(*rows, strict=True)
    return Boxes(np.array(image), np.array(action), np.array(box, dtype=float), np.array(score, dtype=float))


def _share(one: list[float], other: list[float]) -> float:
    width = max(0.0, min(one[2], other[2]) - max(one[0], other[0]))
    height = max(0.0, min(one[3], other[3]) - max(one[1], other[1]))
    areas = (one[2] - one[0]) * (one[3] - one[1]) + (other[2] - other[0]) * (other[3] - other[1])
    return height * width / (areas - height * width)


def _plain_right(detections: Boxes, truth: Boxes) -> list[bool]:
    taken: set[int] = set()
    right = []
    for image, action, box in zip(detections.image, detections.action, detections.box.tolist(), strict=True):
        own = [at for at in range(len(truth)) if (truth.image[at], truth.action[at]) == (image, action)]
        shares = [_share(box, truth.box[at].tolist()) for at in own]
        best = own[shares.index(max(shares))] if own else -1
        right.append(bool(own) and max(shares) >= 0.5 and best not in taken)
        if right[-1]:
            taken.add(best)
    return right


def _plain_ap(scores: np.ndarray, right: list[bool], positives: int) -> float:
    order = sorted(range(len(scores)), key=lambda at: (scores[at], at), reverse=True)
    curve = []
    hits = 0
    for rank, at in enumerate(order, start=1):
        hits += right[at]
        curve.append((hits / positives, hits / rank))
    area = before = 0.0
    for place, (recall, _) in enumerate(curve):
        area += (recall - before) * max(precision for _, precision in curve[place:])
        before = recall
    return area


@pytest.fixture
def random() -> tuple[Boxes, Boxes]:
    draw = np.random.default_rng(3)
    count = 400
    corner, size = draw.uniform(0, 0.5, (60, 2)), draw.uniform(0.2, 0.4, (60, 2))
    box = np.concatenate([corner, corner + size], axis=1)
    rows, few = draw.integers(0, 60, count), draw.integers(0, 60, 120)
    detections = Boxes(
        rows % 7,
        draw.integers(1, 5, count),
        box[rows] + draw.normal(0, 0.03, (count, 4)),
        draw.integers(0, 40, count) / 40,
    )
    return detections, Boxes(few % 7, draw.integers(1, 4, 120), box[few], np.zeros(120))


@pytest.mark.parametrize("pairs", [1, 100, 1_000_000])
def test_equals_a_plain_loop(random: tuple[Boxes, Boxes], monkeypatch: pytest.MonkeyPatch, pairs: int) -> None:
    monkeypatch.setattr(ava_map, "_PAIRS", pairs)
    detections, truth = random
    right = true_positives(detections, truth)
    assert 20 < right.sum() < 120
    assert right.tolist() == _plain_right(detections, truth)
    for action, rows in by_action(detections.action).items():
        positives = int((truth.action == action).sum())
        if positives:
            wanted = _plain_ap(detections.score[rows], right[rows].tolist(), positives)
            assert average_precision(detections.score[rows], right[rows], positives) == pytest.approx(wanted, abs=1e-12)


def test_the_second_on_a_box_gets_no_other() -> None:
    truth = boxes([(0, 1, (0, 0, 1, 1), 0), (0, 1, (0, 0, 1, 0.8), 0)])
    twice = boxes([(0, 1, (0, 0, 1, 0.95), 0.9), (0, 1, (0, 0, 1, 0.97), 0.8), (0, 1, (0, 0, 1, 0.8), 0.7)])
    assert true_positives(twice, truth).tolist() == [True, False, True]


def test_of_equal_overlaps_the_first_is_claimed() -> None:
    truth = boxes([(0, 1, (0, 0, 1, 1), 0), (0, 1, (0, 0, 1, 1), 0)])
    twice = boxes([(0, 1, (0, 0, 1, 1), 0.9), (0, 1, (0, 0, 1, 1), 0.8)])
    assert true_positives(twice, truth).tolist() == [True, False]


def test_half_is_enough_and_image_and_action_must_agree() -> None:
    truth = boxes([(0, 1, (0, 0, 1, 1), 0)])
    asked = boxes(
        [(1, 1, (0, 0, 1, 1), 1), (0, 2, (0, 0, 1, 1), 1), (0, 1, (0, 0, 1, 0.499), 1), (0, 1, (0, 0, 1, 0.5), 1)]
    )
    assert true_positives(asked, truth).tolist() == [False, False, False, True]
    assert true_positives(asked, truth.take(np.zeros(0, dtype=int))).tolist() == [False] * 4
    assert true_positives(asked.take(np.zeros(0, dtype=int)), truth).tolist() == []


def test_boxes_without_area_overlap_nothing() -> None:
    flat = np.array([[0.2, 0.2, 0.2, 0.8]])
    assert math.isnan(overlap(flat, flat)[0])
    assert overlap(flat, np.array([[0.0, 0.0, 1.0, 1.0]]))[0] == 0
    truth = boxes([(0, 1, tuple(flat[0]), 0), (0, 1, (0, 0, 1, 1), 0)])
    assert true_positives(boxes([(0, 1, tuple(flat[0]), 1)]), truth).tolist() == [False]


def test_float32_boxes_are_counted_in_float32() -> None:
    one, other = np.array([[0.1, 0.1, 0.7, 0.9]]), np.array([[0.2, 0.1, 0.8, 0.9]])
    single = overlap(one.astype(np.float32), other.astype(np.float32))
    assert single.dtype == np.float64
    assert 0 < abs(single[0] - overlap(one, other)[0]) < 1e-6


@pytest.mark.parametrize(
    ("scores", "right", "positives", "wanted"),
    [
        ([0.9, 0.8, 0.7], [True, False, True], 2, 0.5 + 0.5 * 2 / 3),
        ([0.7, 0.8, 0.9], [True, False, True], 2, 0.5 + 0.5 * 2 / 3),
        ([0.9, 0.8], [False, True], 1, 0.5),
        # precision rises again: the envelope takes the better one for both
        ([0.9, 0.8, 0.7, 0.6], [False, True, True, True], 4, 3 / 4 * 3 / 4),
        ([0.9], [True], 4, 0.25),
        # of equal scores the later counts as the higher
        ([0.5, 0.5], [True, False], 1, 0.5),
        ([0.5, 0.5], [False, True], 1, 1.0),
        ([], [], 3, 0.0),
    ],
)
def test_average_precision_by_hand(scores: list[float], right: list[bool], positives: int, wanted: float) -> None:
    found = average_precision(np.array(scores, dtype=float), np.array(right, dtype=bool), positives)
    assert found == pytest.approx(wanted, abs=1e-15)


def test_without_positives_there_is_none() -> None:
    assert math.isnan(average_precision(np.array([0.5]), np.array([False]), 0))
    assert by_action(np.zeros(0, dtype=np.int64)) == {}
