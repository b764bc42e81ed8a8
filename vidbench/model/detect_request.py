"""What `model eval --task detect` is asked, and what that stands for once its model and its set are read."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from vidbench.data.ava_layout import find_layout
from vidbench.data.ava_set import FIRST_SECOND, MIN_SCORE, AvaFiles, AvaSet, read_ava_set
from vidbench.errors import InputError, UsageError
from vidbench.formats.labels import spelling
from vidbench.model.ava_scorers import Scorer
from vidbench.model.detect_files import outputs_of
from vidbench.model.detection import LoadedDetector, load_detector
from vidbench.model.label_map import load_classes
from vidbench.progress import Reporter

Json = dict[str, Any]


class EvaluateDetectRequest(BaseModel):
    """What `model eval --task detect` is asked.

    Attributes:
        model: Catalogue name of an action detector, run folder or file.
        data: A labelled set, its export in AVA's layout, or the published files.
        part: "val", "train" or "test".
        boxes: "truth": whose boxes are asked about are those of the ground truth; "detected": those of a person
            detector, which published figures use.
        boxes_file: The detector's boxes; None for those of the folder.
        min_score: The least score of a detector's box, in [0, 1]; None for 0.9.
        videos: Folder of video files that are read in place of frames.
        frames: Folder that the paths of the frame list start from.
        first_second: The second that the first picture of a video shows.
        video_start: The second of the video files at which the first picture lies; None as `read_ava_set` has it.
        missing: "refuse" a set some of whose videos or frames are not there, or "skip" these and say so.
        scorer: Whose rules count.
        labels: The classes that count: as of `ScoreRequest.labels`; None for those that the set says are scored.
        exclude: Seconds that do not count; None for the folder's.
        groups: As of `ScoreRequest.groups`.
        out: Run folder; None for `runs/eval-<model>-<hash>`.
        weights: "pretrained", "random", the tag of other published weights or a file, for a catalogue name.
        pull: Download missing weights.
        precision: "fp32", "bf16" or "fp16".
        batch: Keyframes per forward pass; 0 for what fits.
        workers: Processes that decode; 0 for one per core.
        timeout_s: Seconds that reading a few keyframes of a video may take.
        misses: Pictures of the worst misses, of each kind.
        limit: Take the first so many keyframes.
        argv: The command line, for the record.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: str
    data: Path
    part: Literal["train", "val", "test"] = "val"
    boxes: Literal["truth", "detected"] = "truth"
    boxes_file: Path | None = None
    min_score: float | None = Field(None, ge=0, le=1, allow_inf_nan=False)
    videos: Path | None = None
    frames: Path | None = None
    first_second: int = Field(FIRST_SECOND, ge=0)
    video_start: int | None = Field(None, ge=0)
    missing: Literal["refuse", "skip"] = "refuse"
    scorer: Scorer = "activitynet"
    labels: str | None = None
    exclude: Path | None = None
    groups: Literal["auto", "ava", "none"] = "auto"
    out: Path | None = None
    weights: str = "pretrained"
    pull: bool = False
    precision: str = Field("fp32", pattern="^(fp32|bf16|fp16)$")
    device: str = "auto"
    batch: int = Field(0, ge=0)
    workers: int = Field(0, ge=0)
    timeout_s: float = Field(600.0, gt=0, allow_inf_nan=False)
    misses: int = Field(6, ge=0)
    seed: int = 0
    limit: int | None = Field(None, ge=1)
    overwrite: bool = False
    argv: tuple[str, ...] = ()

    def settings(self) -> Json:
        """The part that decides the result."""
        without = {"out", "pull", "device", "batch", "workers", "timeout_s", "misses", "overwrite", "argv"}
        return {"task": "detect"} | self.model_dump(mode="json", exclude=without)


@dataclass(frozen=True)
class Asked:
    """What a request stands for, once its model and its set are read.

    Attributes:
        truth: The file of the ground truth.
        least: The least score of a detected box.
        classes: Numbers and names of the classes that count.
        outputs: The network's output of each.
        listed: Keyframes of the part, whatever the limit.
    """

    model: LoadedDetector
    data: AvaSet
    truth: Path
    least: float
    classes: dict[int, str]
    outputs: dict[int, int]
    listed: int


def prepare(request: EvaluateDetectRequest, reporter: Reporter) -> Asked:
    """Everything that can be wrong with a request, before there is a run folder; the set is read before the model.

    Raises:
        UsageError: Options about boxes that are not asked about.
        InputError: The model, the set, or classes of the set that the model does not have.
        MissingError: Weights.
    """
    if request.boxes == "truth" and (request.boxes_file is not None or request.min_score is not None):
        option = "--min-score" if request.boxes_file is None else "--boxes-file"
        raise UsageError(f"{option} goes with --boxes detected", "Leave it out, or ask about detected boxes.")
    least = MIN_SCORE if request.min_score is None else request.min_score
    data = read_ava_set(
        request.data,
        request.part,
        boxes=request.boxes,
        min_score=least,
        videos=request.videos,
        frames=request.frames,
        given=AvaFiles(detected=request.boxes_file, excluded=request.exclude),
        first_second=request.first_second,
        video_start=request.video_start,
        missing=request.missing,
    )
    truth = data.groundtruth
    if truth is None:
        raise InputError(
            f"{request.data} has no ground truth of the part {request.part!r}, so there is nothing to score with",
            "Give another --part, or look at what the model says: vidbench model predict.",
        )
    classes = _counted(request, data)
    done = {label for one in data.keyframes for labels in one.labels for label in labels}
    if request.boxes == "truth" and not done & classes.keys():
        raise InputError(
            f"{truth}: no person does anything of the {len(classes)} classes that count",
            "Check the label map: --labels.",
        )
    for remark in data.remarks:
        reporter.info(remark)
    if request.boxes == "truth" and find_layout(request.data, request.part).files.detected is not None:
        reporter.info("boxes of the ground truth; a training validates on the detected ones here: --boxes detected")
    model = load_detector(
        request.model, weights=request.weights, pull=request.pull, seed=request.seed, reporter=reporter
    )
    detector = model.detector
    outputs = outputs_of(classes, detector.classes, detector.num_classes, request.model)
    listed = len(data.keyframes)
    if request.limit is not None and request.limit < listed:
        data = replace(data, keyframes=data.keyframes[: request.limit], limited=True)
    return Asked(model, data, truth, least, classes, outputs, listed)


def _counted(request: EvaluateDetectRequest, data: AvaSet) -> dict[int, str]:
    """The classes that count; a label map of one's own must mean the same by its numbers as the set."""
    if request.labels is None:
        return {number: data.classes[number] for number in data.scored}
    classes = load_classes(request.labels)
    for number, name in classes.items():
        own = data.classes.get(number)
        if own is not None and spelling(own) != spelling(name):
            raise InputError(
                f"--labels {request.labels}: class {number} is {name!r}, but {own!r} in {request.data}",
                "Give a label map with the numbers of the set.",
            )
    return classes
