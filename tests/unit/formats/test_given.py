from fractions import Fraction

import numpy as np
import pytest

from vidbench.formats.given import (
    GRID_FPS,
    Collector,
    GivenBox,
    VideoShape,
    by_moment,
    frame_at,
    number_at,
    numbers_of_frame,
)
from vidbench.video import steady

RATES = ["30", "25", "24", "15", "10", "50", "60", "30000/1001", "24000/1001", "1", "120"]


def test_the_grid_is_that_of_the_pictures() -> None:
    assert GRID_FPS == steady.GRID_FPS


@pytest.mark.parametrize("fps", ["10", "15", "25", "30", "50", "60"])
def test_a_frame_has_the_numbers_whose_pictures_show_it(make_video, fps: str) -> None:  # type: ignore[no-untyped-def]
    frames = 12
    path = make_video(frames=frames, fps=fps)
    shown = {picture.number: int(np.median(picture.image)) for picture in steady.Steady(path)}
    # a frame's grey level tells its place
    levels = [40 + index * 160 // (frames - 1) for index in range(frames)]
    for number, level in shown.items():
        frame = frame_at(number, Fraction(fps))
        assert number in numbers_of_frame(frame, Fraction(fps))
        assert abs(levels[frame - 1] - level) <= 4


@pytest.mark.parametrize("fps", RATES)
def test_frames_share_out_all_numbers(fps: str) -> None:
    rate = Fraction(fps)
    numbers = [number for frame in range(1, 400) for number in numbers_of_frame(frame, rate)]
    assert numbers == list(range(len(numbers)))
    assert all(number in numbers_of_frame(frame_at(number, rate), rate) for number in numbers)


def test_times_go_to_the_nearest_number() -> None:
    assert [number_at(Fraction(text)) for text in ("0", "1", "0.033", "0.05", "0.0166")] == [0, 30, 1, 2, 0]


def test_a_collector_sorts_counts_and_refuses() -> None:
    shape = VideoShape("a", 10, 10, Fraction(30))
    collector = Collector({"a": shape, "a.mp4": shape})
    assert collector.shape("a.mp4") is shape
    assert collector.shape("b") is None
    assert collector.moment("a", range(3, 3)) is None
    for numbers in (range(60, 66), range(0, 1), range(63, 64)):
        collector.moment("a", numbers)
    collector.add(GivenBox("a", 60, (0, 0, 0.5, 0.5), person=1), 1)
    collector.add(GivenBox("a", 0, (0, 0, 0.5, 0.5), person=1), 2)
    collector.add(GivenBox("a", 0, (0.5, 0, 0.5, 0.5), person=2), 3)
    with pytest.raises(ValueError, match="before, at 2"):
        collector.add(GivenBox("a", 0, (0, 0, 0.5, 0.5), person=1), 4)
    given = collector.done()
    assert [box.number for box in given.boxes] == [0, 60]
    assert given.spans == {"a": (range(0, 1), range(60, 63), range(63, 64))}
    assert given.others == ("b",)
    assert given.flat == 1


def test_boxes_by_moment_keep_their_order() -> None:
    boxes = [GivenBox("b", 1, (0, 0, 1, 1)), GivenBox("a", 2, (0, 0, 1, 1), 0.1), GivenBox("a", 2, (0, 0, 1, 1), 0.9)]
    assert list(by_moment(boxes)) == [(("a", 2), boxes[1:]), (("b", 1), boxes[:1])]


@pytest.mark.parametrize("values", [(0, 5, 30), (5, 0, 30), (5, 5, 0)])
def test_a_shape_without_size_or_rate_is_refused(values: tuple[int, int, int]) -> None:
    with pytest.raises(ValueError, match="no shape"):
        VideoShape("a", values[0], values[1], Fraction(values[2]))
