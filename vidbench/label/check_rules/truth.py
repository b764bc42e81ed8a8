"""The truth of a set, `set.json` and `tracks.jsonl`, and whether the export beside it still says the same."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from vidbench.errors import InputError
from vidbench.formats.ava import dump_labels, dump_predicted
from vidbench.formats.labelset import Row, SetFile, SetVideo, parse_paths, parse_set, row_of
from vidbench.label.ava_rows import PartRows, is_reviewed, rows_of
from vidbench.label.check_rules.layout import Layout
from vidbench.label.check_rules.people import Labelled, check_people
from vidbench.label.check_rules.rule import LOADERS, Findings, rule
from vidbench.label.check_rules.splits import UNUSED
from vidbench.label.check_rules.text import lines_of, videos_of
from vidbench.label.parts import parts_of
from vidbench.label.store import PATHS, SET, TRACKS, VIDEOS, LabelSet

_AGAIN = "Export again: `vidbench label export`."
SET_MALFORMED = rule("set-malformed", "error", "Mend set.json by hand, or make the set again.")
TRACKS_MISSING = rule("tracks-missing", "error", "Put tracks.jsonl back, or make the set again for this video.")
LINE = rule("tracks-line", "error", "Mend the line; no command reads the set until then.")
PERSON_TWICE = rule("tracks-person-twice", "error", "Give one of the two another number, or delete the line.")
ACTION_UNKNOWN = rule(
    "tracks-action-unknown",
    "error",
    "Add the action to set.json, or take it off the row; nothing is exported until then.",
)
OUTSIDE = rule(
    "tracks-second-outside", "warning", "Only keyframes from first to last of set.json are shown; take the rows out."
)
TRACK_UNKNOWN = rule(
    "tracks-track-unknown",
    "warning",
    "Set track to null, or put paths.jsonl back; the page cannot show the way between.",
)
PATHS_MALFORMED = rule("paths-malformed", "error", "Make the set again for this video; nobody has to edit this file.")
UNTOUCHED = rule(
    "tracks-untouched", "warning", "Answer for them: `vidbench label review`. They are left out of labels until then."
)
NOT_REVIEWED = rule(
    "set-not-reviewed",
    "warning",
    "Answer for persons: `vidbench label review`. Until then there is nothing to train on.",
)
DOUBTS = rule("tracks-doubts", "note", "Look at them in `vidbench label review`, which shows them first.")
VIDEO_GONE = rule("set-video-gone", "warning", "Put the video where set.json says; frames cannot be made without it.")
VIDEO_CHANGED = rule("set-video-changed", "error", "Put the old file back, or make the set again for this video.")
STRANGER = rule("set-folder-unknown", "warning", "Remove the folder, or put its video back into set.json.")
PICTURE = rule("set-keyframe-missing", "warning", "Make them again: `vidbench label detect-track` with the same set.")
SHORT = rule("set-video-short", "note", "Videos of less than four seconds have no keyframe; take it out of the set.")
NO_SPLIT = rule(
    "set-split-empty",
    "warning",
    "Move whole videos: `vidbench label split`.",
    pyslowfast="opens the files of the split val also to train",
)
STALE = rule("export-stale", "error", _AGAIN)
LACKS = rule("export-lacks-video", "error", _AGAIN)

_LONGEST = 80


@dataclass
class TruthFacts:
    """What a set holds.

    Attributes:
        content: `set.json`; None where it cannot be read.
        rows: The rows of each video that can be read.
        reviewed: Whether anybody has answered for any person.
        counts: What was looked at.
    """

    content: SetFile | None = None
    rows: dict[str, list[Row]] = field(default_factory=dict)
    reviewed: bool = False
    counts: Counter[str] = field(default_factory=Counter)


def check_truth(folder: Path, pictures: bool, found: Findings) -> TruthFacts:
    """Check the truth of a set.

    Args:
        folder: The set's folder.
        pictures: Whether to look for videos and the pictures of keyframes.
        found: Where findings go.
    """
    labels = LabelSet(folder)
    facts = TruthFacts(_content(folder / SET, found))
    content = facts.content
    if content is None:
        return facts
    used: Counter[int] = Counter()
    for video in content.videos:
        rows = _video(labels, content, video, found)
        facts.rows[video.id] = rows
        facts.counts["set rows"] += len(rows)
        for row in rows:
            used.update(row.actions or ())
        if pictures:
            _files(labels, video, found)
    facts.counts["set videos"] = len(content.videos)
    facts.reviewed = is_reviewed(row for rows in facts.rows.values() for row in rows)
    if not facts.reviewed:
        found.add(NOT_REVIEWED, folder / SET, None, "nobody has answered for any person")
    else:
        for action in content.actions:
            if not used[action.id]:
                found.add(UNUSED, folder / SET, None, f"nobody does {action.id} {action.name!r}")
        for split in ("train", "val"):
            if not any(video.split == split for video in content.videos):
                found.add(NO_SPLIT, folder / SET, None, f"no video is in split {split}")
    _strangers(folder, content, found)
    return facts


def check_export(facts: TruthFacts, layout: Layout, found: Findings) -> None:
    """Compare the rows of an export with those that the truth gives now.

    Args:
        facts: The truth.
        layout: The export's files.
        found: Where findings go.
    """
    content = facts.content
    if content is None:
        return
    cut = parts_of(content.videos)
    for split in ("train", "val", "test"):
        videos = [video for video in content.videos if video.split == split]
        parts = {
            part.id: rows_of(part, facts.rows[video.id], reviewed=facts.reviewed, training=split == "train")
            for video in videos
            for part in cut[video.id]
        }
        labels, predicted = layout.main("labels", split), layout.main("predicted", split)
        if facts.reviewed and labels is None and any(one.persons for one in parts.values()):
            found.add(STALE, layout.notes, None, f"no labels of split {split}, which persons were answered for in")
        if labels is not None:
            _same(labels.path, parts, _labels, found)
        if predicted is not None:
            if facts.reviewed:
                parts = {name: one for name, one in parts.items() if any(person.actions for person in one.persons)}
            _same(predicted.path, parts, _predicted, found)


def _labels(part: PartRows) -> Iterator[str]:
    return (line.rstrip("\n") for line in dump_labels(part.labels()))


def _predicted(part: PartRows) -> Iterator[str]:
    return (line.rstrip("\n") for line in dump_predicted(part.predicted()))


def _same(
    path: Path, parts: Mapping[str, PartRows], lines_now: Callable[[PartRows], Iterator[str]], found: Findings
) -> None:
    """Compare a file with the rows of the set, whose order does not matter."""
    # what is wrong with the text itself is told by the file's own rules
    quiet = Findings(path)
    seen = set()
    for name, lines in videos_of(path, quiet, LOADERS):
        seen.add(name)
        left = set(lines_now(parts[name])) if name in parts else set()
        for number, text in lines:
            if text in left:
                left.remove(text)
            else:
                found.add(STALE, path, number, f"{text[:_LONGEST]} is not what the set says now")
        if left:
            told = f"{name}: {len(left)} rows of the set are not here, as {min(left)[:_LONGEST]}"
            found.add(STALE, path, None, told, times=len(left))
    for name, part in parts.items():
        if name not in seen and any(lines_now(part)):
            found.add(LACKS, path, None, f"{name} has rows in the set and none here")


def _content(path: Path, found: Findings) -> SetFile | None:
    try:
        return parse_set(json.loads(path.read_bytes()), path.name)
    except InputError as error:
        found.add(SET_MALFORMED, path, None, error.message)
    except json.JSONDecodeError as error:
        found.add(SET_MALFORMED, path, error.lineno, f"not JSON: {error.msg}")
    except (OSError, ValueError, RecursionError) as error:
        found.add(SET_MALFORMED, path, None, f"cannot be read: {error}")
    return None


def _video(labels: LabelSet, content: SetFile, video: SetVideo, found: Findings) -> list[Row]:
    """The rows of a video that can be read."""
    path = labels.home(video.id) / TRACKS
    if not path.is_file():
        found.add(TRACKS_MISSING, path, None, f"video {video.id} has no file of persons")
        return []
    if not video.keyframes:
        found.add(SHORT, labels.folder / SET, None, f"video {video.id} has no keyframe")
    known = {action.id for action in content.actions}
    tracks = _tracks(labels.home(video.id) / PATHS, found)
    held: dict[tuple[int, int], int] = {}
    rows: list[Row] = []
    seconds: dict[int, list[Labelled]] = {}
    for number, text in lines_of(path, found, LOADERS, loose=True):
        row = _line(path, number, text, found)
        if row is None:
            continue
        if held.setdefault(row.key, number) != number:
            told = f"person {row.person} at second {row.second} is line {held[row.key]}, too"
            found.add(PERSON_TWICE, path, number, told)
            continue
        rows.append(row)
        seconds.setdefault(row.second, []).extend(_labelled(number, row))
        _judge(path, number, row, video, known, tracks, found)
    poses = frozenset(action.id for action in content.actions if action.group == "pose")
    check_people(path, video.id, seconds, poses, found)
    return rows


def _line(path: Path, number: int, text: str, found: Findings) -> Row | None:
    try:
        return row_of(json.loads(text))
    except json.JSONDecodeError:
        found.add(LINE, path, number, f"not JSON: {text[:_LONGEST]!r}")
    except (ValueError, RecursionError) as error:
        found.add(LINE, path, number, str(error))
    return None


def _labelled(number: int, row: Row) -> Iterator[Labelled]:
    text = ",".join(f"{value:.3f}" for value in row.box)
    actions: Iterable[int | None] = row.actions or (None,)
    return (Labelled(number, row.person, row.box, text, action) for action in actions)


def _judge(
    path: Path,
    number: int,
    row: Row,
    video: SetVideo,
    known: set[int],
    tracks: frozenset[int] | None,
    found: Findings,
) -> None:
    who = f"person {row.person} at second {row.second}"
    if row.second not in video.keyframes:
        found.add(OUTSIDE, path, number, f"{who}: the video's keyframes are {video.first} to {video.last}")
    for action in row.actions or ():
        if action not in known:
            found.add(ACTION_UNKNOWN, path, number, f"{who}: set.json has no action {action}")
    if tracks is not None and row.track is not None and row.track not in tracks:
        found.add(TRACK_UNKNOWN, path, number, f"{who}: {PATHS} has no track {row.track}")
    if row.actions is None:
        found.add(UNTOUCHED, path, number, f"{who}: nobody has looked")
    if row.doubts and not row.checked:
        found.add(DOUBTS, path, number, f"{who}: {', '.join(row.doubts)}")


def _tracks(path: Path, found: Findings) -> frozenset[int] | None:
    if not path.is_file():
        return None
    try:
        with path.open(encoding="utf-8") as stream:
            return frozenset(one.track for one in parse_paths(stream, path.name))
    except InputError as error:
        found.add(PATHS_MALFORMED, path, None, error.message.splitlines()[0])
    except (OSError, UnicodeDecodeError) as error:
        found.add(PATHS_MALFORMED, path, None, f"cannot be read: {error}")
    return None


def _files(labels: LabelSet, video: SetVideo, found: Findings) -> None:
    file = labels.file(video)
    if not file.is_file():
        found.add(VIDEO_GONE, labels.folder / SET, None, f"video {video.id}: {video.file} is not there")
    elif file.stat().st_size != video.size_bytes:
        told = f"video {video.id}: {video.file} has {file.stat().st_size} bytes, and had {video.size_bytes}"
        found.add(VIDEO_CHANGED, labels.folder / SET, None, told)
    for second in video.keyframes:
        picture = labels.keyframe(video.id, second)
        if not picture.is_file():
            found.add(PICTURE, picture.parent, None, f"{picture.name} is not there")


def _strangers(folder: Path, content: SetFile, found: Findings) -> None:
    known: Sequence[str] = [video.id for video in content.videos]
    home = folder / VIDEOS
    if home.is_dir():
        for path in sorted(home.iterdir()):
            if path.is_dir() and path.name not in known and not path.name.startswith("."):
                found.add(STRANGER, path, None, f"set.json has no video {path.name}")
