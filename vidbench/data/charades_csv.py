"""Charades' annotations and extracted frames to the frame list that PySlowFast reads."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from vidbench.data.folders import beside
from vidbench.data.frame_folders import FrameFolder, frame_rows, frames_of, require_folder, write_frame_list
from vidbench.data.listing import check_name, name_warnings, refuse_targets, write_all
from vidbench.data.source_kind import CHARADES, read_as
from vidbench.errors import InputError
from vidbench.formats.charades import FPS, CharadesVideo, dump_charades, frame_numbers, load_charades
from vidbench.formats.framelist import FrameLine
from vidbench.progress import Reporter, SilentReporter, Task

OFFICIAL = {"Charades_v1_train.csv": "train.csv", "Charades_v1_test.csv": "val.csv"}
"""What PySlowFast calls the lists of the official files; it evaluates on the test set."""


class CharadesCsvRequest(BaseModel):
    """What to build.

    Attributes:
        annotations: Charades_v1_train.csv or Charades_v1_test.csv.
        frames: Holds a folder of numbered frames per video, as `46GP8/46GP8-000001.jpg`. Paths in the list begin
            below it: PySlowFast takes it as DATA.PATH_PREFIX.
        fps: The rate of the frames, as "24" or "30000/1001".
        out_dir: Where the list goes; None is beside `frames`.
        name: The list's file name; None is train.csv or val.csv for the official files.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    annotations: Path
    frames: Path
    fps: Fraction = Field(default=FPS, gt=0)
    out_dir: Path | None = None
    name: str | None = None


@dataclass(frozen=True)
class FramesCsvResult:
    """What was built.

    Attributes:
        frames_root: The folder that the paths of the list begin below.
        path: The list.
        annotated: Videos in the annotations.
        listed: Videos in the list.
        missing: Videos without frames.
        missing_path: The annotations of the videos without frames; written even where there are none.
        frames: Rows of the list.
        labelled: Rows with a class.
        beside: What else the program needs and was written.
        warnings: What looks wrong.
    """

    frames_root: Path
    path: Path
    annotated: int
    listed: int
    missing: int
    missing_path: Path
    frames: int
    labelled: int
    beside: tuple[Path, ...]
    warnings: tuple[str, ...]


def charades_csv(request: CharadesCsvRequest, reporter: Reporter | None = None) -> FramesCsvResult:
    """Write the frame list of the videos whose frames are there, and the annotations of those whose are not.

    A frame carries every class whose action covers its time, see `vidbench.formats.charades.frame_numbers`.

    Raises:
        UsageError: No file name.
        InputError: Malformed annotations, no frames at all, or a list in the place of what is read.
    """
    reporter = reporter or SilentReporter()
    with read_as(request.annotations, CHARADES):
        held = load_charades(request.annotations)
    name = request.name or OFFICIAL.get(request.annotations.name)
    if name is None:
        raise InputError(
            f"{request.annotations}: its name does not say what the list is called", "Give --name train.csv or val.csv"
        )
    check_name(name)
    require_folder(request.frames)
    folder = request.out_dir or beside(request.frames, "x").parent
    target, missing_path = folder / name, folder / f"{Path(name).stem}.missing.csv"
    refuse_targets(request.annotations, folder, [target, missing_path])

    listed = _Listed(request)
    with reporter.task("frames", len(held.videos), "videos") as task:
        frames = write_frame_list(target, listed.rows(held.videos, task))
    if not frames:
        raise none_there(request.frames, len(held.videos), held.videos[0].id)
    write_all({missing_path: dump_charades(listed.missing, held.columns)})
    warnings = (*listed.warnings(missing_path), *name_warnings([name]))
    for warning in warnings:
        reporter.warn(warning)
    return FramesCsvResult(
        frames_root=request.frames,
        path=target,
        annotated=len(held.videos),
        listed=len(held.videos) - len(listed.missing),
        missing=len(listed.missing),
        missing_path=missing_path,
        frames=frames,
        labelled=listed.labelled,
        beside=(),
        warnings=warnings,
    )


def none_there(frames: Path, videos: int, first: str) -> InputError:
    """The error where no annotated video has frames."""
    return InputError(
        f"{frames}: none of the {videos} annotated videos has frames there; the first would be in {frames / first}",
        "Give the folder that holds a folder of frames per video: --frames DIR",
    )


class _Listed:
    """Gives the rows of the videos that have frames, and keeps count."""

    def __init__(self, request: CharadesCsvRequest) -> None:
        self._request = request
        self.missing: list[CharadesVideo] = []
        self.labelled = 0
        self._with_gaps: list[str] = []
        self._behind = self._reversed = 0

    def rows(self, videos: Sequence[CharadesVideo], task: Task) -> Iterator[FrameLine]:
        place = 0
        for video in videos:
            folder = frames_of(self._request.frames, video.id)
            if folder is None:
                self.missing.append(video)
            else:
                yield from frame_rows(folder, place, self._labels(video, folder))
                place += 1
            task.advance()

    def _labels(self, video: CharadesVideo, folder: FrameFolder) -> list[tuple[int, ...]]:
        classes: dict[int, set[int]] = {number: set() for number in folder.numbers}
        for action in video.actions:
            numbers = frame_numbers(action, self._request.fps)
            self._reversed += not numbers
            self._behind += bool(numbers) and numbers[0] > folder.numbers[-1]
            for number in numbers:
                if number in classes:
                    classes[number].add(action.label)
        if not folder.gapless:
            self._with_gaps.append(video.id)
        self.labelled += sum(map(bool, classes.values()))
        return [tuple(sorted(classes[number])) for number in folder.numbers]

    def warnings(self, missing_path: Path) -> Iterator[str]:
        """What looks wrong, after the rows have been given."""
        if self.missing:
            yield f"{len(self.missing)} videos have no frames, see {missing_path}"
        if self._with_gaps:
            yield (
                f"the frames of {len(self._with_gaps)} videos do not go from 1 up without a gap: PySlowFast takes the "
                f"place in the list for the time; the first is {self._with_gaps[0]}"
            )
        if self._reversed:
            yield f"{self._reversed} actions cover no frame: they end before they begin, or between two frames"
        if self._behind:
            yield f"{self._behind} actions begin behind the last frame of their video"
