"""`vidbench model predict` with an action detector: what each person does at every keyframe of whole videos."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from itertools import islice, zip_longest
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

from vidbench.errors import InputError, MissingError, UsageError
from vidbench.formats import ava
from vidbench.formats.labels import LabelTable, load_labels, table
from vidbench.model.ava_sampling import boxes_in_clip
from vidbench.model.detection import ActionDetector, LoadedDetector, load_detector
from vidbench.model.device import resolve_device
from vidbench.model.persons import (
    DEFAULT_PERSONS,
    LoadedPersons,
    Person,
    PersonFile,
    find_persons,
    load_persons,
    read_persons,
)
from vidbench.model.predict_result import ActionsResult, Guess, KeyframePrediction, PersonActions, VideoActions
from vidbench.model.predict_sources import Source, find_sources, place_outputs, written_whole
from vidbench.progress import Reporter, SilentReporter, Task
from vidbench.video.clip import Frames, VideoError, VideoInfo
from vidbench.video.overlay import Face, draw_video, load_face
from vidbench.video.overlay_boxes import BoxPainter, Figure, Scene
from vidbench.video.pyav import probe
from vidbench.video.transforms import scale
from vidbench.video.windows import Keyframe, watch_keyframes

_NAMED = 5


class ActionsRequest(BaseModel):
    """What `model predict` is asked of an action detector.

    Attributes:
        sources: Videos, folders of videos, lists of `path label`, or manifests.
        model: Catalogue name of an action detector.
        weights: "pretrained", "random" or a file.
        pull: Download missing weights, of the person detector as well.
        persons: A `.csv` file of boxes, or the catalogue name of a person detector.
        person_weights: "pretrained", "random" or a file, for a catalogue name.
        person_score: The least score of a person's box, in [0, 1].
        person_ids: The last column of the file is a person's number, not a score.
        first_second: The second that files of boxes give to the start of a video: 0, or 900 for AVA's own.
        classes: The names of the model's outputs: a file with one per line, or a shipped table; None takes the
            model's own.
        top: Actions to name for each person.
        threshold: The least score of an action that the overlay names, in [0, 1].
        hop_s: Seconds from one keyframe to the next; the first one is at 0.
        batch: Keyframes per forward pass.
        seed: Of random weights.
        root: Folder of the relative paths of lists.
        csv: Where all scores go, in AVA's format of detections.
        overlay: A video to write for one source, or a folder for one video each.
        font: A font file for the overlay; None is the one that Pillow ships, which has ASCII letters alone.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    sources: tuple[str, ...] = Field(min_length=1)
    model: str
    weights: str = "pretrained"
    pull: bool = False
    persons: str = DEFAULT_PERSONS
    person_weights: str = "pretrained"
    person_score: float = Field(0.8, ge=0, le=1, allow_inf_nan=False)
    person_ids: bool = False
    first_second: int = Field(0, ge=0, le=99_999)
    classes: str | None = None
    top: int = Field(5, ge=1)
    threshold: float = Field(0.3, ge=0, le=1, allow_inf_nan=False)
    hop_s: float = Field(1.0, gt=0, allow_inf_nan=False)
    batch: int = Field(4, ge=1)
    device: str = "auto"
    seed: int = 0
    root: Path | None = None
    csv: Path | None = None
    overlay: Path | None = None
    font: Path | None = None


@dataclass(frozen=True)
class _Scored:
    """A keyframe, the persons there and the probabilities of all actions, `(persons, K)`."""

    time_s: float
    frame: int
    persons: tuple[Person, ...]
    scores: NDArray[np.float64]


def predict_actions(request: ActionsRequest, reporter: Reporter | None = None) -> ActionsResult:
    """Say what each person does at every keyframe. A video that cannot be decoded is a failed item.

    A keyframe is every `hop_s` seconds from the start. Its persons are those of the second with the same number in
    the file of boxes (the start of the video being `first_second` there; seconds that are no keyframe are reported,
    never moved), or those that the person detector finds in the frame that is shown then. The clip around it and
    the scaling of frame and boxes are those of PySlowFast's AVA test: see `watch_keyframes` and `boxes_in_clip`.
    The probability of each action is a sigmoid of its own.

    Every video is decoded once (and once more for its overlay), and no more than a batch of clips is in memory.

    Raises:
        UsageError: Outputs that do not go together, or videos that the file of boxes cannot tell apart.
        InputError: A source that is not there, a malformed file of boxes, class names that do not fit the model, or a
            font without a letter of theirs.
        MissingError: Weights or device.
    """
    reporter = reporter or SilentReporter()
    if request.persons == "none":
        raise UsageError(
            f"{request.model} says what persons do, and needs to know where they are",
            "--persons FILE.csv or the name of a person detector.",
        )
    device = resolve_device(request.device)
    sources = find_sources(request.sources, request.root, request.overlay)
    given = _is_file(request.persons)
    inputs = [*request.sources, *([request.persons] if given else [])]
    targets = place_outputs(sources, request.overlay, request.csv, inputs)
    _check_names(request, sources, given)
    boxes = None
    if given:
        boxes = read_persons(Path(request.persons), ids=request.person_ids, score=request.person_score)
    elif request.person_ids:
        raise UsageError("--person-ids goes with a file of boxes: --persons FILE.csv")
    # before the detector: building it takes seconds, and these weights may be missing
    finder = None if given else _finder(request, device, reporter)
    model = load_detector(
        request.model, weights=request.weights, pull=request.pull, seed=request.seed, device=device, reporter=reporter
    )
    actions = _actions(model, request.classes)
    face = load_face(request.font) if request.overlay else None
    if face is not None:
        face.check(["person", *actions.values()])
    if model.weights == "random":
        reporter.warn("the weights are random: the actions below mean NOTHING about the videos")
    if finder is not None and finder.weights == "random":
        reporter.warn("the person detector's weights are random: the boxes below mean NOTHING about the videos")
    if targets:
        reporter.info("the overlay has no sound")
    unknown = _remarks(boxes, sources, reporter) if boxes is not None else ()
    watcher = _Watcher(model.detector, actions, boxes, finder, device, request)
    videos: list[VideoActions] = []
    scored: list[tuple[Source, list[_Scored]]] = []
    with reporter.task("Predicting", total=len(sources), unit="videos") as task:
        for source, target in zip_longest(sources, targets):
            found, moments = watcher.look(source, face, target, task)
            videos.append(found)
            if request.csv is not None:
                scored.append((source, moments))
            if found.unused_seconds:
                reporter.warn(_unused(found, request))
    if request.csv is not None:
        ava.save(request.csv, ava.dump_predicted(_rows(scored, tuple(actions), request)))
    size = model.detector.preprocess
    return ActionsResult(
        model=model.reference,
        architecture=model.architecture,
        weights=model.weights,
        weights_sha256=model.weights_sha256,
        persons=request.persons,
        person_weights="" if finder is None else finder.weights,
        person_weights_sha256="" if finder is None else finder.weights_sha256,
        person_score=request.person_score,
        hop_s=request.hop_s,
        clip_s=size.frames * size.stride / size.target_fps,
        target_fps=size.target_fps,
        low_boxes=boxes.low if boxes is not None else 0,
        flat_boxes=boxes.flat if boxes is not None else 0,
        unknown_videos=unknown,
        videos=tuple(videos),
        failed=sum(video.status != "ok" for video in videos),
        csv=request.csv,
    )


def _is_file(persons: str) -> bool:
    path = Path(persons)
    return path.suffix.lower() == ".csv" or path.is_file()


def _check_names(request: ActionsRequest, sources: Sequence[Source], given: bool) -> None:
    """Refuse names that AVA's files cannot tell apart or hold, before any work is done."""
    if not given and request.csv is None:
        return
    what = "--csv" if request.csv is not None else "--persons"
    known: dict[str, str] = {}
    for source in sources:
        stem = _stem(source)
        if stem in known:
            raise UsageError(
                f"{what}: {known[stem]} and {source.name} are both called {stem} there", "Run it once for each of them."
            )
        known[stem] = source.name
        if request.csv is not None:
            tuple(ava.dump_seconds([ava.Second(stem, 0)]))
    if request.csv is not None and abs(request.hop_s - round(request.hop_s)) > 1e-9:
        raise UsageError(
            f"--csv: AVA's format has whole seconds, but there is a keyframe every {request.hop_s:g} s",
            "Give a whole number as --hop, or take --json.",
        )


def _stem(source: Source) -> str:
    return Path(source.inner).stem


def _finder(request: ActionsRequest, device: torch.device, reporter: Reporter) -> LoadedPersons:
    try:
        return load_persons(
            request.persons,
            weights=request.person_weights,
            pull=request.pull,
            seed=request.seed,
            device=device,
            reporter=reporter,
        )
    except MissingError as error:
        raise MissingError(
            f"{error} (they are needed to find the persons)",
            f"vidbench weights pull {request.persons}, or give their boxes: --persons FILE.csv",
        ) from error


def _actions(model: LoadedDetector, chosen: str | None) -> dict[int, str]:
    """The number and name of each output, in order: those of the class table, or numbers from 1.

    Raises:
        InputError: The chosen table has another number of classes.
    """
    count = model.detector.num_classes
    found: LabelTable | None = None
    if chosen is not None:
        found = load_labels(chosen)
        if len(found) != count:
            raise InputError(
                f"--classes {chosen}: {len(found)} classes, but {model.reference} has {count}",
                "Give the class table that the model was trained with.",
            )
    elif model.card.labels:
        found = table(model.card.labels)
    if found is not None and len(found) == count:
        # AVA's files count actions from 1, as its tables do
        first = min(found.classes)
        return {number + (0 if first >= 1 else 1): name for number, name in found.classes.items()}
    names = model.detector.classes or tuple(str(number) for number in range(1, count + 1))
    return dict(enumerate(names, start=1))


def _remarks(boxes: PersonFile, sources: Sequence[Source], reporter: Reporter) -> tuple[str, ...]:
    """Say what of the file is not used; gives its videos that are not among the sources."""
    stems = {_stem(source) for source in sources}
    unknown = tuple(name for name in boxes.videos if name not in stems)
    if unknown:
        reporter.warn(f"{boxes.path} has boxes of videos that are not among the sources: {_first(unknown)}")
    lacking = [source.name for source in sources if _stem(source) not in boxes.videos]
    if lacking:
        reporter.warn(f"{boxes.path} has no boxes of {_first(lacking)}: no actions are looked for there")
    if boxes.low:
        reporter.info(f"{boxes.low} boxes are left out: their score is below --person-score")
    if boxes.flat:
        reporter.warn(f"{boxes.flat} boxes are left out: they have no area")
    return unknown


def _first(names: Sequence[str]) -> str:
    return ", ".join(names[:_NAMED]) + (f", ... ({len(names)} in all)" if len(names) > _NAMED else "")


def _unused(found: VideoActions, request: ActionsRequest) -> str:
    last = request.first_second + (found.keyframes[-1].time_s if found.keyframes else 0.0)
    return (
        f"{found.video}: the boxes of second {_first([str(one) for one in found.unused_seconds])} are at no keyframe; "
        f"there is one every {request.hop_s:g} s from {request.first_second} to {last:g} (--first-second, --hop)"
    )


def _rows(
    scored: Sequence[tuple[Source, list[_Scored]]], numbers: Sequence[int], request: ActionsRequest
) -> Iterator[ava.Predicted]:
    """All scores of all persons."""
    for source, moments in scored:
        for moment in moments:
            second = request.first_second + round(moment.time_s)
            for person, scores in zip(moment.persons, moment.scores, strict=True):
                box = ava.Box.of(*person.box)
                for number, score in zip(numbers, scores, strict=True):
                    yield ava.Predicted(_stem(source), second, box, number, Decimal(f"{score:.4f}"))


class _Watcher:
    """Looks at one video after the other."""

    def __init__(
        self,
        detector: ActionDetector,
        actions: dict[int, str],
        boxes: PersonFile | None,
        finder: LoadedPersons | None,
        device: torch.device,
        request: ActionsRequest,
    ) -> None:
        self._detector = detector
        self._actions = tuple(actions.items())
        self._boxes = boxes
        self._finder = finder
        self._device = device
        self._request = request
        self._size = detector.preprocess

    def look(
        self, source: Source, face: Face | None, target: Path | None, task: Task
    ) -> tuple[VideoActions, list[_Scored]]:
        """One video, its overlay drawn, and the scores of all its actions."""
        seen = 0.0
        try:
            info = probe(source.file())
            share = 1 / max(info.duration_s / self._request.hop_s, 1.0)
            moments: list[_Scored] = []
            used: set[int] = set()
            for batch in self._batches(info, self._persons_of(source, used)):
                moments.extend(batch)
                step = min(share * len(batch), 1.0 - seen)
                seen += step
                task.advance(step, note=f"{len(moments)} keyframes")
            keyframes = tuple(self._told(moment) for moment in moments)
            if face is not None and target is not None:
                self._draw(info, keyframes, face, target)
        except VideoError as error:
            task.advance(1.0 - seen, note=str(error))
            return VideoActions(source.name, "failed", str(error)), []
        task.advance(1.0 - seen, note=f"{len(moments)} keyframes")
        seconds = self._boxes.videos.get(_stem(source), {}) if self._boxes is not None else {}
        found = VideoActions(
            video=source.name,
            status="ok",
            fps=round(float(info.fps), 6),
            keyframes=keyframes,
            without_persons=sum(not keyframe.persons for keyframe in keyframes),
            unused_seconds=tuple(sorted(set(seconds) - used)),
            overlay=target,
        )
        return found, moments

    def _persons_of(
        self, source: Source, used: set[int]
    ) -> Callable[[Sequence[Keyframe[Tensor]]], Sequence[tuple[Person, ...]]]:
        """Who is at keyframes; the seconds of the file that they are at are put into `used`."""
        if self._boxes is None:
            return lambda keyframes: self._found([keyframe.image for keyframe in keyframes])
        seconds = self._boxes.videos.get(_stem(source), {})

        def given(keyframes: Sequence[Keyframe[Tensor]]) -> list[tuple[Person, ...]]:
            persons = []
            for keyframe in keyframes:
                moment = self._request.first_second + keyframe.time_s
                # a keyframe between two seconds has no boxes: none are moved there
                there = seconds.get(round(moment)) if abs(moment - round(moment)) < 1e-6 else None
                if there is not None:
                    used.add(round(moment))
                persons.append(there or ())
            return persons

        return given

    def _found(self, images: Sequence[NDArray[np.uint8]]) -> tuple[tuple[Person, ...], ...]:
        assert self._finder is not None
        try:
            return find_persons(self._finder, images, self._request.person_score)
        except ValueError as error:
            raise VideoError(str(error)) from error

    def _batches(
        self,
        info: VideoInfo,
        persons_of: Callable[[Sequence[Keyframe[Tensor]]], Sequence[tuple[Person, ...]]],
    ) -> Iterator[list[_Scored]]:
        size = self._size
        watching = watch_keyframes(info, self._request.hop_s, size.frames, size.stride, self._prepare, size.target_fps)
        while keyframes := list(islice(watching, self._request.batch)):
            persons = persons_of(keyframes)
            scores = self._scores(keyframes, persons)
            yield [
                _Scored(round(keyframe.time_s, 6), keyframe.frame, there, rows)
                for keyframe, there, rows in zip(keyframes, persons, scores, strict=True)
            ]

    def _prepare(self, image: NDArray[np.uint8]) -> Tensor:
        info = VideoInfo(Path(), "", image.shape[1], image.shape[0], Fraction(1), 1)
        return scale(Frames(info, (0,), image[None]), self._size.short_side)[0]

    @torch.inference_mode()
    def _scores(
        self, keyframes: Sequence[Keyframe[Tensor]], persons: Sequence[tuple[Person, ...]]
    ) -> list[NDArray[np.float64]]:
        """`(persons, K)` for each keyframe; one where nobody is does not go through the network."""
        peopled = [number for number, there in enumerate(persons) if there]
        rows = [np.zeros((0, self._detector.num_classes))] * len(keyframes)
        if not peopled:
            return rows
        clips = torch.stack([torch.stack(keyframes[number].pictures, dim=1) for number in peopled])
        boxes = []
        for place, number in enumerate(peopled):
            height, width = keyframes[number].image.shape[:2]
            inside = boxes_in_clip([one.box for one in persons[number]], width, height, self._size.short_side)
            boxes.append(np.column_stack((np.full(len(inside), place), inside)))
        told = self._detector(clips.to(self._device), torch.from_numpy(np.concatenate(boxes)).float().to(self._device))
        scores = np.asarray(torch.sigmoid(told.float()).double().cpu().numpy())
        if not np.isfinite(scores).all():
            raise VideoError("the network's output is not finite")
        ends = np.cumsum([len(persons[number]) for number in peopled])
        for number, part in zip(peopled, np.split(scores, ends[:-1]), strict=True):
            rows[number] = part
        return rows

    def _told(self, moment: _Scored) -> KeyframePrediction:
        persons = tuple(
            PersonActions(person.box, person.score, person.person, self._top(scores))
            for person, scores in zip(moment.persons, moment.scores, strict=True)
        )
        return KeyframePrediction(moment.time_s, moment.frame, persons)

    def _top(self, scores: NDArray[np.float64]) -> tuple[Guess, ...]:
        # stable, so that equal scores are in the order of their actions
        order = np.argsort(-scores, kind="stable")[: self._request.top]
        chosen = ((*self._actions[index], scores[index]) for index in order)
        return tuple(Guess(number, name, float(f"{score:.7g}")) for number, name, score in chosen)

    def _draw(self, info: VideoInfo, keyframes: Sequence[KeyframePrediction], face: Face, target: Path) -> None:
        least = self._request.threshold
        scenes = [
            Scene(
                keyframe.time_s,
                tuple(
                    Figure(
                        one.box,
                        tuple((guess.name, guess.probability) for guess in one.top if guess.probability >= least),
                        one.person,
                    )
                    for one in keyframe.persons
                ),
            )
            for keyframe in keyframes
        ]
        with written_whole(target) as partial:
            draw_video(info, partial, BoxPainter(scenes, self._request.hop_s, face))
