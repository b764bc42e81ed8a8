"""The frames that 10 views need: our readers against PyAV, TorchCodec and decord called directly."""

from __future__ import annotations

import argparse
import os
import tempfile
from collections.abc import Callable
from fractions import Fraction
from functools import partial
from pathlib import Path

import av
import decord
import numpy as np
from evaluate import PROTOCOL, items_of, kinetics_like
from timing import in_turns, report
from torchcodec.decoders import VideoDecoder

from vidbench.model.reading import Reader, read_all
from vidbench.model.zoo import MODELS
from vidbench.video.clip import Frames, VideoInfo
from vidbench.video.decoder import DECODERS

CORES = os.cpu_count() or 1
SIZE = MODELS.get("x3d_s").preprocess


def wanted(info: VideoInfo) -> set[int]:
    """The frames of all views."""
    return {index for view in PROTOCOL.frames(SIZE, info.frames, info.fps) for index in view}


def by_pyav(path: Path) -> np.ndarray:
    """Decode all, convert the wanted ones."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        stream.thread_type = "AUTO"
        chosen = wanted(VideoInfo(path, "", 0, 0, stream.average_rate, stream.frames))
        frames = (frame for index, frame in enumerate(container.decode(stream)) if index in chosen)
        return np.stack([frame.to_ndarray(format="rgb24") for frame in frames])


def by_torchcodec(path: Path) -> np.ndarray:
    """The wanted frames in one call, as its documentation advises."""
    decoder = VideoDecoder(str(path), dimension_order="NHWC", num_ffmpeg_threads=0)
    facts = decoder.metadata
    chosen = wanted(VideoInfo(path, "", 0, 0, Fraction(round(facts.average_fps)), facts.num_frames))
    return decoder.get_frames_at(sorted(chosen)).data.numpy()


def by_decord(path: Path) -> np.ndarray:
    """The wanted frames in one call."""
    reader = decord.VideoReader(str(path))
    chosen = wanted(VideoInfo(path, "", 0, 0, Fraction(round(reader.get_avg_fps())), len(reader)))
    return reader.get_batch(sorted(chosen)).asnumpy()


def main() -> None:
    """Rounds over rendered videos."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--videos", type=int, default=24)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        videos = [Path(folder) / f"{index}.mp4" for index in range(options.videos)]
        for index, video in enumerate(videos):
            kinetics_like(video, index)
        shapes = {}

        def each(name: str, call: Callable[[Path], np.ndarray]) -> None:
            shapes[name] = {call(video).shape for video in videos}

        direct = {"PyAV": by_pyav, "TorchCodec": by_torchcodec, "decord": by_decord}
        work = {f"{name}, called directly": partial(each, name, call) for name, call in direct.items()}
        for name in DECODERS.names():
            decode = DECODERS.get(name)
            work[f"vidbench, {name}"] = partial(each, name, lambda video, decode=decode: decode(video, wanted).data)
        reader = Reader("pyav", SIZE, PROTOCOL)

        def as_eval() -> None:
            assert all(isinstance(found, Frames) for _, found in read_all(reader, items_of(videos), CORES, 600))

        work["vidbench, as model eval reads: processes, frames scaled"] = as_eval
        for call in work.values():
            call()
        seconds = in_turns(work, options.rounds)
    assert len({shape for found in shapes.values() for shape in found}) == 1
    peers = [name for name in work if "directly" in name]
    fastest = min(peers, key=lambda name: float(np.median(seconds[name])))
    notes = [f"the fastest called directly: {fastest}"]
    report(f"{options.videos} videos of 10 s, 340x256, the frames of 10 views at full size", seconds, fastest, notes)


if __name__ == "__main__":
    main()
