"""Captions on videos: what is drawn where, when, and what of the video is kept."""

from fractions import Fraction
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest

from vidbench.errors import InputError
from vidbench.video.clip import VideoError
from vidbench.video.overlay import Caption, Face, draw_overlay, draw_panel, load_face
from vidbench.video.pyav import probe
from vidbench.video.windows import MiscountError, fill_windows, plan_windows

ROWS = (("archery", 0.8), ("bowling", 0.15), ("rock scissors paper", 0.05))


def pictures(path: Path) -> list[np.ndarray]:
    with av.open(str(path)) as container:
        return [frame.to_ndarray(format="rgb24").astype(int) for frame in container.decode(video=0)]


def times(path: Path) -> list[float]:
    with av.open(str(path)) as container:
        return [frame.time for frame in container.decode(video=0)]


def write(path: Path, pts: list[int], *, size=(64, 48), base=Fraction(1, 1000)) -> Path:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=25)
        stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
        stream.codec_context.time_base = stream.time_base = base
        for number, at in enumerate(pts):
            frame = av.VideoFrame.from_ndarray(np.full((size[1], size[0], 3), 60 + number, np.uint8), format="rgb24")
            frame.pts, frame.time_base = at, base
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


@pytest.mark.parametrize("size", [(16, 16), (96, 72), (480, 270), (270, 480), (1280, 720)])
def test_a_panel_fits_its_frame_and_its_text_stays_inside(size) -> None:
    panel = np.asarray(draw_panel((("a very long name of a class that has no end", 0.5), *ROWS), *size, Face()))
    assert panel.shape[1] == size[0]
    assert panel.shape[0] <= size[1]
    if size[0] > 16:
        assert panel.shape[0] <= 0.6 * size[1]
        bright = (panel[:, :, :3] > 200).all(2)
        assert bright.any()
        for edge in (bright[0], bright[-1], bright[:, 0], bright[:, -1]):
            assert not edge.any()


def test_bars_are_as_long_as_probabilities() -> None:
    panel = np.asarray(draw_panel((("", 0.8), ("", 0.2)), 400, 300, Face())).astype(int)
    orange = (panel[:, :, 0] - panel[:, :, 2] > 150).any(0)
    whole = 400 - 2 * int(np.argmax(orange))
    # the figure at the right is drawn over the panel, not over the bar
    assert orange.sum() == pytest.approx(0.8 * whole, abs=2)


def test_a_name_that_does_not_fit_is_shortened_by_an_ellipsis() -> None:
    narrow = np.asarray(draw_panel((("archery " * 9, 0.1),), 120, 90, Face()))
    whole = np.asarray(draw_panel((("archery", 0.1),), 120, 90, Face()))
    assert narrow.shape == whole.shape
    # name and figure never touch: there is a column without text between them
    bright = (narrow[:, :, :3] > 200).all(2).any(0)
    right = np.flatnonzero(bright)
    assert (np.diff(right) >= 4).any()


def test_captions_change_with_the_frames_and_only_the_panel_is_drawn_over(make_video, tmp_path) -> None:
    source = make_video(frames=30, size=(96, 72), fps="30000/1001")
    captions = [Caption(0, 10, (("first", 1.0),)), Caption(10, 20, (("second", 0.0),))]
    target = tmp_path / "out.vbpart"
    assert draw_overlay(probe(source), target, captions, Face()) == 30
    before, after = pictures(source), pictures(target)
    assert times(target) == pytest.approx(times(source), abs=1e-4)
    for number in range(30):
        assert abs(before[number][:30] - after[number][:30]).mean() < 3
    lower = [image[-16:] for image in after]
    assert lower[5][:, :, 0].mean() - lower[5][:, :, 2].mean() > 60  # the orange bar of a probability of 1
    assert abs(lower[15][:, :, 0].mean() - lower[15][:, :, 2].mean()) < 5
    assert lower[15].mean() < before[15][-16:].mean() - 20
    assert abs(lower[25] - before[25][-16:]).mean() < 3  # no caption covers it
    with av.open(str(target)) as container:
        assert [stream.type for stream in container.streams] == ["video"]
        assert container.streams.video[0].codec_context.name == "h264"


def test_overlapping_captions_show_the_nearest(make_video, tmp_path) -> None:
    source = make_video(frames=20, size=(96, 72))
    captions = [Caption(0, 14, (("", 1.0),)), Caption(6, 20, (("", 0.0),))]
    draw_overlay(probe(source), tmp_path / "out", captions, Face())
    orange = [image[-16:, :, 0].mean() - image[-16:, :, 2].mean() > 60 for image in pictures(tmp_path / "out")]
    assert orange == [True] * 10 + [False] * 10


def test_variable_times_are_kept_and_bytes_are_the_same_each_time(tmp_path) -> None:
    source = write(tmp_path / "v.mkv", [0, 40, 80, 500, 540, 1200])
    for name in ("a", "b"):
        draw_overlay(probe(source), tmp_path / name, [Caption(0, 6, ROWS)], Face())
    assert times(tmp_path / "a") == pytest.approx([0, 0.04, 0.08, 0.5, 0.54, 1.2], abs=0.002)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_odd_sides_are_made_even(tmp_path) -> None:
    path = tmp_path / "odd.mkv"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=25)
        stream.width, stream.height, stream.pix_fmt = 65, 49, "bgr0"
        frame = av.VideoFrame.from_ndarray(np.full((49, 65, 3), 90, np.uint8), format="rgb24")
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    draw_overlay(probe(path), tmp_path / "out", [], Face())
    (image,) = pictures(tmp_path / "out")
    assert image.shape == (50, 66, 3)
    assert abs(image - 90).max() < 6


def test_a_font_without_a_letter_is_refused_and_one_with_it_is_taken() -> None:
    with pytest.raises(InputError, match="中"):
        Face().check(("archery", "中"))
    Face().check(("rock scissors paper", "massaging person's head"))
    spec = find_spec("matplotlib")
    if spec is None or spec.origin is None:
        pytest.skip("no font with letters beyond ASCII is at hand")
    face = load_face(Path(spec.origin).parent / "mpl-data" / "fonts" / "ttf" / "DejaVuSans.ttf")
    face.check(("Bogenschießen", "стрельба"))
    one, other = (np.asarray(draw_panel(((text, 0.1),), 200, 100, face)) for text in ("ß", "ю"))
    assert (one != other).any()


def test_what_is_no_font_is_refused(tmp_path) -> None:
    (tmp_path / "x.ttf").write_text("no font")
    for name in ("x.ttf", "missing.ttf"):
        with pytest.raises(InputError, match="--font"):
            load_face(tmp_path / name)


def test_windows_cover_a_video_and_the_last_ends_with_it() -> None:
    spans = [(one.start, one.end) for one in plan_windows(150, Fraction(30), 8, 5, None)]
    assert spans == [(0, 40), (40, 80), (80, 120), (110, 150)]
    assert [(one.start, one.end) for one in plan_windows(80, Fraction(30), 8, 5, None)] == [(0, 40), (40, 80)]
    assert [one.start for one in plan_windows(60, Fraction(30), 8, 5, 0.5)] == [0, 15, 20]
    # 160 frames at 30000/1001 are two clips of 79.92 frames, and no third of a tenth of a frame
    assert len(plan_windows(160, Fraction(30000, 1001), 16, 5, None)) == 2
    (short,) = plan_windows(10, Fraction(30), 8, 5, None)
    assert (short.start, short.end, short.indices[-1], len(short.indices)) == (0, 10, 9, 8)
    for fps in (Fraction(8), Fraction(24000, 1001), Fraction(120)):
        windows = plan_windows(997, fps, 8, 5, None)
        assert windows[0].start == 0
        assert windows[-1].end == 997
        assert all(later.start <= earlier.end for earlier, later in pairwise(windows))
        assert all(one.start <= one.indices[0] and one.indices[-1] < one.end for one in windows)


def test_windows_hold_the_frames_that_they_name_at_their_times(make_video) -> None:
    info = probe(make_video(frames=100))
    live: set[int] = set()
    most = 0

    class Kept:
        def __init__(self, image: np.ndarray) -> None:
            nonlocal most
            self.grey = float(image.mean())
            live.add(id(self))
            most = max(most, len(live))

        def __del__(self) -> None:
            live.discard(id(self))

    seen = 0
    for filled in fill_windows(info, plan_windows(100, info.fps, 8, 5, 0.5), Kept):
        greys = [one.grey for one in filled.pictures]
        assert greys == pytest.approx([40 + index * 160 // 99 for index in filled.window.indices], abs=4)
        assert filled.start_s == pytest.approx(filled.window.start / 30, abs=1e-3)
        assert filled.end_s == pytest.approx(filled.window.end / 30, abs=1e-3)
        seen += 1
        del filled
    assert seen == 5
    assert most <= 30


def test_a_miscount_and_a_broken_video_are_told(make_video, tmp_path) -> None:
    info = probe(make_video(frames=20))
    wrong = type(info)(info.path, info.codec, info.width, info.height, info.fps, 25)
    with pytest.raises(MiscountError) as caught:
        list(fill_windows(wrong, plan_windows(25, info.fps, 8, 5, None), np.mean))
    assert caught.value.frames == 20
    (tmp_path / "x.mp4").write_bytes(b"nothing")
    broken = type(info)(tmp_path / "x.mp4", "h264", 64, 48, info.fps, 20)
    with pytest.raises(VideoError):
        list(fill_windows(broken, plan_windows(20, info.fps, 8, 5, None), np.mean))
