"""Sampling rules, as tables of numbers."""

from fractions import Fraction

import pytest

from vidbench.video.sampling import (
    clip_span,
    frame_indices,
    random_view,
    scaled_size,
    spatial_crop,
    spatial_places,
    temporal_views,
    view_starts,
)


@pytest.mark.parametrize(
    ("frames", "stride", "expected"),
    [
        (8, 8, (0, 9, 18, 27, 36, 45, 54, 63)),
        (4, 16, (0, 21, 42, 63)),
        (4, 12, (0, 15, 31, 47)),
    ],
)
def test_spacing_is_not_the_stride(frames: int, stride: int, expected: tuple[int, ...]) -> None:
    assert frame_indices(0, clip_span(frames, stride, Fraction(30)), frames, 300) == expected


def test_ten_views_of_a_kinetics_clip() -> None:
    assert [int(start) for start in view_starts(300, 80, 10)] == [0, 22, 44, 66, 88, 110, 132, 154, 176, 198]


def test_short_videos_repeat_their_last_frame() -> None:
    assert temporal_views(5, Fraction(30), 4, 12, 2) == ((0, 4, 4, 4), (0, 4, 4, 4))


def test_random_view_covers_the_whole_video() -> None:
    first, last = random_view(300, Fraction(30), 8, 5, 0.0), random_view(300, Fraction(30), 8, 5, 0.999999)
    assert first[0] == 0
    assert last[-1] >= 297


@pytest.mark.parametrize(
    ("size", "short", "expected"),
    [((340, 256), 182, (241, 182)), ((256, 340), 182, (182, 241)), ((100, 100), 64, (64, 64))],
)
def test_scaled_size(size: tuple[int, int], short: int, expected: tuple[int, int]) -> None:
    assert scaled_size(*size, short) == expected


@pytest.mark.parametrize(
    ("place", "wide", "tall"),
    [
        (0, (0, 0, 64, 64), (0, 0, 64, 64)),
        (1, (18, 0, 82, 64), (0, 18, 64, 82)),
        (2, (36, 0, 100, 64), (0, 36, 64, 100)),
    ],
)
def test_crops_follow_the_longer_side(place: int, wide: tuple[int, ...], tall: tuple[int, ...]) -> None:
    assert spatial_crop(100, 64, 64, place) == wide
    assert spatial_crop(64, 100, 64, place) == tall


def test_impossible_requests_are_refused() -> None:
    with pytest.raises(ValueError, match="does not fit"):
        spatial_crop(100, 60, 64, 1)
    with pytest.raises(ValueError, match="1 or 3"):
        spatial_places(2)
    with pytest.raises(ValueError, match="total = 0"):
        frame_indices(0, 10, 4, 0)
