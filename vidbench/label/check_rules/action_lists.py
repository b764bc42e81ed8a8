"""Action lists, `ava_action_list_v2.2.pbtxt`, as the line parser that all code bases share reads them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from vidbench.formats.labels import table
from vidbench.label.check_rules.columns import ACTIONS
from vidbench.label.check_rules.rule import LOADERS, Findings, rule
from vidbench.label.check_rules.text import lines_of

_SHAPE = 'Write each line as `  name: "..."` and `  id: 1` or `  label_id: 1`, with exactly two blanks before it.'
MISSING = rule(
    "actions-missing",
    "error",
    "Put the list of actions beside the annotations, as ava_action_list_v2.2.pbtxt.",
    pyslowfast="FileNotFoundError at the start, as it opens AVA.LABEL_MAP_FILE",
    mmaction2="FileNotFoundError when it evaluates (label_file)",
)
INDENT = rule("actions-indent", "error", _SHAPE, every="passes over the line without a word")
ID = rule("actions-id", "error", _SHAPE, every="ValueError: the text after the last blank must be a number")
QUOTE = rule("actions-quote", "error", _SHAPE, every="IndexError: the name must stand between double quotes")
NAME_CUT = rule(
    "actions-name-cut", "warning", "Take quotes out of the name.", every="takes the text up to the second quote"
)
ORDER = rule(
    "actions-order",
    "error",
    "Write the name before the number.",
    every="gives the number the name before it",
)
OVER = rule(
    "actions-id-range",
    "error",
    "Give the actions numbers from 1 to 80.",
    pyslowfast="AssertionError when the action is trained on",
    mmaction2="IndexError, unless num_classes is greater than the number; 0 must not be a class",
)
ID_TWICE = rule("actions-id-twice", "error", "Give each action a number of its own.", every="keeps one of the names")
NAME_TWICE = rule(
    "actions-name-twice",
    "warning",
    "Give each action a name of its own.",
    pyslowfast="shows the figure of one of them alone; the mean is right",
    mmaction2="shows the figure of one of them alone; the mean is right",
)
EMPTY = rule(
    "actions-empty",
    "error",
    _SHAPE,
    pyslowfast="no class, so no figure",
    mmaction2="no class, so no figure",
    pytorchvideo="passes over every row, without a word",
)
DIFFER = rule("actions-differ", "warning", "Name an action alike in all lists.")

_FIELD = re.compile(r"(?:^|[\s{])(name|id|label_id)\s*:")
_TYPE = re.compile(r"\s*label_type\s*:\s*(\w+)")
_NO_NAME = ""


@dataclass
class ActionFacts:
    """What action lists say.

    Attributes:
        names: Number to name, of all lists.
        poses: Actions that are poses; empty where no list tells and the actions are not AVA's.
    """

    names: dict[int, str] = field(default_factory=dict)
    poses: frozenset[int] = frozenset()


def check_action_lists(paths: Sequence[Path], notes: Path, found: Findings) -> ActionFacts:
    """Check all action lists of a folder.

    Args:
        paths: The lists.
        notes: Where they should be.
        found: Where findings go.
    """
    facts = ActionFacts()
    poses: set[int] = set()
    if not paths:
        found.add(MISSING, notes, None, "no action list (*.pbtxt)")
    for path in paths:
        names = _list(path, poses, found)
        for number, (name, line) in names.items():
            held = facts.names.setdefault(number, name)
            if held != name:
                found.add(DIFFER, path, line, f"action {number} is {name!r} here and {held!r} in another list")
    if not poses:
        # the list that the challenge scores has no kinds, and is known by its names
        whole = dict(table("ava_80"))
        known = [number for number, name in facts.names.items() if whole.get(number) == name]
        if len(known) == len(facts.names):
            poses = {number for number in known if number <= 14}
    facts.poses = frozenset(poses)
    return facts


def _list(path: Path, poses: set[int], found: Findings) -> dict[int, tuple[str, int]]:
    names: dict[int, tuple[str, int]] = {}
    lines: dict[str, int] = {}
    name: str | None = None
    number: int | None = None
    for line, text in lines_of(path, found, LOADERS, loose=True):
        if text.startswith("  name:"):
            name = _name(path, line, text, found)
        elif text.startswith(("  id:", "  label_id:")):
            number = _number(path, line, text, found)
            if number is None:
                continue
            if name is None:
                found.add(ORDER, path, line, f"number {number} comes before its name")
            if number in names:
                found.add(ID_TWICE, path, line, f"number {number} is line {names[number][1]}, too")
            elif name and lines.setdefault(name, line) != line:
                found.add(NAME_TWICE, path, line, f"the name {name!r} is that of line {lines[name]}, too")
            names.setdefault(number, (name or _NO_NAME, line))
            name = None
        elif _FIELD.search(text):
            found.add(INDENT, path, line, f"{text.strip()[:60]!r} does not begin with exactly two blanks")
        elif (kind := _TYPE.match(text)) and number is not None and kind[1] == "PERSON_MOVEMENT":
            poses.add(number)
    if not names:
        found.add(EMPTY, path, None, "no action can be read")
    return names


def _name(path: Path, line: int, text: str, found: Findings) -> str:
    parts = text.split('"')
    if len(parts) < 2:
        found.add(QUOTE, path, line, f"{text.strip()[:60]!r} has no double quotes")
        return _NO_NAME
    if len(parts) != 3:
        found.add(NAME_CUT, path, line, f"{text.strip()[:60]!r} is read as {parts[1]!r}")
    return parts[1]


def _number(path: Path, line: int, text: str, found: Findings) -> int | None:
    try:
        number = int(text.strip().split(" ")[-1])
    except ValueError:
        found.add(ID, path, line, f"{text.strip()[:60]!r} does not end with a number after a blank")
        return None
    if number not in ACTIONS:
        found.add(OVER, path, line, f"action {number} is not in {ACTIONS[0]} to {ACTIONS[-1]}", LOADERS)
    return number
