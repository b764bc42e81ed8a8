"""Which mistakes of a detector are the worst, and how they are told and drawn."""

import numpy as np
import pytest

from vidbench.model.ava_boxes import Table, joined
from vidbench.model.ava_map import Boxes
from vidbench.model.ava_scorers import RULES, Scored, score_tables
from vidbench.model.detect_misses import _placed, caption, draw, worst

NAMES = {1: "stand", 2: "walk", 3: "wave"}
LEFT, RIGHT, FAR = (0.0, 0.0, 0.4, 1.0), (0.6, 0.0, 1.0, 1.0), (0.45, 0.0, 0.55, 0.2)


def table(rows: list[tuple[int, int, tuple[float, ...], float]]) -> Table:
    image, action, box, score = zip(*rows, strict=True)
    boxes = Boxes(np.array(image), np.array(action), np.array(box), np.array(score, dtype=float))
    return Table(joined([boxes]), np.unique(boxes.image), len(rows))


@pytest.fixture
def scored() -> Scored:
    truth = table([(0, 1, LEFT, 0), (0, 2, LEFT, 0), (0, 3, RIGHT, 1), (1, 1, LEFT, 0), (2, 3, FAR, 0)])
    found = table(
        [
            (0, 1, LEFT, 0.2), (0, 2, LEFT, 0.9), (0, 3, LEFT, 0.95), (0, 3, RIGHT, 0.8),
            (1, 1, LEFT, 0.7), (1, 2, FAR, 0.6), (1, 1, (0.0, 0.0, 0.39, 1.0), 0.5),
        ]
    )  # fmt: skip
    return score_tables(found, truth, [1, 2, 3], RULES["pyslowfast"], np.zeros(0, dtype=np.int64))


def test_wrong_detections_fall_by_score_and_say_why(scored: Scored) -> None:
    wrong = [miss for miss in worst(scored, 2) if miss.wrong]
    assert [(miss.image, miss.action, miss.score) for miss in wrong] == [(0, 3, 0.95), (1, 2, 0.6)]
    assert caption(wrong[0], "v 0902", NAMES).endswith("wave with a score of 0.950, but the person does: stand, walk")
    assert caption(wrong[1], "v 0903", NAMES).endswith("where no person of the ground truth is")


def test_pictures_are_numbered_by_their_kind(scored: Scored) -> None:
    found = list(_placed(worst(scored, 3)))
    for wrong in (True, False):
        places = [place for place, miss in found if miss.wrong is wrong]
        assert places == list(range(1, len(places) + 1))
        assert len(places) >= 2


def test_a_second_detection_of_a_person_is_told_as_one(scored: Scored) -> None:
    twice = [miss for miss in worst(scored, 9) if miss.twice]
    assert twice == [], "of one keyframe one mistake of a kind is shown"
    only = Scored(
        scored.classes, {}, {}, 0, scored.detections.take(scored.detections.action == 1),
        scored.found[scored.detections.action == 1], scored.truth,
    )  # fmt: skip
    (miss,) = (miss for miss in worst(only, 1) if miss.wrong)
    assert miss.twice
    assert "another detection has this person already" in caption(miss, "v 0903", NAMES)


def test_missed_actions_are_those_of_low_scores_and_those_not_found(scored: Scored) -> None:
    missed = [miss for miss in worst(scored, 2) if not miss.wrong]
    assert [(miss.image, miss.action, miss.score) for miss in missed] == [(0, 1, 0.2), (2, 3, None)]
    assert caption(missed[0], "v 0902", NAMES).endswith("stand is found with a score of 0.200 only")
    assert "no detection has this box and class" in caption(missed[1], "v 0904", NAMES)


def test_the_true_box_is_blue_and_the_detected_one_vermilion(scored: Scored) -> None:
    wrong = worst(scored, 1)[0]
    picture = np.asarray(draw(np.zeros((120, 1280, 3), np.uint8), wrong, NAMES))
    assert picture.shape == (56, 600, 3)
    assert (picture == (213, 94, 0)).all(axis=2).any()
    lost = worst(scored, 2)[-1]
    blue = np.asarray(draw(np.zeros((120, 160, 3), np.uint8), lost, NAMES))
    assert (blue == (86, 180, 233)).all(axis=2).any()
    assert not (blue == (213, 94, 0)).all(axis=2).any()


def test_no_detections_at_all_are_no_error() -> None:
    truth = table([(0, 1, LEFT, 0)])
    none = Table(joined([]), np.zeros(0, dtype=np.int64), 0)
    scored = score_tables(none, truth, [1], RULES["activitynet"], np.zeros(0, dtype=np.int64))
    (miss,) = worst(scored, 3)
    assert (miss.wrong, miss.score) == (False, None)
