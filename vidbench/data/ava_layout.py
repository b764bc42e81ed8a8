"""Which files an AVA folder has: a labelled set's export, any folder of that layout, or the published downloads."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from vidbench.errors import InputError
from vidbench.formats.framelist import read_lines
from vidbench.formats.kinetics import line_errors

EXPORT = "ava"
"""The folder of a labelled set that its export is in."""
IDS = "ids.csv"
SET = "set.json"
VERSIONS = ("v2.2", "v2.1")
"""Of the published annotations, the preferred one first."""
CUT_VIDEOS = "videos_15min"
"""The folder of videos that begin at AVA's second 900."""
_BOXES = ("person_box_67091280_iou90", "person_box_67091280_iou75")
_SCORED = ("ava_action_list_v2.2_for_activitynet_2019.pbtxt", "ava_action_list_v2.1_for_activitynet_2018.pbtxt")
_ALL = "ava_action_list_v2.2.pbtxt"


@dataclass(frozen=True)
class AvaFiles:
    """The files of one part; each may be given in place of the one that a folder has.

    Attributes:
        truth: Ground truth, `ava_val_v2.2.csv`.
        detected: Boxes of a detector; of a training part with what persons do, and `-1` for who matches nobody.
        excluded: Seconds that do not count.
        classes: The action list that numbers the classes.
        scored: The action list of the classes that the benchmark counts.
        frame_list: Which image is which frame.
        ids: Of an export: which video and seconds each of its names stands for.
    """

    truth: Path | None = None
    detected: Path | None = None
    excluded: Path | None = None
    classes: Path | None = None
    scored: Path | None = None
    frame_list: Path | None = None
    ids: Path | None = None


@dataclass(frozen=True)
class Layout:
    """A folder as it was found.

    Attributes:
        root: The folder of the layout; of a labelled set its export.
        home: The folder that relative names of videos start from in `ids`.
        files: What it has.
        frames: The folder that paths of the frame list start from; None where there is none.
        videos: The folder of videos; None where there is none.
        remarks: What is to be known.
    """

    root: Path
    home: Path
    files: AvaFiles
    frames: Path | None
    videos: Path | None
    remarks: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Piece:
    """What a name of an export stands for.

    Attributes:
        source: The video file as the set writes it.
        video: The set's name of the video.
        from_s: Where it begins in the video, in whole seconds.
        pictures: Moments of the grid of 30 a second that it has.
    """

    source: str
    video: str
    from_s: int
    pictures: int


def find_layout(folder: Path, part: str) -> Layout:
    """What a folder has for a part.

    Raises:
        InputError: No such folder, a labelled set that was not exported, or no annotations.
    """
    if not folder.is_dir():
        found = "a file, not a folder" if folder.exists() else "no such folder"
        raise InputError(f"{folder}: {found}", "Give a labelled set, its export or a folder in AVA's layout.")
    remarks: list[str] = []
    root = home = folder
    if (folder / SET).is_file():
        root = folder / EXPORT
        if not (root / IDS).is_file():
            raise InputError(
                f"{folder} is a labelled set that was not exported in AVA's layout",
                f"Export it: vidbench label export {folder}",
            )
        remarks += _stale(folder, root)
    elif (folder / IDS).is_file() and (folder.parent / SET).is_file():
        home = folder.parent
    annotations = root / "annotations" if (root / "annotations").is_dir() else root
    files = _files(root, annotations, part, remarks)
    if not any((files.truth, files.detected)):
        raise InputError(
            f"{annotations} has no annotations of the part {part!r}: no ava_{part}_{VERSIONS[0]}.csv and no boxes",
            _other_parts(annotations, part),
        )
    frames = root / "frames"
    videos = [root / name for name in ("videos", CUT_VIDEOS) if (root / name).is_dir()]
    return Layout(root, home, files, frames if frames.is_dir() else None, videos[0] if videos else None, tuple(remarks))


def overridden(files: AvaFiles, given: AvaFiles) -> AvaFiles:
    """The files with those in their place that are given.

    Raises:
        InputError: One that is given is not there.
    """
    named = {name: path for name, path in vars(given).items() if path is not None}
    for path in named.values():
        if not path.is_file():
            raise InputError(f"{path}: no such file", "Give the path of the file.")
    return replace(files, **named)


def read_pieces(ids: Path) -> dict[str, Piece]:
    """What the names of an export stand for.

    Raises:
        InputError: The file cannot be read or is malformed.
    """
    rows = csv.DictReader(read_lines(ids))
    found: dict[str, Piece] = {}
    try:
        for row in rows:
            name, piece = row["id"], _piece(row)
            if name in found:
                raise ValueError(f"{name} stands twice")
            found[name] = piece
    except (KeyError, TypeError, ValueError, OverflowError, csv.Error) as error:
        raise line_errors(
            ids, [(max(rows.line_num, 1), f"not a row of an export: {error}")], "Export the set again."
        ) from None
    return found


def _piece(row: Mapping[str, str]) -> Piece:
    from_s = int(row["from_s"])
    pictures = round((float(row["to_s"]) - from_s) * 30)
    if not (row["id"] and row["source"] and row["video"]) or pictures < 1:
        raise ValueError("it names no video, or no picture of it")
    return Piece(row["source"], row["video"], from_s, pictures)


def _files(root: Path, annotations: Path, part: str, remarks: list[str]) -> AvaFiles:
    def first(names: Sequence[str]) -> Path | None:
        there = [annotations / name for name in names if (annotations / name).is_file()]
        return there[0] if there else None

    truth = first([f"ava_{part}_{version}.csv" for version in VERSIONS])
    version = next((one for one in VERSIONS if truth is not None and one in truth.name), VERSIONS[0])
    held = [one for one in VERSIONS if (annotations / f"ava_{part}_{one}.csv").is_file()]
    if len(held) > 1:
        remarks.append(f"annotations of {' and '.join(held)} are there; {held[0]} was taken")
    if part == "train":
        stem = "ava_detection_train_boxes_and_labels_include_negative"
        names = [f"{folder}/{stem}{end}.csv" for folder in _BOXES for end in (f"_{version}", "")]
    else:
        names = [f"{folder}/ava_detection_{part}_boxes_and_labels.csv" for folder in _BOXES]
        names.append(f"ava_{part}_predicted_boxes.csv")
    scored = first(_SCORED)
    lists = [root / "frame_lists" / f"{part}.csv", annotations / f"{part}.csv"]
    return AvaFiles(
        truth=truth,
        detected=first(names),
        excluded=first([f"ava_{part}_excluded_timestamps_{version}.csv"]),
        classes=first([_ALL]) or scored,
        scored=scored,
        frame_list=next((path for path in lists if path.is_file()), None),
        ids=root / IDS if (root / IDS).is_file() else None,
    )


def _other_parts(annotations: Path, part: str) -> str:
    others = [
        other
        for other in ("train", "val", "test")
        if other != part and any((annotations / f"ava_{other}_{version}.csv").is_file() for version in VERSIONS)
    ]
    if others:
        return f"There are annotations of {' and '.join(others)}; vidbench label split divides a labelled set anew."
    return "Give a folder with annotations/ava_train_v2.2.csv and its like, or a labelled set."


def _stale(folder: Path, root: Path) -> list[str]:
    exported = (root / IDS).stat().st_mtime
    changed = [folder / SET, *folder.glob("videos/*/tracks.jsonl")]
    if any(path.is_file() and path.stat().st_mtime > exported for path in changed):
        return [f"the set has changed since it was exported; bring it up to date: vidbench label export {folder}"]
    return []
