"""Sampling stays inside the video, in order, for every length and rate."""

from collections.abc import Callable
from fractions import Fraction
from itertools import pairwise
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vidbench.video import sampling
from vidbench.video.sampling import Indices, Spatial, random_view, scaled_size, spatial_crop

CLAMPED = (
    sampling.temporal_views,
    sampling.offset_views,
    sampling.pytorchvideo_views,
    sampling.charades_views,
    sampling.segment_views,
    sampling.torchvision_views,
)
LOOPED = (sampling.mmaction2_views, sampling.mmaction2_fps_views)

# one-frame videos, films, and the odd averages that videos of variable rate have
totals = st.one_of(st.integers(1, 40), st.integers(1, 20000))
rates = st.one_of(
    st.sampled_from([Fraction(24), Fraction(25), Fraction(30000, 1001), Fraction(30), Fraction(50), Fraction(60)]),
    st.fractions(min_value=Fraction(1), max_value=Fraction(240), max_denominator=100_000),
)
requests = (totals, rates, st.integers(1, 64), st.integers(1, 30), st.integers(1, 12), st.sampled_from([15, 24, 30]))


@pytest.mark.parametrize("rule", CLAMPED + LOOPED)
@given(*requests)
def test_every_rule_gives_all_views_inside_the_video(
    rule: Callable[..., Indices], total: int, fps: Fraction, frames: int, stride: int, views: int, target_fps: int
) -> None:
    found = rule(total, fps, frames, stride, views, target_fps)
    assert len(found) == views
    for view in found:
        assert len(view) == frames
        assert all(type(index) is int and 0 <= index < total for index in view)
    assert [view[0] for view in found] == sorted(view[0] for view in found)
    assert rule(total, fps, frames, stride, views, target_fps) == found


@pytest.mark.parametrize("rule", CLAMPED)
@given(*requests)
def test_frames_ascend_within_a_view(
    rule: Callable[..., Indices], total: int, fps: Fraction, frames: int, stride: int, views: int, target_fps: int
) -> None:
    for view in rule(total, fps, frames, stride, views, target_fps):
        assert list(view) == sorted(view)


@given(*requests)
def test_mmaction2_steps_by_the_stride_and_starts_over(
    total: int, fps: Fraction, frames: int, stride: int, views: int, target_fps: int
) -> None:
    for view in sampling.mmaction2_views(total, fps, frames, stride, views, target_fps):
        assert all((later - earlier - stride) % total == 0 for earlier, later in pairwise(view))
        if total > (frames - 1) * stride:
            assert list(view) == sorted(view)


@given(totals, rates, st.integers(2, 64), st.integers(1, 30), st.integers(2, 12))
def test_last_view_of_pytorchvideo_ends_with_the_video(
    total: int, fps: Fraction, frames: int, stride: int, views: int
) -> None:
    assert sampling.pytorchvideo_views(total, fps, frames, stride, views)[-1][-1] == total - 1


@given(totals, rates, st.integers(2, 64), st.integers(1, 30), st.integers(2, 12))
def test_views_by_number_reach_both_ends_of_a_long_video(
    total: int, fps: Fraction, frames: int, stride: int, views: int
) -> None:
    for rule in (sampling.mmaction2_views, sampling.charades_views):
        found = rule(total, fps, frames, stride, views)
        if total > (frames - 1) * stride:
            assert (found[0][0], found[-1][-1]) == (0, total - 1)


@given(st.integers(1, 5000), rates, st.integers(1, 40), st.integers(1, 30), st.floats(0, 1, exclude_max=True))
def test_random_views_stay_in_range(total: int, fps: Fraction, frames: int, stride: int, place: float) -> None:
    assert all(0 <= index < total for index in random_view(total, fps, frames, stride, place))


@pytest.mark.parametrize("rule", get_args(Spatial))
@given(st.integers(16, 4000), st.integers(16, 4000), st.integers(16, 400), st.integers(0, 2))
def test_crops_lie_inside_the_scaled_frame(rule: Spatial, width: int, height: int, short: int, place: int) -> None:
    wide, high = scaled_size(width, height, short, rule)
    assert min(wide, high) == short
    assert (wide > high) <= (width > height)
    left, top, right, bottom = spatial_crop(wide, high, short, place, rule)
    assert 0 <= left < right <= wide
    assert 0 <= top < bottom <= high
    assert (right - left, bottom - top) == (short, short)


@pytest.mark.parametrize("rule", get_args(Spatial))
@given(st.integers(16, 400), st.integers(16, 4000))
def test_a_frame_of_the_right_size_stays(rule: Spatial, short: int, long: int) -> None:
    long = max(short, long)
    assert scaled_size(long, short, short, rule) == (long, short)
    assert scaled_size(short, long, short, rule) == (short, long)
