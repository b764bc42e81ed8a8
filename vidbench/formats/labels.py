"""The class tables of the public sets, and one's own: class names in any spelling to ids."""

from __future__ import annotations

import difflib
import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from pathlib import Path

from vidbench.errors import InputError, UnknownNameError
from vidbench.formats.kinetics import line_errors

_PLAIN = re.compile(r"(?P<name>\S.*)")
_CHARADES = re.compile(r"c(?P<id>\d{3}) (?P<name>\S.*)")
_AVA_ALL = re.compile(r"(?P<id>\d+)\t(?P<name>[^\t]+)\t[A-Z_]+")
_AVA_SCORED = re.compile(r"(?P<id>\d+): (?P<name>\S.*)")

_SHIPPED = {
    "kinetics400": _PLAIN,
    "kinetics600": _PLAIN,
    "kinetics700": _PLAIN,
    "kinetics710": _PLAIN,
    "ucf101": _PLAIN,
    "hmdb51": _PLAIN,
    "something-something-v2": _PLAIN,
    "charades": _CHARADES,
    "ava_80": _AVA_ALL,
    "ava_60": _AVA_SCORED,
}
TABLES = tuple(_SHIPPED)
"""The names of the tables that the package ships."""

# what writers of folder names drop, and what they put in the place of a blank
_DROPPED = str.maketrans("", "", "\"'\u2019()[]")
_BETWEEN = re.compile(r"[\s_-]+")


def spelling(name: str) -> str:
    """What all spellings of a class name have in common; two classes of a table never share it.

    Letter case, quotes, apostrophes, brackets, and whether a blank is written as blank, underscore or hyphen
    do not count, so `skiing (not slalom or crosscountry)`, `skiing_(not_slalom_or_crosscountry)` of
    video-nonlocal-net, `skiing_not_slalom_or_crosscountry` of torchvision and the doubly quoted keys of
    `classids.json` are one class.
    """
    plain = unicodedata.normalize("NFC", name).translate(_DROPPED)
    return _BETWEEN.sub(" ", plain).strip().casefold()


@dataclass(frozen=True)
class LabelTable:
    """Class names and their ids.

    Attributes:
        name: A shipped table's name, or the path of a file.
        classes: Id to class name as the set's authors write it, by rising id. Ids start at 1 in the AVA tables,
            with gaps in `ava_60`, and at 0 in all others.
    """

    name: str
    classes: Mapping[int, str]
    _ids: Mapping[str, int] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        ids: dict[str, int] = {}
        for number, name in self.classes.items():
            other = ids.setdefault(spelling(name), number)
            if other != number:
                raise InputError(
                    f"{self.name}: the classes {self.classes[other]!r} and {name!r} cannot be told apart: {_SAME}",
                    "Rename one of them.",
                )
        object.__setattr__(self, "_ids", ids)

    def __len__(self) -> int:
        return len(self.classes)

    def __iter__(self) -> Iterator[tuple[int, str]]:
        return iter(self.classes.items())

    @property
    def names(self) -> tuple[str, ...]:
        """The class names, by rising id."""
        return tuple(self.classes.values())

    def find(self, name: str) -> int | None:
        """The id of a class in any spelling; None where the table does not hold it."""
        return self._ids.get(spelling(name))

    def id_of(self, name: str) -> int:
        """The id of a class in any spelling.

        Raises:
            UnknownNameError: The table does not hold it; offers the nearest names.
        """
        found = self.find(name)
        if found is None:
            raise UnknownNameError(f"class of {self.name}", name, self.names)
        return found

    def nearest(self, name: str, count: int = 2) -> tuple[str, ...]:
        """The class names that are written most alike, the nearest first; may be none."""
        near = difflib.get_close_matches(spelling(name), self._ids, n=count, cutoff=0.6)
        return tuple(self.classes[self._ids[text]] for text in near)


_SAME = "letter case, quotes, brackets, and blank, underscore or hyphen do not count in folder names"


@cache
def table(name: str) -> LabelTable:
    """A shipped table by its name.

    Raises:
        UnknownNameError: There is no such table.
    """
    if name not in _SHIPPED:
        raise UnknownNameError("class table", name, TABLES, f"There are {', '.join(TABLES)}.")
    text = files("vidbench.formats").joinpath("tables", f"{name}.txt").read_text(encoding="utf-8")
    return parse_labels(text.split("\n"), name, _SHIPPED[name])


def load_labels(name: str) -> LabelTable:
    """A shipped table by its name, or one's own by its path: a class name a line, in the order of ids from 0.

    A shipped name comes first; a file of that name is reached as `./kinetics400`.

    Raises:
        UnknownNameError: Neither a shipped table nor a file.
        InputError: The file cannot be read, or is no table.
    """
    if name in _SHIPPED:
        return table(name)
    path = Path(name)
    if not path.is_file():
        raise UnknownNameError(
            "class table", name, TABLES, f"There are {', '.join(TABLES)}; or give a file with a class name a line."
        )
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not UTF-8 text: byte {error.start}", "Save it as UTF-8.") from error
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from error
    return parse_labels(text.split("\n"), name)


def parse_labels(lines: Iterable[str], source: str, form: re.Pattern[str] = _PLAIN) -> LabelTable:
    """Read a table: by default a class name a line, whose ids are the line's place, from 0.

    Args:
        lines: The lines, with or without their ends. Empty ones may stand at the end only, as one in between
            would shift the ids.
        source: The file's name, for errors, and the table's.
        form: What a line is: a group `name`, and a group `id` where ids are written.

    Raises:
        InputError: Malformed lines, or two names of one spelling; each as `file:line: reason`.
    """
    texts = [line.removesuffix("\n").removesuffix("\r").rstrip(" \t") for line in lines]
    while texts and not texts[-1]:
        texts.pop()
    names: dict[int, str] = {}
    seen: dict[str, int] = {}
    problems: list[tuple[int, str]] = []
    for number, text in enumerate(texts, start=1):
        match = form.fullmatch(text)
        problem = _line_problem(text, match)
        if match and not problem:
            name = match["name"]
            first = seen.setdefault(spelling(name), number)
            key = int(match["id"]) if "id" in form.groupindex else number - 1
            if first != number:
                problem = f"{name!r} is line {first} again: {_SAME}"
            elif key in names:
                problem = f"the id {key} is given before"
            names.setdefault(key, name)
        if problem:
            problems.append((number, problem))
    if problems:
        raise line_errors(source, problems, "A table has one class name a line, in the order of ids from 0.")
    if not names:
        raise InputError(f"{source}: no class name in it", "Write one class name a line, in the order of ids from 0.")
    return LabelTable(source, dict(sorted(names.items())))


def _line_problem(text: str, match: re.Match[str] | None) -> str:
    if not text:
        return "an empty line, which would shift the ids after it"
    if not text.replace("\t", "").isprintable():
        return f"an unprintable character in {text!r}"
    if match is None:
        return f"{text!r} is not a class"
    return "" if spelling(match["name"]) else f"{text!r} has no letter or digit"


def tables_holding(names: Iterable[str]) -> tuple[str, ...]:
    """The shipped tables that hold all of the class names, in any spelling."""
    wanted = list(names)
    return tuple(name for name in TABLES if all(table(name).find(one) is not None for one in wanted))
