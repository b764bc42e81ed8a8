"""label export: a set as projects of VIA, or as boxes in the formats of MOTChallenge, COCO or a table."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Literal

from PIL import Image
from pydantic import BaseModel, ConfigDict, Field

from vidbench.errors import InputError, RunConflictError, UsageError, disk_errors
from vidbench.formats import box_table, coco, mot
from vidbench.formats.framelist import save_lines
from vidbench.formats.given import GivenBox, VideoShape
from vidbench.formats.labelset import Row, SetFile, SetVideo, TrackPath
from vidbench.formats.via import dump_via
from vidbench.label.seen import GRID_FPS
from vidbench.label.store import TRACKS, LabelSet
from vidbench.label.via import FRAMES, picture_name, project_of
from vidbench.progress import Reporter, SilentReporter
from vidbench.runs import write_json_atomic, write_text_atomic

Format = Literal["via", "mot", "coco", "csv"]

COCO_FILE = "coco.json"
CSV_FILE = "boxes.csv"
README = "README.txt"

_README = """The files {files} are projects of VIA 3, the VGG Image Annotator, and {folder}/ has their pictures.

1. Download VIA 3 from https://www.robots.ox.ac.uk/~vgg/software/via/ and put its via_image_annotator.html
   into this folder, beside the projects.
2. Open via_image_annotator.html in a browser, from this folder, and open a project in it (the folder icon).
   Pictures and boxes appear; no files need to be added.
3. Click a box, and tick what the person does. "answer: none" says that the person does none of the actions;
   a box without any tick is one that nobody has looked at.
   "person" is the number that a person has in the whole video. Change it to mend a wrong one. Leave it empty
   in a box that you draw yourself, and the person gets a new number.
4. Save the project (the disk icon) before you close the page: VIA does not save by itself. The file goes to the
   browser's downloads, as via_project_<date>.json.
5. vidbench label import SET via_project_<date>.json --format via

Do not edit the lists of options in VIA: it cuts names at their commas and numbers the options anew.
"""


class ExportRequest(BaseModel):
    """What to export.

    Attributes:
        set: The folder of the set.
        format: "via": a project for each video, with its pictures; "mot": a file for each video; "coco" or "csv": one
            file.
        out: The folder of the files.
        videos: Ids of the videos; none is all.
        dense: Also the boxes between the keyframes, from the tracks; not for VIA.
        overwrite: Replace files that are there.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    set: Path
    format: Format
    out: Path
    videos: tuple[str, ...] = Field(default=())
    dense: bool = False
    overwrite: bool = False


@dataclass(frozen=True)
class ExportResult:
    """What was exported.

    Attributes:
        out: The folder.
        format: As asked for.
        files: The files that were written, without pictures.
        pictures: How many pictures lie beside them.
        videos: How many videos they are of.
        boxes: How many boxes they have.
        off_track: Boxes of tracks between keyframes that were left out, as nobody of the set has them there.
        notes: What a person should know.
    """

    out: str
    format: str
    files: tuple[str, ...]
    pictures: int
    videos: int
    boxes: int
    off_track: int = 0
    notes: tuple[str, ...] = ()


def export(request: ExportRequest, reporter: Reporter | None = None) -> ExportResult:
    """Write a set in another format.

    Raises:
        UsageError: Options that contradict each other.
        InputError: The set is malformed, or a picture is missing.
        RunConflictError: A file is there already.
    """
    reporter = reporter or SilentReporter()
    if request.dense and request.format == "via":
        raise UsageError("--dense is not for VIA, which shows the keyframes", "Leave --dense out.")
    labels = LabelSet.open(request.set)
    if request.out.resolve() == request.set.resolve():
        raise UsageError(
            f"--out {request.out} is the set itself, whose files it could replace", "Choose another folder."
        )
    content = labels.load()
    videos = [content.video(name) for name in dict.fromkeys(request.videos)] or list(content.videos)
    targets = _targets(request, videos)
    if not request.overwrite and (there := [path for path in targets if path.exists()]):
        raise RunConflictError(
            f"{there[0]} is there already" + (f", and {len(there) - 1} more" if len(there) > 1 else ""),
            "It may hold work of a person. Choose another folder, or replace it with --overwrite.",
        )
    with reporter.task("exporting", len(videos), "videos") as task:
        if request.format == "via":
            pictures, boxes = 0, 0
            for video in videos:
                rows = labels.rows(video.id)
                pictures += _write_project(labels, content, video, rows, request.out)
                boxes += len(rows)
                task.advance()
            told = ", ".join(f"{video.id}.json" for video in videos[:3]) + (", ..." if len(videos) > 3 else "")
            write_text_atomic(request.out / README, _README.format(files=told, folder=FRAMES))
            return ExportResult(
                str(request.out), "via", tuple(map(str, targets)), pictures, len(videos), boxes, notes=_empty(videos)
            )
        given: list[GivenBox] = []
        off_track = 0
        for video in videos:
            rows = labels.rows(video.id)
            found = [_given(video.id, row) for row in rows]
            if request.dense:
                between, off = dense_boxes(video, rows, labels.paths(video.id))
                found += between
                off_track += off
            if request.format == "mot":
                save_lines(request.out / f"{video.id}.txt", mot.dump(found, shape_of(video)))
            given += found
            task.advance()
    pictures = _write_boxes(request, labels, content, videos, given)
    return ExportResult(
        str(request.out),
        request.format,
        tuple(map(str, targets)),
        pictures,
        len(videos),
        len(given),
        off_track,
        ("actions have no place in MOTChallenge's format and are left out",) if request.format == "mot" else (),
    )


def shape_of(video: SetVideo) -> VideoShape:
    """Size and rate of a video.

    Raises:
        InputError: Its rate is no number.
    """
    try:
        return VideoShape(video.id, video.width, video.height, Fraction(video.fps))
    except (ValueError, ZeroDivisionError):
        raise InputError(
            f"video {video.id}: fps {video.fps!r} is no rate", "Mend set.json, as 30 or 30000/1001."
        ) from None


def dense_boxes(video: SetVideo, rows: Sequence[Row], paths: Sequence[TrackPath]) -> tuple[list[GivenBox], int]:
    """The boxes between the keyframes, from the tracks.

    A moment of a track belongs to the person who has the track at the nearest keyframe, of the one before and the one
    after; before the first and after the last keyframe, to the one who has it there. Where no person has it, as its
    rows were deleted, it is left out. Keyframes themselves are the rows' alone. Actions are not told of these moments.

    Returns:
        The boxes, and how many moments were left out.
    """
    owner = {(row.track, row.second): row.person for row in rows if row.track is not None}
    # moments of two tracks that a person has at a time are told once, by the track with the lower number
    told: set[tuple[int, int]] = set()
    found: list[GivenBox] = []
    off = 0
    for path in sorted(paths, key=lambda one: one.track):
        for number, box in zip(path.numbers, path.boxes, strict=True):
            second, rest = divmod(number, GRID_FPS)
            if not rest and second in video.keyframes:
                continue
            nearest = (second, second + 1) if rest * 2 <= GRID_FPS else (second + 1, second)
            keys = [(path.track, min(max(one, video.first), video.last)) for one in nearest]
            person = next((owner[key] for key in keys if key in owner), None)
            if person is None or (number, person) in told:
                off += 1
                continue
            told.add((number, person))
            found.append(GivenBox(video.id, number, box, None, person))
    return found, off


def _given(video: str, row: Row) -> GivenBox:
    return GivenBox(video, row.second * GRID_FPS, row.box, row.score, row.person, row.actions)


def _targets(request: ExportRequest, videos: Sequence[SetVideo]) -> list[Path]:
    if request.format in ("via", "mot"):
        ending = ".json" if request.format == "via" else ".txt"
        return [request.out / f"{video.id}{ending}" for video in videos]
    return [request.out / (COCO_FILE if request.format == "coco" else CSV_FILE)]


def _write_boxes(
    request: ExportRequest,
    labels: LabelSet,
    content: SetFile,
    videos: Sequence[SetVideo],
    given: Sequence[GivenBox],
) -> int:
    if request.format == "csv":
        save_lines(request.out / CSV_FILE, box_table.dump(given))
    if request.format != "coco":
        return 0
    moments = {video.id: [second * GRID_FPS for second in video.keyframes] for video in videos}
    pictures = 0
    if not request.dense:
        for video in videos:
            pictures += _lay_pictures(labels, video, _seconds(labels, video), request.out)
    document = coco.dump(
        given,
        [shape_of(video) for video in videos],
        moments=moments,
        actions={one.id: one.name for one in content.actions},
    )
    write_json_atomic(request.out / COCO_FILE, document)
    return pictures


def _write_project(labels: LabelSet, content: SetFile, video: SetVideo, rows: Sequence[Row], out: Path) -> int:
    known = {one.id for one in content.actions}
    for row in rows:
        if foreign := sorted(set(row.actions or ()) - known):
            raise InputError(
                f"{labels.home(video.id) / TRACKS}: person {row.person}, second {row.second}: action {foreign[0]}, "
                "which the set lacks",
                "Mend the row, or give the set the action with label relabel.",
            )
    seconds = sorted({*video.keyframes, *(row.second for row in rows)})
    count = _lay_pictures(labels, video, seconds, out)
    project = project_of(video, content.actions, rows, seconds, int(time.time() * 1000))
    write_json_atomic(out / f"{video.id}.json", dump_via(project))
    return count


def _seconds(labels: LabelSet, video: SetVideo) -> list[int]:
    return sorted({*video.keyframes, *(row.second for row in labels.rows(video.id))})


def _lay_pictures(labels: LabelSet, video: SetVideo, seconds: Sequence[int], out: Path) -> int:
    missing = [second for second in seconds if not labels.keyframe(video.id, second).is_file()]
    if missing:
        raise InputError(
            f"{labels.keyframe(video.id, missing[0])}: no such picture"
            + (f", and {len(missing) - 1} more of {video.id}" if len(missing) > 1 else ""),
            "Make the set's pictures again with label detect-track.",
        )
    folder = out / FRAMES
    with disk_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        for second in seconds:
            source = labels.keyframe(video.id, second)
            with Image.open(source) as image:
                size = image.size
            if size != (video.width, video.height):
                raise InputError(
                    f"{source}: {size[0]} x {size[1]}, but the video is {video.width} x {video.height}",
                    "Make the set's pictures again with label detect-track.",
                )
            place_picture(source, folder / picture_name(video.id, second))
    return len(seconds)


def place_picture(source: Path, target: Path) -> None:
    """A hard link where the disk can, a copy elsewhere."""
    target.unlink(missing_ok=True)
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)


def _empty(videos: Sequence[SetVideo]) -> tuple[str, ...]:
    return tuple(f"{video.id} has no keyframes, and so no pictures" for video in videos if not video.keyframes)
