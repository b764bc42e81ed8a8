"""A span of one video: which frames, which times, what is refused; smart against exact, PyAV against ffmpeg."""

from __future__ import annotations

import math
import struct
import subprocess
from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from vidbench.video import ffmpeg
from vidbench.video.clip import UnusableError
from vidbench.video.cut import Coding, Cut, Span, cut
from vidbench.video.recode import out_size, scaled_even
from vidbench.video.smart import NotSmart, smart_cut
from vidbench.video.span import look
from vidbench.video.wholeness import is_cut_off

SIZE = (64, 48)
FAST = Coding(preset="ultrafast")


def movie(
    path: Path,
    frames: int | Sequence[int] = 50,
    fps: Fraction | int = 25,
    *,
    codec: str = "libx264",
    options: dict[str, str] | None = None,
    time_base: Fraction | None = None,
    pix_fmt: str = "yuv420p",
    size: tuple[int, int] = SIZE,
    form: str | None = None,
    sound: str = "",
    early: int = 0,
) -> Path:
    """A texture that moves; `frames` may be the frames' times in ticks of `time_base`, `early` is of the sound."""
    times = list(range(frames)) if isinstance(frames, int) else list(frames)
    clock = time_base or 1 / Fraction(fps)
    width, height = size
    coarse = np.random.default_rng(7).integers(30, 225, (height // 8 + 1, width // 8 + 1, 3), dtype=np.uint8)
    texture = np.kron(coarse, np.ones((8, 8, 1), dtype=np.uint8))[:height, :width]
    defaults = {"g": "12", "bf": "2", "crf": "12"} if codec == "libx264" else {}
    with av.open(
        str(path), "w", format=form, container_options={"avoid_negative_ts": "disabled"} if early else {}
    ) as out:
        stream = out.add_stream(codec, rate=Fraction(fps), options={**defaults, **(options or {})})
        stream.width, stream.height, stream.pix_fmt = width, height, pix_fmt
        stream.time_base = stream.codec_context.time_base = clock
        heard = out.add_stream(sound, rate=48000) if sound else None
        for index, time in enumerate(times):
            rolled = np.ascontiguousarray(np.roll(texture, index, axis=1))
            frame = av.VideoFrame.from_ndarray(rolled, format="rgb24").reformat(format=pix_fmt)
            frame.pts, frame.time_base = time, clock
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
        if heard is not None:
            for index in range(int(times[-1] * clock * 48000 / 1024) + 1):
                tone = np.sin(np.arange(1024 * index, 1024 * (index + 1)) / 20).astype(np.float32)
                pcm = av.AudioFrame.from_ndarray(np.stack([tone, tone]), format="fltp", layout="stereo")
                pcm.sample_rate, pcm.pts, pcm.time_base = 48000, 1024 * index - early, Fraction(1, 48000)
                out.mux(heard.encode(pcm))
            out.mux(heard.encode(None))
    return path


def shown(path: Path) -> list[tuple[Fraction, np.ndarray]]:
    """Times in seconds and pictures."""
    with av.open(str(path)) as container:
        return [(frame.pts * frame.time_base, frame.to_ndarray()) for frame in container.decode(video=0)]


def times(path: Path) -> list[Fraction]:
    return [time for time, _ in shown(path)]


def psnr(a: np.ndarray, b: np.ndarray) -> float:
    error = float(((a.astype(float) - b) ** 2).mean())
    return math.inf if error == 0 else 10 * math.log10(255**2 / error)


def do(source: Path, span: Span, coding: Coding = FAST, *, name: str = "out.mp4", **how: object) -> tuple[Path, Cut]:
    target = source.parent / f"cut-{name}"
    return target, cut(source, span, target, coding, name=name, **how)  # type: ignore[arg-type]


def test_a_frame_belongs_to_the_span_that_its_time_lies_in(tmp_path: Path) -> None:
    source = movie(tmp_path / "a.mp4")
    target, made = do(source, Span(0.4, 1.2))
    assert times(target) == [Fraction(index, 25) for index in range(20)]
    assert (made.frames, made.fps, made.duration_s) == (20, 25, 0.8)
    assert (made.mode, made.short, made.why) == ("exact", "", "")
    for (_, got), (_, want) in zip(shown(target), shown(source)[10:30], strict=True):
        assert psnr(got, want) > 35


def test_a_bound_between_two_frames_keeps_the_distance_to_the_first(tmp_path: Path) -> None:
    source = movie(tmp_path / "a.mp4")
    target, made = do(source, Span(0.41, 0.5))
    assert times(target) == [Fraction(3, 100), Fraction(7, 100)]
    assert made.frames == 2


def test_a_tenth_is_a_tenth(tmp_path: Path) -> None:
    source = movie(tmp_path / "a.mp4", 40, 10)
    for tenths in range(1, 30):
        _, made = do(source, Span(tenths / 10, (tenths + 2) / 10))
        assert made.frames == 2, tenths


@pytest.mark.parametrize("name", ["a.mkv", "a.mp4", "a.ts", "a.webm"])
def test_variable_rates_keep_every_time(tmp_path: Path, name: str) -> None:
    ticks = [0, 40, 50, 130, 170, 400, 410, 500, 520, 900, 940, 1000, 1330, 1340, 1500]
    codec = "libvpx-vp9" if name.endswith("webm") else "libx264"
    source = movie(tmp_path / name, ticks, 25, time_base=Fraction(1, 1000), codec=codec)
    target, made = do(source, Span(0.13, 1.33), name="a.webm" if name.endswith("webm") else "a.mp4")
    assert times(target) == [Fraction(tick - 130, 1000) for tick in ticks if 130 <= tick < 1330]
    assert made.frames == 9


def test_the_span_counts_from_the_file_s_start_not_from_zero(tmp_path: Path) -> None:
    # 100 s on the stream's clock
    source = movie(tmp_path / "a.ts", range(2500, 2550))
    assert look(source).origin > 0
    whole, target = shown(source), do(source, Span(0.4, 0.8))[0]
    assert times(target) == [Fraction(index, 25) for index in range(10)]
    assert psnr(shown(target)[0][1], whole[10][1]) > 35


def test_sound_before_the_start_does_not_move_the_pictures(tmp_path: Path) -> None:
    source = movie(tmp_path / "a.webm", codec="libvpx-vp9", sound="libopus", early=312)
    with av.open(str(source)) as held:
        assert held.start_time < 0
    assert times(do(source, Span(), name="a.webm")[0])[0] == 0
    assert times(do(source, Span(0.4, 1))[0]) == [Fraction(index, 25) for index in range(15)]


@pytest.mark.parametrize(("name", "codec"), [("a.avi", "mpeg4"), ("a.mov", "libx264"), ("a.webm", "libvpx-vp9")])
def test_whole_videos_keep_their_container(tmp_path: Path, name: str, codec: str) -> None:
    source = movie(tmp_path / name, codec=codec)
    target, made = do(source, Span(), name=name)
    with av.open(str(target)) as container:
        assert container.streams.video[0].codec_context.name == ("vp9" if name.endswith("webm") else "h264")
        assert len(list(container.decode(video=0))) == made.frames == 50
    assert made.fps == 25


@pytest.mark.parametrize(
    ("size", "scaled"), [((64, 36), (56, 32)), ((36, 64), (32, 56)), ((48, 48), (32, 32)), ((20, 16), (40, 32))]
)
def test_the_shorter_side_is_scaled(tmp_path: Path, size: tuple[int, int], scaled: tuple[int, int]) -> None:
    source = movie(tmp_path / "a.mp4", 3, size=size)
    target, made = do(source, Span(), Coding(short_side=32, preset="ultrafast"))
    assert (made.width, made.height) == scaled == scaled_even(*size, 32)
    assert shown(target)[0][1].shape == (scaled[1] * 3 // 2, scaled[0])


def test_640x360_becomes_456x256() -> None:
    assert scaled_even(640, 360, 256) == (456, 256)
    assert scaled_even(360, 640, 256) == (256, 456)
    assert scaled_even(340, 256, 256) == (340, 256)


def test_another_rate(tmp_path: Path) -> None:
    source = movie(tmp_path / "a.mp4")
    target, made = do(source, Span(0.4, 1.4), Coding(fps=Fraction(30000, 1001), preset="ultrafast"))
    assert times(target) == [Fraction(1001 * index, 30000) for index in range(30)]
    assert made.fps == Fraction(30000, 1001)


def test_odd_sides_are_refused_where_h264_cannot_have_them(tmp_path: Path) -> None:
    source = movie(tmp_path / "a.webm", 5, codec="libvpx-vp9", size=(63, 47), pix_fmt="yuv420p")
    assert out_size(look(source), FAST) == (63, 47)
    with pytest.raises(UnusableError, match="even sides, not 63x47") as caught:
        do(source, Span())
    assert caught.value.reason == "unsupported"
    assert do(source, Span(), name="a.webm")[1].width == 63
    assert do(source, Span(), Coding(short_side=32, preset="ultrafast"))[1].height == 32


def turn(path: Path, matrix: tuple[int, int, int, int]) -> Path:
    """Write a display matrix into the track header of an mp4."""
    data = bytearray(path.read_bytes())
    place = data.index(b"tkhd") + 4 + 40
    a, b, c, d = (value * 65536 for value in matrix)
    assert struct.unpack(">9i", data[place : place + 36])[0] == 65536
    data[place : place + 36] = struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 1 << 30)
    path.write_bytes(data)
    return path


@pytest.mark.parametrize(
    ("matrix", "upright"),
    [((0, 1, -1, 0), lambda grey: np.rot90(grey, -1)), ((-1, 0, 0, -1), lambda grey: np.rot90(grey, 2)),
     ((0, -1, 1, 0), lambda grey: np.rot90(grey, 1)), ((-1, 0, 0, 1), np.fliplr), ((1, 0, 0, -1), np.flipud),
     ((0, 1, 1, 0), np.transpose)],
    ids=["clockwise", "half", "anticlockwise", "mirror", "upside down", "transposed"],
)  # fmt: skip
def test_frames_are_turned_upright(
    tmp_path: Path, matrix: tuple[int, int, int, int], upright: Callable[[np.ndarray], np.ndarray]
) -> None:
    plain = shown(movie(tmp_path / "a.mp4", 3))[1][1][:48]
    source = turn(movie(tmp_path / "turned.mp4", 3), matrix)
    target, made = do(source, Span(), mode="smart")
    assert made.why == "the frames have to be turned upright"
    got = shown(target)[1][1][: made.height]
    assert psnr(got, upright(plain)) > 35
    with av.open(str(target)) as container:
        assert next(container.decode(video=0)).rotation == 0


def test_pixel_shape_and_colours_are_kept(tmp_path: Path) -> None:
    source = tmp_path / "a.mp4"
    with av.open(str(source), "w") as out:
        stream = out.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = *SIZE, "yuv420p"
        context = stream.codec_context
        context.sample_aspect_ratio = Fraction(4, 3)
        context.color_primaries, context.color_trc, context.colorspace, context.color_range = 1, 1, 1, 1
        for index in range(5):
            frame = av.VideoFrame(*SIZE, "yuv420p")
            frame.pts = index
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    target, _ = do(source, Span(), Coding(short_side=32, preset="ultrafast"))
    with av.open(str(target)) as container:
        stream = container.streams.video[0]
        frame = next(container.decode(stream))
        assert stream.sample_aspect_ratio == Fraction(4, 3)
        assert (frame.color_primaries, frame.color_trc, frame.colorspace, frame.color_range) == (1, 1, 1, 1)


@pytest.mark.parametrize("pix_fmt", ["yuv444p", "yuv420p10le", "yuvj420p"])
def test_other_pixel_formats_become_8_bit_420(tmp_path: Path, pix_fmt: str) -> None:
    target, _ = do(movie(tmp_path / "a.mp4", 5, pix_fmt=pix_fmt), Span())
    with av.open(str(target)) as container:
        assert next(container.decode(video=0)).format.name == ("yuvj420p" if "j" in pix_fmt else "yuv420p")


def test_the_same_bytes_every_time(tmp_path: Path) -> None:
    source = movie(tmp_path / "a.mkv", sound="aac")
    for name, mode in (("x.mp4", "exact"), ("x.mkv", "exact"), ("x.webm", "exact"), ("x.mp4", "smart")):
        sound = not name.endswith("webm")
        runs = {do(source, Span(0.3, 1.7), name=name, mode=mode, sound=sound)[0].read_bytes() for _ in range(3)}
        assert len(runs) == 1, (name, mode)


def test_what_lies_beyond_the_video(tmp_path: Path) -> None:
    source = movie(tmp_path / "a.mp4")
    _, made = do(source, Span(1.5, 4))
    assert made.frames == 12
    assert made.short == "the video ends at 2.000 s: 0.500 of 2.5 s are there"
    assert do(source, Span(1, 2))[1].short == ""
    assert do(source, Span(1, 2.03))[1].short == ""
    for mode in ("exact", "smart"):
        with pytest.raises(UnusableError, match="no frame from 2 to 3 s") as caught:
            do(source, Span(2, 3), mode=mode)
        assert caught.value.reason == "empty"
    assert not (tmp_path / "cut-out.mp4.vbpart").exists()


def faststart(path: Path, **how: object) -> Path:
    movie(path.with_suffix(".tmp.mp4"), 100, **how)  # type: ignore[arg-type]
    with (
        av.open(str(path.with_suffix(".tmp.mp4"))) as seen,
        av.open(str(path), "w", container_options={"movflags": "+faststart"}) as out,
    ):
        stream = out.add_stream_from_template(seen.streams.video[0])
        for packet in seen.demux(seen.streams.video[0]):
            if packet.dts is not None:
                packet.stream = stream
                out.mux(packet)
    return path


@pytest.mark.parametrize("mode", ["exact", "smart"])
@pytest.mark.parametrize("name", ["a.mp4", "a.mkv"])
def test_a_file_that_is_cut_off(tmp_path: Path, name: str, mode: str) -> None:
    source = faststart(tmp_path / name) if name == "a.mp4" else movie(tmp_path / name, 100)
    assert not is_cut_off(source)
    data = source.read_bytes()
    source.write_bytes(data[: len(data) * 2 // 3])
    assert is_cut_off(source)
    # what is there can be cut; what is not is never passed over
    target, made = do(source, Span(0.5, 1.5), mode=mode)
    assert made.frames == 25
    target.unlink()
    for span in (Span(), Span(1, 3.9), Span(3.8, 3.9)):
        with pytest.raises(UnusableError) as caught:
            do(source, span, mode=mode)
        assert caught.value.reason == "truncated", span
        assert not target.exists()


def damaged(path: Path, frame: int) -> Path:
    """Turn over bytes within a frame, by its place in decoding."""
    with av.open(str(path)) as container:
        packets = [(packet.pos, packet.size) for packet in container.demux(video=0) if packet.size]
    data = bytearray(path.read_bytes())
    place, size = packets[frame]
    for offset in range(size // 3, size - 4, 3):
        data[place + offset] ^= 0x5A
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("mode", ["exact", "smart"])
def test_damage_counts_where_the_span_needs_the_frame(tmp_path: Path, mode: str) -> None:
    source = damaged(movie(tmp_path / "a.mp4", 100, options={"crf": "1", "g": "10", "keyint_min": "10"}), 35)
    for span in (Span(1.0, 2.0), Span(1.5, 2.0), Span()):
        with pytest.raises(UnusableError) as caught:
            do(source, span)
        assert caught.value.reason == "corrupt", span
        assert list(tmp_path.glob("cut-*")) == []
    assert do(source, Span(0, 1.2), mode=mode)[1].frames == 30
    assert do(source, Span(1.6, 4), mode=mode)[1].frames == 60


def test_what_is_no_video(tmp_path: Path) -> None:
    text = tmp_path / "page.mp4"
    text.write_text("<html>gone</html>" * 100)
    empty = tmp_path / "empty.mp4"
    empty.touch()
    heard = tmp_path / "sound.mp4"
    with av.open(str(heard), "w") as out:
        stream = out.add_stream("aac", rate=48000)
        for index in range(20):
            pcm = av.AudioFrame.from_ndarray(np.zeros((2, 1024), np.float32), format="fltp", layout="stereo")
            pcm.sample_rate, pcm.pts = 48000, 1024 * index
            out.mux(stream.encode(pcm))
        out.mux(stream.encode(None))
    expected = {text: "no_video", empty: "empty", heard: "no_video", tmp_path / "none.mp4": "missing"}
    for path, reason in expected.items():
        with pytest.raises(UnusableError) as caught:
            do(path, Span())
        assert caught.value.reason == reason, path
    with pytest.raises(UnusableError, match=r"no \.gif is written"):
        do(movie(tmp_path / "a.mp4", 3), Span(), name="a.gif")


def test_sound_is_copied(tmp_path: Path) -> None:
    source = movie(tmp_path / "a.mp4", 100, sound="aac")
    for mode in ("exact", "smart"):
        target, made = do(source, Span(1, 3), mode=mode, sound=True)
        assert (made.sound, made.mode, made.frames) == ("aac", mode, 50)
        assert times(target) == [Fraction(index, 25) for index in range(50)]
        with av.open(str(target)) as container:
            packets = [packet for packet in container.demux(audio=0) if packet.size]
            assert 90 <= len(packets) <= 95
            assert 0 <= packets[0].pts * packets[0].time_base < Fraction(1024, 48000)
    assert list(tmp_path.glob("*silent*")) == []
    with pytest.raises(UnusableError, match="takes no aac sound"):
        do(source, Span(1, 3), name="a.webm", sound=True)
    assert do(movie(tmp_path / "b.mp4", 5), Span(), sound=True)[1].sound == ""


SMART = {
    "reordered.mp4": {"bf": "3", "preset": "medium"},
    "plain.mp4": {"bf": "0", "profile": "baseline"},
    "other number.mp4": {"x264-params": "sps-id=5:ref=4:b-pyramid=normal"},
    "cavlc.mkv": {"x264-params": "cabac=0:8x8dct=0:weightp=0"},
    "stream.ts": {"bf": "2"},
    "number taken.mov": {"x264-params": "sps-id=0:slices=4"},
}


@pytest.mark.parametrize("name", SMART)
def test_smart_copies_the_middle_to_the_bit(tmp_path: Path, name: str) -> None:
    source = movie(tmp_path / name, 120, options={"g": "20", "keyint_min": "20", **SMART[name]})
    before = shown(source)
    cases = ((0.5, 4.1), (0.8, 3.2), (0, 3.3), (0.83, None), (1.0, 3.2), (0, None))
    for start, end in cases:
        target, made = do(source, Span(start, end), mode="smart")
        assert (made.mode, made.why) == ("smart", ""), (start, end)
        stop = len(before) if end is None else math.ceil(end * 25 - 1e-9)
        want = before[math.ceil(start * 25 - 1e-9) : stop]
        got = shown(target)
        shift = Fraction(repr(start)) + before[0][0]
        assert [time for time, _ in got] == [time - shift for time, _ in want]
        first = next(index for index, (time, _) in enumerate(want) if (time - before[0][0]) * 25 % 20 == 0)
        tail = 0 if end is None else stop % 20
        for index, ((_, a), (_, b)) in enumerate(zip(got, want, strict=True)):
            if first <= index < len(got) - tail:
                assert np.array_equal(a, b), (start, end, index)
            else:
                assert psnr(a, b) > 32, (start, end, index)


def test_smart_keeps_variable_times(tmp_path: Path) -> None:
    ticks = [index * 40 + (index % 3) * 11 for index in range(100)]
    source = movie(tmp_path / "a.mp4", ticks, 25, time_base=Fraction(1, 1000), options={"g": "20"})
    target, made = do(source, Span(0.51, 3.7), mode="smart")
    assert made.mode == "smart"
    assert times(target) == [Fraction(tick - 510, 1000) for tick in ticks if 510 <= tick < 3700]


@pytest.mark.parametrize(
    ("name", "how", "why"),
    [
        ("a.mp4", {"options": {"g": "10", "x264-params": "open-gop=1:scenecut=0"}}, "a group of pictures is open"),
        ("a.mp4", {"options": {"g": "250"}}, "no whole closed group of pictures lies within the span"),
        ("a.mp4", {"pix_fmt": "yuv420p10le"}, "the pixel format is yuv420p10le, not yuv420p"),
        ("a.mkv", {"codec": "mpeg4"}, "the codec is mpeg4, not h264"),
    ],
)
def test_smart_says_why_it_was_exact(tmp_path: Path, name: str, how: dict[str, object], why: str) -> None:
    source = movie(tmp_path / name, 60, **how)  # type: ignore[arg-type]
    target, made = do(source, Span(0.5, 1.9), mode="smart")
    assert (made.mode, made.why, made.frames) == ("exact", why, 35)
    assert times(target) == [time - Fraction(1, 2) for time in times(source) if 0.5 <= time < 1.9]


@pytest.mark.parametrize("coding", [Coding(short_side=32), Coding(fps=Fraction(10))])
def test_smart_encodes_anew_what_changes(tmp_path: Path, coding: Coding) -> None:
    made = do(movie(tmp_path / "a.mp4"), Span(0.2, 1), coding, mode="smart")[1]
    assert made.why == "another size or frame rate needs every frame encoded anew"


def test_smart_notices_a_copied_group_that_does_not_decode(tmp_path: Path) -> None:
    source = damaged(movie(tmp_path / "a.mp4", 100, options={"crf": "1", "g": "20", "keyint_min": "20"}), 40)
    with pytest.raises(NotSmart, match="did not decode as it should"):
        smart_cut(look(source), Span(0.3, 3.9), tmp_path / "out.mp4", "mp4", FAST)
    # exact meets the same damage, and says so
    with pytest.raises(UnusableError):
        do(source, Span(0.3, 3.9), mode="smart")


@pytest.mark.needs_ffmpeg
def test_what_smart_writes_is_clean_for_another_decoder(tmp_path: Path) -> None:
    source = movie(tmp_path / "a.mp4", 120, options={"g": "20", "bf": "3"}, sound="aac")
    target, made = do(source, Span(0.5, 4.1), mode="smart", sound=True)
    assert made.mode == "smart"
    words = ["ffmpeg", "-v", "warning", "-xerror", "-err_detect", "explode", "-i", str(target), "-f", "null", "-"]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


RATES = {
    "24": 24,
    "23.976": Fraction(24000, 1001),
    "25": 25,
    "29.97": Fraction(30000, 1001),
    "30": 30,
    "50": 50,
    "60": 60,
}


@pytest.mark.needs_ffmpeg
@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize(
    "coding", [FAST, Coding(fps=Fraction(15), short_side=32, preset="ultrafast")], ids=["plain", "15"]
)
def test_both_engines_agree_at_every_rate(tmp_path: Path, rate: str, coding: Coding) -> None:
    same(movie(tmp_path / "a.mp4", 90, RATES[rate]), [Span(0.31, 1.17)], coding)


@pytest.mark.needs_ffmpeg
def test_both_engines_agree_on_all_kinds_of_sources(tmp_path: Path) -> None:
    vfr = [index * 40 + (index % 4) * 9 for index in range(60)]
    sources = [
        movie(tmp_path / "late.ts", range(2500, 2560)),
        movie(tmp_path / "vfr.mkv", vfr, time_base=Fraction(1, 1000)),
        movie(tmp_path / "vfr.mp4", vfr, time_base=Fraction(1, 1000)),
        movie(tmp_path / "open.mp4", 60, options={"g": "10", "x264-params": "open-gop=1"}),
        movie(tmp_path / "deep.mp4", 60, pix_fmt="yuv444p10le"),
        movie(tmp_path / "film.webm", 60, codec="libvpx-vp9"),
        movie(tmp_path / "film.avi", 60, codec="mpeg4", options={"g": "12"}),
        movie(tmp_path / "upright.mp4", 60, size=(48, 64)),
        turn(movie(tmp_path / "turned.mp4", 60), (0, 1, -1, 0)),
    ]
    for source in sources:
        for coding in (FAST, Coding(short_side=32, fps=Fraction(24000, 1001), preset="ultrafast")):
            same(source, [Span(0.53, 1.71), Span(1.0, 9.0)] if coding.fps is None else [Span()], coding)


def same(source: Path, spans: list[Span], coding: Coding) -> None:
    ending = source.suffix if source.suffix in (".webm", ".avi") else ".mp4"
    for span in spans:
        one, ours = do(source, span, coding, name=f"ours{ending}")
        two, theirs = do(source, span, coding, name=f"theirs{ending}", engine="ffmpeg")
        assert ours == theirs, (source.name, span)
        for (a, left), (b, right) in zip(shown(one), shown(two), strict=True):
            assert a == b
            assert psnr(left, right) > 30


@pytest.mark.needs_ffmpeg
def test_ffmpeg_refuses_what_pyav_refuses(tmp_path: Path) -> None:
    broken = damaged(movie(tmp_path / "a.mp4", 100, options={"crf": "1", "g": "10", "keyint_min": "10"}), 35)
    cut_off = faststart(tmp_path / "b.mp4")
    cut_off.write_bytes(cut_off.read_bytes()[: cut_off.stat().st_size * 2 // 3])
    cases = [(broken, Span(1, 2), "corrupt"), (broken, Span(), "corrupt"), (cut_off, Span(), "truncated")]
    cases += [(cut_off, Span(1, 3.9), "truncated"), (movie(tmp_path / "c.mp4", 5), Span(7, 8), "empty")]
    for source, span, reason in cases:
        with pytest.raises(UnusableError) as caught:
            do(source, span, engine="ffmpeg")
        assert caught.value.reason == reason, (source, span)
        assert list(tmp_path.glob("cut-*")) == []


@pytest.mark.needs_ffmpeg
def test_names_that_look_like_options_or_addresses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("-y.mp4", "http:a.mp4", 'it\'s "a" film\n.mp4', "100%d.mp4", "ü,[in];x.mp4"):
        source = movie(tmp_path / "plain.mp4", 10).rename(name)
        for engine in ("pyav", "ffmpeg"):
            target, made = do(source, Span(0.1, 0.3), name=name, engine=engine)
            assert made.frames == 5, (name, engine)
            target.unlink()
    assert ffmpeg.require_ffmpeg()


def test_a_full_disk_is_told_as_one(tmp_path: Path) -> None:
    full = Path("/dev/full")
    if not full.exists():
        pytest.skip("needs /dev/full")
    source = movie(tmp_path / "a.mp4", options={"crf": "0"})
    target = tmp_path / "full.mp4"
    target.symlink_to(full)
    with pytest.raises(OSError, match="No space left on device"):
        cut(source, Span(), target, FAST, name="full.mp4")
