"""Fifteen minutes out of a film: `data cut --mode smart` against encoding them anew with ffmpeg."""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import av
import numpy as np
from timing import in_turns, report

FPS = 25
SIZE = (640, 360)
GROUP = 260


def film(path: Path, minutes: float) -> None:
    """A drifting texture with grain and a moving square; closed groups of 10.4 s, reordered frames."""
    generator = np.random.default_rng(0)
    width, height = SIZE
    coarse = generator.integers(40, 215, (height // 8, width // 4), dtype=np.uint8)
    texture = np.kron(coarse, np.ones((8, 8), dtype=np.uint8))
    grain = [generator.integers(-6, 7, (height, width)).astype(np.int16) for _ in range(16)]
    options = {"preset": "veryfast", "crf": "23", "g": str(GROUP), "keyint_min": str(GROUP), "bf": "2"}
    options["x264-params"] = "scenecut=0"
    with av.open(str(path), "w") as out:
        stream = out.add_stream("libx264", rate=FPS, options=options)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for index in range(round(minutes * 60 * FPS)):
            shift = index * 2 % width
            grey = np.clip(texture[:height, shift : shift + width] + grain[index % 16], 0, 255).astype(np.uint8)
            x = index * 5 % (width - 80)
            grey[120:200, x : x + 80] = 255 - grey[120:200, x : x + 80]
            frame = av.VideoFrame(width, height, "yuv420p")
            for plane, values in zip(
                frame.planes, (grey, *(np.full((height // 2, width // 2), 128, np.uint8),) * 2), strict=True
            ):
                np.frombuffer(plane, np.uint8).reshape(values.shape[0], plane.line_size)[:, : values.shape[1]] = values
            frame.pts = index
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))


def smart(video: Path, folder: Path) -> None:
    """The command as it is typed, from the start of Python to its end."""
    shutil.rmtree(folder / "smart", ignore_errors=True)
    words = ["data", "cut", str(video), "--spans", "ava", "--mode", "smart", "--out", str(folder / "smart")]
    done = subprocess.run([sys.executable, "-m", "vidbench", "-q", *words], check=True, capture_output=True, text=True)
    assert "1 smart; 22525 frames" in done.stdout, done.stdout


def encode(video: Path, folder: Path) -> None:
    """The line of AVA's preparation."""
    words = ["ffmpeg", "-nostdin", "-v", "error", "-y", "-ss", "900", "-t", "901", "-i", str(video)]
    subprocess.run([*words, str(folder / "encoded.mp4")], check=True)


def main() -> None:
    """Rounds over one film."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=1)
    rounds = parser.parse_args().rounds
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        video = folder / "film.mp4"
        film(video, minutes=31)
        work = {
            "ffmpeg -ss 900 -t 901": lambda: encode(video, folder),
            "data cut --mode smart": lambda: smart(video, folder),
        }
        seconds = in_turns(work, rounds)
        copied = (folder / "smart" / "film.mp4").stat().st_size / 1e6
        notes = [f"film of {video.stat().st_size / 1e6:.0f} MB; cut {copied:.0f} MB"]
    report("900 to 1801 s of a film of 640x360 at 25 fps", seconds, "ffmpeg -ss 900 -t 901", notes)


if __name__ == "__main__":
    main()
