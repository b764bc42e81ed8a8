"""The actions that persons of a set may do: AVA's list, a list of one's own, and finding one by its name."""

from __future__ import annotations

import difflib
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import get_args

from vidbench.errors import InputError, UnknownNameError
from vidbench.formats import ava
from vidbench.formats.framelist import read_lines
from vidbench.formats.kinetics import line_errors
from vidbench.formats.labels import spelling, table
from vidbench.formats.labelset import MOST_ACTIONS, Group, SetAction

AVA_LISTS = ("ava_80", "ava_60")
"""AVA's 80 actions, and the 60 of them that its benchmark counts, with their ids."""
KINDS: dict[str, Group] = {
    "PERSON_MOVEMENT": "pose",
    "OBJECT_MANIPULATION": "object",
    "PERSON_INTERACTION": "person",
}
"""AVA's label types."""

_LAST_POSE, _LAST_OBJECT = 14, 63
_LINE = re.compile(r"(?:(?P<id>\d{1,3})\s*:\s*)?(?:(?P<group>pose|object|person)\s*:\s*)?(?P<name>\S.*)")
_SHAPE = (
    "A line is `stand`, `pose: stand` or `12: pose: stand`: an id for all names or for none, a group of "
    f"{', '.join(get_args(Group))} where wanted. At most {MOST_ACTIONS} names; a line that begins with # says nothing."
)


def load_actions(name: str) -> tuple[SetAction, ...]:
    """An action list: AVA's by its name, or a file of one's own.

    Args:
        name: "ava_80" or "ava_60", or the path of a text file with a name a line, or of an action list as AVA has
            them (`.pbtxt`, of either dialect).

    Returns:
        By rising id.

    Raises:
        UnknownNameError: Neither.
        InputError: The file cannot be read or is malformed; as `file:line: reason`.
    """
    if name in AVA_LISTS:
        return tuple(SetAction(number, text, ava_group(number)) for number, text in table(name))
    path = Path(name)
    if not path.is_file():
        raise UnknownNameError("action list", name, AVA_LISTS, f"There are {', '.join(AVA_LISTS)}; or give a file.")
    lines = [line.removeprefix("\ufeff") for line in read_lines(path)]
    if any(re.fullmatch(r"(item|label) \{\s*", line) for line in lines):
        return parse_list(lines, path)
    return parse_names(lines, path)


def parse_names(lines: Iterable[str], source: str | Path) -> tuple[SetAction, ...]:
    """Read a list of one's own; names without ids are counted from 1.

    A name of AVA without a group gets the group that it has there, any other name is a pose.

    Raises:
        InputError: Malformed lines, names or ids that are there twice, too many; each as `file:line: reason`.
    """
    known = table("ava_80")
    actions: list[SetAction] = []
    problems: list[tuple[int, str]] = []
    ids: dict[int, int] = {}
    names: dict[str, int] = {}
    numbered: bool | None = None
    for line, text in enumerate(lines, start=1):
        told = text.strip()
        if not told or told.startswith("#"):
            continue
        match = _LINE.fullmatch(told)
        if match is None:
            problems.append((line, f"{told!r} is no action"))
            continue
        name = match["name"]
        if numbered is None:
            numbered = match["id"] is not None
        number = int(match["id"]) if match["id"] else len(actions) + 1
        reason = name_problem(name)
        if not reason and (match["id"] is not None) != numbered:
            reason = "some names have an id and some have none"
        if not reason and not 1 <= number <= MOST_ACTIONS:
            reason = f"action {number}: ids are 1 to {MOST_ACTIONS}, the most that PySlowFast takes"
        if not reason and number in ids:
            reason = f"the id {number} is that of line {ids[number]}"
        if not reason and spelling(name) in names:
            reason = f"{name!r} is line {names[spelling(name)]} again"
        if reason:
            problems.append((line, reason))
            continue
        ids[number] = names[spelling(name)] = line
        in_ava = known.find(name)
        group: Group = "pose" if in_ava is None else ava_group(in_ava)
        actions.append(SetAction(number, name, _group(match["group"]) or group))
    if not actions and not problems:
        problems.append((1, "no actions"))
    if problems:
        raise line_errors(source, problems, _SHAPE)
    return tuple(sorted(actions, key=lambda one: one.id))


def parse_list(lines: Iterable[str], source: str | Path) -> tuple[SetAction, ...]:
    """Read an action list as AVA has them; without label types an action has the group of AVA's of that name.

    Raises:
        InputError: Malformed, of more than 80 actions, or of a label type that is not known.
    """
    found, _ = ava.parse_actions(lines, source)
    known = table("ava_80")
    actions: list[SetAction] = []
    for one in found:
        if one.kind is not None and one.kind not in KINDS:
            raise InputError(f"{source}: {one.name!r} has the label type {one.kind}", f"There are {', '.join(KINDS)}.")
        if one.id > MOST_ACTIONS:
            raise InputError(
                f"{source}: action {one.id}, {one.name!r}: ids are 1 to {MOST_ACTIONS}, the most that PySlowFast takes",
                "Give the actions other ids.",
            )
        if reason := name_problem(one.name):
            raise InputError(f"{source}: {reason}", "Rename the action.")
        in_ava = known.find(one.name)
        group: Group = "pose" if in_ava is None else ava_group(in_ava)
        actions.append(SetAction(one.id, one.name, KINDS[one.kind] if one.kind else group))
    return tuple(sorted(actions, key=lambda one: one.id))


def ava_group(number: int) -> Group:
    """The group of an action of AVA: 1 to 14 are poses, 15 to 63 are done with an object, 64 to 80 with persons."""
    if number <= _LAST_POSE:
        return "pose"
    return "object" if number <= _LAST_OBJECT else "person"


def name_problem(name: str) -> str:
    """Why an action cannot have this name; empty where it can."""
    if not name.isprintable() or '"' in name or "\\" in name:
        return f"{name!r}: printable text without double quotes and backslashes"
    return "" if spelling(name) else f"{name!r} has no letter or digit"


def same_names(first: Sequence[SetAction], second: Sequence[SetAction]) -> bool:
    """Whether two lists have the same names, whatever their ids."""
    return {one.name for one in first} == {one.name for one in second}


class ActionNames:
    """Actions by their names.

    Blanks at the ends and in a row do not count. A name that is not found so is found in any spelling, where only
    one action has it.

    Args:
        actions: Of a set.
    """

    def __init__(self, actions: Sequence[SetAction]) -> None:
        self._exact = {_plain(one.name): one.id for one in actions}
        times = Counter(spelling(one.name) for one in actions)
        self._spelled = {spelling(one.name): one.id for one in actions if times[spelling(one.name)] == 1}
        self.names = tuple(one.name for one in actions)

    def find(self, name: str) -> int | None:
        """The id of an action; None where there is none of that name."""
        found = self._exact.get(_plain(name))
        return self._spelled.get(spelling(name)) if found is None else found

    def hint(self, name: str) -> str:
        """The names that are written most alike, as `(is it "stand"?)`; empty where there is none."""
        near = difflib.get_close_matches(name, self.names, n=1, cutoff=0.6)
        return f' (is it "{near[0]}"?)' if near else ""


def _plain(name: str) -> str:
    return " ".join(name.split())


def _group(text: str | None) -> Group | None:
    for group in get_args(Group):
        if group == text:
            found: Group = group
            return found
    return None
