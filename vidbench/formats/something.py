"""Something-Something's annotations: version 2's JSON, version 1's csv, and the classes of either."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vidbench.errors import InputError
from vidbench.formats.kinetics import SHOWN_PROBLEMS, line_errors
from vidbench.formats.labels import LabelTable

_ID = re.compile(r"[0-9A-Za-z_-]+")
_ROWS = 'The file is a JSON list of {"id", "label", "template", "placeholders"}, as something-something-v2-train.json.'
_CLASSES = (
    'The file is a JSON object of class name to id, as something-something-v2-labels.json: {"Closing something": "5"}.'
)
_V1 = "A line is `id;label`, as in something-something-v1-train.csv."


@dataclass(frozen=True, slots=True)
class SomethingVideo:
    """One video of Something-Something.

    Attributes:
        id: The video's name, a number.
        template: The class as it is written, in version 2 with brackets: "Closing [something]"; empty in test sets.
        label: The sentence, "closing the drawer"; empty where there is none.
        placeholders: What stands in the brackets' place.
        line: The place in the file, from 1: the line in version 1, the entry in version 2.
    """

    id: str
    template: str = ""
    label: str = ""
    placeholders: tuple[str, ...] = ()
    line: int = 0


def parse_something(text: str, source: str | Path) -> tuple[SomethingVideo, ...]:
    """Read version 2's list of videos; entries of test sets have an id and nothing else.

    Raises:
        InputError: Not JSON, or entries that are malformed or repeat an id; each as `file: entry N: reason`.
    """
    document = _json(text, source, _ROWS)
    if not isinstance(document, list):
        raise InputError(f"{source}: not a JSON list", _ROWS)
    videos: list[SomethingVideo] = []
    problems: list[tuple[int, str]] = []
    places: dict[str, int] = {}
    for number, entry in enumerate(document, start=1):
        video = _video(entry, number)
        if isinstance(video, str):
            problems.append((number, video))
        elif places.setdefault(video.id, number) != number:
            problems.append((number, f"the id {video.id} is listed before, as entry {places[video.id]}"))
        else:
            videos.append(video)
    if problems:
        raise _entry_errors(source, problems, _ROWS)
    if not videos:
        raise InputError(f"{source}: no video in it", _ROWS)
    return tuple(videos)


def dump_something(videos: Iterable[SomethingVideo]) -> str:
    """The text of version 2's list; `parse_something` reads it back."""
    entries: list[dict[str, object]] = []
    for video in videos:
        entry: dict[str, object] = {"id": video.id}
        if video.template:
            entry |= {"label": video.label, "template": video.template, "placeholders": list(video.placeholders)}
        entries.append(entry)
    return json.dumps(entries, ensure_ascii=False, indent=0) + "\n"


def parse_something_labels(text: str, source: str | Path) -> LabelTable:
    """Read version 2's classes: a JSON object of class name to id, which is written as text.

    Raises:
        InputError: Not such an object, or two classes with one id; each as `file: entry N: reason`.
    """
    document = _json(text, source, _CLASSES)
    if not isinstance(document, dict) or not document:
        raise InputError(f"{source}: not a JSON object of classes", _CLASSES)
    names: dict[int, str] = {}
    problems: list[tuple[int, str]] = []
    for number, (name, value) in enumerate(document.items(), start=1):
        if not re.fullmatch(r"\d{1,9}", str(value)):
            problems.append((number, f"the id of {name!r} is {value!r}"))
        elif names.setdefault(int(value), name) != name:
            problems.append((number, f"{name!r} has the id {value} of {names[int(value)]!r}"))
    if problems:
        raise _entry_errors(source, problems, _CLASSES)
    return LabelTable(str(source), dict(sorted(names.items())))


def dump_something_labels(table: LabelTable) -> str:
    """The text of version 2's classes; `parse_something_labels` reads it back."""
    return json.dumps({name: str(number) for number, name in table}, ensure_ascii=False, indent=0) + "\n"


def parse_something_v1(lines: Iterable[str], source: str | Path) -> tuple[SomethingVideo, ...]:
    """Read version 1's list of videos: lines of `id;label`; of `id` alone in the test set.

    Raises:
        InputError: Lines that are malformed or repeat an id; each as `file:line: reason`.
    """
    videos: list[SomethingVideo] = []
    problems: list[tuple[int, str]] = []
    places: dict[str, int] = {}
    for number, text in enumerate(lines, start=1):
        line = text.rstrip("\r\n")
        if not line.strip():
            continue
        name, _, template = line.partition(";")
        if not _ID.fullmatch(name):
            problems.append((number, f"{line!r} does not begin with an id"))
        elif places.setdefault(name, number) != number:
            problems.append((number, f"the id {name} is listed before, at line {places[name]}"))
        else:
            videos.append(SomethingVideo(name, template.strip(), line=number))
    if problems:
        raise line_errors(source, problems, _V1)
    if not videos:
        raise InputError(f"{source}: no video in it", _V1)
    return tuple(videos)


def dump_something_v1(videos: Iterable[SomethingVideo]) -> str:
    """The text of version 1's list; `parse_something_v1` reads it back."""
    return "".join(f"{video.id};{video.template}\n" if video.template else f"{video.id}\n" for video in videos)


def parse_something_v1_labels(lines: Iterable[str], source: str | Path) -> LabelTable:
    """Read version 1's classes, a name a line; ids follow the sorted names, as the data set's users number them."""
    names = sorted({line.strip() for line in lines} - {""})
    if not names:
        raise InputError(f"{source}: no class name in it", "Write one class name a line.")
    return LabelTable(str(source), dict(enumerate(names)))


def _json(text: str, source: str | Path, remedy: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise InputError(f"{source}:{error.lineno}: not JSON: {error.msg}", remedy) from error
    except RecursionError as error:
        raise InputError(f"{source}: not such a file: nested too deeply", remedy) from error


def _video(entry: object, number: int) -> SomethingVideo | str:
    if not isinstance(entry, dict):
        return "not an object"
    name = str(entry.get("id", ""))
    if not _ID.fullmatch(name):
        return f"the id {name!r} is none" if name else "no id"
    texts = [entry.get("template", ""), entry.get("label", "")]
    placeholders = entry.get("placeholders", [])
    if not all(isinstance(text, str) for text in texts):
        return "template and label are not text"
    if not isinstance(placeholders, list) or not all(isinstance(text, str) for text in placeholders):
        return "placeholders are not a list of texts"
    return SomethingVideo(name, texts[0], texts[1], tuple(placeholders), number)


def _entry_errors(source: str | Path, problems: list[tuple[int, str]], remedy: str) -> InputError:
    told = [f"{source}: entry {number}: {reason}" for number, reason in problems[:SHOWN_PROBLEMS]]
    if len(problems) > SHOWN_PROBLEMS:
        told.append(f"... and {len(problems) - SHOWN_PROBLEMS} more")
    return InputError("\n".join(told), remedy)
