"""Clips around a moment and boxes in their frames, beyond what the reference's numbers cover."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vidbench.model.ava_sampling import ava_clip_indices, boxes_in_clip


@given(st.integers(1, 500), st.data())
def test_a_clip_has_all_its_frames_in_order_within_the_video(total: int, data: st.DataObject) -> None:
    centre = data.draw(st.integers(0, total - 1))
    frames, stride = data.draw(st.integers(1, 64)), data.draw(st.integers(1, 16))

    found = ava_clip_indices(centre, frames, stride, total)

    assert len(found) == frames
    assert list(found) == sorted(found)
    assert 0 <= found[0] <= found[-1] < total
    if frames % 2 == 0 and frames * stride <= 2 * min(centre, total - 1 - centre):
        assert found[frames // 2] == centre


@pytest.mark.parametrize("wrong", [(10, 4, 2, 10), (-1, 4, 2, 10), (0, 0, 2, 10), (0, 4, 0, 10)])
def test_no_clip_is_made_up(wrong: tuple[int, int, int, int]) -> None:
    with pytest.raises(ValueError, match="no clip"):
        ava_clip_indices(*wrong)


def test_boxes_that_reach_beyond_the_frame_are_clipped_and_the_given_ones_stay() -> None:
    boxes = np.array([[-0.5, 0.25, 2.0, 0.5]])
    before = boxes.copy()

    found = boxes_in_clip(boxes, 512, 512, 256)

    assert found.tolist() == [[0.0, 64.0, 255.0, 128.0]]
    assert np.array_equal(boxes, before)


def test_no_boxes_give_no_boxes() -> None:
    assert boxes_in_clip([], 320, 240).shape == (0, 4)


@pytest.mark.parametrize("wrong", [[[0.0, 0.0, 1.0]], [0.0, 0.0, 1.0, 1.0], [[0.0, float("nan"), 1.0, 1.0]]])
def test_boxes_of_another_form_are_refused(wrong: list[object]) -> None:
    with pytest.raises(ValueError, match=r"\(M, 4\)"):
        boxes_in_clip(wrong, 320, 240)
