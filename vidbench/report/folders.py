"""What a report takes from a run folder: validated values, nothing believed unseen."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from vidbench.errors import InputError
from vidbench.runs import MANIFEST, RECORDS, SCHEMA_VERSION, SUMMARY

EPOCHS = "epochs.jsonl"
MAX_IMAGES = {"attack": 6, "eval": 12}
MAX_IMAGE_BYTES = 1_500_000
_PNG = b"\x89PNG\r\n\x1a\n"
_REMEDY = "Give folders that `vidbench model eval`, `model finetune` or `attack run` wrote."

Kind = Literal["eval", "finetune", "attack"]
KINDS: dict[str, Kind] = {"model eval": "eval", "model finetune": "finetune", "attack run": "attack"}

Count = Annotated[int, Field(ge=0)]
Fraction = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
Amount = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class _Stored(BaseModel):
    """A part of a stored file; fields that a report does not show are passed over."""

    model_config = ConfigDict(frozen=True, extra="ignore", strict=True)


M = TypeVar("M", bound=_Stored)


class Manifest(_Stored):
    """`manifest.json`: what was asked, of what, where and with which versions."""

    schema_version: int
    command: str
    request: dict[str, Any] = {}
    settings: dict[str, Any] = {}
    resolved: dict[str, Any] = {}
    provenance: dict[str, Any] = {}
    created: str = ""
    updated: str = ""
    status: str


class _OfModel(_Stored):
    """The part of every summary that names the model: a catalogue name, a run folder or a file."""

    model: str
    architecture: str = ""

    @property
    def short(self) -> str:
        """The model's name without the folders that lead to it."""
        return self.model.rstrip("/").rpartition("/")[2] or self.model

    @property
    def full(self) -> str:
        """The model as it was given, with its architecture where that is not its name."""
        other = self.architecture and self.architecture != self.model
        return f"{self.model} ({self.architecture})" if other else self.model


class Failure(_Stored):
    """A clip that could not be used."""

    path: str
    reason: str = ""


class PerClass(_Stored):
    """How many clips of a class were answered right; of several labels, the class's average precision."""

    label: int
    name: str = Field(alias="class")
    clips: Count
    correct: Count | None = None
    average_precision: Fraction | None = None

    @property
    def share(self) -> float | None:
        """The figure of the class, in [0, 1]."""
        if self.correct is None or not self.clips:
            return self.average_precision
        return min(self.correct / self.clips, 1.0)


class Views(_Stored):
    """How many views of a clip were averaged."""

    temporal: Count
    spatial: Count


class Confused(_Stored):
    """How many clips of one class were taken for another."""

    true: str
    predicted: str
    clips: Count
    of: Count

    @model_validator(mode="after")
    def _fits(self) -> Confused:
        if not 0 < self.clips <= self.of:
            raise ValueError(f"{self.clips} confused clips of {self.of}")
        return self


class Example(_Stored):
    """A film strip: its file, relative to the run folder, what it shows, and whether a row of it is heat."""

    file: str
    caption: str = ""
    heat: bool = False


class EvalSummary(_OfModel):
    """`summary.json` of `model eval`; accuracies are fractions in [0, 1]."""

    kind: Literal["eval"]
    classes: tuple[str, ...] | None = None
    num_classes: Count
    listed: Count | None = None
    clips: Count
    evaluated: Count
    failed: Count
    top1: Fraction | None = None
    top1_low: Fraction | None = None
    top1_high: Fraction | None = None
    top5: Fraction | None = None
    mean_class_accuracy: Fraction | None = None
    mean_ap: Fraction | None = None
    mean_ap_low: Fraction | None = None
    mean_ap_high: Fraction | None = None
    views: Views | None = None
    per_class: tuple[PerClass, ...] = ()
    confusion: tuple[tuple[Count, ...], ...] | None = None
    confused: tuple[Confused, ...] | None = None
    failures: tuple[Failure, ...] = ()
    examples: tuple[Example, ...] = ()

    @model_validator(mode="after")
    def _shapes(self) -> EvalSummary:
        size = self.num_classes
        if self.classes is not None and len(self.classes) != size:
            raise ValueError(f"classes holds {len(self.classes)} names, num_classes is {size}")
        if self.confusion is not None and [len(row) for row in self.confusion] != [size] * size:
            raise ValueError(f"confusion is not {size} x {size}")
        return self

    def class_name(self, label: int) -> str:
        """The name of a label, or its number where the run holds no names."""
        return self.classes[label] if self.classes is not None else f"class {label}"


class FinetuneSummary(_OfModel):
    """`summary.json` of `model finetune`."""

    kind: Literal["finetune"]
    init: str = ""
    classes: tuple[str, ...] = ()
    epochs: Count
    clips: Count
    best_epoch: Count | None = None
    best_val_top1: Fraction | None = None
    final_train_loss: float | None = None
    seconds: float | None = None
    parameters: Count | None = None
    failed: Count = 0
    failures: tuple[Failure, ...] = ()


class CurvePoint(_Stored):
    """One budget of an attack; `eps_value` in units of the pixel range."""

    eps: str
    eps_value: Amount
    clips: Count
    robust: Count
    robust_accuracy: Fraction | None = None
    low: Fraction | None = None
    high: Fraction | None = None
    fooling_rate: Fraction | None = None
    conditional: Fraction | None = None
    target_rate: Fraction | None = None
    mean_linf: float | None = None
    mean_l2: float | None = None


class AttackSummary(_OfModel):
    """`summary.json` of `attack run`; the curve is sorted by budget here."""

    kind: Literal["attack"]
    attack: str
    engine: str = ""
    norm: str
    targeted: bool = False
    reference: Literal["labels", "predictions"] = "labels"
    listed: Count | None = None
    clips: Count
    failed: Count
    clean_accuracy: Fraction | None = None
    steps: Count | None = None
    restarts: Count | None = None
    curve: tuple[CurvePoint, ...] = ()
    failures: tuple[Failure, ...] = ()
    examples: tuple[Example, ...] = ()

    @property
    def points(self) -> tuple[CurvePoint, ...]:
        """The curve by rising budget."""
        return tuple(sorted(self.curve, key=lambda point: point.eps_value))


class Epoch(_Stored):
    """One line of `epochs.jsonl`; a loss may have diverged to NaN."""

    key: str
    epoch: Count
    lr: float | None = None
    train_loss: float | None = None
    train_top1: Fraction | None = None
    val_top1: Fraction | None = None
    seconds: float | None = None


class _Record(_Stored):
    key: str
    status: str = "ok"


Summary = EvalSummary | FinetuneSummary | AttackSummary


@dataclass(frozen=True)
class Run:
    """A run as a report shows it.

    Attributes:
        folder: Where it is.
        name: What the page calls it; unlike that of every other run on the page.
        kind: What it measured.
        manifest: What was asked.
        summary: Its figures; None while the run is not done, when a stored summary may be out of date.
        epochs: Finished epochs of a training run, in order.
        records: Finished items, failed ones included.
        failed: Items among them that failed.
    """

    folder: Path
    name: str
    kind: Kind
    manifest: Manifest
    summary: Summary | None
    epochs: tuple[Epoch, ...]
    records: int
    failed: int


@dataclass(frozen=True)
class Image:
    """A film strip's bytes, its size in pixels, what it shows, and whether a row of it is heat."""

    data: bytes
    width: int
    height: int
    caption: str
    heat: bool = False


def read_runs(folders: tuple[Path, ...]) -> tuple[Run, ...]:
    """Read every folder, in the order given.

    Raises:
        InputError: A folder is no run, is given twice, or holds a file of another form.
    """
    places = [folder.resolve() for folder in folders]
    for index, place in enumerate(places):
        if place in places[:index]:
            raise InputError(f"{folders[index]}: this run is given twice")
    return tuple(_read(folder, name) for folder, name in zip(folders, _names(places), strict=True))


def _names(places: list[Path]) -> list[str]:
    """The last part of each path, and as many parents as it takes to tell the paths apart."""
    depth = 1
    names = [place.name for place in places]
    while len(set(names)) < len(names) and depth < max(len(place.parts) for place in places):
        depth += 1
        names = [
            "/".join(place.parts[-depth:]) if names.count(name) > 1 else name
            for place, name in zip(places, names, strict=True)
        ]
    return names


def _read(folder: Path, name: str) -> Run:
    if not (folder / MANIFEST).is_file():
        raise InputError(f"{folder}: not a run folder: it holds no {MANIFEST}", _REMEDY)
    manifest = _parse(Manifest, _bytes(folder / MANIFEST), str(folder / MANIFEST))
    if manifest.schema_version != SCHEMA_VERSION:
        raise InputError(
            f"{folder / MANIFEST}: schema version {manifest.schema_version}; this vidbench reads {SCHEMA_VERSION}"
        )
    if manifest.command not in KINDS:
        raise InputError(f"{folder / MANIFEST}: a report cannot show a run of {manifest.command!r}", _REMEDY)
    kind = KINDS[manifest.command]
    epochs = _epochs(folder / EPOCHS) if kind == "finetune" else ()
    summary: Summary | None = None
    if manifest.status == "done" and (folder / SUMMARY).is_file():
        summary = _summary(kind, folder / SUMMARY)
    if kind == "finetune":
        return Run(folder, name, kind, manifest, summary, epochs, len(epochs), 0)
    states = _states(folder / RECORDS) if summary is None else {}
    failed = sum(state != "ok" for state in states.values())
    return Run(folder, name, kind, manifest, summary, (), len(states), failed)


def _summary(kind: Kind, path: Path) -> Summary:
    text, source = _bytes(path), str(path)
    if kind == "eval":
        return _parse(EvalSummary, text, source)
    if kind == "finetune":
        return _parse(FinetuneSummary, text, source)
    return _parse(AttackSummary, text, source)


def _epochs(path: Path) -> tuple[Epoch, ...]:
    found = {}
    for number, line in _lines(path):
        epoch = _parse(Epoch, line, f"{path}:{number}")
        found[epoch.key] = epoch
    return tuple(sorted(found.values(), key=lambda epoch: epoch.epoch))


def _states(path: Path) -> dict[str, str]:
    found = {}
    for number, line in _lines(path):
        record = _parse(_Record, line, f"{path}:{number}")
        found[record.key] = record.status
    return found


def _lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """Whole lines with their numbers; a torn last line is simply not done yet."""
    if not path.is_file():
        return
    with path.open("rb") as stream:
        for number, line in enumerate(stream, start=1):
            if line.endswith(b"\n") and line.strip():
                yield number, line


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from error


def _parse(model: type[M], text: bytes, source: str) -> M:
    try:
        return model.model_validate_json(text)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise InputError(f"{source}: {where + ': ' if where else ''}{first['msg']}") from error


def read_images(run: Run) -> tuple[tuple[Image, ...], tuple[str, ...]]:
    """The film strips of an attack or of the worst misses of an evaluation, and a remark for each that is left out.

    At most `MAX_IMAGES` of the run's kind, PNG files of at most `MAX_IMAGE_BYTES`, and only from inside the run
    folder: the names come from a file that anyone may have written.
    """
    if not isinstance(run.summary, AttackSummary | EvalSummary):
        return (), ()
    most = MAX_IMAGES[run.summary.kind]
    images: list[Image] = []
    remarks: list[str] = []
    for example in run.summary.examples[:most]:
        found = _image(run.folder, example)
        if isinstance(found, Image):
            images.append(found)
        else:
            remarks.append(f"{example.file}: {found}")
    more = len(run.summary.examples) - most
    if more > 0:
        remarks.append(f"{more} more in the run folder; a report shows at most {most} of a run")
    return tuple(images), tuple(remarks)


def _image(folder: Path, example: Example) -> Image | str:
    try:
        path = (folder / example.file).resolve()
        if not path.is_relative_to(folder.resolve()):
            return "not shown: it lies outside the run folder"
        if not path.is_file():
            return "not shown: no such file"
        size = path.stat().st_size
        if size > MAX_IMAGE_BYTES:
            return f"not shown: {size / 1e6:.1f} MB, more than {MAX_IMAGE_BYTES / 1e6:.1f} MB"
        data = path.read_bytes()
    except (OSError, ValueError) as error:
        # a name with a NUL byte is a ValueError
        return f"not shown: {error.strerror if isinstance(error, OSError) else error}"
    if not data.startswith(_PNG) or data[12:16] != b"IHDR" or len(data) < 24:
        return "not shown: not a PNG file"
    width, height = (int.from_bytes(data[start : start + 4], "big") for start in (16, 20))
    return Image(data, width, height, example.caption or example.file, example.heat)
