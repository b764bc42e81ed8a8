"""Sampling stays inside the video, in order, for every length and rate."""

from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from vidbench.video.sampling import random_view, scaled_size, spatial_crop, temporal_views

rates = st.fractions(min_value=Fraction(5), max_value=Fraction(120), max_denominator=1001)


@given(st.integers(1, 5000), rates, st.integers(1, 40), st.integers(1, 30), st.integers(1, 12))
def test_views_stay_in_range_and_in_order(total: int, fps: Fraction, frames: int, stride: int, views: int) -> None:
    found = temporal_views(total, fps, frames, stride, views)
    assert len(found) == views
    for view in found:
        assert len(view) == frames
        assert all(0 <= index < total for index in view)
        assert list(view) == sorted(view)
    assert [view[0] for view in found] == sorted(view[0] for view in found)


@given(st.integers(1, 5000), rates, st.integers(1, 40), st.integers(1, 30), st.floats(0, 1, exclude_max=True))
def test_random_views_stay_in_range(total: int, fps: Fraction, frames: int, stride: int, place: float) -> None:
    assert all(0 <= index < total for index in random_view(total, fps, frames, stride, place))


@given(st.integers(16, 4000), st.integers(16, 4000), st.integers(16, 400), st.integers(0, 2))
def test_crops_lie_inside_the_scaled_frame(width: int, height: int, short: int, place: int) -> None:
    wide, high = scaled_size(width, height, short)
    assert min(wide, high) == short
    left, top, right, bottom = spatial_crop(wide, high, short, place)
    assert 0 <= left < right <= wide
    assert 0 <= top < bottom <= high
    assert (right - left, bottom - top) == (short, short)
