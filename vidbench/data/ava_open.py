"""Where the pictures of an AVA set's videos come from: frames of a list, videos of an export, or a folder of videos."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import astuple
from pathlib import Path
from typing import Literal

from vidbench.data.ava_layout import CUT_VIDEOS, SET, AvaFiles, Layout, Piece, read_pieces
from vidbench.data.ava_source import AvaSource
from vidbench.data.frame_sets import FrameRows, FrameVideo, read_frame_list
from vidbench.errors import InputError, UsageError
from vidbench.formats.kinetics import SHOWN_PROBLEMS
from vidbench.formats.labelset import parse_set
from vidbench.runs import content_hash, read_json
from vidbench.video.clip import VideoError
from vidbench.video.moments import length_s
from vidbench.video.steady import GRID_FPS

ENDINGS = (".mp4", ".mkv", ".webm", ".avi", ".mov", ".m4v")
SPAN_S = 901
"""Seconds of a film that AVA's frames are made of."""


def open_sources(
    layout: Layout,
    files: AvaFiles,
    *,
    frames: Path | None,
    videos: Path | None,
    first_second: int,
    video_start: int | None,
    wanted: Iterable[str],
    missing: Literal["refuse", "skip"],
) -> tuple[dict[str, AvaSource], dict[str, str], dict[str, str]]:
    """The sources of the wanted videos, in the order of the frame list or of the export, else by name.

    Returns:
        Sources by video; why others have none, empty unless those are skipped; digests of what was read for it.

    Raises:
        UsageError: Both frames and videos.
        InputError: A video or its frames are not there, or are there twice.
    """
    if frames is not None and videos is not None:
        raise UsageError("both a folder of frames and one of videos", "Give one of them.")
    pieces = read_pieces(files.ids) if files.ids is not None else {}
    names = list(wanted)
    digests: dict[str, str] = {}
    root = frames or (layout.frames if videos is None else None)
    if root is not None:
        if not root.is_dir():
            raise InputError(f"{root}: no such folder", "Give the folder of the frames.")
        if files.frame_list is None:
            raise InputError(
                f"{layout.root} has frames and no frame list",
                "Give the frame list, or a folder of videos to read from.",
            )
        found, lost, digest = _of_frames(files.frame_list, root, names)
        digests["frame_list"] = digest
    elif pieces:
        found, lost = _of_pieces(pieces, layout.home, videos, names)
        digests["pieces"] = content_hash([[name, *astuple(piece)] for name, piece in pieces.items()])
    else:
        folder = videos or layout.videos
        if folder is None or not folder.is_dir():
            raise InputError(
                f"{folder or layout.root}: no {'such folder' if folder else 'frames/ and no videos/'}",
                "Extract frames with vidbench data frames, or give the folder of the videos.",
            )
        start = video_start if video_start is not None else (0 if folder.name == CUT_VIDEOS else first_second)
        found, lost = _of_videos(folder, start, names)
    if lost and missing == "refuse":
        told = [f"{video}: {reason}" for video, reason in list(lost.items())[:SHOWN_PROBLEMS]]
        if len(lost) > SHOWN_PROBLEMS:
            told.append(f"... and {len(lost) - SHOWN_PROBLEMS} more")
        raise InputError(
            "\n".join([f"{len(lost)} of {len(names)} annotated videos have no pictures", *told]),
            "Bring them, give the folder that the videos or frames are in, or skip what is missing.",
        )
    return found, lost, digests


def _of_frames(listed: Path, root: Path, names: list[str]) -> tuple[dict[str, AvaSource], dict[str, str], str]:
    videos, digest = read_frame_list(listed)
    wanted = set(names)
    found: dict[str, AvaSource] = {}
    lost: dict[str, str] = {}
    source, folder = str(listed.absolute()), str(root.absolute())
    for video in videos:
        if video.name not in wanted:
            continue
        one = _frame_source(video, source, folder)
        gone = next((file for file in _ends(one) if not Path(file).is_file()), None)
        if gone is None:
            found[video.name] = one
        else:
            lost[video.name] = f"{gone}: no such file"
    unlisted = wanted - found.keys() - lost.keys()
    return found, lost | {name: f"not in {listed}" for name in names if name in unlisted}, digest


def _frame_source(video: FrameVideo, source: str, folder: str) -> AvaSource:
    rows = FrameRows(source, folder, video.offset, video.size, video.count, video.crc)
    return AvaSource(video.name, Path(folder, video.first), video.count, rows)


def _ends(one: AvaSource) -> tuple[str, str]:
    assert one.frames is not None
    files = one.frames.files()
    return files[0], files[-1]


def _of_pieces(
    pieces: Mapping[str, Piece], home: Path, videos: Path | None, names: list[str]
) -> tuple[dict[str, AvaSource], dict[str, str]]:
    wanted, sizes = set(names), _sizes(home)
    found: dict[str, AvaSource] = {}
    lost: dict[str, str] = {}
    for name, piece in pieces.items():
        if name not in wanted:
            continue
        if videos is None:
            path: Path | None = home / piece.source
        else:
            named = videos / Path(piece.source).name
            path = named if named.is_file() else _video_of(videos, piece.video)
        if path is None or not path.is_file():
            lost[name] = f"{path or videos}: no such video"
        elif videos is None and path.stat().st_size != sizes.get(piece.video, path.stat().st_size):
            lost[name] = f"{path}: another file than the set was made of: its size differs"
        else:
            found[name] = AvaSource(name, path.absolute(), piece.pictures, None, piece.from_s)
    unlisted = wanted - pieces.keys()
    return found, lost | {name: "not in ids.csv of the export" for name in names if name in unlisted}


def _sizes(home: Path) -> dict[str, int]:
    """Bytes of each video of a set when it was made; none where there is no set."""
    path = home / SET
    return {one.id: one.size_bytes for one in parse_set(read_json(path), path).videos} if path.is_file() else {}


def _of_videos(folder: Path, start: int, names: list[str]) -> tuple[dict[str, AvaSource], dict[str, str]]:
    found: dict[str, AvaSource] = {}
    lost: dict[str, str] = {}
    for name in sorted(names):
        path = _video_of(folder, name)
        if path is None:
            lost[name] = f"no {folder / name}.mp4, .mkv or .webm"
            continue
        try:
            length = length_s(path)
        except VideoError as error:
            lost[name] = f"{path}: {error}"
            continue
        count = SPAN_S * GRID_FPS if length is None else min(math.floor((length - start) * GRID_FPS), SPAN_S * GRID_FPS)
        if count < 1:
            lost[name] = (
                f"{path} lasts {float(length or 0):.1f} s, and its first frame is to be at {start} s: say where videos "
                "start, 0 for those that were cut"
            )
        else:
            found[name] = AvaSource(name, path.absolute(), count, None, start)
    return found, lost


def _video_of(folder: Path, name: str) -> Path | None:
    there = [folder / f"{name}{ending}" for ending in ENDINGS if (folder / f"{name}{ending}").is_file()]
    if len(there) > 1:
        raise InputError(f"{there[0]} and {there[1]} are both the video {name}", "Leave one of them.")
    return there[0] if there else None
