"""What `model predict` finds in videos: classes of clips, or actions of persons at keyframes."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

CSV_FIELDS = ("video", "start_s", "end_s", "rank", "class", "label", "probability")


@dataclass(frozen=True)
class Guess:
    """A class and how likely the model takes it for.

    Attributes:
        label: The class number.
        name: The class name; the number as text where no names are known.
        probability: In [0, 1].
    """

    label: int
    name: str
    probability: float


@dataclass(frozen=True)
class ClipPrediction:
    """One clip of a video.

    Attributes:
        start_s: When its first frame is shown, from the start of the container.
        end_s: When its last frame ends.
        start_frame: Its first frame.
        end_frame: The frame after its last one.
        top: The likeliest classes, the likeliest first.
    """

    start_s: float
    end_s: float
    start_frame: int
    end_frame: int
    top: tuple[Guess, ...]


@dataclass(frozen=True)
class VideoPrediction:
    """One video.

    Attributes:
        video: Its path as given, or as the list or folder has it.
        status: "ok" or "failed".
        reason: Why it failed; empty where it did not.
        truth: The class number that the list tells; None where it tells none, or more than one.
        truth_name: That class's name; None where it is no class of the model.
        frames: Frames that were decoded; 0 where it failed.
        fps: Average frames per second; 0 where it failed.
        short: Whether it is shorter than a clip, so that its last frame was repeated.
        top: The likeliest classes by the mean probability of its clips.
        clips: Its clips by time; empty where it failed.
        overlay: The video that was written for it.
    """

    video: str
    status: str
    reason: str = ""
    truth: int | None = None
    truth_name: str | None = None
    frames: int = 0
    fps: float = 0.0
    short: bool = False
    top: tuple[Guess, ...] = ()
    clips: tuple[ClipPrediction, ...] = ()
    overlay: Path | None = None


@dataclass(frozen=True)
class PredictResult:
    """What `model predict` found.

    Attributes:
        model: As typed.
        architecture: The catalogue name of the network.
        weights: "pretrained", "random" (the classes mean nothing then), or the file.
        weights_sha256: Of the file; for random weights "random:<seed>".
        clip_s: Seconds that a clip covers.
        hop_s: Seconds from one clip to the next.
        crops: Crops of each clip.
        videos: In the order of the sources.
        failed: How many of them failed.
        csv: The file that was written.
    """

    model: str
    architecture: str
    weights: str
    weights_sha256: str
    clip_s: float
    hop_s: float
    crops: int
    videos: tuple[VideoPrediction, ...]
    failed: int
    csv: Path | None = None


@dataclass(frozen=True)
class PersonActions:
    """What one person does at a keyframe.

    Attributes:
        box: x1, y1, x2, y2 in fractions of the frame's width and height.
        score: Of the person detector; None where the file of boxes has numbers of persons.
        person: The number that the person has in the whole video; None where it is not known.
        top: The likeliest actions, the likeliest first; `label` counts from 1 in AVA's tables.
    """

    box: tuple[float, float, float, float]
    score: float | None
    person: int | None
    top: tuple[Guess, ...]


@dataclass(frozen=True)
class KeyframePrediction:
    """A moment of a video.

    Attributes:
        time_s: Seconds from the start of the container.
        frame: The frame that is shown then.
        persons: Who is there; empty where nobody is known, and then no action is looked for.
    """

    time_s: float
    frame: int
    persons: tuple[PersonActions, ...]


@dataclass(frozen=True)
class VideoActions:
    """One video.

    Attributes:
        video: Its path as given, or as the list or folder has it.
        status: "ok" or "failed".
        reason: Why it failed; empty where it did not.
        fps: Average frames per second; 0 where it failed.
        keyframes: By time; empty where it failed.
        without_persons: Keyframes where nobody is known.
        unused_seconds: Seconds of the file of boxes, as it counts them, that are no keyframe of the video.
        overlay: The video that was written for it.
    """

    video: str
    status: str
    reason: str = ""
    fps: float = 0.0
    keyframes: tuple[KeyframePrediction, ...] = ()
    without_persons: int = 0
    unused_seconds: tuple[int, ...] = ()
    overlay: Path | None = None


@dataclass(frozen=True)
class ActionsResult:
    """What `model predict` found with an action detector.

    Attributes:
        model: As typed.
        architecture: The catalogue name of the network.
        weights: "pretrained", "random" (the actions mean nothing then), or the file.
        weights_sha256: Of the file; for random weights "random:<seed>".
        persons: The file of boxes, or the catalogue name of the person detector.
        person_weights: "pretrained", "random" or the file; empty for a file of boxes.
        person_weights_sha256: Of the file of weights; empty for a file of boxes.
        person_score: The least score of a box.
        hop_s: Seconds from one keyframe to the next.
        clip_s: Seconds that a clip covers, with the keyframe in its middle.
        target_fps: The rate that the clip's frames are counted at; videos of other rates are sampled by time.
        low_boxes: Boxes of the file that were left out for their score.
        flat_boxes: Boxes of the file that were left out because they have no area.
        unknown_videos: Videos of the file that were not among the sources.
        videos: In the order of the sources.
        failed: How many of them failed.
        csv: The file that was written.
    """

    model: str
    architecture: str
    weights: str
    weights_sha256: str
    persons: str
    person_weights: str
    person_weights_sha256: str
    person_score: float
    hop_s: float
    clip_s: float
    target_fps: int
    low_boxes: int
    flat_boxes: int
    unknown_videos: tuple[str, ...]
    videos: tuple[VideoActions, ...]
    failed: int
    csv: Path | None = None


def dump_csv(videos: Sequence[VideoPrediction]) -> str:
    """The classes of all clips, one per row, under `CSV_FIELDS`; a failed video has no row."""
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(CSV_FIELDS)
    for video in videos:
        for clip in video.clips:
            for rank, guess in enumerate(clip.top, start=1):
                times = (f"{clip.start_s:.3f}", f"{clip.end_s:.3f}")
                rows.writerow((video.video, *times, rank, guess.name, guess.label, f"{guess.probability:.6g}"))
    return text.getvalue()
