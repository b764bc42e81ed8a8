"""`vidbench model predict`: the likeliest classes of every clip of whole videos, in bounded memory."""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction
from itertools import islice, zip_longest
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

from vidbench.data.listing import write_all
from vidbench.errors import InputError
from vidbench.formats.labels import load_labels
from vidbench.model.classifier import Classifier
from vidbench.model.device import resolve_device
from vidbench.model.layout import fast_layout
from vidbench.model.predict_result import (
    CSV_FIELDS,
    ClipPrediction,
    Guess,
    PredictResult,
    VideoPrediction,
    dump_csv,
)
from vidbench.model.predict_sources import Source, find_sources, place_outputs, written_whole
from vidbench.model.protocol import Views
from vidbench.model.resolve import LoadedModel, load_model
from vidbench.model.zoo import MODELS
from vidbench.progress import Reporter, SilentReporter
from vidbench.video.clip import Frames, VideoError, VideoInfo
from vidbench.video.overlay import Caption, Face, draw_overlay, load_face
from vidbench.video.pyav import probe
from vidbench.video.sampling import clip_span, spatial_crop, spatial_places
from vidbench.video.transforms import crop, scale
from vidbench.video.windows import Filled, MiscountError, fill_windows, plan_windows

__all__ = ["CSV_FIELDS", "PredictRequest", "PredictResult", "class_names", "dump_csv", "predict"]


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
    several = request.model in MODELS and MODELS.get(request.model).task == "multilabel"
    sources = find_sources(request.sources, request.root, request.overlay, several=several)
    targets = place_outputs(sources, request.overlay, request.csv, request.sources)
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

    def look(self, source: Source, face: Face | None, target: Path | None) -> VideoPrediction:
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
        """`(n, K)`: the mean over the crops, of softmax, or of sigmoid where a clip may have several classes."""
        clips = torch.stack([torch.stack(one.pictures, dim=1) for one in filled])
        height, width = clips.shape[3:]
        places = spatial_places(self._request.crops)
        total = torch.zeros(len(clips), self._classifier.num_classes, dtype=torch.float64)
        for place in places:
            part = crop(clips, spatial_crop(width, height, self._crop, place)).contiguous()
            logits = self._classifier(part.to(self._device))
            total += self._classifier.probabilities(logits.float()).double().cpu()
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
        with written_whole(target) as partial:
            draw_overlay(info, partial, captions, face)
