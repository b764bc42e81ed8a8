"""Files of boxes with actions, `ava_train_v2.2.csv`: row by row, then video by video."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path

from vidbench.label.check_rules import columns
from vidbench.label.check_rules.people import Labelled, check_people
from vidbench.label.check_rules.rule import LOADERS, Findings, rule
from vidbench.label.check_rules.text import videos_of

EMPTY = rule(
    "labels-empty",
    "error",
    "Export the set again once persons have actions.",
    pyslowfast="AssertionError: no video has boxes",
    mmaction2="an empty set",
    pytorchvideo="an empty set, without a word",
)
SECOND_ALONE = rule(
    "labels-second-alone",
    "error",
    "Take the row out; only scorers of the ActivityNet challenge read seconds without boxes.",
    every="IndexError: the row has no action",
)
SECOND_ALONE_TEST = rule(
    "labels-second-alone-test", "note", "The test split of AVA is like that; the file can be scored, not loaded."
)
FEW = rule("labels-columns-few", "error", "Write video,second,x1,y1,x2,y2,action,person.", every="IndexError")
SEVEN = rule(
    "labels-columns-seven",
    "error",
    "Add the person's number as column 8.",
    mmaction2="IndexError: it reads the person's number",
    pytorchvideo="IndexError: it reads column 8",
)
MANY = rule(
    "labels-columns-many",
    "error",
    "Write eight columns: video,second,x1,y1,x2,y2,action,person.",
    pyslowfast="trains, and its scorer ends with an AssertionError",
    mmaction2="trains, and its scorer ends with an AssertionError",
    pytorchvideo="reads the first eight",
)
ACTION_EMPTY = rule(
    "labels-action-empty",
    "error",
    "Take the row out: a person without action belongs to the predicted boxes.",
    pyslowfast="trains on it as a person without action, and its scorer ends with a ValueError",
    mmaction2="ValueError",
    pytorchvideo="reads it as -1, or passes over it if it is given the action list",
)
ACTION_ZERO = rule(
    "labels-action-zero",
    "error",
    "Actions count from 1: add 1 to all, or take the row out.",
    pyslowfast="AssertionError when the row is trained on; -1 is a person without action",
    mmaction2="marks class 0, or for -1 the last class, without a word",
    pytorchvideo="gives it as it is, or passes over the row if it is given the action list",
)
PERSON_FRACTION = rule(
    "person-fraction",
    "error",
    "Write the person's number as a whole number.",
    mmaction2="ValueError: int() does not read it",
)
PERSON_UNREADABLE = rule(
    "person-unreadable",
    "error",
    "Write a whole number for each person.",
    mmaction2="ValueError: int() does not read it",
    pytorchvideo="ValueError: float() does not read it",
)
PERSON_NEGATIVE = rule(
    "person-negative", "warning", "Give each person a number from 0; no loader looks at it, but tracks are cut."
)

_VALUE = r"([01]\.[0-9]{3})"
_PLAIN = re.compile(rf'[^,"\s]+,([0-9]{{4}}),({_VALUE},{_VALUE},{_VALUE},{_VALUE}),([0-9]{{1,2}}),([0-9]{{1,9}})')


@dataclass
class LabelFacts:
    """What a file of boxes with actions holds.

    Attributes:
        path: The file.
        split: "train", "val" or "test"; None where its name does not tell.
        rows: Rows, broken ones included.
        first: The first line of each video.
        last: The greatest second of each video and its line.
        keyframes: `video,0902` of every second with a box, as MMAction2's proposals call them.
        actions: Rows of each action.
        links: Boxes that could be followed into the next second.
        digest: A number that two files share if, and in practice only if, they hold the same rows in any order.
    """

    path: Path
    split: str | None
    rows: int = 0
    first: dict[str, int] = field(default_factory=dict)
    last: dict[str, tuple[int, int]] = field(default_factory=dict)
    keyframes: set[str] = field(default_factory=set)
    actions: Counter[int] = field(default_factory=Counter)
    links: int = 0
    digest: int = 0


def check_labels(
    path: Path, split: str | None, listed: Collection[int], poses: Collection[int], found: Findings
) -> LabelFacts:
    """Check a file of boxes with actions.

    Args:
        path: The file.
        split: Which split it is of.
        listed: The actions of the action lists; empty where there are none.
        poses: Those of them that are poses; empty where that is not known.
        found: Where findings go.
    """
    facts = LabelFacts(path, split)
    known = frozenset(listed)
    for name, lines in videos_of(path, found, LOADERS):
        video = name.strip('"')
        seconds: dict[int, list[Labelled]] = {}
        named = False
        second: int | None
        row: Labelled | None
        for number, text in lines:
            facts.rows += 1
            facts.digest = (facts.digest + hash(text)) & (2**64 - 1)
            plain = _plain(number, text, known) if named else None
            if plain is not None:
                second, row = plain
            else:
                fields = text.strip().split(",")
                if number == 1 and columns.is_header(fields):
                    found.add(columns.HEADER, path, 1, f"the header {text[:60]!r}")
                    facts.rows -= 1
                    continue
                if not named:
                    named = True
                    columns.check_name(path, number, video, found, LOADERS)
                    facts.first.setdefault(video, number)
                second, row = _row(path, number, fields, split, known, found)
            if second is not None:
                if second > facts.last.get(video, (-1, 0))[0]:
                    facts.last[video] = second, number
                if row is not None:
                    seconds.setdefault(second, []).append(row)
                    if row.action is not None:
                        facts.actions[row.action] += 1
        facts.links += check_people(path, video, seconds, poses, found)
        facts.keyframes.update(f"{video},{second:04d}" for second in seconds)
    if not facts.rows:
        found.add(EMPTY, path, None, "no rows")
    return facts


def _plain(number: int, text: str, listed: frozenset[int]) -> tuple[int, Labelled] | None:
    """The second and person of a row as AVA writes it, in which nothing can be wrong; None for any other row."""
    match = _PLAIN.fullmatch(text)
    if match is None:
        return None
    second, action = int(match[1]), int(match[7])
    x1, y1, x2, y2 = float(match[3]), float(match[4]), float(match[5]), float(match[6])
    good = x1 < x2 <= 1 and y1 < y2 <= 1 and second in columns.SECONDS
    if not good or not (action in listed if listed else action in columns.ACTIONS):
        return None
    return second, Labelled(number, int(match[8]), (x1, y1, x2, y2), match[2], action)


def _row(
    path: Path, number: int, fields: list[str], split: str | None, listed: frozenset[int], found: Findings
) -> tuple[int | None, Labelled | None]:
    """The second and, where it can be read, the person of a row."""
    if any('"' in text for text in fields):
        found.add(columns.QUOTES, path, number, f"quotes in {','.join(fields)[:80]}")
        fields = [text.strip('"') for text in fields]
    second = columns.second_of(path, number, fields[1], found, LOADERS) if len(fields) > 1 else None
    if len(fields) == 2:
        told = f"{fields[0]} {fields[1]}: a second without box"
        found.add(SECOND_ALONE_TEST if split == "test" else SECOND_ALONE, path, number, told)
        return second, None
    if len(fields) < 7:
        found.add(FEW, path, number, f"{len(fields)} columns, not 8")
        return second, None
    box = columns.box_of(path, number, fields[2:6], found, LOADERS)
    action = _action(path, number, fields[6], listed, found)
    person = None
    if len(fields) == 7:
        found.add(SEVEN, path, number, "7 columns, not 8")
    else:
        if len(fields) > 8:
            found.add(MANY, path, number, f"{len(fields)} columns, not 8")
        person = _person(path, number, fields[7], found)
    if second is None or box is None:
        return second, None
    return second, Labelled(number, person, box, ",".join(fields[2:6]), action)


def _action(path: Path, number: int, text: str, listed: frozenset[int], found: Findings) -> int | None:
    if not text:
        found.add(ACTION_EMPTY, path, number, "no action")
        return None
    action = columns.whole_of(text)
    if action is None:
        found.add(columns.ACTION_UNREADABLE, path, number, f"action {text!r}")
    elif action < 1:
        found.add(ACTION_ZERO, path, number, f"action {action}")
    elif action > columns.ACTIONS[-1]:
        found.add(columns.ACTION_OVER, path, number, f"action {action}")
    elif listed and action not in listed:
        found.add(columns.ACTION_UNLISTED, path, number, f"action {action} is in no action list")
    else:
        return action
    return None


def _person(path: Path, number: int, text: str, found: Findings) -> int | None:
    person = columns.whole_of(text)
    if person is None:
        broken = PERSON_UNREADABLE if columns.number_of(text) is None else PERSON_FRACTION
        found.add(broken, path, number, f"person {text!r} is no whole number" if text else "no person's number")
    elif person < 0:
        found.add(PERSON_NEGATIVE, path, number, f"person {person}")
        return None
    return person
