"""The detector "boxes": persons where a file says they are."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vidbench.errors import InputError
from vidbench.formats import box_table, coco, mot
from vidbench.formats.annotations import read_table_text
from vidbench.formats.given import GivenBox, GivenBoxes, VideoShape, by_moment
from vidbench.label.detectors import DetectorSettings, VideoFacts
from vidbench.label.seen import Found, Picture
from vidbench.label.store import safe_id

CONF = 0.0
SURE = 1.0
"""The score of boxes that have none."""

_ENDINGS = (".csv", ".txt", ".json")
_MOT_FILES = ("gt/gt.txt", "det/det.txt")
_NUMBER = re.compile(r"\s*-?[0-9]+(\.[0-9]*)?([eE][-+]?[0-9]+)?\s*")
_KINDS = (
    "A file of boxes is a table with names of columns (video,second,x1,y1,x2,y2,...), AVA's predicted boxes, "
    "MOTChallenge's lines (for one video), or a JSON document as of COCO; a folder holds one file for each video, "
    "called as the video, or MOTChallenge's VIDEO/gt/gt.txt or VIDEO/det/det.txt."
)


def build(settings: DetectorSettings, video: VideoFacts) -> GivenPersons:
    """A detector that reads what `settings.boxes` says of the video.

    The video is found by its id; where that is what the file's name gives, also by this name, with or without ending.

    Raises:
        InputError: No file, one that cannot be read or is malformed, or no box in it for this video.
    """
    if settings.boxes is None:
        raise InputError("the detector boxes needs a file of boxes", _KINDS)
    path = _file(settings.boxes.expanduser(), video)
    given = read(path, video)
    if video.id not in given.spans:
        there = ", ".join(given.others[:10]) + (", ..." if len(given.others) > 10 else "")
        raise InputError(
            f"{path}: nothing about the video {video.id}",
            f"It has {there}." if there else "It has no boxes at all.",
        )
    if not given.boxes:
        raise InputError(f"{path}: no person with an area in the video {video.id}", _KINDS)
    return GivenPersons(path, given, settings, video)


def read(path: Path, video: VideoFacts) -> GivenBoxes:
    """What a file says of a video; the format is told by its content.

    Raises:
        InputError: The file cannot be read or is malformed.
    """
    text = read_table_text(path)
    shapes: dict[str, VideoShape] = dict.fromkeys(spellings(video), video.shape)
    kind = kind_of(text)
    lines = text.splitlines(keepends=True)
    if kind == "mot":
        return mot.parse(lines, path, video.shape)
    if kind == "ava":
        return box_table.parse_ava(lines, str(path), shapes)
    if kind == "table":
        return box_table.parse(lines, path, shapes)
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: not JSON: {error}", _KINDS) from None
    return coco.parse(document, path, shapes)


def kind_of(text: str) -> str:
    """The format of a file of boxes: "coco", "mot", "ava", or "table" for anything else.

    MOTChallenge's and AVA's rows may both have eight columns; AVA's boxes lie within 0 and 1, and no person of
    MOTChallenge's pixels is that small.
    """
    first = next((line for line in text.splitlines() if line.strip()), "")
    if first.lstrip()[:1] in ("{", "["):
        return "coco"
    cells = first.split(",")
    if len(cells) == 8 and all(_NUMBER.fullmatch(cell) and 0 <= float(cell) <= 1 for cell in cells[2:6]):
        return "ava"
    if 6 <= len(cells) <= 10 and all(_NUMBER.fullmatch(cell) for cell in cells):
        return "mot"
    return "table"


def for_one_video(path: Path) -> bool:
    """Whether a file of boxes is of a format that does not name videos, so that it can be meant for one alone."""
    return path.is_file() and kind_of(read_table_text(path)) == "mot"


def spellings(video: VideoFacts) -> tuple[str, ...]:
    """The names under which files may have a video."""
    if safe_id(video.path.stem, ()) != video.id:
        # the name was taken by another video, whose boxes these would be
        return (video.id,)
    return tuple(dict.fromkeys((video.id, video.path.name, video.path.stem)))


class GivenPersons:
    """Finds the persons of a file, as `vidbench.label.seen.Detector` says; those of other moments are nobody.

    Boxes without a score have the score 1.

    Attributes:
        numbers: Moments of the grid that the file speaks of, rising; at the others, persons are not known to be
            absent, and a tracker should not be told that they are.
        told: The file, and how many boxes were left out or changed, for records: `clipped` reached out of the frame,
            `outside` lay out of it, `flat` have no area, `low`, `small` and `crowded` were left out by the settings,
            `not_persons` are of another class, `unseen` belong to frames that no moment shows.
    """

    def __init__(self, path: Path, given: GivenBoxes, settings: DetectorSettings, video: VideoFacts) -> None:
        self._found: dict[int, Found] = {}
        self._persons: dict[int, NDArray[np.int64]] = {}
        self._start: dict[int, int] = {n: span.start for span in given.spans[video.id] for n in span}
        self.numbers = tuple(sorted(self._start))
        self.told: dict[str, object] = {
            "boxes": str(path),
            "moments": len(given.spans[video.id]),
            "flat": given.flat,
            "not_persons": given.not_persons,
            "unseen": given.unseen,
            **dict.fromkeys(("clipped", "outside", "low", "small", "crowded"), 0),
        }
        conf = CONF if settings.conf is None else settings.conf
        for (_, number), there in by_moment(given.boxes):
            self._take(number, there, conf, settings, video)

    def __call__(self, pictures: Sequence[Picture]) -> list[Found]:
        """See `vidbench.label.seen.Detector`."""
        nobody = Found(np.empty((0, 4)), np.empty(0))
        return [self._found.get(self._start.get(picture.number, -1), nobody) for picture in pictures]

    def persons(self, number: int) -> NDArray[np.int64]:
        """`(N,)`: which persons of the file the boxes of a moment are, -1 where it does not say."""
        return self._persons.get(self._start.get(number, -1), np.empty(0, dtype=np.int64))

    def _take(
        self, number: int, there: list[GivenBox], conf: float, settings: DetectorSettings, video: VideoFacts
    ) -> None:
        size = np.array((video.width, video.height, video.width, video.height), dtype=np.float64)
        boxes = np.array([one.box for one in there], dtype=np.float64)
        scores = np.array([SURE if one.score is None else one.score for one in there])
        persons = np.array([-1 if one.person is None else one.person for one in there], dtype=np.int64)
        inside = np.clip(boxes, 0.0, 1.0)
        shorter = ((inside[:, 2:] - inside[:, :2]) * size[:2]).min(axis=1)
        within, sure, large = shorter > 0, scores >= conf, shorter >= settings.min_size
        self._count("outside", ~within)
        self._count("clipped", within & (np.abs(inside - boxes) > 1e-6).any(axis=1))
        self._count("low", within & ~sure)
        self._count("small", within & sure & ~large)
        kept = np.flatnonzero(within & sure & large)
        order = kept[np.argsort(-scores[kept], kind="stable")]
        self._count("crowded", np.arange(len(order)) >= settings.max_persons)
        order = order[: settings.max_persons]
        self._found[number] = Found(inside[order] * size, scores[order])
        self._persons[number] = persons[order]

    def _count(self, name: str, which: NDArray[np.bool_]) -> None:
        held = self.told[name]
        assert isinstance(held, int)
        self.told[name] = held + int(which.sum())


def _file(path: Path, video: VideoFacts) -> Path:
    """The file of a video: the one given, or one of the folder given."""
    if not path.is_dir():
        return path
    for name in spellings(video):
        for candidate in (
            *(path / f"{name}{ending}" for ending in _ENDINGS),
            *(path / name / one for one in _MOT_FILES),
        ):
            if candidate.is_file():
                return candidate
    held = list(_held(path.iterdir()))
    raise InputError(
        f"{path}: no file of boxes for the video {video.id}",
        f"It has files for {', '.join(held[:10])}." if held else _KINDS,
    )


def _held(entries: Iterable[Path]) -> Iterator[str]:
    for entry in sorted(entries):
        if entry.suffix in _ENDINGS or any((entry / one).is_file() for one in _MOT_FILES):
            yield entry.stem if entry.is_file() else entry.name
