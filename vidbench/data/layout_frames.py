"""AVA and Charades folders against their loaders: frame lists, frames on disk, boxes, label numbers."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path

from vidbench.data.layout_findings import MMACTION2, PYSLOWFAST, PYTORCHVIDEO, Findings, rows_of
from vidbench.errors import InputError
from vidbench.formats import ava
from vidbench.formats.charades import CLASSES
from vidbench.formats.framelist import HEADER, FrameLine, parse_frames

SPLITS = ("train", "val")
SECONDS = range(902, 1799)
"""The keyframes that PySlowFast and PyTorchVideo know."""
FIRST_SECOND = 900
FPS = 30
ACTIONS = range(1, 81)
SCORE = Decimal("0.8")
"""Detected boxes below it are dropped by PySlowFast's configurations; its default is 0.9."""
REACH = 32
"""Frames that a clip of 32 frames with stride 2 takes before and after its keyframe."""
IMAGES = (".jpg", ".jpeg", ".png")
_LISTS = (PYSLOWFAST, PYTORCHVIDEO)
_ALL = (PYSLOWFAST, MMACTION2, PYTORCHVIDEO)


@dataclass
class _Video:
    """What a frame list says of one video."""

    line: int
    folder: str
    frames: int = 0
    listed: set[str] = field(default_factory=set)


def check_charades(root: Path, found: Findings) -> dict[str, int]:
    """Check a folder of `Charades_v1_rgb` and `frame_lists`; gives what was counted."""
    frames = _folder(root, ("Charades_v1_rgb", "frames"), found)
    counts: Counter[str] = Counter()
    for split in SPLITS:
        path = root / "frame_lists" / f"{split}.csv"
        if not path.is_file():
            found.add(path, None, "no such frame list", _LISTS, "`vidbench data fetch charades` brings it.")
            continue
        videos = _frame_list(path, frames, found, counts, labels=range(CLASSES))
        counts["videos"] += len(videos)
    return dict(counts)


def check_ava(root: Path, found: Findings) -> dict[str, int]:
    """Check a folder of `frames`, `frame_lists` and `annotations`; gives what was counted."""
    frames = _folder(root, ("frames",), found)
    notes = root / "annotations"
    if not notes.is_dir():
        found.add(notes, None, "no such folder", _ALL, "`vidbench data fetch ava` brings the annotations.")
    counts: Counter[str] = Counter()
    _action_lists(notes, found)
    for split in SPLITS:
        path = root / "frame_lists" / f"{split}.csv"
        if not path.is_file() and (notes / f"{split}.csv").is_file():
            path = notes / f"{split}.csv"
        if not path.is_file():
            found.add(path, None, "no such frame list", _LISTS, "`vidbench data fetch ava` brings it.")
            continue
        videos = _frame_list(path, frames, found, counts, labels=None)
        counts["videos"] += len(videos)
        _excluded(notes, split, found)
        truth = _one(notes, f"ava_{split}_v*.csv", found, _ALL, "the boxes and actions of this split")
        seen = _labels(truth, videos, found, counts) if truth else {}
        if split == "train":
            _paired(path, videos, truth, seen, found)
        else:
            _detections(path, notes, videos, found, counts)
    return dict(counts)


def _folder(root: Path, names: Iterable[str], found: Findings) -> Path:
    for name in names:
        if (root / name).is_dir():
            return root / name
    first = root / next(iter(names))
    found.add(first, None, "no such folder", _ALL, "`vidbench data frames` makes the frames of videos.")
    return first


def _frame_list(
    path: Path, frames: Path, found: Findings, counts: Counter[str], labels: range | None
) -> dict[str, _Video]:
    """Check a frame list row by row and, video by video, against the frames on disk."""
    videos: dict[str, _Video] = {}
    current: str | None = None

    def parse(line: str) -> Iterable[FrameLine]:
        return parse_frames((HEADER, line), path)

    with path.open("rb") as stream:
        first = stream.readline().rstrip(b"\r\n")
    if first != HEADER.encode():
        found.add(
            path, 1, "the header is missing", _LISTS,
            f"Put the line `{HEADER}` first: loaders drop the first line unread, and every keyframe shifts by a frame.",
        )  # fmt: skip
    for number, text, row in rows_of(path, lambda line: () if line == HEADER else parse(line), found, lambda _: _LISTS):
        if row.name != current:
            _close(path, videos.get(current or ""), frames, found)
            if row.name in videos:
                found.add(
                    path, number, f"{row.name} goes on after other videos", (PYTORCHVIDEO,),
                    "Keep the rows of a video together.", ("apart", row.name),
                )  # fmt: skip
            current = row.name
        video = videos.setdefault(row.name, _Video(number, os.path.dirname(row.path)))
        if row.frame != video.frames:
            found.add(
                path, number, f"frame_id {row.frame} of {row.name}, where {video.frames} is next", _LISTS,
                "PySlowFast counts rows, PyTorchVideo sorts by frame_id: number the rows of a video 0, 1, 2, ...",
                ("order", row.name),
            )  # fmt: skip
        if os.path.dirname(row.path) != video.folder:
            found.add(
                path, number, f"{row.path} is not in {video.folder}, where {row.name} begins", (PYTORCHVIDEO,),
                "PyTorchVideo takes the folder of the first row for the whole video.", ("folder", row.name),
            )  # fmt: skip
        if labels is not None and any(label not in labels for label in row.labels):
            wrong = next(label for label in row.labels if label not in labels)
            found.add(
                path, number, f"label {wrong} of {text.split(' ')[0]} is not in {labels[0]} to {labels[-1]}", _LISTS,
                "Correct the label; classes count from 0.", ("label", row.name, wrong),
            )  # fmt: skip
        video.frames += 1
        video.listed.add(row.path)
        counts["frames"] += 1
    _close(path, videos.get(current or ""), frames, found)
    if not videos:
        found.add(path, None, "no row that can be read", _LISTS, "Fetch or make the frame list again.")
    return videos


def _close(path: Path, video: _Video | None, frames: Path, found: Findings) -> None:
    """Compare a video's rows with its folder, and forget the rows: a list has millions."""
    if video is None:
        return
    try:
        there = {os.path.join(video.folder, entry.name) for entry in os.scandir(frames / video.folder)}
    except OSError:
        there = None
    listed, video.listed = video.listed, set()
    if there is None:
        remedy = "Fetch or cut the video and make its frames, or take its rows out."
        found.add(path, video.line, f"{frames / video.folder} is not there: {len(listed)} frames", _ALL, remedy)
        return
    missing = sorted(listed - there)
    if missing:
        more = f" (and {len(missing) - 1} more of its frames)" if len(missing) > 1 else ""
        remedy = "Make the frames of this video again, or its rows from the frames that are there."
        found.add(path, video.line, f"{frames / missing[0]} is not there{more}", _ALL, remedy)
    extra = sorted(there - listed)
    strays = [name for name in extra if not name.lower().endswith(IMAGES)]
    if strays:
        remedy = "Move it away: PyTorchVideo takes every file of the folder for a frame, in natural order."
        found.add(frames / strays[0], None, "not a frame, in a folder of frames", (PYTORCHVIDEO,), remedy)
    if len(extra) > len(strays):
        first = next(name for name in extra if name.lower().endswith(IMAGES))
        found.add(
            path, video.line, f"{frames / first} is not listed (and {len(extra) - len(strays) - 1} more of its folder)",
            (PYTORCHVIDEO,), "List it or remove it: PyTorchVideo reads the folder, PySlowFast the list.",
        )  # fmt: skip


def _one(folder: Path, pattern: str, found: Findings, fails: Iterable[str], what: str) -> Path | None:
    """The newest version of a file."""
    files = sorted(path for path in folder.glob(pattern) if path.is_file())
    if not files:
        found.add(folder / pattern, None, f"no such file: {what}", fails, "`vidbench data fetch ava` brings it.")
        return None
    return files[-1]


def _action_lists(notes: Path, found: Findings) -> None:
    files = sorted(notes.glob("ava_action_list_v*.pbtxt"))
    if not files:
        what = "the list of actions"
        _one(notes, "ava_action_list_v*.pbtxt", found, (PYSLOWFAST, MMACTION2), what)
    for path in files:
        try:
            actions, _ = ava.load(path, ava.parse_actions)
        except InputError as error:
            place, _, reason = error.message.rpartition(": ")
            found.add(place, None, reason, _ALL, error.remedy)
            continue
        beyond = [action.id for action in actions if action.id not in ACTIONS]
        if beyond:
            remedy = f"PySlowFast takes actions {ACTIONS[0]} to {ACTIONS[-1]} alone."
            found.add(path, None, f"action {beyond[0]}", (PYSLOWFAST,), remedy)


def _excluded(notes: Path, split: str, found: Findings) -> None:
    path = _one(
        notes, f"ava_{split}_excluded_timestamps_v*.csv", found, (PYSLOWFAST,), "excluded seconds, it may be empty"
    )
    if path:
        for _ in rows_of(path, lambda line: ava.parse_seconds((line,), path), found, lambda _: (PYSLOWFAST, MMACTION2)):
            pass


def _label_fails(reason: str) -> tuple[str, ...]:
    if "second" in reason:
        # float() reads "902.0", int() does not
        return (PYSLOWFAST, MMACTION2)
    if reason.startswith("7 columns"):
        return (MMACTION2, PYTORCHVIDEO)
    return _ALL


def _labels(path: Path, videos: Mapping[str, _Video], found: Findings, counts: Counter[str]) -> dict[str, int]:
    """Check the boxes of a split row by row; gives the first line of each video."""
    seen: dict[str, int] = {}
    moment: tuple[str, int] | None = None
    boxes: dict[int, str] = {}
    owners: dict[str, int] = {}
    rough: dict[str, int] = {}
    rows = rows_of(path, lambda line: ava.parse_labels((line,), path), found, _label_fails)
    for number, text, row in rows:
        counts["boxes"] += 1
        _moment(path, number, row.video, row.second, videos, found)
        seen.setdefault(row.video, number)
        if not isinstance(row, ava.Label):
            remedy = "A second without boxes belongs into a test split alone."
            found.add(path, number, f"{row.video} {row.second}: no box", _ALL, remedy, "no box")
            continue
        if row.action not in ACTIONS:
            remedy = f"PySlowFast takes actions {ACTIONS[0]} to {ACTIONS[-1]} alone."
            found.add(path, number, f"action {row.action}", (PYSLOWFAST,), remedy, ("action", row.action))
        if (row.video, row.second) != moment:
            moment, boxes, owners, rough = (row.video, row.second), {}, {}, {}
        box = ",".join(text.split(",")[2:6])
        who = f"person {row.person} of {row.video} at {row.second:04d}"
        held = boxes.setdefault(row.person, box)
        if held != box:
            found.add(
                path, number, f"{who} has the boxes {held} and {box}", (PYSLOWFAST, MMACTION2),
                "Write the box of a person at a second with the same digits in every row: PySlowFast tells persons "
                "apart by its text.", ("text", row.video, row.second, row.person),
            )  # fmt: skip
        if owners.setdefault(box, row.person) != row.person:
            found.add(
                path, number, f"{who} has the box of person {owners[box]}", _ALL,
                "Loaders know persons by their boxes: these two become one.", ("same", row.video, row.second, box),
            )  # fmt: skip
        short = ",".join(f"{value:.2f}" for value in (row.box.x1, row.box.y1, row.box.x2, row.box.y2))
        if rough.setdefault(short, row.person) != row.person and owners[box] == row.person:
            found.add(
                path, number, f"{who} and person {rough[short]} have the same box to two digits", (PYTORCHVIDEO,),
                "PyTorchVideo rounds boxes to two digits and makes them one: move one of them by 0.01.",
                ("rough", row.video, row.second, short),
            )  # fmt: skip
    return seen


def _moment(path: Path, number: int, name: str, second: int, videos: Mapping[str, _Video], found: Findings) -> None:
    """Whether a second is a keyframe that the video has."""
    if second not in SECONDS:
        found.add(
            path, number, f"{name}: second {second} is not in {SECONDS[0]} to {SECONDS[-1]}", _LISTS,
            "Write second t of a clip as 900 + t, from 902 on: PySlowFast ends with a KeyError, PyTorchVideo skips it.",
            ("range", name),
        )  # fmt: skip
        return
    video = videos.get(name)
    if video is None:
        return
    centre = (second - FIRST_SECOND) * FPS
    if centre >= video.frames:
        found.add(
            path, number, f"{name}: second {second} is frame {centre}, and {video.frames} frames are listed", _ALL,
            "Take the row out, or extract the frames at 30 a second: PySlowFast repeats the last frame unasked.",
            ("beyond", name),
        )  # fmt: skip
    elif centre + REACH > video.frames:
        found.add(
            path, number, f"{name}: a clip around second {second} needs frame {centre + REACH} of {video.frames}",
            (MMACTION2, PYTORCHVIDEO) if centre + FPS > video.frames else (MMACTION2,),
            "Keep keyframes two seconds from the end: MMAction2 finds no file, PyTorchVideo gives a shorter clip.",
            ("end", name),
        )  # fmt: skip


def _paired(
    path: Path, videos: Mapping[str, _Video], boxes: Path | None, seen: Mapping[str, int], found: Findings
) -> None:
    """Every listed video has boxes, and every video with boxes is listed: PySlowFast asserts it."""
    if boxes is None:
        return
    for name in videos.keys() - seen.keys():
        remedy = f"Take its rows out of the list, or add its boxes to {boxes.name}."
        found.add(path, videos[name].line, f"{name} has no box in {boxes.name}", (PYSLOWFAST,), remedy)
    for name in seen.keys() - videos.keys():
        remedy = f"Add its frames to {path.name}, or take its rows out."
        found.add(boxes, seen[name], f"{name} is not in {path}", (PYSLOWFAST, PYTORCHVIDEO), remedy)


def _detections(path: Path, notes: Path, videos: Mapping[str, _Video], found: Findings, counts: Counter[str]) -> None:
    """The boxes that PySlowFast evaluates on: those of a detector, never the annotated ones."""
    names = ["ava_val_predicted_boxes.csv", "person_box_*/ava_detection_val_boxes_and_labels*.csv"]
    boxes = next((file for name in names for file in sorted(notes.glob(name), reverse=True)), None)
    if boxes is None:
        remedy = "PySlowFast evaluates on detected boxes (AVA.TEST_PREDICT_BOX_LISTS): fetch or export them."
        found.add(notes / names[0], None, "no such file", (PYSLOWFAST,), remedy)
        return
    seen: dict[str, int] = {}
    best: dict[str, Decimal] = {}
    quarter: set[str] = set()
    for number, _, row in rows_of(
        boxes, lambda line: ava.parse_predicted((line,), boxes), found, lambda _: (PYSLOWFAST,)
    ):
        counts["detected boxes"] += 1
        _moment(boxes, number, row.video, row.second, videos, found)
        seen.setdefault(row.video, number)
        best[row.video] = max(best.get(row.video, Decimal(0)), row.score)
        if row.score >= SCORE and row.second % 4 == 0:
            quarter.add(row.video)
    _paired(path, videos, boxes, seen, found)
    for name, score in best.items():
        if score < SCORE:
            remedy = "Write 1.0 for boxes that people checked, or lower AVA.DETECTION_SCORE_THRESH."
            found.add(boxes, seen[name], f"{name}: its best score is {score}, below {SCORE}", (PYSLOWFAST,), remedy)
        elif name not in quarter:
            remedy = "Set AVA.FULL_TEST_ON_VAL True: otherwise only seconds that 4 divides are evaluated."
            found.add(boxes, seen[name], f"{name} has no box at a second that 4 divides", (PYSLOWFAST,), remedy)
