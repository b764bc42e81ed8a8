"""Average precision and its interval."""

import time
import warnings

import hypothesis.extra.numpy as arrays
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score

from vidbench.model.multilabel import average_precision, mean_ap_interval


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_equals_scikit_learn_with_and_without_ties(data: st.DataObject) -> None:
    videos, classes = data.draw(st.integers(1, 30)), data.draw(st.integers(2, 6))
    # few distinct values give ties, floats give none
    value = data.draw(st.sampled_from([st.sampled_from([0.0, 0.25, 0.5, 1.0]), st.floats(0, 1)]))
    scores = data.draw(arrays.arrays(np.float64, (videos, classes), elements=value))
    positives = data.draw(arrays.arrays(np.bool_, (videos, classes)))
    aps, mean = average_precision(scores, positives)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = average_precision_score(positives, scores, average=None)
    there = positives.any(axis=0)
    assert np.isnan(aps[~there]).all()
    np.testing.assert_allclose(aps[there], np.asarray(expected)[there], atol=1e-12, rtol=0)
    if there.any():
        assert mean == pytest.approx(np.asarray(expected)[there].mean(), abs=1e-12)
    else:
        assert np.isnan(mean)


def test_a_small_case_by_hand() -> None:
    # ranked: right, wrong, right -> (1/1 + 2/3) / 2
    aps, mean = average_precision([[0.9], [0.5], [0.1]], [[True], [False], [True]])
    assert aps[0] == mean == pytest.approx((1 + 2 / 3) / 2)
    # all tied: the share of positives
    assert average_precision([[0.5]] * 4, [[True], [False], [False], [False]])[1] == 0.25


def test_what_cannot_be_measured_is_refused() -> None:
    with pytest.raises(ValueError, match=r"not \(N, K\) both"):
        average_precision([[0.1, 0.2]], [[True]])
    with pytest.raises(ValueError, match="not finite"):
        average_precision([[float("nan")]], [[True]])
    with pytest.raises(ValueError, match="no interval"):
        mean_ap_interval([[0.1]], [[True]], level=1.0)
    assert mean_ap_interval([[0.1]], [[False]]) == (0.0, 1.0)


def world(draw: np.random.Generator, videos: int, classes: int = 12) -> tuple[np.ndarray, np.ndarray]:
    positives = draw.random((videos, classes)) < 0.2
    return draw.normal(size=(videos, classes)) + 1.2 * positives, positives


def test_the_interval_covers_the_figure_of_very_many_videos() -> None:
    draw = np.random.default_rng(5)
    truth = average_precision(*world(draw, 60_000))[1]
    trials = [mean_ap_interval(*world(draw, 250), resamples=200, seed=trial) for trial in range(60)]
    covered = sum(low <= truth <= high for low, high in trials)
    # intervals that hold it in 85 % of cases do so in fewer than 42 of 60 with a chance of 1e-3
    assert covered >= 42
    assert all(high - low < 0.1 for low, high in trials)


def test_the_interval_repeats_holds_the_figure_and_shrinks_with_videos() -> None:
    few, many = world(np.random.default_rng(1), 100), world(np.random.default_rng(2), 1600)
    assert mean_ap_interval(*few) == mean_ap_interval(*few)
    assert mean_ap_interval(*few, seed=1) != mean_ap_interval(*few)
    widths = []
    for scores, positives in (few, many):
        low, high = mean_ap_interval(scores, positives)
        assert low <= average_precision(scores, positives)[1] <= high
        widths.append(high - low)
    assert widths[1] < widths[0] / 2


def test_a_set_as_large_as_charades_is_quick() -> None:
    scores, positives = world(np.random.default_rng(3), 1863, classes=40)
    started = time.process_time()
    mean_ap_interval(scores, positives)
    assert time.process_time() - started < 20
