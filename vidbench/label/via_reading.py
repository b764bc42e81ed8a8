"""What an edited project of VIA 3 says of the videos of a set."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from vidbench.formats.labelset import Row, SetFile, SetVideo, box_of
from vidbench.formats.via import (
    CHECKBOX,
    IMAGE,
    OF_BOX,
    RADIO,
    SELECT,
    TEXT,
    ViaAttribute,
    ViaMark,
    ViaProject,
    ViaView,
)
from vidbench.label.actions import ActionNames
from vidbench.label.reconcile import Offered
from vidbench.label.seen import GRID_FPS
from vidbench.label.via import ANSWER, GROUPS, NONE, PERSON, picture_name

UnchangedTicks = Literal["refuse", "keep", "read"]
"""What to do with ticks that are as they were exported, in an option list that was edited in VIA since.

VIA numbers an edited list anew and leaves the ticks as they were, so that they now stand at other names.

* refuse: say which boxes these are.
* keep: they are from before the edit: these boxes keep the actions that the set has.
* read: they are meant as VIA shows them now.
"""

_NAME = re.compile(r"(?P<video>[A-Za-z0-9_-]+)_(?P<frame>\d{5,8})\.(?:jpe?g|png)", re.IGNORECASE)
_MARK = re.compile(r".*_s(?P<second>\d{4,6})_p(?P<person>\d{1,6})(?:_t(?P<track>\d{1,10}))?")
_PERSON = re.compile(r"\d{1,6}")


@dataclass(frozen=True)
class Taken:
    """What a project says.

    Attributes:
        offered: The boxes, by video.
        seconds: The keyframes whose pictures it has, by video.
        notes: What a person should know.
        problems: What must be mended; with any, nothing is to be imported.
    """

    offered: Mapping[str, tuple[Offered, ...]]
    seconds: Mapping[str, frozenset[int]]
    notes: tuple[str, ...]
    problems: tuple[str, ...]


def take(
    project: ViaProject,
    content: SetFile,
    rows_of: Callable[[str], Sequence[Row]],
    unchanged: UnchangedTicks = "refuse",
    ignore: Collection[str] = (),
) -> Taken:
    """Read a project, of vidbench or of another program, with the set's videos and actions.

    A picture is told by its file's name, `<video>_<frame>`, whose frames count from 1, 30 a second. An option is
    told by its name; one that VIA's editor cut at its commas is put together again.

    Args:
        project: The project.
        content: The set.
        rows_of: The rows of a video of the set.
        unchanged: See `UnchangedTicks`.
        ignore: Names of attributes that are not about actions.
    """
    reading = _Reading(project, content, rows_of, unchanged, frozenset(ignore))
    reading.pictures()
    reading.attributes()
    for key, mark in project.marks.items():
        reading.mark(key, mark)
    reading.finish()
    return Taken(
        {video: tuple(boxes) for video, boxes in reading.offered.items()},
        {video: frozenset(found) for video, found in reading.seconds.items()},
        tuple(reading.notes),
        tuple(reading.problems),
    )


@dataclass(frozen=True)
class _Ticks:
    """How the ticks of an attribute are read.

    Attributes:
        name: Of the attribute.
        actions: Option id to an action's id; None for "none of them".
        exported: Option ids of the actions of its group, as an export has them; empty where it is none of ours.
    """

    name: str
    actions: Mapping[str, int | None]
    exported: Mapping[int, str]


@dataclass
class _Reading:
    project: ViaProject
    content: SetFile
    rows_of: Callable[[str], Sequence[Row]]
    unchanged: UnchangedTicks
    ignore: frozenset[str]
    offered: dict[str, list[Offered]] = field(default_factory=dict)
    seconds: dict[str, set[int]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._videos = {one.id: one for one in self.content.videos}
        self._moments: dict[str, tuple[SetVideo, int]] = {}
        self._why_not: dict[str, str] = {}
        self._persons: set[str] = set()
        self._ticks: dict[str, _Ticks] = {}
        self._left_out: dict[str, str] = {}
        self._held: dict[str, dict[tuple[int, int], Row]] = {}
        self._stale: list[str] = []
        self._remarks: set[str] = set()
        self._kept = 0

    def pictures(self) -> None:
        """Find out which keyframe each view shows."""
        shown: dict[tuple[str, int], str] = {}
        for key, view in self.project.views.items():
            found = self._moment(view)
            if isinstance(found, str):
                self._why_not[key] = found
                continue
            video, second = found
            before = shown.setdefault((video.id, second), key)
            if before != key:
                self.problems.append(f"{picture_name(video.id, second)} is in two views, {before} and {key}")
            self._moments[key] = found
            self.seconds.setdefault(video.id, set()).add(second)
        if not self._moments:
            reasons = list(self._why_not.values())
            self.problems.append(f"no picture of a keyframe of the set: {reasons[0] if reasons else 'no views'}")

    def attributes(self) -> None:
        """Find out what each attribute tells."""
        names = ActionNames(self.content.actions)
        unknown: list[str] = []
        for key, one in self.project.attributes.items():
            name = one.name.strip()
            if name in self.ignore:
                self._left_out[key] = f"the attribute {name!r}, as asked for"
            elif one.kind == TEXT and name.casefold() == PERSON:
                self._persons.add(key)
            elif one.kind not in (CHECKBOX, RADIO, SELECT) or one.anchor != OF_BOX:
                self._left_out[key] = f"the attribute {name!r}, which is neither {PERSON!r} nor ticks of a box"
            else:
                self._tickable(key, one, name, names, unknown)
        for name in sorted(self.ignore - {one.name.strip() for one in self.project.attributes.values()}):
            self.problems.append(f"there is no attribute {name!r} to ignore")
        if unknown:
            self.problems.append(f"options that are no action of the set: {', '.join(unknown)}")

    def _tickable(self, key: str, one: ViaAttribute, name: str, names: ActionNames, unknown: list[str]) -> None:
        answer = name.casefold() == ANSWER
        # the id is the name, too, and so survives an edit of the list
        found: dict[str, int | None] = {NONE: None} if answer else {}
        for option, text in _whole_names(one.options, names).items():
            action = names.find(text)
            if answer and text.strip().casefold() == NONE:
                found[option] = None
            elif action is not None:
                found[option] = action
            else:
                unknown.append(f'"{text}" of {name!r}{names.hint(text)}')
        group = next((group for label, group, _ in GROUPS if label == name), None)
        exported = {action.id: str(action.id) for action in self.content.actions if action.group == group}
        self._ticks[key] = _Ticks(name, found, exported)
        if one.default:
            self.notes.append(f"{name!r} has a default: boxes that were drawn in VIA were ticked {one.default!r} by it")
        if one.kind == SELECT:
            self.notes.append(f"{name!r} is a list to choose from, which shows its first option where none is stored")

    def mark(self, key: str, mark: ViaMark) -> None:
        """Take a box."""
        where = f"box {key}"
        if not mark.xy and not mark.z:
            if any(mark.values.values()):
                self._remarks.add("what is told of whole pictures")
            return
        found = self._moments.get(mark.view)
        if found is None:
            why = self._why_not.get(mark.view, f"its view {mark.view!r} is missing")
            self.problems.append(f"{where}: {why}")
            return
        video, second = found
        corners = mark.rectangle
        if mark.z or corners is None:
            self.problems.append(f"{where}: in {picture_name(video.id, second)}: not a rectangle in an image")
            return
        x1, y1, x2, y2 = corners
        box = box_of(x1 / video.width, y1 / video.height, x2 / video.width, y2 / video.height)
        if box is None:
            self.problems.append(f"{where}: in {picture_name(video.id, second)}: has no area within the picture")
            return
        match = _MARK.fullmatch(key)
        origin = (second, int(match["person"])) if match and int(match["second"]) == second else None
        person = self._person(where, mark)
        told = self._actions(where, mark, video, origin)
        track = int(match["track"]) if origin and match and match["track"] else None
        self.offered.setdefault(video.id, []).append(Offered(where, second, box, person, origin, told, track=track))

    def finish(self) -> None:
        """Say what was left out, and which ticks are doubtful."""
        if self._stale:
            shown = ", ".join(self._stale[:5]) + (f" and {len(self._stale) - 5} more" if len(self._stale) > 5 else "")
            self.problems.append(
                "an option list was edited in VIA, which numbers it anew and leaves earlier ticks as they were, so "
                f"that they stand at other names now: {shown} have the ticks that were exported. Say whether to keep "
                "the actions that the set has, or to read the ticks as VIA shows them"
            )
        if self._kept:
            self.notes.append(f"{self._kept} boxes have the ticks that were exported and keep the set's actions")
        if self.project.shared:
            self.notes.append("the project was shared over VGG's server; this is its state in the file")
        for told in sorted({*self._left_out.values(), *self._remarks}):
            self.notes.append(f"left out: {told}")
        empty = [
            why for key, why in self._why_not.items() if key not in {one.view for one in self.project.marks.values()}
        ]
        if empty and self._moments:
            self.notes.append(f"{len(empty)} views without boxes are left out: {empty[0]}")

    def _moment(self, view: ViaView) -> tuple[SetVideo, int] | str:
        if len(view.files) != 1:
            return f"a view of {len(view.files)} files; the image annotator has one"
        file = self.project.files.get(view.files[0])
        if file is None:
            return f"the file {view.files[0]!r} is missing"
        if file.kind != IMAGE:
            return f"{file.name!r} is not an image"
        match = next((found for text in (file.name, file.src) if (found := _NAME.fullmatch(_base(text)))), None)
        if match is None:
            return f"{file.name!r} is no name of a keyframe, as {picture_name('clip', 2)}"
        video, frame = self._videos.get(match["video"]), int(match["frame"]) - 1
        if video is None:
            return f"{file.name!r}: no video {match['video']!r} in the set"
        if frame % GRID_FPS or frame // GRID_FPS not in video.keyframes:
            return f"{file.name!r}: frame {frame + 1} is no keyframe of {video.id}"
        return video, frame // GRID_FPS

    def _person(self, where: str, mark: ViaMark) -> int | None:
        texts = {mark.values[key].strip() for key in self._persons if mark.values.get(key, "").strip()}
        if not texts:
            return None
        text = texts.pop()
        if texts or not _PERSON.fullmatch(text):
            self.problems.append(f"{where}: person {text!r} is no number, as 3")
            return None
        return int(text)

    def _actions(
        self, where: str, mark: ViaMark, video: SetVideo, origin: tuple[int, int] | None
    ) -> tuple[int, ...] | None:
        row = self._rows(video).get(origin) if origin else None
        found: set[int] = set()
        none = False
        for key, value in mark.values.items():
            ticks = self._ticks.get(key)
            if not value or key in self._persons or key in self._left_out:
                continue
            if ticks is None:
                self.problems.append(f"{where}: tells {value!r} of the attribute {key}, which is missing")
                continue
            options = [one.strip() for one in value.split(",") if one.strip()]
            if row is not None and self._as_exported(row, ticks, options):
                if self.unchanged == "keep":
                    self._kept += 1
                    found |= {one for one in row.actions or () if one in ticks.exported}
                    continue
                if self.unchanged == "refuse":
                    self._stale.append(f"{key} of {where}")
            for option in options:
                if option not in ticks.actions:
                    # an option that has a name, but not of an action, is told of by itself
                    if option not in self.project.attributes[key].options:
                        self.problems.append(
                            f"{where}: ticks {option!r} of {ticks.name!r}, which its list does not have (any more)"
                        )
                    continue
                action = ticks.actions[option]
                if action is None:
                    none = True
                else:
                    found.add(action)
        if none and found:
            self.problems.append(f"{where}: ticks {NONE!r} and actions as well")
        return tuple(sorted(found)) if found or none else None

    def _as_exported(self, row: Row, ticks: _Ticks, options: Sequence[str]) -> bool:
        """Whether ticks are those of the export, but now stand at other names."""
        before = [one for one in row.actions or () if one in ticks.exported]
        same = sorted(options) == sorted(ticks.exported[one] for one in before)
        return same and [ticks.actions.get(option) for option in options] != [int(option) for option in options]

    def _rows(self, video: SetVideo) -> dict[tuple[int, int], Row]:
        if video.id not in self._held:
            self._held[video.id] = {row.key: row for row in self.rows_of(video.id)}
        return self._held[video.id]


def _whole_names(options: Mapping[str, str], names: ActionNames) -> dict[str, str]:
    """The name of each option, in full where VIA's editor cut it at its commas; each piece then stands for it."""
    keys = list(options)
    whole: dict[str, str] = {}
    place = 0
    while place < len(keys):
        end = place + 1
        if names.find(options[keys[place]]) is None:
            for stop in range(place + 2, len(keys) + 1):
                if names.find(", ".join(options[key].strip() for key in keys[place:stop])) is not None:
                    end = stop
                    break
        name = ", ".join(options[key].strip() for key in keys[place:end]) if end > place + 1 else options[keys[place]]
        whole.update(dict.fromkeys(keys[place:end], name))
        place = end
    return whole


def _base(text: str) -> str:
    return re.split(r"[/\\]", text)[-1]
