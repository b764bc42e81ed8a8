"""COCO's detection files: images, annotations and categories in one JSON document, of pictures of videos."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from fractions import Fraction
from typing import Any

from vidbench.errors import InputError
from vidbench.formats.given import (
    GRID_FPS,
    Collector,
    GivenBox,
    GivenBoxes,
    VideoShape,
    by_moment,
    number_at,
    numbers_of_frame,
)
from vidbench.formats.kinetics import SHOWN_PROBLEMS

_SHAPE = (
    "An image needs id, width, height, video_id (the video's name, or the id of one in `videos`) and one of second, "
    "time, frame (from 1) and frame_id (from 0); an annotation needs image_id, category_id and bbox "
    "[x, y, width, height] in pixels, with score and track_id where they are known."
)


def image_name(video: str, number: int) -> str:
    """The file of a moment, as vidbench and PySlowFast's guide name frames at 30 a second."""
    return f"{video}_{number + 1:06d}.jpg"


def parse(document: object, source: object, shapes: Mapping[str, VideoShape]) -> GivenBoxes:
    """Read the persons of a document.

    Persons are the annotations of the category "person", letter case apart, without `iscrowd`. An image says where it
    comes from: `video_id`, and `second`, `time` (seconds), `frame` (the video's own frames, from 1) or CocoVID's
    `frame_id` (from 0). A person's number is `track_id` or CocoVID's `instance_id`, also within `attributes`, where
    `actions` are, too. Boxes are taken by the width and height of the image, which may be a scaled one. An image
    without annotations is a moment with nobody.

    Args:
        document: What the JSON file holds.
        source: The file's name, for errors.
        shapes: The videos that are asked for, by each name under which the file may have them.

    Raises:
        InputError: Not such a document; the message names the entries, as `file: annotations[3]: reason`.
    """
    images, annotations, categories = _parts(document, source)
    persons = _person_ids(categories, source)
    assert isinstance(document, dict)
    names = _names(document.get("videos"))
    collector = Collector(shapes)
    problems: list[str] = []
    places: dict[int, _Image] = {}
    for place, one in enumerate(images):
        try:
            image = _Image(one, names)
            if image.id in places:
                raise ValueError(f"id {image.id} is there twice")
            places[image.id] = image
            shape = collector.shape(image.video)
            if shape is not None:
                image.settle(shape, collector)
        except ValueError as error:
            problems.append(f"images[{place}]: {error}")
    for place, one in enumerate(annotations if not problems else ()):
        try:
            _annotation(one, places, persons, collector, place)
        except ValueError as error:
            problems.append(f"annotations[{place}]: {error}")
    if problems:
        told = [f"{source}: {problem}" for problem in problems[:SHOWN_PROBLEMS]]
        if len(problems) > SHOWN_PROBLEMS:
            told.append(f"... and {len(problems) - SHOWN_PROBLEMS} more")
        raise InputError("\n".join(told), _SHAPE)
    return collector.done()


def dump(
    boxes: Iterable[GivenBox],
    shapes: Iterable[VideoShape],
    *,
    moments: Mapping[str, Iterable[int]] | None = None,
    name: Callable[[str, int], str] = image_name,
    actions: Mapping[int, str] | None = None,
) -> dict[str, Any]:
    """The document of boxes, to be written as JSON.

    Each moment is an image, with `video_id`, `number` on the grid and `second` (on whole seconds) or `time`. There is
    one category, person. The numbers of persons are `track_id`, actions are `attributes.actions`, by id.

    Args:
        boxes: Boxes of any of the videos.
        shapes: The videos, in the order of the images.
        moments: Numbers by video id that shall be images even where nobody is.
        name: The file of a moment, from video id and number.
        actions: Names by id, to be written as `actions` beside the categories.

    Raises:
        InputError: Boxes of a video that is not among `shapes`.
    """
    videos = tuple(shapes)
    held: dict[str, dict[int, list[GivenBox]]] = {shape.id: {} for shape in videos}
    for (video, number), there in by_moment(boxes):
        if video not in held:
            raise InputError(f"boxes of {video}, whose size is not known", f"There are {', '.join(held)}.")
        held[video][number] = there
    for video, numbers in (moments or {}).items():
        for number in numbers if video in held else ():
            held[video].setdefault(number, [])
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for shape in videos:
        for number, there in sorted(held[shape.id].items()):
            images.append(_image(len(images) + 1, shape, number, name))
            annotations.extend(_entry(len(annotations) + 1 + place, images[-1], one) for place, one in enumerate(there))
    document: dict[str, Any] = {
        "images": images,
        "annotations": annotations,
        "categories": [{"id": 1, "name": "person", "supercategory": "person"}],
    }
    if actions is not None:
        document["actions"] = [{"id": one, "name": actions[one]} for one in sorted(actions)]
    return document


class _Image:
    """Where an image comes from.

    Attributes:
        id: In the document.
        video: As the document names it.
        width: Pixels.
        height: Likewise.
        shape: The video, where it was asked for.
        number: The moment, where the video was asked for and something shows the image.
    """

    def __init__(self, entry: object, names: Mapping[int, str]) -> None:
        if not isinstance(entry, dict):
            raise ValueError("not an object")
        self.id = _whole("id", entry.get("id"), 0)
        self.width, self.height = _whole("width", entry.get("width"), 1), _whole("height", entry.get("height"), 1)
        video = entry.get("video_id")
        if isinstance(video, int) and not isinstance(video, bool):
            video = names.get(video, video)
        if not isinstance(video, str) or not video:
            raise ValueError(f"video_id {video!r} is neither the name of a video nor the id of one in `videos`")
        self.video = video
        told = [key for key in ("number", "second", "time", "frame", "frame_id") if key in entry]
        if not told:
            raise ValueError("none of second, time, frame and frame_id")
        self._kind = told[0]
        value = entry[self._kind]
        if self._kind == "time":
            self._moment = Fraction(_number("time", value))
            if self._moment < 0:
                raise ValueError(f"time {value!r} is negative")
        else:
            self._moment = Fraction(_whole(self._kind, value, self._kind == "frame"))
        self.shape: VideoShape | None = None
        self.number: int | None = None

    def settle(self, shape: VideoShape, collector: Collector) -> None:
        """Find the moment in the video."""
        self.shape = shape
        whole = int(self._moment)
        if self._kind in ("frame", "frame_id"):
            numbers = numbers_of_frame(whole + (self._kind == "frame_id"), shape.fps)
        else:
            start = {"number": whole, "second": whole * GRID_FPS, "time": number_at(self._moment)}[self._kind]
            numbers = range(start, start + 1)
        self.number = collector.moment(shape.id, numbers)


def _annotation(
    entry: object, images: Mapping[int, _Image], persons: set[int], collector: Collector, place: int
) -> None:
    if not isinstance(entry, dict):
        raise ValueError("not an object")
    image = images.get(_whole("image_id", entry.get("image_id"), 0))
    if image is None:
        raise ValueError(f"image_id {entry['image_id']}: no such image")
    category = _whole("category_id", entry.get("category_id"), 0)
    box = entry.get("bbox")
    if not isinstance(box, list) or len(box) != 4:
        raise ValueError(f"bbox {box!r}: x, y, width and height")
    x, y, w, h = (_number("bbox", value) for value in box)
    if w < 0 or h < 0:
        raise ValueError(f"bbox {box!r}: a negative size")
    score = entry.get("score")
    if score is not None and not 0 <= _number("score", score) <= 1:
        raise ValueError(f"score {score!r} is not from 0 to 1")
    attributes = entry.get("attributes")
    more = attributes if isinstance(attributes, dict) else {}
    told = [held[key] for held in (entry, more) for key in ("track_id", "instance_id") if held.get(key) is not None]
    person = _whole("track_id", told[0], 0) if told else None
    actions = more.get("actions")
    if actions is not None:
        if not isinstance(actions, list):
            raise ValueError(f"actions {actions!r}: a list of numbers")
        actions = tuple(sorted({_whole("actions", one, 1) for one in actions}))
    if category not in persons or entry.get("iscrowd"):
        collector.not_persons += 1
    elif image.shape is not None and image.number is None:
        collector.unseen += 1
    elif image.shape is not None and image.number is not None:
        fractions = (x / image.width, y / image.height, (x + w) / image.width, (y + h) / image.height)
        given = GivenBox(
            image.shape.id, image.number, fractions, None if score is None else float(score), person, actions
        )
        collector.add(given, place)


def _image(number_of: int, shape: VideoShape, number: int, name: Callable[[str, int], str]) -> dict[str, Any]:
    second, rest = divmod(number, GRID_FPS)
    return {
        "id": number_of,
        "file_name": name(shape.id, number),
        "width": shape.width,
        "height": shape.height,
        "video_id": shape.id,
        "number": number,
        **({"time": round(number / GRID_FPS, 6)} if rest else {"second": second}),
    }


def _entry(number_of: int, image: Mapping[str, Any], box: GivenBox) -> dict[str, Any]:
    width, height = image["width"], image["height"]
    x1, y1, x2, y2 = box.box
    place = [round(v, 3) for v in (x1 * width, y1 * height, (x2 - x1) * width, (y2 - y1) * height)]
    entry: dict[str, Any] = {
        "id": number_of,
        "image_id": image["id"],
        "category_id": 1,
        "bbox": place,
        "area": round(place[2] * place[3], 3),
        "iscrowd": 0,
    }
    if box.score is not None:
        entry["score"] = box.score
    if box.person is not None:
        entry["track_id"] = box.person
    if box.actions is not None:
        entry["attributes"] = {"actions": list(box.actions)}
    return entry


def _parts(document: object, source: object) -> tuple[list[Any], list[Any], list[Any]]:
    if isinstance(document, list):
        raise InputError(
            f"{source}: a list, as of COCO's results, which does not say which pictures its images are",
            "Give a document with images, annotations and categories.",
        )
    found = []
    for name in ("images", "annotations", "categories"):
        part = document.get(name) if isinstance(document, dict) else None
        if not isinstance(part, list):
            raise InputError(f"{source}: no list `{name}`", _SHAPE)
        found.append(part)
    return found[0], found[1], found[2]


def _person_ids(categories: list[Any], source: object) -> set[int]:
    names = _names(categories)
    persons = {key for key, name in names.items() if name.casefold() == "person"}
    if not persons:
        raise InputError(
            f"{source}: no category is called person", f"There are {', '.join(list(names.values())[:10]) or 'none'}."
        )
    return persons


def _names(entries: object) -> dict[int, str]:
    """Names by id of a list of categories or videos; what has neither is none."""
    return {
        one["id"]: one["name"]
        for one in (entries if isinstance(entries, list) else ())
        if isinstance(one, dict) and isinstance(one.get("id"), int) and isinstance(one.get("name"), str)
    }


def _whole(name: str, value: object, least: int) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value < 2**53:
        raise ValueError(f"{name} {value!r} is not a whole number from {int(least)} on")
    return value


def _number(name: str, value: object) -> float:
    if not isinstance(value, int | float) or isinstance(value, bool) or not math.isfinite(value):
        raise ValueError(f"{name} {value!r} is not a number")
    return float(value)
