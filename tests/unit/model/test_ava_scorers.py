"""Each rule in which the scorers differ, by a few boxes."""

import heapq
import math

import numpy as np
import pytest

from vidbench.model.ava_boxes import Table
from vidbench.model.ava_map import Boxes
from vidbench.model.ava_scorers import (
    EXCLUDED,
    NO_AREA,
    NO_TRUTH,
    NOT_LISTED,
    OVER_CAP,
    RULES,
    SCORERS,
    Scored,
    Scorer,
    score_tables,
)

WHOLE = (0.0, 0.0, 1.0, 1.0)
ELSEWHERE = (0.0, 0.0, 0.2, 0.2)
FLAT = (0.3, 0.3, 0.3, 0.8)

Row = tuple[int, int, tuple[float, ...], float]


def table(rows: list[Row], also: tuple[int, ...] = ()) -> Table:
    image = np.array([row[0] for row in rows], dtype=np.int64)
    boxes = Boxes(
        image,
        np.array([row[1] for row in rows], dtype=np.int64),
        np.array([row[2] for row in rows], dtype=float).reshape(-1, 4),
        np.array([row[3] for row in rows], dtype=float),
    )
    return Table(boxes, np.unique(np.append(image, np.array(also, dtype=np.int64))), len(rows) + len(also))


def run(
    scorer: Scorer, found: list[Row], truth: list[Row], also: tuple[int, ...] = (), excluded: tuple[int, ...] = ()
) -> Scored:
    return score_tables(table(found), table(truth, also), [1, 2, 3], RULES[scorer], np.array(excluded, dtype=np.int64))


def aps(scorer: Scorer, *files: list[Row], **more: tuple[int, ...]) -> list[float]:
    return [one.average_precision for one in run(scorer, *files, **more).classes.values()]


def test_detections_on_an_image_without_ground_truth() -> None:
    truth, found = [(0, 1, WHOLE, 0.0)], [(5, 1, WHOLE, 0.9), (0, 1, WHOLE, 0.8)]
    assert aps("activitynet", found, truth)[0] == 1.0
    assert aps("mmaction2", found, truth)[0] == 1.0
    assert aps("pyslowfast", found, truth)[0] == 0.5
    assert run("activitynet", found, truth).detections_left_out == {NO_TRUTH: 1}
    assert run("pyslowfast", found, truth).detections_left_out == {}


def test_an_image_with_a_line_of_two_columns_counts() -> None:
    truth, found = [(0, 1, WHOLE, 0.0)], [(5, 1, WHOLE, 0.9), (0, 1, WHOLE, 0.8)]
    assert aps("activitynet", found, truth, also=(5,))[0] == 0.5


def test_an_image_with_ground_truth_outside_the_label_map_only() -> None:
    truth, found = [(0, 1, WHOLE, 0.0), (5, 9, WHOLE, 0.0)], [(5, 1, WHOLE, 0.9), (0, 1, WHOLE, 0.8)]
    assert aps("activitynet", found, truth)[0] == 0.5
    assert aps("pyslowfast", found, truth)[0] == 0.5
    assert aps("mmaction2", found, truth)[0] == 1.0


@pytest.mark.parametrize("scorer", SCORERS)
def test_classes_outside_the_label_map(scorer: Scorer) -> None:
    result = run(scorer, [(0, 1, WHOLE, 0.9), (0, 9, WHOLE, 0.8)], [(0, 1, WHOLE, 0.0), (0, 8, WHOLE, 0.0)])
    assert result.detections_left_out == {NOT_LISTED: 1}
    assert result.truth_left_out == {NOT_LISTED: 1}
    assert result.classes[1].average_precision == 1.0
    assert list(result.classes) == [1, 2, 3]


def test_a_class_without_detections() -> None:
    truth, found = [(0, 1, WHOLE, 0.0), (0, 2, WHOLE, 0.0)], [(0, 1, WHOLE, 0.9)]
    assert aps("activitynet", found, truth)[1] == 0.0
    assert aps("pyslowfast", found, truth)[1] == 0.0
    assert math.isnan(aps("mmaction2", found, truth)[1])


@pytest.mark.parametrize("scorer", SCORERS)
def test_a_class_without_ground_truth_has_none(scorer: Scorer) -> None:
    found = run(scorer, [(0, 3, WHOLE, 0.9)], [(0, 1, WHOLE, 0.0)]).classes[3]
    assert math.isnan(found.average_precision)
    assert (found.positives, found.detections) == (0, 1)


def test_excluded_images() -> None:
    truth = [(0, 1, WHOLE, 0.0), (1, 1, WHOLE, 0.0)]
    found = [(0, 1, WHOLE, 0.9), (1, 1, WHOLE, 0.8)]
    without = run("pyslowfast", found, truth, excluded=(1,))
    assert (without.classes[1].average_precision, without.classes[1].positives) == (1.0, 1)
    assert without.detections_left_out == without.truth_left_out == {EXCLUDED: 1}
    # its ground truth stays in the recall
    missed = run("mmaction2", found, truth, excluded=(1,))
    assert (missed.classes[1].average_precision, missed.classes[1].positives) == (0.5, 2)
    assert (missed.truth_left_out, missed.excluded_missed) == ({}, 1)
    with pytest.raises(ValueError, match="no exclusions"):
        run("activitynet", found, truth, excluded=(1,))


def test_who_claims_first() -> None:
    truth = [(0, 1, WHOLE, 0.0), (1, 1, WHOLE, 0.0)]
    # the box is claimed by the lower score where the file has it first: then the higher one is wrong
    found = [(0, 1, WHOLE, 0.5), (0, 1, WHOLE, 0.9), (1, 1, WHOLE, 0.7)]
    assert aps("activitynet", found, truth)[0] == aps("mmaction2", found, truth)[0] == 1.0
    assert aps("pyslowfast", found, truth)[0] == pytest.approx(2 / 3)


def test_the_cap_holds_for_all_classes_together() -> None:
    truth = [(0, 1, WHOLE, 0.0), (0, 2, WHOLE, 0.0)]
    crowd = [(0, 2, ELSEWHERE, 0.9 - 0.001 * rank) for rank in range(50)]
    found = [(0, 1, WHOLE, 0.1), *crowd]
    result = run("activitynet", found, truth)
    assert result.classes[1].average_precision == 0.0
    assert result.detections_left_out == {OVER_CAP: 1}
    assert aps("pyslowfast", found, truth)[0] == aps("mmaction2", found, truth)[0] == 1.0
    assert run("activitynet", found[:-1], truth).detections_left_out == {}


def test_classes_outside_the_label_map_take_no_place_under_the_cap() -> None:
    crowd = [(0, 9, ELSEWHERE, 0.9)] * 80
    assert aps("activitynet", [*crowd, (0, 1, WHOLE, 0.1)], [(0, 1, WHOLE, 0.0)])[0] == 1.0


def test_boxes_without_area() -> None:
    truth, found = [(0, 1, WHOLE, 0.0)], [(0, 1, FLAT, 0.9), (0, 1, WHOLE, 0.8)]
    assert aps("activitynet", found, truth)[0] == aps("pyslowfast", found, truth)[0] == 1.0
    assert aps("mmaction2", found, truth)[0] == 0.5
    assert run("pyslowfast", found, truth).detections_left_out == {NO_AREA: 1}
    assert run("mmaction2", found, truth).detections_left_out == {}


def test_boxes_of_the_ground_truth_without_area_stay() -> None:
    for scorer in SCORERS:
        assert aps(scorer, [(0, 1, WHOLE, 0.9)], [(0, 1, WHOLE, 0.0), (0, 1, FLAT, 1.0)])[0] == 0.5


def test_float32_scores_make_ties() -> None:
    truth = [(0, 1, WHOLE, 0.0)]
    found = [(0, 1, WHOLE, 0.5 + 1e-12), (0, 1, ELSEWHERE, 0.5)]
    assert aps("activitynet", found, truth)[0] == 1.0
    # equal as float32: the later one counts as the higher
    assert aps("mmaction2", found, truth)[0] == 0.5


def test_float32_boxes() -> None:
    # the overlap is 0.5 in decimals; as float32 it is a little less in one case and a little more in the other
    for first, last, move, right in ((0.365, 0.701, 0.112, 0.0), (0.326, 0.593, 0.089, 1.0)):
        truth, found = (first, 0.1, last, 0.9), (round(first + move, 3), 0.1, round(last + move, 3), 0.9)
        files = [(0, 1, found, 0.9)], [(0, 1, truth, 0.0)]
        assert aps("mmaction2", *files)[0] == right
        assert aps("activitynet", *files)[0] == aps("pyslowfast", *files)[0] == 1.0 - right


def test_equal_scores_of_different_images_are_ranked_by_the_file_s_order() -> None:
    truth = [(0, 1, WHOLE, 0.0), (1, 1, WHOLE, 0.0)]
    found = [(1, 1, ELSEWHERE, 0.5), (0, 1, WHOLE, 0.5)]
    # the detections have image 0 last, so it is the higher; the ground truth has image 1 last
    assert aps("activitynet", found, truth)[0] == aps("pyslowfast", found, truth)[0] == 0.5
    assert aps("mmaction2", found, truth)[0] == 0.25


def test_which_of_two_persons_is_claimed_goes_by_their_number() -> None:
    # the first detection overlaps both alike, the second only the box of the person with the smaller number
    low, high = (0.0, 0.0, 0.75, 1.0), (0.25, 0.0, 1.0, 1.0)
    found = [(0, 1, (0.125, 0.0, 0.875, 1.0), 0.9), (0, 1, (0.0, 0.0, 0.625, 1.0), 0.8)]
    low_first = [(0, 1, low, 0.0), (0, 1, high, 7.0)]
    shares = {scorer: aps(scorer, found, low_first)[0] for scorer in SCORERS}
    assert shares == {"activitynet": 1.0, "pyslowfast": 0.5, "mmaction2": 1.0}


def _plain_capped(rows: list[tuple[float, int, tuple[float, ...]]], cap: int) -> list[tuple[float, ...]]:
    heap: list[tuple[float, ...]] = []
    for score, action, (x1, y1, x2, y2) in rows:
        entry = (score, action, y1, x1, y2, x2)
        if len(heap) < cap:
            heapq.heappush(heap, entry)
        elif score > heap[0][0]:
            heapq.heapreplace(heap, entry)
    return sorted(heap, key=lambda entry: -entry[0])


@pytest.mark.parametrize("seed", range(6))
def test_with_tied_scores_the_cap_keeps_what_the_heap_keeps(seed: int) -> None:
    """Each detection has a ground-truth box of its own, so the figures tell which ones were kept, and in what order."""
    draw = np.random.default_rng(seed)
    place = [(0.01 * at, 0.0, 0.01 * at + 0.005, 1.0) for at in range(90)]
    rows = [(float(draw.integers(0, 4)) / 4, int(draw.integers(1, 3)), place[at // 2]) for at in range(120)]
    half = [box for at, box in enumerate(place) if at % 3]
    result = run(
        "activitynet",
        [(0, action, box, score) for score, action, box in rows],
        [(0, action, box, 0.0) for box in half for action in (1, 2)],
    )
    kept = _plain_capped(rows, 50)
    assert result.detections_left_out == {OVER_CAP: 70}
    for action in (1, 2):
        taken: set[tuple[float, ...]] = set()
        right = []
        for _, _, y1, x1, y2, x2 in (entry for entry in kept if entry[1] == action):
            box = (x1, y1, x2, y2)
            right.append(box in half and box not in taken)
            taken.add(box)
        scores = [entry[0] for entry in kept if entry[1] == action]
        ranked = [right[at] for at in sorted(range(len(scores)), key=lambda at: (scores[at], at), reverse=True)]
        precision = [sum(ranked[: rank + 1]) / (rank + 1) for rank in range(len(ranked))]
        wanted = sum(max(precision[rank:]) for rank in range(len(ranked)) if ranked[rank]) / len(half)
        assert result.classes[action].detections == len(scores)
        assert result.classes[action].average_precision == pytest.approx(wanted, abs=1e-12)


@pytest.mark.parametrize("scorer", SCORERS)
def test_no_detections_at_all(scorer: Scorer) -> None:
    found = aps(scorer, [], [(0, 1, WHOLE, 0.0)])[0]
    assert math.isnan(found) if scorer == "mmaction2" else found == 0.0
