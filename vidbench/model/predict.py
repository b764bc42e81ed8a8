"""`vidbench model predict`: the likeliest classes of every clip of whole videos, in bounded memory."""

from __future__ import annotations

import csv
import io
import math
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import islice, zip_longest
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

from vidbench.data.dataset import NO_LABEL, ClipItem, read_clips
from vidbench.data.folders import is_video_name, videos_below
from vidbench.data.jobs import PART
from vidbench.data.listing import write_all
from vidbench.errors import InputError, UsageError, disk_errors
from vidbench.formats.labels import load_labels
from vidbench.model.classifier import Classifier
from vidbench.model.device import resolve_device
from vidbench.model.layout import fast_layout
from vidbench.model.resolve import LoadedModel, load_model
from vidbench.model.views import Views
from vidbench.progress import Reporter, SilentReporter
from vidbench.video.clip import Frames, VideoError, VideoInfo
from vidbench.video.overlay import Caption, Face, draw_overlay, load_face
from vidbench.video.pyav import probe
from vidbench.video.sampling import clip_span, spatial_crop, spatial_places
from vidbench.video.transforms import crop, scale
from vidbench.video.windows import Filled, MiscountError, fill_windows, plan_windows

CSV_FIELDS = ("video", "start_s", "end_s", "rank", "class", "label", "probability")


class PredictRequest(BaseModel):
    """What `model predict` is asked.

    Attributes:
        sources: Videos, folders of videos, lists of `path label`, or manifests.
        model: Catalogue name, run folder or file.
        weights: "pretrained", "random" or a file, for a catalogue name.
        pull: Download missing weights.
        classes: The names of the model's outputs: a file with one per line, or a shipped table; None takes the
            model's own.
        top: Classes to name.
        hop_s: Seconds from one clip to the next; None is a clip's own length, so that the clips touch.
        crops: Crops of each clip, 1 (centre) or 3; their probabilities are averaged.
        batch: Clips per forward pass.
        seed: Of random weights.
        root: Folder of the relative paths of lists.
        csv: Where the classes of all clips go.
        overlay: A video to write for one source, or a folder for one video each.
        font: A font file for the overlay; None is the one that Pillow ships, which has ASCII letters alone.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    sources: tuple[str, ...] = Field(min_length=1)
    model: str
    weights: str = "pretrained"
    pull: bool = False
    classes: str | None = None
    top: int = Field(5, ge=1)
    hop_s: float | None = Field(None, gt=0, allow_inf_nan=False)
    crops: Literal[1, 3] = 1
    batch: int = Field(4, ge=1)
    device: str = "auto"
    seed: int = 0
    root: Path | None = None
    csv: Path | None = None
    overlay: Path | None = None
    font: Path | None = None


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
        truth: The class number that the list tells; None where it tells none.
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
class _Source:
    """One video to look at: its name for people, where it is, what a list says of it, its name in a folder."""

    name: str
    path: Path
    inner: str
    truth: int | None = None
    item: ClipItem | None = None

    def file(self) -> Path:
        return self.path if self.item is None else self.item.file()


def predict(request: PredictRequest, reporter: Reporter | None = None) -> PredictResult:
    """Classify whole videos, clip after clip. A video that cannot be decoded is a failed item; the others go on.

    The clips of a video are of the model's own length and touch each other, or start every `hop_s`; the last one
    ends with the video. A video's classes are those of the mean probability of its clips. Every video is
    decoded once (and once more for its overlay), and no more of it than a clip's frames is in memory.

    Raises:
        UsageError: Outputs that do not go together.
        InputError: A source that is not there, class names that do not fit the model, or a font without a letter
            of theirs.
        MissingError: Weights or device.
    """
    reporter = reporter or SilentReporter()
    device = resolve_device(request.device)
    sources = _sources(request)
    targets = _targets(request, sources)
    model = load_model(
        request.model, weights=request.weights, pull=request.pull, seed=request.seed, device=device, reporter=reporter
    )
    names = class_names(model, request.classes)
    face = load_face(request.font) if request.overlay else None
    if face is not None:
        face.check(names)
    if model.weights == "random":
        reporter.warn("the weights are random: the classes below mean NOTHING about the videos")
    if targets:
        reporter.info("the overlay has no sound")
    looker = _Looker(model, fast_layout(model.classifier), device, request, names)
    videos = []
    with reporter.task("Predicting", total=len(sources), unit="videos") as task:
        for source, target in zip_longest(sources, targets):
            found = looker.look(source, face, target)
            videos.append(found)
            task.advance(note=found.reason or f"{len(found.clips)} clips")
    short = sum(video.short for video in videos)
    if short:
        reporter.info(f"{short} of {len(videos)} videos are shorter than a clip: their last frame was repeated")
    if request.csv is not None:
        write_all({request.csv: dump_csv(videos)})
    size = model.classifier.preprocess
    clip_s = size.frames * size.stride / size.target_fps
    return PredictResult(
        model=model.reference,
        architecture=model.architecture,
        weights=model.weights,
        weights_sha256=model.weights_sha256,
        clip_s=clip_s,
        hop_s=request.hop_s or clip_s,
        crops=request.crops,
        videos=tuple(videos),
        failed=sum(video.status != "ok" for video in videos),
        csv=request.csv,
    )


def class_names(model: LoadedModel, chosen: str | None = None) -> tuple[str, ...]:
    """The names of a model's outputs: the chosen ones, its own, those of its published head, or the numbers.

    Raises:
        InputError: The chosen table has another number of classes, or ids with gaps.
    """
    count = model.classifier.num_classes
    if chosen is not None:
        table = load_labels(chosen)
        if list(table.classes) != list(range(count)):
            raise InputError(
                f"--classes {chosen}: {len(table)} classes, but {model.reference} has {count}, 0 to {count - 1}",
                "Give the class table that the model was trained with.",
            )
        return table.names
    if model.classifier.classes:
        return model.classifier.classes
    if model.card.labels and count == model.card.num_classes:
        return load_labels(model.card.labels).names
    return tuple(str(index) for index in range(count))


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


class _Looker:
    """Looks at one video after the other with one model."""

    def __init__(
        self,
        model: LoadedModel,
        classifier: Classifier,
        device: torch.device,
        request: PredictRequest,
        names: tuple[str, ...],
    ) -> None:
        self._size = model.classifier.preprocess
        self._classifier = classifier
        self._device = device
        self._request = request
        self._names = names
        self._short_side, self._crop = Views(1, request.crops).side(self._size)

    def look(self, source: _Source, face: Face | None, target: Path | None) -> VideoPrediction:
        """Classify one video and draw its overlay."""
        known = None if source.truth is None or source.truth >= len(self._names) else self._names[source.truth]
        try:
            path = source.file()
            info, filled, scores = self._score(probe(path))
            total = np.mean(scores, axis=0)
            if not np.isfinite(total).all():
                raise VideoError("the network's output is not finite")
            clips = tuple(
                ClipPrediction(one.start_s, one.end_s, one.window.start, one.window.end, self._top(row))
                for one, row in zip(filled, scores, strict=True)
            )
            if face is not None and target is not None:
                self._draw(info, clips, face, target)
        except VideoError as error:
            return VideoPrediction(source.name, "failed", str(error), source.truth, known)
        span = clip_span(self._size.frames, self._size.stride, info.fps, self._size.target_fps)
        return VideoPrediction(
            video=source.name,
            status="ok",
            truth=source.truth,
            truth_name=known,
            frames=info.frames,
            fps=round(float(info.fps), 6),
            # as `plan_windows`: half a frame is the rounding of a frame rate
            short=info.frames < math.floor(span),
            top=self._top(total),
            clips=clips,
            overlay=target,
        )

    def _score(self, info: VideoInfo) -> tuple[VideoInfo, list[Filled[None]], list[NDArray[np.float64]]]:
        """All windows without their pictures, and the class probabilities of each, `(K,)`."""
        size = self._size
        known: dict[tuple[int, ...], NDArray[np.float64]] = {}
        while True:
            windows = plan_windows(
                info.frames, info.fps, size.frames, size.stride, self._request.hop_s, size.target_fps
            )
            filled: list[Filled[None]] = []
            try:
                filling = fill_windows(info, windows, self._prepare)
                while several := list(islice(filling, self._request.batch)):
                    fresh = [one for one in several if one.window.indices not in known]
                    if fresh:
                        for one, row in zip(fresh, self._probabilities(fresh), strict=True):
                            known[one.window.indices] = row
                    filled.extend(Filled(one.window, one.start_s, one.end_s, ()) for one in several)
            except MiscountError as error:
                # edit lists and hidden frames make packets and frames differ; decoding is what counts
                info = VideoInfo(info.path, info.codec, info.width, info.height, info.fps, error.frames)
                continue
            return info, filled, [known[one.window.indices] for one in filled]

    def _prepare(self, image: NDArray[np.uint8]) -> Tensor:
        info = VideoInfo(Path(), "", image.shape[1], image.shape[0], Fraction(1), 1)
        return scale(Frames(info, (0,), image[None]), self._short_side)[0]

    @torch.inference_mode()
    def _probabilities(self, filled: Sequence[Filled[Tensor]]) -> NDArray[np.float64]:
        """`(n, K)`: the mean over the crops of softmax."""
        clips = torch.stack([torch.stack(one.pictures, dim=1) for one in filled])
        height, width = clips.shape[3:]
        places = spatial_places(self._request.crops)
        total = torch.zeros(len(clips), self._classifier.num_classes, dtype=torch.float64)
        for place in places:
            part = crop(clips, spatial_crop(width, height, self._crop, place)).contiguous()
            logits = self._classifier(part.to(self._device))
            total += torch.softmax(logits.float(), dim=1).double().cpu()
        return np.asarray((total / len(places)).numpy())

    def _top(self, probabilities: NDArray[np.float64]) -> tuple[Guess, ...]:
        # stable, so that equal probabilities are in the order of their class numbers
        order = np.argsort(-probabilities, kind="stable")[: self._request.top]
        return tuple(Guess(int(i), self._names[i], float(f"{probabilities[i]:.7g}")) for i in order)

    def _draw(self, info: VideoInfo, clips: tuple[ClipPrediction, ...], face: Face, target: Path) -> None:
        captions = [
            Caption(clip.start_frame, clip.end_frame, tuple((guess.name, guess.probability) for guess in clip.top))
            for clip in clips
        ]
        partial = target.with_name(f".{target.name}.{os.getpid()}{PART}")
        try:
            with disk_errors(target):
                target.parent.mkdir(parents=True, exist_ok=True)
                draw_overlay(info, partial, captions, face)
                partial.replace(target)
        finally:
            partial.unlink(missing_ok=True)


def _sources(request: PredictRequest) -> list[_Source]:
    found: list[_Source] = []
    folder = request.overlay if request.overlay is not None and not _is_file_target(request.overlay) else None
    for text in request.sources:
        path = Path(text)
        try:
            text.encode()
        except UnicodeEncodeError:
            raise InputError(f"a name is not UTF-8: {os.fsencode(text)!r}", "Rename that file.") from None
        if path.is_dir():
            names, _ = videos_below(path, leave_out=folder)
            found.extend(_Source(str(path / name), path / name, name) for name in names)
        elif not path.exists():
            raise InputError(f"{text}: no such video, folder or list")
        elif is_video_name(path.name) or not _is_text(path):
            found.append(_Source(text, path, path.name))
        else:
            found.extend(_listed(path, request.root))
    return found


def _listed(path: Path, root: Path | None) -> Iterator[_Source]:
    for item in read_clips(path, root, labelled=False).items:
        inside = not item.name.startswith("/") and ".." not in Path(item.name).parts
        inner = item.name if inside else item.path.name
        yield _Source(item.name, item.path, inner, None if item.label == NO_LABEL else item.label, item)


def _is_text(path: Path) -> bool:
    """Whether a file of no video's name is a list: text has no zero byte, and no container goes without for long."""
    with path.open("rb") as file:
        return b"\0" not in file.read(4096)


def _is_file_target(overlay: Path) -> bool:
    return overlay.suffix.lower() == ".mp4" and not overlay.is_dir()


def _targets(request: PredictRequest, sources: Sequence[_Source]) -> list[Path]:
    """Where each overlay goes; empty where none is asked for."""
    if request.csv is not None and request.csv.is_dir():
        raise UsageError(f"--csv {request.csv} is a folder", "Give the name of a file.")
    overlay = request.overlay
    if overlay is None:
        targets = []
    elif _is_file_target(overlay):
        if len(sources) != 1:
            raise UsageError(f"--overlay {overlay} is one file for {len(sources)} videos", "Give a folder's name.")
        targets = [overlay]
    else:
        if overlay.exists() and not overlay.is_dir():
            raise UsageError(f"--overlay {overlay} is neither an .mp4 file nor a folder")
        targets = [overlay / Path(source.inner).with_suffix(".mp4") for source in sources]
    outputs = [*targets, *([request.csv] if request.csv is not None else [])]
    inputs = {os.path.realpath(source.path) for source in sources} | {
        os.path.realpath(text) for text in request.sources
    }
    taken: set[str] = set()
    for target in outputs:
        real = os.path.realpath(target)
        if real in inputs:
            raise UsageError(f"{target} would be overwritten: it is an input", "Give another name or folder.")
        if real in taken:
            raise UsageError(f"two videos would be written to {target}", "Run the command once for each of them.")
        taken.add(real)
    return targets
