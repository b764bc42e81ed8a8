"""Projects of VIA 3, the VGG Image Annotator: JSON to values and back, with all that is unknown kept.

The layout is that of data format 3.1.1, as VIA's own `CodeDoc.md` tells it. A project of 3.1.0, and one without a
version, differ in places that do not matter here.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from vidbench.errors import InputError
from vidbench.formats.kinetics import SHOWN_PROBLEMS

DATA_FORMAT = "3.1.1"
PROJECT_MARKERS = {
    "pid": "__VIA_PROJECT_ID__",
    "rev": "__VIA_PROJECT_REV_ID__",
    "rev_timestamp": "__VIA_PROJECT_REV_TIMESTAMP__",
}
"""What a project on a disk must say; anything else is taken for one shared over VGG's server."""

TEXT, CHECKBOX, RADIO, SELECT, IMAGE_CHOICE = 1, 2, 3, 4, 5
"""Types of attributes."""
IMAGE = 2
"""The type of a file that is an image."""
BY_PATH = 3
"""The location of a file named by its path; a relative one starts from the folder of VIA's page."""
RECTANGLE = 2
"""The shape whose numbers are x, y, width and height in pixels."""
OF_BOX = "FILE1_Z0_XY1"
"""The anchor of an attribute that belongs to a box in an image."""
OF_FILE = "FILE1_Z0_XY0"
"""The anchor of an attribute that belongs to a whole image."""

_REMEDY = "Save the project in VIA 3 (the image annotator) once more, and give that file."
_PARTS = ("project", "config", "attribute", "file", "view", "metadata")
_BOX_DIGITS = 5

T = TypeVar("T")


@dataclass(frozen=True)
class ViaAttribute:
    """Something that is told of each box.

    Attributes:
        name: As "pose".
        kind: TEXT, CHECKBOX and so on.
        options: Option id to its name, in order; none for a text.
        default: What new boxes get: ids of options with commas between, or a text.
        anchor: What it belongs to.
        about: A description.
        more: Fields that are not known here.
    """

    name: str
    kind: int
    options: Mapping[str, str] = field(default_factory=dict)
    default: str = ""
    anchor: str = OF_BOX
    about: str = ""
    more: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class ViaFile:
    """A file.

    Attributes:
        name: For people.
        kind: IMAGE, or another number.
        loc: How `src` is meant; 1 is a file that the browser was handed, which has none.
        src: Where it is.
        more: Fields that are not known here.
    """

    name: str
    kind: int = IMAGE
    loc: int = BY_PATH
    src: str = ""
    more: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class ViaView:
    """What is shown at a time.

    Attributes:
        files: Ids of its files; one in the image annotator.
        more: Fields that are not known here.
    """

    files: tuple[str, ...]
    more: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class ViaMark:
    """A box, or whatever else is told of a view: an entry of `metadata`.

    Attributes:
        view: The view's id.
        xy: The shape's number and its coordinates in pixels of the image; empty where it is of no place.
        z: Times; empty in an image.
        values: Attribute id to what is told: the text, or ids of options with commas between, in the order of the
            clicks.
        flag: VIA's `flg`.
        more: Fields that are not known here.
    """

    view: str
    xy: tuple[float, ...]
    z: tuple[float, ...] = ()
    values: Mapping[str, str] = field(default_factory=dict)
    flag: int = 0
    more: Mapping[str, Any] = field(default_factory=dict)

    @property
    def rectangle(self) -> tuple[float, float, float, float] | None:
        """x1, y1, x2, y2 in pixels; None where it is of another shape."""
        if len(self.xy) != 5 or self.xy[0] != RECTANGLE:
            return None
        _, x, y, width, height = self.xy
        return min(x, x + width), min(y, y + height), max(x, x + width), max(y, y + height)


@dataclass(frozen=True)
class ViaProject:
    """A project.

    Attributes:
        header: The object `project`: markers, name, version, order of the views.
        config: How VIA's page looks.
        attributes: By id.
        files: By id.
        views: By id.
        marks: By id.
        more: Other parts of the document.
    """

    header: Mapping[str, Any]
    config: Mapping[str, Any]
    attributes: Mapping[str, ViaAttribute]
    files: Mapping[str, ViaFile]
    views: Mapping[str, ViaView]
    marks: Mapping[str, ViaMark]
    more: Mapping[str, Any] = field(default_factory=dict)

    @property
    def version(self) -> str | None:
        """Its data format; None where it tells none."""
        version: str | None = self.header.get("data_format_version")
        return version

    @property
    def shared(self) -> bool:
        """Whether it came from VGG's server."""
        return any(self.header.get(name, text) != text for name, text in PROJECT_MARKERS.items())


def new_project(
    name: str,
    created_ms: int,
    attributes: Mapping[str, ViaAttribute],
    files: Mapping[str, ViaFile],
    marks: Mapping[str, ViaMark],
    drawn: str,
) -> ViaProject:
    """A project with a view for each file, in the order of the files, which has the file's id.

    Args:
        name: For people.
        created_ms: Milliseconds since 1970.
        attributes: By id.
        files: By id.
        marks: By id.
        drawn: Id of the attribute whose text VIA draws at each box. It must be a text: VIA fails on the others.
    """
    header = {
        **PROJECT_MARKERS,
        "pname": name,
        "data_format_version": DATA_FORMAT,
        "creator": "vidbench",
        "created": created_ms,
        "vid_list": list(files),
    }
    config = {
        "file": {"loc_prefix": {"1": "", "2": "", "3": "", "4": ""}},
        "ui": {
            "file_content_align": "center",
            "file_metadata_editor_visible": True,
            "spatial_metadata_editor_visible": True,
            "spatial_region_label_attribute_id": drawn,
            "gtimeline_visible_row_count": "4",
        },
    }
    return ViaProject(header, config, attributes, files, {one: ViaView((one,)) for one in files}, marks)


def load_via(path: Path) -> ViaProject:
    """Read a project.

    Raises:
        InputError: The file is missing, no JSON or no project of VIA 3.
    """
    try:
        value = json.loads(path.read_bytes().decode("utf-8-sig"), parse_constant=_no_constant)
    except FileNotFoundError:
        raise InputError(f"{path}: no such file", "Give the file that VIA saved.") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}", "Give the file that VIA saved.") from error
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: not JSON: {error}", _REMEDY) from None
    return parse_via(value, path)


def parse_via(value: object, source: str | Path) -> ViaProject:
    """Read the JSON document of a project.

    Raises:
        InputError: Not a project of VIA 3; of a malformed one the message names each part, up to 20.
    """
    document = _recognised(value, source)
    problems: list[str] = []
    header, config = document.get("project"), document.get("config", {})
    for name, part in (("project", header), ("config", config)):
        if not isinstance(part, dict):
            problems.append(f"{name} is no object")
    attributes = _each(document, "attribute", _attribute, problems)
    files = _each(document, "file", _file, problems)
    views = _each(document, "view", _view, problems)
    marks = _each(document, "metadata", _mark, problems)
    if problems:
        shown = [f"{source}: {problem}" for problem in problems[:SHOWN_PROBLEMS]]
        if len(problems) > SHOWN_PROBLEMS:
            shown.append(f"... and {len(problems) - SHOWN_PROBLEMS} more")
        raise InputError("\n".join(shown), _REMEDY)
    more = {name: part for name, part in document.items() if name not in _PARTS}
    return ViaProject(document["project"], config, attributes, files, views, marks, more)


def dump_via(project: ViaProject) -> dict[str, Any]:
    """The JSON document of a project; coordinates have the five decimals that VIA gives them."""
    return {
        "project": dict(project.header),
        "config": dict(project.config),
        "attribute": {
            key: {
                "aname": one.name,
                "anchor_id": one.anchor,
                "type": one.kind,
                "desc": one.about,
                "options": dict(one.options),
                "default_option_id": one.default,
                **one.more,
            }
            for key, one in project.attributes.items()
        },
        "file": {
            key: {"fid": key, "fname": one.name, "type": one.kind, "loc": one.loc, "src": one.src, **one.more}
            for key, one in project.files.items()
        },
        "view": {key: {"fid_list": list(one.files), **one.more} for key, one in project.views.items()},
        "metadata": {
            key: {
                "vid": one.view,
                "flg": one.flag,
                "z": list(one.z),
                "xy": [round(number, _BOX_DIGITS) for number in one.xy],
                "av": dict(one.values),
                **one.more,
            }
            for key, one in project.marks.items()
        },
        **project.more,
    }


class _BadError(ValueError):
    """What is wrong with a part."""


def _no_constant(text: str) -> object:
    raise ValueError(f"{text} is no number")


def _recognised(value: object, source: str | Path) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise InputError(f"{source}: not a project of VIA: not a JSON object", _REMEDY)
    inner = [one for one in value.values() if isinstance(one, dict)]
    if "_via_settings" in value or "_via_img_metadata" in value or any("regions" in one for one in inner):
        raise InputError(
            f"{source}: a file of VIA 2, not of VIA 3",
            "VIA 3 can import projects of VIA 2: import it there, save the project, and give that file.",
        )
    if {"images", "annotations"} <= value.keys():
        raise InputError(f"{source}: a COCO file, not a project of VIA", "Import it with --format coco.")
    missing = [name for name in ("project", "attribute", "file", "view", "metadata") if name not in value]
    if missing:
        raise InputError(f"{source}: not a project of VIA 3: {', '.join(missing)} is missing", _REMEDY)
    header = value["project"]
    version = header.get("data_format_version", DATA_FORMAT) if isinstance(header, dict) else DATA_FORMAT
    if not isinstance(version, str) or not version.startswith("3."):
        raise InputError(f"{source}: VIA's data format {version!r}, which is not known here; 3.x is", _REMEDY)
    return value


def _each(
    document: Mapping[str, Any], part: str, read: Callable[[dict[str, Any]], T], problems: list[str]
) -> dict[str, T]:
    found: dict[str, T] = {}
    entries = document[part]
    if not isinstance(entries, dict):
        problems.append(f"{part} is no object")
        return found
    for key, value in entries.items():
        try:
            if not isinstance(value, dict):
                raise _BadError("no object")
            found[key] = read(value)
        except _BadError as error:
            problems.append(f"{part} {key!r}: {error}")
    return found


def _attribute(value: dict[str, Any]) -> ViaAttribute:
    options = value.get("options", {})
    if not isinstance(options, dict) or not all(isinstance(one, str) for one in options.values()):
        raise _BadError("options must be an object of names")
    known = {"aname", "anchor_id", "type", "desc", "options", "default_option_id"}
    return ViaAttribute(
        _text(value, "aname"),
        _whole(value, "type"),
        options,
        _text(value, "default_option_id", ""),
        _text(value, "anchor_id", OF_BOX),
        _text(value, "desc", ""),
        _rest(value, known),
    )


def _file(value: dict[str, Any]) -> ViaFile:
    known = {"fid", "fname", "type", "loc", "src"}
    return ViaFile(
        _text(value, "fname"), _whole(value, "type"), _whole(value, "loc"), _text(value, "src", ""), _rest(value, known)
    )


def _view(value: dict[str, Any]) -> ViaView:
    files = value.get("fid_list")
    if not isinstance(files, list) or not all(isinstance(one, str | int) for one in files):
        raise _BadError("fid_list must be a list of ids")
    return ViaView(tuple(str(one) for one in files), _rest(value, {"fid_list"}))


def _mark(value: dict[str, Any]) -> ViaMark:
    told = value.get("av", {})
    if not isinstance(told, dict) or not all(isinstance(one, str) for one in told.values()):
        raise _BadError("av must be an object of texts, as VIA cannot edit anything else")
    view = value.get("vid")
    if not isinstance(view, str | int) or isinstance(view, bool):
        raise _BadError("vid is missing")
    known = {"vid", "flg", "z", "xy", "av"}
    flag = _whole(value, "flg") if "flg" in value else 0
    return ViaMark(str(view), _numbers(value, "xy"), _numbers(value, "z"), told, flag, _rest(value, known))


def _rest(value: Mapping[str, Any], known: set[str]) -> dict[str, Any]:
    return {name: one for name, one in value.items() if name not in known}


def _text(value: Mapping[str, Any], name: str, default: str | None = None) -> str:
    found = value.get(name, default)
    if not isinstance(found, str):
        raise _BadError(f"{name} is {'missing' if found is None else 'no text'}")
    return found


def _whole(value: Mapping[str, Any], name: str) -> int:
    found = value.get(name)
    if not isinstance(found, int) or isinstance(found, bool):
        raise _BadError(f"{name} is {'missing' if found is None else 'no whole number'}")
    return found


def _numbers(value: Mapping[str, Any], name: str) -> tuple[float, ...]:
    found = value.get(name, [])
    if not isinstance(found, list) or not all(
        isinstance(one, int | float) and not isinstance(one, bool) and math.isfinite(one) for one in found
    ):
        raise _BadError(f"{name} must be a list of numbers")
    return tuple(found)
