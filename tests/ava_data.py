"""A small AVA folder: a red square that moves over grey, whose box is known at every moment."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vidbench.data.frames import frame_name
from vidbench.formats.framelist import FrameLine, save_frames
from vidbench.video.encode import encode
from vidbench.video.jpeg import JpegOptions, write_jpegs

WIDTH, HEIGHT, SIDE = 96, 64, 20
SECONDS = 8
ACTIONS = 'item {\n  name: "stand"\n  id: 1\n}\nitem {\n  name: "walk"\n  id: 4\n}\n'


def corner(number: int) -> tuple[int, int]:
    """Left and top of the square in a picture of the grid of 30 a second."""
    return 4 + number // 4, 8 + number // 12


def box(second: int) -> str:
    """The square at a second from 900 on, as the annotations write boxes."""
    x, y = corner((second - 900) * 30)
    return f"{x / WIDTH:.3f},{y / HEIGHT:.3f},{(x + SIDE) / WIDTH:.3f},{(y + SIDE) / HEIGHT:.3f}"


def picture(number: int) -> NDArray[np.uint8]:
    """`(HEIGHT, WIDTH, 3)` RGB."""
    image = np.full((HEIGHT, WIDTH, 3), 110, np.uint8)
    x, y = corner(number)
    image[y : y + SIDE, x : x + SIDE] = (230, 20, 20)
    return image


def render(path: Path, seconds: int = SECONDS) -> Path:
    """A video of the square from second 900 on."""
    path.parent.mkdir(parents=True, exist_ok=True)
    encode(path, (picture(number) for number in range(seconds * 30)), Fraction(30), crf=4, gop=24)
    return path


def extract(folder: Path, names: list[str]) -> None:
    """Frames and the frame lists of both parts, of the videos in `videos_15min`."""
    rows = []
    for number, name in enumerate(names):
        frames = folder / "frames" / name
        frames.mkdir(parents=True)
        written = write_jpegs(
            folder / "videos_15min" / f"{name}.mp4",
            frames,
            lambda at, of=name: frame_name("ava", of, at),
            JpegOptions(),
        )
        rows += [
            FrameLine(name, number, at, f"{name}/{frame_name('ava', name, at + 1)}") for at in range(written.frames)
        ]
    for part in ("train", "val"):
        save_frames(folder / "frame_lists" / f"{part}.csv", rows)


def annotate(folder: Path, name: str, lines: list[str]) -> Path:
    """A file of annotations."""
    path = folder / "annotations" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{line}\n" for line in lines))
    return path


def ava_folder(folder: Path) -> Path:
    """Two videos as `videos_15min`, without frames; both are in both parts."""
    for name in ("one", "two"):
        render(folder / "videos_15min" / f"{name}.mp4")
    for part in ("train", "val"):
        rows = [f"{name},{second:04d},{box(second)},{1 if name == 'one' else 4},0"
                for name in ("one", "two") for second in (902, 903, 904, 905)]  # fmt: skip
        annotate(folder, f"ava_{part}_v2.2.csv", [*rows, f"one,0902,{box(902)},4,0"])
        annotate(folder, f"ava_{part}_excluded_timestamps_v2.2.csv", [])
    (folder / "annotations" / "ava_action_list_v2.2_for_activitynet_2019.pbtxt").write_text(ACTIONS)
    return folder
