"""A labelled set on disk: `set.json`, and `tracks.jsonl` and `paths.jsonl` of each video; text to values and back."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal, get_args

from vidbench.errors import InputError
from vidbench.formats.kinetics import line_errors

SCHEMA_VERSION = 1
MOST_ACTIONS = 80
"""PySlowFast refuses action ids above 80."""

Group = Literal["pose", "object", "person"]
"""What an action is about, as AVA groups them: a pose or movement, a person with an object, persons with each other."""
Split = Literal["train", "val", "test"]
Doubt = Literal["joined", "weak", "short", "crowded", "drawn"]
"""Why a box deserves a look.

* joined: here two pieces of a track were put together over a gap.
* weak: the link to the box of the second before is uncertain.
* short: the track has few boxes.
* crowded: the box overlaps another one so much that the two may be confused.
* drawn: no detector gave this box, it was drawn or interpolated.
"""

BoxT = tuple[float, float, float, float]
"""x1, y1, x2, y2 in fractions of the upright frame's width and height, with three decimals, x1 < x2, y1 < y2."""

_ID = re.compile(r"[A-Za-z0-9_-]{1,100}")
_ROW_SHAPE = (
    'A line is {"second": 2, "person": 0, "box": [0.1, 0.2, 0.3, 0.9], "score": 0.93, "actions": [12, 80], '
    '"track": 0, "checked": false, "doubts": []}; actions is null where nobody has looked and [] for no action.'
)
_PATH_SHAPE = 'A line is {"track": 0, "numbers": [60, 63], "boxes": [[0.1, 0.2, 0.3, 0.9], [0.1, 0.2, 0.3, 0.9]]}.'


@dataclass(frozen=True, slots=True)
class SetAction:
    """An action that persons of a set may do.

    Attributes:
        id: 1 to 80.
        name: As "bend/bow (at the waist)".
        group: What it is about; decides where the page shows it, and AVA's label type.
    """

    id: int
    name: str
    group: Group = "pose"


@dataclass(frozen=True, slots=True)
class SetVideo:
    """A video of a set.

    Attributes:
        id: Its name in the set and all exports: letters, digits, `_` and `-`, at most 100.
        file: The video file, from the set's folder where it is relative.
        size_bytes: Of the file when it was read, to notice another file under its name.
        width: Pixels of the upright frame.
        height: Likewise.
        fps: Average frames a second, as a fraction's text.
        pictures: Moments of the grid of 30 a second that it has; its length is `pictures / 30` seconds.
        first: The first keyframe, in whole seconds from the start.
        last: The last keyframe; less than `first` where there is none.
        split: Which part of the set it belongs to.
    """

    id: str
    file: str
    size_bytes: int
    width: int
    height: int
    fps: str
    pictures: int
    first: int
    last: int
    split: Split = "train"

    @property
    def duration_s(self) -> float:
        """Seconds."""
        return self.pictures / 30

    @property
    def keyframes(self) -> range:
        """The seconds of its keyframes."""
        return range(self.first, self.last + 1)


@dataclass(frozen=True)
class SetFile:
    """What `set.json` holds.

    Attributes:
        actions: By rising id; at least one.
        videos: In the order of the exports; ids differ, also by more than letter case.
        settings: What made the boxes: detector, tracker and so on, as JSON; for people and for a report.
    """

    actions: tuple[SetAction, ...]
    videos: tuple[SetVideo, ...] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)

    def video(self, name: str) -> SetVideo:
        """The video of an id.

        Raises:
            InputError: There is none.
        """
        for one in self.videos:
            if one.id == name:
                return one
        raise InputError(f"no video {name!r} in the set", f"There are {', '.join(one.id for one in self.videos[:10])}.")


@dataclass(frozen=True, slots=True)
class Row:
    """A person at a keyframe: a line of `tracks.jsonl`.

    Attributes:
        second: The keyframe, in whole seconds from the start of the video.
        person: A number that the person has in the whole video, from 0.
        box: Where the person is.
        score: The detector's, 0 to 1; None for a box that a person drew.
        actions: Ids by rising number; None where nobody has looked, () for "does none of them".
        track: The track of `paths.jsonl` that the box comes from; None where it comes from none.
        checked: Whether a second look confirmed the row.
        doubts: Why it deserves a look.
    """

    second: int
    person: int
    box: BoxT
    score: float | None = None
    actions: tuple[int, ...] | None = None
    track: int | None = None
    checked: bool = False
    doubts: tuple[Doubt, ...] = ()

    @property
    def key(self) -> tuple[int, int]:
        """Second and person; no two rows of a video share it."""
        return self.second, self.person


@dataclass(frozen=True, slots=True)
class TrackPath:
    """Where a track was between the keyframes: a line of `paths.jsonl`, which nobody edits.

    Attributes:
        track: Its number.
        numbers: Moments of the grid of 30 a second, rising.
        boxes: One for each.
    """

    track: int
    numbers: tuple[int, ...]
    boxes: tuple[BoxT, ...]


def box_of(x1: float, y1: float, x2: float, y2: float) -> BoxT | None:
    """A box within the frame with three decimals; None where nothing of it is left with an area.

    Args:
        x1: Left edge in fractions of the width; may lie outside [0, 1], and is clipped.
        y1: Top, in fractions of the height.
        x2: Right.
        y2: Bottom.
    """
    values = tuple(round(min(max(value, 0.0), 1.0), 3) for value in (x1, y1, x2, y2))
    a, b, c, d = values
    return (a, b, c, d) if a < c and b < d else None


def parse_set(value: object, source: str | Path) -> SetFile:
    """Read what `set.json` holds.

    Raises:
        InputError: Not such a document; the message names the field.
    """
    try:
        return _set(value)
    except _BadError as error:
        raise InputError(f"{source}: {error}", "Mend the file, or make the set again.") from None


def dump_set(content: SetFile) -> dict[str, Any]:
    """The JSON document of a set."""
    return {
        "schema_version": SCHEMA_VERSION,
        "actions": [{"id": one.id, "name": one.name, "group": one.group} for one in content.actions],
        "videos": [
            {
                "id": one.id,
                "file": one.file,
                "size_bytes": one.size_bytes,
                "width": one.width,
                "height": one.height,
                "fps": one.fps,
                "pictures": one.pictures,
                "first": one.first,
                "last": one.last,
                "split": one.split,
            }
            for one in content.videos
        ],
        "settings": dict(content.settings),
    }


def parse_rows(lines: Iterable[str], source: str | Path) -> tuple[Row, ...]:
    """Read `tracks.jsonl`, in any order of lines; rows come sorted by second and person.

    Raises:
        InputError: Malformed lines, or a person twice at a second; each as `file:line: reason`.
    """
    rows: dict[tuple[int, int], tuple[int, Row]] = {}
    problems: list[tuple[int, str]] = []
    for number, text in enumerate(lines, start=1):
        if not text.strip():
            continue
        try:
            row = row_of(_json(text))
            held = rows.get(row.key)
            if held is not None:
                raise _BadError(f"person {row.person} at second {row.second} is line {held[0]} again")
            rows[row.key] = number, row
        except _BadError as error:
            problems.append((number, str(error)))
    if problems:
        raise line_errors(source, problems, _ROW_SHAPE)
    return tuple(rows[key][1] for key in sorted(rows))


def dump_rows(rows: Iterable[Row]) -> Iterator[str]:
    """The lines of `tracks.jsonl`, sorted by second and person, so that a change is a change of few lines."""
    for row in sorted(rows, key=lambda one: one.key):
        yield json.dumps(row_json(row)) + "\n"


def row_json(row: Row) -> dict[str, Any]:
    """The JSON object of a row, as in its line."""
    return {
        "second": row.second,
        "person": row.person,
        "box": list(row.box),
        "score": row.score,
        "actions": None if row.actions is None else list(row.actions),
        "track": row.track,
        "checked": row.checked,
        "doubts": list(row.doubts),
    }


def row_of(value: object) -> Row:
    """A row from its JSON object.

    Raises:
        ValueError: It is none; the message says which field.
    """
    told = _fields(value, {"second", "person", "box"}, {"score", "actions", "track", "checked", "doubts"})
    actions = told.get("actions")
    if actions is not None:
        ids = [_whole("actions", one, 1, MOST_ACTIONS) for one in _list("actions", actions)]
        if len(set(ids)) != len(ids):
            raise _BadError(f"actions {actions}: one of them is there twice")
        actions = tuple(sorted(ids))
    score = told.get("score")
    if score is not None and not (_is_number(score) and 0 <= score <= 1):
        raise _BadError(f"score {score!r} is neither null nor a number from 0 to 1")
    checked = told.get("checked", False)
    if not isinstance(checked, bool):
        raise _BadError(f"checked {checked!r} is neither true nor false")
    doubts = tuple(_list("doubts", told.get("doubts", [])))
    for doubt in doubts:
        if doubt not in get_args(Doubt):
            raise _BadError(f"doubt {doubt!r} is none of {', '.join(get_args(Doubt))}")
    track = told.get("track")
    return Row(
        _whole("second", told["second"], 0, 999_999),
        _whole("person", told["person"], 0, 999_999),
        _box(told["box"]),
        None if score is None else float(score),
        actions,
        None if track is None else _whole("track", track, 0, 10**9),
        checked,
        doubts,
    )


def parse_paths(lines: Iterable[str], source: str | Path) -> tuple[TrackPath, ...]:
    """Read `paths.jsonl`.

    Raises:
        InputError: Malformed lines, each as `file:line: reason`.
    """
    paths: list[TrackPath] = []
    problems: list[tuple[int, str]] = []
    for number, text in enumerate(lines, start=1):
        if not text.strip():
            continue
        try:
            told = _fields(_json(text), {"track", "numbers", "boxes"}, set())
            numbers = tuple(_whole("numbers", one, 0, 10**9) for one in _list("numbers", told["numbers"]))
            boxes = tuple(_box(one) for one in _list("boxes", told["boxes"]))
            if len(numbers) != len(boxes) or any(b <= a for a, b in pairwise(numbers)):
                raise _BadError("numbers must rise, with a box for each")
            paths.append(TrackPath(_whole("track", told["track"], 0, 10**9), numbers, boxes))
        except _BadError as error:
            problems.append((number, str(error)))
    if problems:
        raise line_errors(source, problems, _PATH_SHAPE)
    return tuple(paths)


def dump_paths(paths: Iterable[TrackPath]) -> Iterator[str]:
    """The lines of `paths.jsonl`, by rising track."""
    for one in sorted(paths, key=lambda path: path.track):
        value = {"track": one.track, "numbers": one.numbers, "boxes": one.boxes}
        yield json.dumps(value, separators=(",", ":")) + "\n"


class _BadError(ValueError):
    """What is wrong with a value."""


def _set(value: object) -> SetFile:
    told = _fields(value, {"schema_version", "actions", "videos"}, {"settings"})
    if told["schema_version"] != SCHEMA_VERSION:
        raise _BadError(f"schema_version {told['schema_version']!r}, not {SCHEMA_VERSION}: made by another version")
    actions = [_action(one) for one in _list("actions", told["actions"])]
    if not actions:
        raise _BadError("no actions")
    for what, seen in (("an id", [one.id for one in actions]), ("a name", [one.name for one in actions])):
        if len(set(seen)) != len(seen):
            raise _BadError(f"two actions share {what}")
    videos = [_video(one) for one in _list("videos", told["videos"])]
    folded: set[str] = set()
    for video in videos:
        if video.id.casefold() in folded:
            raise _BadError(f"two videos are called {video.id!r}")
        folded.add(video.id.casefold())
    settings = told.get("settings", {})
    if not isinstance(settings, dict):
        raise _BadError("settings is no object")
    return SetFile(tuple(sorted(actions, key=lambda one: one.id)), tuple(videos), settings)


def _action(value: object) -> SetAction:
    told = _fields(value, {"id", "name", "group"}, set())
    name = told["name"]
    if not isinstance(name, str) or not name.strip() or not name.isprintable() or '"' in name or "\\" in name:
        raise _BadError(f"action name {name!r}: printable text without double quotes and backslashes")
    if told["group"] not in get_args(Group):
        raise _BadError(f"action group {told['group']!r} is none of {', '.join(get_args(Group))}")
    return SetAction(_whole("action id", told["id"], 1, MOST_ACTIONS), name, told["group"])


def _video(value: object) -> SetVideo:
    told = _fields(
        value, {"id", "file", "size_bytes", "width", "height", "fps", "pictures", "first", "last"}, {"split"}
    )
    if not isinstance(told["id"], str) or not _ID.fullmatch(told["id"]):
        raise _BadError(f"video id {told['id']!r}: letters, digits, _ and -, at most 100")
    for name in ("file", "fps"):
        if not isinstance(told[name], str) or not told[name]:
            raise _BadError(f"video {told['id']}: {name} {told[name]!r} is no text")
    split = told.get("split", "train")
    if split not in get_args(Split):
        raise _BadError(f"video {told['id']}: split {split!r} is none of {', '.join(get_args(Split))}")
    last = told["last"]
    if last != -1:
        last = _whole("last", last, 0, 999_999)
    return SetVideo(
        told["id"],
        told["file"],
        _whole("size_bytes", told["size_bytes"], 0, 2**62),
        _whole("width", told["width"], 1, 10**6),
        _whole("height", told["height"], 1, 10**6),
        told["fps"],
        _whole("pictures", told["pictures"], 0, 10**9),
        _whole("first", told["first"], 0, 999_999),
        last,
        split,
    )


def _json(text: str) -> object:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        raise _BadError("not JSON") from None


def _fields(value: object, needed: set[str], optional: set[str]) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise _BadError("not a JSON object")
    missing = sorted(needed - value.keys())
    if missing:
        raise _BadError(f"{', '.join(missing)} is missing")
    unknown = sorted(value.keys() - needed - optional)
    if unknown:
        raise _BadError(f"unknown field {', '.join(unknown)}")
    return value


def _list(name: str, value: object) -> list[Any]:
    if not isinstance(value, list):
        raise _BadError(f"{name} {value!r} is no list")
    return value


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _whole(name: str, value: object, least: int, most: int) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        raise _BadError(f"{name} {value!r} is not a whole number from {least} to {most}")
    return value


def _box(value: object) -> BoxT:
    told = _list("box", value)
    if len(told) != 4 or not all(_is_number(one) and 0 <= one <= 1 for one in told):
        raise _BadError(f"box {value!r}: x1, y1, x2, y2 as fractions from 0 to 1")
    x1, y1, x2, y2 = (round(float(one), 3) for one in told)
    if not (x1 < x2 and y1 < y2):
        raise _BadError(f"box {value!r}: x1 must be less than x2 and y1 less than y2")
    return x1, y1, x2, y2
