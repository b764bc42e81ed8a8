"""A video of a set as a project of VIA 3."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

from vidbench.formats.labelset import Group, Row, SetAction, SetVideo
from vidbench.formats.via import CHECKBOX, TEXT, ViaAttribute, ViaFile, ViaMark, ViaProject, new_project
from vidbench.label.seen import GRID_FPS

PERSON = "person"
"""The attribute whose text is a person's number; VIA draws it at the box."""
ANSWER = "answer"
"""The attribute that says that a person does none of the actions."""
NONE = "none"
"""Its one option, id and name."""
FRAMES = "frames"
"""The folder of the pictures beside the projects."""

GROUPS: tuple[tuple[str, Group, str], ...] = (
    ("pose", "pose", "what the body does; best one"),
    ("object", "object", "with an object"),
    ("people", "person", "with other persons"),
)
_XY_DIGITS = 3


def picture_name(video: str, second: int) -> str:
    """The file name of a keyframe's picture, with the number that its frame has in AVA's frame folders: from 1."""
    return f"{video}_{second * GRID_FPS + 1:06d}.jpg"


def project_of(
    video: SetVideo, actions: Sequence[SetAction], rows: Iterable[Row], seconds: Collection[int], created_ms: int
) -> ViaProject:
    """The project of a video, with a view for each keyframe, by rising second.

    A box's id is `<view>_s0002_p3_t7`: second, person and track of its row. Options have the ids of the actions.

    Args:
        video: The video.
        actions: Of the set.
        rows: Of the video, at these seconds.
        seconds: The keyframes to show.
        created_ms: Milliseconds since 1970.
    """
    attributes = {"1": ViaAttribute(PERSON, TEXT, about="number of the person in the whole video; empty for a new one")}
    of_action: dict[int, str] = {}
    for name, group, about in GROUPS:
        options = {str(one.id): one.name for one in actions if one.group == group}
        if options:
            key = str(len(attributes) + 1)
            attributes[key] = ViaAttribute(name, CHECKBOX, options, about=about)
            of_action.update(dict.fromkeys(map(int, options), key))
    answer = str(len(attributes) + 1)
    attributes[answer] = ViaAttribute(ANSWER, CHECKBOX, {NONE: NONE}, about="none: does none of the actions")
    views = {second: str(number) for number, second in enumerate(sorted(seconds), start=1)}
    files = {
        view: ViaFile(picture_name(video.id, second), src=f"{FRAMES}/{picture_name(video.id, second)}")
        for second, view in views.items()
    }
    marks: dict[str, ViaMark] = {}
    for row in sorted(rows, key=lambda one: one.key):
        values = dict.fromkeys(attributes, "")
        values["1"] = str(row.person)
        for key in attributes:
            if ids := [str(one) for one in row.actions or () if of_action.get(one) == key]:
                values[key] = ",".join(ids)
        if row.actions == ():
            values[answer] = NONE
        x1, y1, x2, y2 = row.box
        xy = (x1 * video.width, y1 * video.height, (x2 - x1) * video.width, (y2 - y1) * video.height)
        view = views[row.second]
        track = "" if row.track is None else f"_t{row.track}"
        key = f"{view}_s{row.second:04d}_p{row.person}{track}"
        marks[key] = ViaMark(view, (2, *(round(one, _XY_DIGITS) for one in xy)), (), values)
    return new_project(video.id, created_ms, attributes, files, marks, drawn="1")
