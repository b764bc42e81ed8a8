"""Any span of any clock: the frames whose times lie in it, once each, at the same distances."""

from __future__ import annotations

import math
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vidbench.video.clip import UnusableError
from vidbench.video.cut import Coding, Span, cut
from vidbench.video.recode import scaled_even
from vidbench.video.smart import _decoding_times

FRAMES = 60


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Fraction]]:
    """Unsteady times, reordered frames, groups of 15."""
    path = tmp_path_factory.mktemp("film") / "film.mp4"
    ticks = [index * 400 + (index * 37 % 11) * 30 for index in range(FRAMES)]
    with av.open(str(path), "w") as out:
        stream = out.add_stream("libx264", rate=25, options={"g": "15", "bf": "2", "preset": "ultrafast"})
        stream.width, stream.height, stream.pix_fmt = 32, 32, "yuv420p"
        stream.time_base = stream.codec_context.time_base = Fraction(1, 10_000)
        for tick in ticks:
            frame = av.VideoFrame(32, 32, "yuv420p")
            frame.pts = tick
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    return path, [Fraction(tick, 10_000) for tick in ticks]


milliseconds = st.integers(0, 2600)


@settings(max_examples=40)
@given(start=milliseconds, length=st.none() | st.integers(1, 2600), mode=st.sampled_from(["exact", "smart"]))
def test_every_frame_of_the_span_and_no_other(
    film: tuple[Path, list[Fraction]], start: int, length: int | None, mode: str
) -> None:
    path, times = film
    begin, end = Fraction(start, 1000), None if length is None else Fraction(start + length, 1000)
    wanted = [time - begin for time in times if time >= begin and (end is None or time < end)]
    target = path.with_name("cut.mp4")
    span = Span(start / 1000, None if length is None else (start + length) / 1000)
    how = {"name": "cut.mp4", "mode": mode}
    if not wanted:
        with pytest.raises(UnusableError, match="no frame from"):
            cut(path, span, target, Coding(preset="ultrafast"), **how)  # type: ignore[arg-type]
        return
    made = cut(path, span, target, Coding(preset="ultrafast"), **how)  # type: ignore[arg-type]
    with av.open(str(target)) as container:
        found = [frame.pts * frame.time_base for frame in container.decode(video=0)]
    assert found == wanted
    assert made.frames == len(wanted)
    # a last frame and one more may be missing; how long these are in a film of varying rate is not judged to the tick
    missing = Fraction(0) if end is None else end - times[-1]
    if abs(missing - Fraction(2, 25)) > Fraction(1, 50):
        assert bool(made.short) == (missing > Fraction(2, 25))


@given(st.permutations(range(12)))
def test_decoding_times_rise_and_never_come_after_showing(order: list[int]) -> None:
    pts = [value * 7 + value % 3 for value in order]
    dts = _decoding_times(pts)
    assert all(a < b for a, b in pairwise(dts))
    assert all(a <= b for a, b in zip(dts, pts, strict=True))


@given(st.integers(16, 4000), st.integers(16, 4000), st.integers(8, 500).map(lambda half: 2 * half))
def test_scaling_keeps_the_shape(width: int, height: int, short: int) -> None:
    wide, high = scaled_even(width, height, short)
    assert min(wide, high) in (short, short - 1 + short % 2)
    assert wide % 2 == high % 2 == 0
    long, side = max(width, height), min(width, height)
    assert abs(max(wide, high) - short * Fraction(long, side)) <= 1
    assert max(wide, high) == 2 * math.floor(Fraction(short * long, 2 * side) + Fraction(1, 2))
