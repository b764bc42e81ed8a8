"""Keyframes of videos: which moments, which frames, at any rate."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from vidbench.model.ava_sampling import ava_clip_indices
from vidbench.video.clip import VideoError
from vidbench.video.pyav import probe
from vidbench.video.windows import TIME_SLACK_S, Keyframe, watch_keyframes


def watch(path: Path, hop_s: float = 1.0, frames: int = 8, stride: int = 4) -> list[Keyframe[float]]:
    return list(watch_keyframes(probe(path), hop_s, frames, stride, lambda image: float(image.mean())))


def variable(path: Path, pts: list[int]) -> Path:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        stream.codec_context.time_base = stream.time_base = Fraction(1, 1000)
        for number, at in enumerate(pts):
            frame = av.VideoFrame.from_ndarray(np.full((48, 64, 3), 60 + number, np.uint8), format="rgb24")
            frame.pts, frame.time_base = at, Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


@pytest.mark.parametrize(("frames", "stride"), [(8, 4), (4, 16), (32, 2), (5, 3)])
def test_at_thirty_frames_a_second_clips_are_those_of_get_sequence(make_video, frames, stride) -> None:
    found = watch(make_video(frames=100), frames=frames, stride=stride)
    assert [one.frame for one in found] == [0, 30, 60, 90]
    for one in found:
        assert one.indices == ava_clip_indices(one.frame, frames, stride, 100)


@pytest.mark.parametrize("rate", ["10", "24", "25", "30000/1001", "50", "60"])
def test_at_other_rates_frames_are_chosen_by_time(make_video, rate) -> None:
    fps = float(Fraction(rate))
    total = round(fps * 3.3)
    found = watch(make_video(frames=total, fps=rate))
    assert [one.time_s for one in found] == [0, 1, 2, 3]
    for one in found:
        assert one.frame == int((one.time_s + TIME_SLACK_S) * fps)
        wanted = [one.time_s + (number * 4 - 16) / 30 for number in range(8)]
        assert one.indices == tuple(min(max(int((at + TIME_SLACK_S) * fps), 0), total - 1) for at in wanted)


def test_pictures_are_those_of_their_indices(make_video) -> None:
    path = make_video(frames=90, size=(96, 72))
    with av.open(str(path)) as container:
        means = [frame.to_ndarray(format="rgb24").mean() for frame in container.decode(video=0)]
    for one in watch(path, hop_s=0.7):
        assert one.pictures == tuple(means[index] for index in one.indices)
        assert one.image.mean() == means[one.frame]
        assert one.image.shape == (72, 96, 3)


def test_a_variable_rate_is_followed_by_its_times(tmp_path) -> None:
    # half a second at 20 frames a second, then one frame that stays for 1.5 s, then 10 a second
    pts = [*range(0, 500, 50), 500, *range(2000, 3000, 100)]
    found = watch(variable(tmp_path / "v.mkv", pts), frames=4, stride=6)
    assert [one.frame for one in found] == [0, 10, 11]
    # 0.4 s before, 0.2 s before, now, 0.2 s after
    assert found[1].indices == (10, 10, 10, 10)
    assert found[2].indices == (10, 10, 11, 13)


def test_the_end_of_a_video_is_no_keyframe_and_short_videos_have_one(make_video) -> None:
    assert [one.frame for one in watch(make_video("a.mp4", frames=60))] == [0, 30]
    assert [one.frame for one in watch(make_video("b.mp4", frames=61))] == [0, 30, 60]
    (only,) = watch(make_video("c.mp4", frames=1))
    assert only.indices == (0,) * 8
    # a clip that begins in the video around a moment that is past its end
    assert len(watch(make_video("d.mp4", frames=25), frames=8, stride=8)) == 1
    assert [one.frame for one in watch(make_video("e.mp4", frames=30), hop_s=0.01)][:3] == [0, 0, 0]


def test_only_what_a_clip_waits_for_is_prepared(make_video) -> None:
    asked = []
    for _ in watch_keyframes(probe(make_video(frames=290)), 5.0, 4, 2, lambda image: asked.append(1)):
        pass
    # two keyframes; the first one's clip has frames 0 (three times) and 2
    assert len(asked) == 2 + 4


def test_a_rotated_video_is_seen_upright(make_video, tmp_path) -> None:
    source, target = make_video(frames=4, size=(96, 48)), tmp_path / "turned.mp4"
    with av.open(str(source)) as before, av.open(str(target), "w") as after:
        stream = after.add_stream_from_template(before.streams.video[0])
        if not hasattr(stream, "set_display_rotation"):
            pytest.skip("this PyAV writes no rotation")
        stream.set_display_rotation(90)
        for packet in before.demux(video=0):
            if packet.dts is not None:
                packet.stream = stream
                after.mux(packet)
    (only,) = watch(target)
    assert only.image.shape == (96, 48, 3)


def test_a_broken_video_is_told(make_video, tmp_path) -> None:
    path = make_video(frames=60)
    info = probe(path)
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(VideoError):
        list(watch_keyframes(info, 1.0, 4, 2, float))
