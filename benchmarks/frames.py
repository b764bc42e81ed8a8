"""JPEG frames of H.264 videos: `vidbench data frames` against the ffmpeg command line on the same cores."""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from timing import in_turns, report


def render(path: Path, seconds: int, fps: int, size: tuple[int, int], seed: int) -> None:
    """A smooth background that drifts, with a noisy square that moves."""
    width, height = size
    generator = np.random.default_rng(seed)
    coarse = av.VideoFrame.from_ndarray(generator.integers(0, 255, (height // 24, width // 24, 3), dtype=np.uint8))
    texture = coarse.reformat(width, height, "rgb24", interpolation="BICUBIC").to_ndarray()
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=Fraction(fps), options={"crf": "23", "preset": "veryfast"})
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for index in range(seconds * fps):
            frame = np.roll(texture, index // 2, axis=1)
            x = (index * 4) % (width - 80)
            frame[60:108, x : x + 48] = generator.integers(0, 255, (48, 48, 3), dtype=np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame)))
        container.mux(stream.encode(None))


def ffmpeg(source: Path, folder: Path, *words: str) -> None:
    """Frames as the guides extract them, but for the filter in place of `-r`."""
    folder.mkdir(parents=True)
    output = ["-vf", "fps=30", "-q:v", "1", str(folder / f"{source.stem}_%06d.jpg")]
    subprocess.run(["ffmpeg", "-v", "error", "-nostdin", *words, "-i", str(source), *output], check=True)


def vidbench(source: Path, out: Path, *words: str) -> None:
    """The command."""
    command = [sys.executable, "-m", "vidbench", "-q", "data", "frames", str(source), "--out", str(out), *words]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def cut_then_extract(source: Path, folder: Path, begin: int, end: int) -> None:
    """The published scripts: encode the part again, then extract it."""
    folder.mkdir(parents=True)
    cut = folder / source.name
    words = ["-ss", str(begin), "-t", str(end - begin), "-i", str(source), str(cut)]
    subprocess.run(["ffmpeg", "-v", "error", "-nostdin", *words], check=True)
    ffmpeg(cut, folder / "frames")


def main() -> None:
    """Rounds over rendered videos."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=60, help="of the long video; the four short ones have a quarter")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "short").mkdir()
        long = folder / "long.mp4"
        render(long, options.seconds, 24, (1280, 720), 0)
        sizes = [(640, 360), (854, 480), (640, 480), (480, 360)]
        for index, (size, fps) in enumerate(zip(sizes, (25, 30, 24, 60), strict=True)):
            render(folder / "short" / f"{index}.mp4", max(2, options.seconds // 4), fps, size, index)
        begin, end = options.seconds // 3, options.seconds
        counts: dict[str, int] = {}

        def timed(label: str, work) -> None:
            out = folder / "out"
            shutil.rmtree(out, ignore_errors=True)
            work(out)
            counts[label] = sum(1 for _ in out.rglob("*.jpg"))

        def all_by_ffmpeg(out: Path) -> None:
            for video in sorted((folder / "short").iterdir()):
                ffmpeg(video, out / video.stem)

        cases = [
            (
                f"One 720p video of {options.seconds} s at 24 fps, to 30 fps",
                lambda out: ffmpeg(long, out / "long"),
                lambda out: vidbench(long, out),
            ),
            (
                f"Four videos of {max(2, options.seconds // 4)} s, 640x360 to 854x480, 24 to 60 fps",
                all_by_ffmpeg,
                lambda out: vidbench(folder / "short", out),
            ),
            (
                f"Seconds {begin} to {end} of the 720p video: one pass against cutting and extracting",
                lambda out: cut_then_extract(long, out, begin, end),
                lambda out: vidbench(long, out, "--from", str(begin), "--to", str(end)),
            ),
        ]
        for title, theirs, ours in cases:
            work = {
                "ffmpeg": lambda theirs=theirs: timed("ffmpeg", theirs),
                "vidbench": lambda ours=ours: timed("vidbench", ours),
            }
            seconds = in_turns(work, options.rounds)
            report(title, seconds, "ffmpeg", [f"files: {counts}"])


if __name__ == "__main__":
    main()
