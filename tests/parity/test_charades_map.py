"""The mean average precision of Charades equals scikit-learn's on the largest scores of the views."""

import json
from pathlib import Path

import numpy as np
import pytest

from vidbench.model.multilabel import average_precision

GOLDEN = json.loads((Path(__file__).parent / "data" / "multilabel" / "charades_map.json").read_text())


@pytest.mark.parametrize("case", GOLDEN["cases"], ids=lambda case: case["name"])
def test_average_precision_equals_the_reference(case: dict) -> None:
    views = np.asarray(case["clip_probs"], dtype=np.float32)
    assert views.shape == (case["videos"], case["views"], case["classes"])
    scores = views.max(axis=1)
    np.testing.assert_array_equal(scores, np.asarray(case["video_scores"], dtype=np.float32))
    positives = np.zeros((case["videos"], case["classes"]), dtype=bool)
    for video, labels in enumerate(case["labels"]):
        positives[video, labels] = True
    aps, mean = average_precision(scores, positives)
    assert [None if np.isnan(ap) else ap for ap in aps] == [
        None if ap is None else pytest.approx(ap, abs=1e-12) for ap in case["ap"]
    ]
    assert mean == pytest.approx(case["mAP"], abs=1e-12)


def test_there_are_ties_and_classes_without_a_positive() -> None:
    assert any(case["empty_classes"] for case in GOLDEN["cases"])
    assert any(len(np.unique(np.asarray(case["video_scores"])[:, 0])) < case["videos"] // 2 for case in GOLDEN["cases"])
