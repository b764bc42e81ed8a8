"""Boxes on videos: which is where and when, and how it looks."""

from fractions import Fraction

import av
import numpy as np
import pytest

from vidbench.video.overlay import Face, Shown, draw_video
from vidbench.video.overlay_boxes import BoxPainter, Figure, Scene, draw_tag, figures_at, pixels, place_tag
from vidbench.video.pyav import probe

LEFT = (0.0, 0.0, 0.2, 0.5)
RIGHT = (0.8, 0.5, 1.0, 1.0)


def test_a_known_person_moves_on_a_line_and_changes_actions_half_way() -> None:
    scenes = [
        Scene(0.0, (Figure(LEFT, (("stand", 0.9),), 7),)),
        Scene(1.0, (Figure(RIGHT, (("walk", 0.8),), 7),)),
        Scene(2.0, ()),
    ]
    for at, share, action in ((0.0, 0, "stand"), (0.25, 0.25, "stand"), (0.5, 0.5, "walk"), (0.75, 0.75, "walk")):
        (one,) = figures_at(scenes, 1.0, at)
        assert one.box == pytest.approx([a + share * (b - a) for a, b in zip(LEFT, RIGHT, strict=True)])
        assert one.rows[0][0] == action
    assert figures_at(scenes, 1.0, 1.49) == scenes[1].figures
    assert figures_at(scenes, 1.0, 1.5) == figures_at(scenes, 1.0, 2.0) == ()


def test_others_are_shown_for_half_a_hop_before_and_after() -> None:
    scenes = [
        Scene(0.0, (Figure(LEFT), Figure(RIGHT, person=1))),
        Scene(2.0, (Figure(RIGHT), Figure(LEFT, person=2))),
    ]
    assert figures_at(scenes, 2.0, 0.9) == scenes[0].figures
    assert figures_at(scenes, 2.0, 1.0) == scenes[1].figures
    assert figures_at(scenes, 2.0, 2.9) == scenes[1].figures
    assert figures_at(scenes, 2.0, 3.0) == ()
    assert figures_at([], 2.0, 0.0) == ()
    # a first frame that is shown before the first keyframe
    assert figures_at([Scene(1.0, (Figure(LEFT),))], 1.0, 0.4) == ()
    assert figures_at([Scene(1.0, (Figure(LEFT),))], 1.0, 0.5) != ()


@pytest.mark.parametrize("box", [(0, 0, 1, 1), (-0.5, -1, 1.5, 2), (1, 1, 1, 1), (0.5, 0.5, 0.5, 0.5), (0, 0, 0, 0)])
def test_boxes_stay_inside_the_frame(box) -> None:
    left, top, right, bottom = pixels(box, 65, 49)
    assert 0 <= left <= right <= 64
    assert 0 <= top <= bottom <= 48


@pytest.mark.parametrize("size", [(16, 16), (65, 49), (64, 200), (480, 270), (1920, 1080)])
@pytest.mark.parametrize("ground", [0, 128, 255])
def test_tags_are_readable_on_any_ground_and_stay_inside(size, ground) -> None:
    width, height = size
    rows = (("a very long name of an action that has no end " * 3, 0.9), ("stand", 0.8), ("walk", 0.7))
    figures = tuple(Figure(box, rows, number) for number, box in enumerate((LEFT, RIGHT, (0, 0, 1, 1), LEFT)))
    picture = np.full((height, width, 3), ground, np.uint8)
    BoxPainter([Scene(0.0, figures)], 1.0, Face())(Shown(0, 0.0, picture, width, height))
    assert (picture != ground).any()
    tag = draw_tag(figures[0], (230, 159, 0), width, height, Face())
    assert tag is not None
    assert tag.width <= width
    assert tag.height <= height
    plate = np.asarray(tag).astype(int)
    # white text on a plate that is dark and nearly opaque: over white it is at most (18 * 205 + 255 * 50) / 255
    assert plate[:, :, 3].min() >= 200
    assert plate[:, tag.width // 3 :, :3].max() > 200 or size == (16, 16)


def test_tags_of_several_persons_do_not_lie_on_each_other() -> None:
    figures = tuple(Figure((0.3, 0.3, 0.6, 0.7), (("stand", 0.9),), number) for number in range(3))
    picture = np.full((360, 480, 3), 255, np.uint8)
    BoxPainter([Scene(0.0, figures)], 1.0, Face())(Shown(0, 0.0, picture, 480, 360))
    one = draw_tag(figures[0], (0, 0, 0), 480, 360, Face())
    assert one is not None
    dark = (picture.astype(int).sum(2) < 220).sum()
    assert dark > 2.4 * one.width * one.height * 0.8


def test_a_tag_whose_places_are_all_taken_goes_to_the_nearest_free_one() -> None:
    taken: list[tuple[int, int, int, int]] = []
    for _ in range(12):
        left, top = place_tag((0, 0, 20, 20), (100, 30), (340, 256), taken)
        assert 0 <= left <= 240
        assert 0 <= top <= 226
        assert all(left >= c or left + 100 <= a or top >= d or top + 30 <= b for a, b, c, d in taken)
        taken.append((left, top, left + 100, top + 30))
    assert place_tag((5, 40, 20, 60), (100, 30), (340, 256), [(0, 0, 340, 256)]) == (5, 10)


def test_nothing_is_drawn_without_persons_and_no_tag_without_text() -> None:
    picture = np.full((48, 64, 3), 90, np.uint8)
    BoxPainter([Scene(0.0, ())], 1.0, Face())(Shown(0, 0.0, picture, 64, 48))
    assert (picture == 90).all()
    assert draw_tag(Figure(LEFT), (0, 0, 0), 64, 48, Face()) is None


@pytest.mark.parametrize(("size", "fps"), [((96, 72), "24"), ((64, 48), "60"), ((64, 48), "30000/1001")])
def test_a_video_has_its_boxes_at_their_times(make_video, tmp_path, size, fps) -> None:
    source, target = make_video(frames=60, size=size, fps=fps), tmp_path / "out.mp4"
    scenes = [Scene(0.0, ()), Scene(0.5, (Figure((0.25, 0.25, 0.75, 0.75)),))]
    assert draw_video(probe(source), target, BoxPainter(scenes, 0.5, Face())) == 60

    def read(path):
        with av.open(str(path)) as container:
            return [(frame.time, frame.to_ndarray(format="rgb24").astype(int)) for frame in container.decode(video=0)]

    for (before_s, before), (after_s, after) in zip(read(source), read(target), strict=True):
        assert after_s == pytest.approx(before_s, abs=1e-3)
        drawn = (abs(after - before).max(2) > 60).any()
        assert drawn == (0.25 - 1e-6 <= before_s < 0.75)


def test_pixels_that_are_not_square_stay_so(tmp_path) -> None:
    source, target = tmp_path / "in.mp4", tmp_path / "out.mp4"
    with av.open(str(source), "w") as container:
        stream = container.add_stream("libx264", rate=30)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        stream.codec_context.sample_aspect_ratio = Fraction(64, 51)
        for _ in range(3):
            image = np.full((48, 64, 3), 90, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode(None))
    assert draw_video(probe(source), target, BoxPainter([], 1.0, Face())) == 3
    with av.open(str(target)) as container:
        assert container.streams.video[0].sample_aspect_ratio == Fraction(64, 51)
