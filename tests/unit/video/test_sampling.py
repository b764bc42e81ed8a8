"""Sampling rules, as tables of numbers."""

from collections.abc import Callable
from fractions import Fraction

import pytest

from vidbench.video.sampling import (
    Indices,
    charades_views,
    clip_span,
    frame_indices,
    mmaction2_fps_views,
    mmaction2_views,
    offset_views,
    pytorchvideo_views,
    random_view,
    scaled_size,
    segment_views,
    spatial_crop,
    spatial_places,
    temporal_views,
    torchvision_views,
    view_starts,
)

RULES = (
    temporal_views,
    offset_views,
    pytorchvideo_views,
    mmaction2_views,
    mmaction2_fps_views,
    charades_views,
    segment_views,
    torchvision_views,
)


def starts(views: Indices) -> list[int]:
    return [view[0] for view in views]


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


def test_offset_sampling_of_mvit() -> None:
    # delta = 300 - 64 = 236: steps of 59, and 118 for one view
    assert starts(offset_views(300, Fraction(30), 16, 4, 5)) == [0, 59, 118, 177, 236]
    assert starts(offset_views(300, Fraction(30), 16, 4, 1)) == [118]
    # floor(236 / 9) = 26: the last view ends two frames early
    assert starts(offset_views(300, Fraction(30), 16, 4, 10))[-1] == 234


def test_pytorchvideo_reaches_the_end_of_the_video() -> None:
    # 10 s, clips of 64/30 s: the last one starts at 7.8667 s, the first frame from there on is 236 or 237
    last = pytorchvideo_views(300, Fraction(30), 8, 8, 10)[-1]
    assert last == (237, 245, 254, 263, 272, 281, 290, 299)
    assert starts(pytorchvideo_views(300, Fraction(30), 8, 8, 1)) == [0]


def test_pytorchvideo_stretches_what_is_too_short() -> None:
    assert pytorchvideo_views(5, Fraction(30), 4, 12, 2) == ((0, 1, 2, 4), (0, 1, 2, 4))


def test_pytorchvideo_clip_between_two_frames_shows_the_earlier_one() -> None:
    # 4 frames at 1 per second, clips of 1/30 s from 0, 1.32, 2.64 and 3.97 s: only the first holds a frame's time
    assert pytorchvideo_views(4, Fraction(1), 1, 1, 4) == ((0,), (1,), (2,), (3,))


def test_pytorchvideo_counts_a_frame_at_the_end_as_the_reference_does() -> None:
    # 1.6 s as a floating-point number lies behind 8/5, so frame 40 of 25 per second, at 8/5 s, is in the clip
    assert pytorchvideo_views(64, Fraction(25), 4, 12, 1) == ((0, 13, 26, 40),)


def test_mmaction2_counts_frames_of_the_file() -> None:
    # a clip covers 7 * 8 + 1 = 57 frames, delta = 243, round(243 / 9) = 27
    first, second = mmaction2_views(300, Fraction(60), 8, 8, 10)[:2]
    assert first == (0, 8, 16, 24, 32, 40, 48, 56)
    assert second == (27, 35, 43, 51, 59, 67, 75, 83)
    assert starts(mmaction2_views(300, Fraction(60), 8, 8, 1)) == [121]


def test_mmaction2_starts_short_videos_over() -> None:
    assert mmaction2_views(10, Fraction(24), 4, 12, 2) == ((0, 2, 4, 6), (0, 2, 4, 6))


def test_mmaction2_at_a_rate_of_its_own() -> None:
    # 64 / 30 * 60 = 128 frames: steps of 127 / 7, cut; starts floor(172 / 9) = 19 apart
    first, second = mmaction2_fps_views(300, Fraction(60), 8, 8, 10)[:2]
    assert first == (0, 18, 36, 54, 72, 90, 108, 127)
    assert second == tuple(19 + index for index in first)
    assert starts(mmaction2_fps_views(300, Fraction(60), 8, 8, 1)) == [86]


@pytest.mark.parametrize("rule", [mmaction2_views, mmaction2_fps_views])
def test_mmaction2_takes_single_images_from_the_middle_of_equal_parts(rule: Callable[..., Indices]) -> None:
    assert rule(100, Fraction(30), 1, 1, 4) == ((12,), (37,), (62,), (87,))


def test_charades_single_view_is_the_middle_one() -> None:
    # delta = 250 - 121 = 129
    assert starts(charades_views(250, Fraction(24), 16, 8, 1)) == [64]
    assert starts(charades_views(250, Fraction(24), 16, 8, 2)) == [0, 129]
    assert charades_views(20, Fraction(24), 4, 8, 2) == ((0, 8, 16, 19),) * 2


def test_segments_are_of_the_whole_video() -> None:
    assert segment_views(10, Fraction(12), 8, 99, 1) == ((0, 1, 2, 3, 5, 6, 7, 8),)


def test_torchvision_resamples_to_its_own_rate() -> None:
    # 30 to 15 per second: every other frame, 150 of them, 135 places for 16 in a row
    found = torchvision_views(300, Fraction(30), 16, 2, 5)
    assert found[0] == tuple(range(0, 32, 2))
    assert starts(found) == [0, 66, 134, 200, 268]
    # 25 to 15: steps of 5/3
    assert torchvision_views(250, Fraction(25), 4, 2, 1) == ((0, 1, 3, 5),)
    # 12 per second have no 15, so some come twice
    assert torchvision_views(60, Fraction(12), 6, 2, 1) == ((0, 0, 1, 2, 3, 4),)


def test_torchvision_repeats_the_last_frame_of_a_short_video() -> None:
    assert torchvision_views(7, Fraction(30), 6, 2, 2) == ((0, 2, 4, 6, 6, 6),) * 2


@pytest.mark.parametrize("rule", RULES)
def test_one_frame_is_a_video(rule: Callable[..., Indices]) -> None:
    assert rule(1, Fraction(30000, 1001), 8, 8, 3) == ((0,) * 8,) * 3


@pytest.mark.parametrize("rule", RULES)
def test_no_frame_is_no_video(rule: Callable[..., Indices]) -> None:
    with pytest.raises(ValueError, match="total = 0"):
        rule(0, Fraction(30), 8, 8, 3)


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


def test_a_frame_that_is_right_already_keeps_its_size() -> None:
    # 340 / 312 * 312 is 339.99... in floating point
    assert scaled_size(340, 312, 312) == (340, 312)
    assert scaled_size(312, 340, 312) == (312, 340)


@pytest.mark.parametrize(
    ("size", "short", "pyslowfast", "mmaction2"),
    [
        ((341, 256), 256, (341, 256), (341, 256)),  # as it is
        ((333, 257), 256, (331, 256), (332, 256)),  # 331.7
        ((257, 333), 256, (256, 331), (256, 332)),
        ((320, 240), 256, (341, 256), (341, 256)),  # 341.3
        ((1280, 720), 256, (455, 256), (455, 256)),  # 455.1
        ((720, 1280), 256, (256, 455), (256, 455)),
        ((852, 480), 256, (454, 256), (454, 256)),  # 454.4
        ((854, 480), 256, (455, 256), (455, 256)),  # 455.47
        ((1920, 1080), 224, (398, 224), (398, 224)),  # 398.2
        ((640, 360), 224, (398, 224), (398, 224)),
        ((500, 376), 224, (297, 224), (298, 224)),  # 297.87
        ((3, 2), 3, (4, 3), (5, 3)),  # 4.5: halves up
    ],
)
def test_longer_side_is_cut_or_rounded(
    size: tuple[int, int], short: int, pyslowfast: tuple[int, int], mmaction2: tuple[int, int]
) -> None:
    assert scaled_size(*size, short) == pyslowfast
    assert scaled_size(*size, short, "mmaction2") == mmaction2


@pytest.mark.parametrize(
    ("width", "height", "offsets"),
    [
        (341, 256, (0, 42, 84)),  # 85 left over: 85 // 2 = 42, twice that is 84, and the last column is never seen
        (332, 256, (0, 38, 76)),
        (256, 256, (0, 0, 0)),
        (257, 256, (0, 0, 0)),
        (455, 256, (0, 99, 198)),
    ],
)
def test_mmaction2_three_crops(width: int, height: int, offsets: tuple[int, ...]) -> None:
    for place, offset in enumerate(offsets):
        assert spatial_crop(width, height, 256, place, "mmaction2") == (offset, 0, offset + 256, 256)
        assert spatial_crop(height, width, 256, place, "mmaction2") == (0, offset, 256, offset + 256)


def test_crop_rules_differ_by_a_pixel() -> None:
    assert [spatial_crop(341, 256, 256, place)[0] for place in (0, 1, 2)] == [0, 43, 85]
    assert [spatial_crop(341, 256, 256, place, "mmaction2")[0] for place in (0, 1, 2)] == [0, 42, 84]
    # one crop of 224: (341 - 224) / 2 = 58.5, (257 - 224) / 2 = 16.5
    assert spatial_crop(341, 257, 224, 1) == (59, 17, 283, 241)
    assert spatial_crop(341, 257, 224, 1, "mmaction2") == (58, 16, 282, 240)
    assert spatial_crop(257, 341, 224, 1, "mmaction2") == (16, 58, 240, 282)


@pytest.mark.parametrize("place", [0, 2])
def test_mmaction2_has_no_smaller_side_crops(place: int) -> None:
    with pytest.raises(ValueError, match="shorter side only, not 224 of 341x256"):
        spatial_crop(341, 256, 224, place, "mmaction2")


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
    with pytest.raises(ValueError, match="does not fit"):
        spatial_crop(100, 60, 64, 1, "mmaction2")
    with pytest.raises(ValueError, match="1 or 3"):
        spatial_places(2)
    with pytest.raises(ValueError, match="total = 0"):
        frame_indices(0, 10, 4, 0)
