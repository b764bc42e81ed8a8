"""Videos to numbered JPEG files: which frame stands where, the colours, and what is refused."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest
from av.filter import Graph
from PIL import Image

from vidbench.video.clip import UnusableError
from vidbench.video.jpeg import JpegOptions, Written, write_jpegs

NTSC_FILM, NTSC = Fraction(24000, 1001), Fraction(30000, 1001)


def encode(
    path: Path,
    times: Sequence[int],
    tick: Fraction,
    *,
    codec: str = "libx264",
    pixels: str = "yuv420p",
    size: tuple[int, int] = (64, 48),
    audio_s: float = 0,
    gop: int = 12,
    rate: Fraction = Fraction(30),
) -> Path:
    """A video whose frame i, of the grey level of i, is shown at `times[i] * tick` seconds."""
    options = {"bf": "2", "mbtree": "0", "crf": "12"} if codec == "libx264" else {"bf": "2", "b": "2000000"}
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=rate, options={**options, "g": str(gop)})
        stream.width, stream.height, stream.pix_fmt = *size, pixels
        stream.time_base = stream.codec_context.time_base = tick
        stream.thread_count = 1
        if audio_s:
            sound = container.add_stream("aac", rate=16000)
            for start in range(0, int(audio_s * 16000), 1024):
                silence = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
                silence.sample_rate, silence.pts, silence.time_base = 16000, start, Fraction(1, 16000)
                container.mux(sound.encode(silence))
            container.mux(sound.encode(None))
        for index, (time, following) in enumerate(pairwise([*times, times[-1] + 1])):
            grey = np.full((size[1], size[0], 3), level(index), np.uint8)
            frame = av.VideoFrame.from_ndarray(grey).reformat(format=pixels)
            frame.pts, frame.time_base, frame.duration = time, tick, following - time
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def level(index: int) -> int:
    """The grey of a frame; neighbours are far apart, and 36 frames in a row are all different."""
    return 20 + 6 * (index * 11 % 36)


def steady(path: Path, fps: Fraction, frames: int, **options: object) -> Path:
    return encode(path, range(frames), 1 / fps, rate=fps, **options)  # type: ignore[arg-type]


def extract(source: Path, folder: Path, **options: object) -> tuple[Written, list[int]]:
    """What was written, and the grey levels of the files in order."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    written = write_jpegs(source, folder, lambda number: f"{number:06d}.jpg", JpegOptions(**options))  # type: ignore[arg-type]
    names = sorted(path.name for path in folder.iterdir())
    assert names == [f"{number:06d}.jpg" for number in range(1, written.frames + 1)]
    assert written.bytes == sum(path.stat().st_size for path in folder.iterdir())
    return written, greys(folder)


def greys(folder: Path) -> list[int]:
    return [round(float(np.asarray(Image.open(path)).mean())) for path in sorted(folder.iterdir())]


def expected(times_s: Sequence[Fraction], begin_s: Fraction, count: int, fps: Fraction) -> list[int]:
    """The levels at `begin_s + n / fps`: of the last frame that begins less than half a step later."""
    shown = []
    for number in range(count):
        until_s = begin_s + (number + Fraction(1, 2)) / fps
        shown.append(level(max((i for i, time_s in enumerate(times_s) if time_s < until_s), default=0)))
    return shown


def close(found: list[int], wanted: list[int]) -> bool:
    """Equal but for what lossy coding does; neighbouring levels are 6 apart."""
    return len(found) == len(wanted) and all(abs(a - b) <= 2 for a, b in zip(found, wanted, strict=True))


RATES = [Fraction(15), NTSC_FILM, Fraction(24), Fraction(25), NTSC, Fraction(30), Fraction(50), Fraction(60)]
RATE_NAMES = ["15", "23.976", "24", "25", "29.97", "30", "50", "60"]


@pytest.mark.parametrize("fps", RATES, ids=RATE_NAMES)
def test_a_whole_video_at_30_fps(tmp_path: Path, fps: Fraction) -> None:
    source = steady(tmp_path / "v.mp4", fps, frames := int(fps * 3))
    written, found = extract(source, tmp_path / "out")
    times = [index / fps for index in range(frames)]
    assert written.frames == int(frames / fps * 30 + Fraction(1, 2))
    assert close(found, expected(times, Fraction(0), written.frames, Fraction(30)))
    assert written.source_fps == fps
    assert (written.lead, written.end_s) == (0, None)


@pytest.mark.parametrize("fps", RATES, ids=RATE_NAMES)
@pytest.mark.parametrize("begin", ["2", "2.51"])
def test_a_span_has_its_second_t_at_frame_30_t_plus_1(tmp_path: Path, fps: Fraction, begin: str) -> None:
    source = steady(tmp_path / "v.mp4", fps, int(fps * 5))
    begin_s = Fraction(begin)
    written, found = extract(source, tmp_path / "out", from_s=begin_s, to_s=begin_s + 2)
    times = [index / fps for index in range(int(fps * 5))]
    assert written.frames == 60
    assert written.end_s is None
    assert close(found, expected(times, begin_s, 60, Fraction(30)))


def test_a_span_is_its_part_of_the_whole(tmp_path: Path) -> None:
    source = steady(tmp_path / "v.mp4", NTSC_FILM, 100, gop=30)
    extract(source, tmp_path / "whole")
    extract(source, tmp_path / "part", from_s=Fraction(2), to_s=Fraction(3))
    for number in range(1, 31):
        whole = (tmp_path / "whole" / f"{60 + number:06d}.jpg").read_bytes()
        assert (tmp_path / "part" / f"{number:06d}.jpg").read_bytes() == whole


UNEVEN = [0, 40, 80, 90, 100, 500, 540, 541, 542, 800, 1000, 1500, 1501, 1510, 1900, 2200, 2233, 2266, 2300, 2900]


@pytest.mark.parametrize("ending", ["mp4", "mkv"])
@pytest.mark.parametrize("begin", ["0", "0.55", "1.2"])
def test_an_uneven_rate(tmp_path: Path, ending: str, begin: str) -> None:
    source = encode(tmp_path / f"v.{ending}", UNEVEN, Fraction(1, 1000))
    begin_s = Fraction(begin)
    written, found = extract(source, tmp_path / "out", from_s=begin_s, to_s=begin_s + Fraction(3, 2))
    assert written.frames == 45
    assert close(found, expected([Fraction(time, 1000) for time in UNEVEN], begin_s, 45, Fraction(30)))


@pytest.mark.parametrize("fps", [Fraction(25), NTSC, Fraction(10)], ids=["25", "29.97", "10"])
@pytest.mark.parametrize("times", [range(40), [0, 1, 2, 9, 10, 11, 12, 13, 30, 31, 32]], ids=["even", "uneven"])
def test_the_frames_are_those_of_libav_s_fps_filter(tmp_path: Path, times: Sequence[int], fps: Fraction) -> None:
    source = encode(tmp_path / "v.mp4", times, Fraction(1, 24))
    graph = Graph()
    wanted = []
    with av.open(str(source)) as container:
        stream = container.streams.video[0]
        chain = [graph.add_buffer(template=stream)]
        chain += [graph.add("fps", f"fps={fps}:round=near:start_time=0"), graph.add("buffersink")]
        for one, following in pairwise(chain):
            one.link_to(following)
        graph.configure()
        for frame in [*container.decode(stream), None]:
            graph.vpush(frame)
            while True:
                try:
                    wanted.append(round(float(graph.vpull().to_ndarray(format="gray").mean())))
                except (av.error.BlockingIOError, av.error.EOFError):
                    break
    _, found = extract(source, tmp_path / "out", fps=fps)
    assert len(found) > 10
    assert close(found, wanted)


def test_another_rate(tmp_path: Path) -> None:
    source = steady(tmp_path / "v.mp4", Fraction(24), 48)
    _, found = extract(source, tmp_path / "out", fps=NTSC_FILM / 2)
    assert close(found, expected([Fraction(i, 24) for i in range(48)], Fraction(0), 24, NTSC_FILM / 2))


def test_every_frame_of_the_source(tmp_path: Path) -> None:
    source = encode(tmp_path / "v.mp4", UNEVEN, Fraction(1, 1000))
    _, found = extract(source, tmp_path / "all", fps=None)
    assert close(found, [level(index) for index in range(len(UNEVEN))])
    written, found = extract(source, tmp_path / "some", fps=None, from_s=Fraction("0.08"), to_s=Fraction("0.54"))
    assert close(found, [level(index) for index in (2, 3, 4, 5)])
    assert written.end_s is None


@pytest.mark.parametrize("ending", ["mp4", "mkv", "ts"])
def test_time_0_is_where_the_container_starts(tmp_path: Path, ending: str) -> None:
    source = encode(tmp_path / f"v.{ending}", range(250, 350), Fraction(1, 25), gop=10)
    times = [Fraction(index, 25) for index in range(100)]
    written, found = extract(source, tmp_path / "whole")
    assert written.lead == 0
    assert close(found, expected(times, Fraction(0), 120, Fraction(30)))
    _, found = extract(source, tmp_path / "part", from_s=Fraction("2.5"), to_s=Fraction("3.5"))
    assert close(found, expected(times, Fraction("2.5"), 30, Fraction(30)))


def test_a_picture_that_starts_after_the_sound_stands_for_what_is_missing(tmp_path: Path) -> None:
    source = encode(tmp_path / "v.mkv", range(5, 30), Fraction(1, 25), audio_s=1.2)
    written, found = extract(source, tmp_path / "out")
    assert written.lead == 6
    assert close(found, expected([Fraction(i, 25) for i in range(5, 30)], Fraction(0), 36, Fraction(30)))


@pytest.mark.parametrize("codec", ["mpeg4", "libx264"])
def test_a_container_without_times(tmp_path: Path, codec: str) -> None:
    source = encode(tmp_path / "v.avi", range(50), Fraction(1, 25), codec=codec, rate=Fraction(25))
    _, found = extract(source, tmp_path / "out", fps=Fraction(25))
    assert len(found) == 50
    assert close(found, [level(index) for index in range(50)])
    _, part = extract(source, tmp_path / "part", fps=Fraction(25), from_s=Fraction("1.2"), to_s=Fraction(2))
    assert close(part, [level(index) for index in range(30, 50)])


def test_a_video_that_ends_early_is_not_padded(tmp_path: Path) -> None:
    source = steady(tmp_path / "v.mp4", Fraction(25), 50)
    written, found = extract(source, tmp_path / "out", from_s=Fraction(1), to_s=Fraction(10))
    assert (written.frames, len(found), written.end_s) == (30, 30, 2.0)
    written, _ = extract(source, tmp_path / "exact", to_s=Fraction(2))
    assert (written.frames, written.end_s) == (60, None)
    written, _ = extract(source, tmp_path / "every", fps=None, from_s=Fraction(1), to_s=Fraction(10))
    assert (written.frames, written.end_s) == (25, 2.0)
    with pytest.raises(UnusableError, match=r"ends after 2\.000 s") as refused:
        extract(source, tmp_path / "beyond", from_s=Fraction(5))
    assert refused.value.reason == "empty"


def test_the_bytes_do_not_depend_on_threads(tmp_path: Path) -> None:
    source = steady(tmp_path / "v.mp4", Fraction(24), 40)
    for threads in (1, 2, 5):
        written, _ = extract(source, tmp_path / str(threads), threads=threads)
        assert written.frames == 50
    for path in (tmp_path / "1").iterdir():
        assert path.read_bytes() == (tmp_path / "2" / path.name).read_bytes()
        assert path.read_bytes() == (tmp_path / "5" / path.name).read_bytes()


def test_the_short_side(tmp_path: Path) -> None:
    wide = steady(tmp_path / "wide.mp4", Fraction(30), 3, size=(182, 100))
    tall = steady(tmp_path / "tall.mp4", Fraction(30), 3, size=(100, 182))
    for source, size in ((wide, (88, 48)), (tall, (48, 88))):
        written, found = extract(source, tmp_path / "out", short_side=48)
        assert (written.width, written.height) == size
        assert Image.open(tmp_path / "out" / "000001.jpg").size == size
        assert close(found, [level(index) for index in range(3)])
    written, _ = extract(wide, tmp_path / "out")
    assert (written.width, written.height) == (182, 100)


def test_quality_1_is_2_as_in_ffmpeg_and_31_is_coarse(tmp_path: Path) -> None:
    source = steady(tmp_path / "v.mp4", Fraction(30), 2)
    tables = {}
    for quality in (1, 2, 31):
        extract(source, tmp_path / str(quality), quality=quality)
        tables[quality] = Image.open(tmp_path / str(quality) / "000001.jpg").quantization  # type: ignore[attr-defined]
    assert tables[1] == tables[2]
    assert tables[2][0][1] == 16 * 2 // 8
    assert tables[31][0][1] == 16 * 31 // 8


COLOURS = [(255, 255, 255), (0, 0, 0), (255, 0, 0), (0, 255, 0), (0, 0, 255), (200, 120, 40), (16, 235, 128)]


@pytest.mark.parametrize("pixels", ["yuv420p", "yuv422p", "yuv444p", "yuv420p10le", "yuvj420p", "gbrp"])
def test_colours_are_right(tmp_path: Path, pixels: str) -> None:
    """Patches of colour through every kind of pixels, decoded by another program: full range, no shift."""
    picture = np.zeros((32, 32 * len(COLOURS), 3), np.uint8)
    for index, colour in enumerate(COLOURS):
        picture[:, 32 * index : 32 * (index + 1)] = colour
    path = tmp_path / "v.mkv"
    with av.open(str(path), "w") as container:
        stream = container.add_stream({"gbrp": "libx264rgb", "yuvj420p": "mjpeg"}.get(pixels, "ffv1"), rate=30)
        stream.width, stream.height = picture.shape[1], 32
        stream.pix_fmt = "rgb24" if pixels == "gbrp" else pixels
        if pixels == "gbrp":
            stream.options = {"crf": "0"}
        full = pixels == "yuvj420p"
        if full:
            stream.codec_context.color_range = 2
        frame = av.VideoFrame.from_ndarray(picture)
        if pixels != "gbrp":
            frame = frame.reformat(format=pixels, dst_colorspace="ITU601", dst_color_range="JPEG" if full else "MPEG")
        frame.pts = 0
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    extract(path, tmp_path / "out")
    found = np.asarray(Image.open(tmp_path / "out" / "000001.jpg").convert("RGB")).astype(int)
    for index, colour in enumerate(COLOURS):
        patch = found[8:24, 32 * index + 8 : 32 * index + 24].reshape(-1, 3)
        assert np.abs(patch.mean(axis=0) - colour).max() < 4, (colour, patch.mean(axis=0))


def test_damage_in_the_middle_is_told(tmp_path: Path) -> None:
    source = encode(tmp_path / "v.mkv", range(60), Fraction(1, 30), size=(128, 96))
    data = bytearray(source.read_bytes())
    middle = len(data) // 2
    for place in range(middle, middle + 60):
        data[place] ^= 0xFF
    source.write_bytes(data)
    with pytest.raises(UnusableError) as refused:
        extract(source, tmp_path / "out")
    assert refused.value.reason in ("corrupt", "truncated")


@pytest.mark.parametrize("ending", ["mkv", "mp4"])
def test_a_video_that_was_cut_off_is_told(tmp_path: Path, ending: str) -> None:
    source = steady(tmp_path / f"v.{ending}", Fraction(25), 150)
    if ending == "mp4":
        # the index before the pictures, as on web pages: the file opens, its end is missing
        moved = tmp_path / "moved.mp4"
        with av.open(str(source)) as old, av.open(str(moved), "w", options={"movflags": "faststart"}) as new:
            stream = new.add_stream_from_template(old.streams.video[0])
            for packet in old.demux(video=0):
                if packet.dts is not None:
                    packet.stream = stream
                    new.mux(packet)
        source = moved
    whole, _ = extract(source, tmp_path / "whole")
    assert whole.frames == 180
    source.write_bytes(source.read_bytes()[: source.stat().st_size * 6 // 10])
    with pytest.raises(UnusableError) as refused:
        extract(source, tmp_path / "out")
    assert refused.value.reason in ("corrupt", "truncated")
    # what lies before the cut is there
    written, _ = extract(source, tmp_path / "early", to_s=Fraction(1))
    assert written.frames == 30


def test_a_longer_sound_track_is_no_fault(tmp_path: Path) -> None:
    source = encode(tmp_path / "v.mp4", range(25), Fraction(1, 25), audio_s=4)
    written, _ = extract(source, tmp_path / "out")
    assert written.frames == 30


def test_what_is_no_video(tmp_path: Path) -> None:
    (tmp_path / "zero.mp4").touch()
    (tmp_path / "text.mp4").write_text("not a video " * 100)
    with av.open(str(tmp_path / "sound.m4a"), "w") as container:
        sound = container.add_stream("aac", rate=16000)
        silence = av.AudioFrame.from_ndarray(np.zeros((1, 4096), np.float32), "fltp", "mono")
        silence.sample_rate = 16000
        container.mux(sound.encode(silence))
        container.mux(sound.encode(None))
    reasons = {}
    for name in ("zero.mp4", "text.mp4", "sound.m4a", "absent.mp4"):
        with pytest.raises(UnusableError) as refused:
            extract(tmp_path / name, tmp_path / "out")
        reasons[name] = refused.value.reason
    assert reasons == {"zero.mp4": "empty", "text.mp4": "no_video", "sound.m4a": "no_video", "absent.mp4": "missing"}
    assert list((tmp_path / "out").iterdir()) == []


def test_times_that_jump_write_no_million_files(tmp_path: Path) -> None:
    source = encode(tmp_path / "v.mkv", [*range(10), 10_000_000], Fraction(1, 25))
    # a container that claims a second: the element Duration, a float of 8 bytes, in milliseconds
    data = source.read_bytes()
    place = data.index(b"\x44\x89\x88") + 3
    source.write_bytes(data[:place] + np.float64(1000).astype(">f8").tobytes() + data[place + 8 :])
    with pytest.raises(UnusableError, match="its time jumps"):
        extract(source, tmp_path / "out")


@pytest.mark.needs_ffmpeg
@pytest.mark.parametrize(
    ("fps", "wanted", "quality"), [("24", "30", 1), ("50", "30", 5), ("30000/1001", "30", 31), ("30", "12", 2)]
)
def test_pixels_are_ffmpeg_s(tmp_path: Path, fps: str, wanted: str, quality: int) -> None:
    source = textured(tmp_path / "v.mp4", Fraction(fps))
    run_ffmpeg(source, tmp_path / "theirs", f"fps={wanted}", quality)
    extract(source, tmp_path / "ours", fps=Fraction(wanted), quality=quality)
    assert_same_pictures(tmp_path, tolerance=0)


@pytest.mark.needs_ffmpeg
def test_a_turned_video_is_turned_as_by_ffmpeg(tmp_path: Path) -> None:
    source = textured(tmp_path / "v.mp4", Fraction(30))
    for degrees in ("90", "180", "270"):
        turned = tmp_path / f"turned{degrees}.mp4"
        words = ["-i", str(source), "-c", "copy", "-metadata:s:v:0", f"rotate={degrees}", str(turned)]
        subprocess.run(["ffmpeg", "-v", "error", "-nostdin", *words], check=True)
        with av.open(str(turned)) as container:
            if next(container.decode(video=0)).rotation == 0:
                pytest.skip("this ffmpeg writes no rotation")
        run_ffmpeg(turned, tmp_path / "theirs", "fps=30")
        written, _ = extract(turned, tmp_path / "ours")
        assert (written.width, written.height) == ((128, 96) if degrees == "180" else (96, 128))
        assert_same_pictures(tmp_path, tolerance=0)


def textured(path: Path, fps: Fraction) -> Path:
    generator = np.random.default_rng(3)
    picture = np.kron(generator.integers(0, 256, (12, 16, 3), dtype=np.uint8), np.ones((8, 8, 1), np.uint8))
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=fps, options={"crf": "15"})
        stream.width, stream.height, stream.pix_fmt = 128, 96, "yuv420p"
        for index in range(30):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.roll(picture, 3 * index, axis=1))))
        container.mux(stream.encode(None))
    return path


def run_ffmpeg(source: Path, folder: Path, filters: str, quality: int = 1) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    words = ["-i", str(source), "-vf", filters, "-q:v", str(quality), str(folder / "%06d.jpg")]
    subprocess.run(["ffmpeg", "-v", "error", "-nostdin", *words], check=True)


def assert_same_pictures(folder: Path, tolerance: int) -> None:
    names = sorted(path.name for path in (folder / "theirs").iterdir())
    assert names == sorted(path.name for path in (folder / "ours").iterdir())
    for name in names:
        theirs, ours = (np.asarray(Image.open(folder / side / name)).astype(int) for side in ("theirs", "ours"))
        assert theirs.shape == ours.shape
        assert np.abs(theirs - ours).max() <= tolerance, name
