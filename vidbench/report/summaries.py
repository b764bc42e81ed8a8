"""What the stored files of run folders hold, validated: manifests, summaries, epochs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

Kind = Literal["eval", "finetune", "attack", "verify"]

Count = Annotated[int, Field(ge=0)]
Fraction = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
Amount = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Percent = Annotated[float, Field(ge=0, le=100, allow_inf_nan=False)]
Points = Annotated[float, Field(ge=-100, le=100, allow_inf_nan=False)]
Reach = Annotated[float, Field(ge=0, le=1000, allow_inf_nan=False)]

_NORMS = {"linf": "L\u221e", "l2": "L2", "l1": "L1", "l21": "L2,1"}


def norm_name(norm: str) -> str:
    """The norm as it is written in papers."""
    return _NORMS.get(norm, norm)


def budget(norm: str, eps: str) -> str:
    """A budget with its norm: `L∞ ≤ 8/255`."""
    return f"{norm_name(norm)}\u00a0\u2264\u00a0{eps}"


class Stored(BaseModel):
    """A part of a stored file; fields that a report does not show are passed over."""

    model_config = ConfigDict(frozen=True, extra="ignore", strict=True)


class Manifest(Stored):
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


class OfModel(Stored):
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


class Failure(Stored):
    """A clip that could not be used."""

    path: str
    reason: str = ""


class PerClass(Stored):
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


class Views(Stored):
    """How many views of a clip were averaged."""

    temporal: Count
    spatial: Count


class Confused(Stored):
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


class ProtocolUsed(Stored):
    """How views were taken: the rule, the views, and the network's input."""

    rule: str
    views: str
    ensemble: str = ""
    resize: str = ""
    frames: Count | None = None
    stride: Count | None = None
    short_side: Count | None = None
    crop: Count | None = None


class VerdictCause(Stored):
    """One thing that explains a figure."""

    id: str
    certainty: Literal["certain", "likely", "possible"]
    text: str
    evidence: str = ""
    remedy: str = ""


class VerdictFound(Stored):
    """The measured figure beside the published one: per cent, and points above and below it."""

    verdict: Literal["within tolerance", "below", "above", "not comparable", "no published figure", "at chance"]
    reason: str = ""
    metric: str
    measured: Percent | None = None
    interval: tuple[Percent, Percent] | None = None
    published: Percent | None = None
    published_by: str = ""
    difference: Points | None = None
    tolerance: tuple[Reach, Reach] | None = None
    tolerance_why: str = ""
    protocol: str = ""
    evaluated: Count
    top5: Percent | None = None
    published_top5: Percent | None = None
    causes: tuple[VerdictCause, ...] = ()

    @model_validator(mode="after")
    def _fits(self) -> VerdictFound:
        if self.interval is not None and self.interval[0] > self.interval[1]:
            raise ValueError(f"an interval from {self.interval[0]} to {self.interval[1]}")
        return self


class Example(Stored):
    """A film strip: its file, relative to the run folder, what it shows, whether a row is heat, of which maps."""

    file: str
    caption: str = ""
    heat: bool = False
    maps: tuple[str, ...] = ()


class EvalSummary(OfModel):
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
    task: str = ""
    weights: str = ""
    protocol: ProtocolUsed | None = None
    precision: str = ""
    verdict: VerdictFound | None = None
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

    @property
    def several(self) -> bool:
        """Whether a clip may have several labels, so that it is ranked and not answered."""
        ranked = any(one.average_precision is not None for one in self.per_class)
        return self.task == "multilabel" or self.mean_ap is not None or ranked

    def class_name(self, label: int) -> str:
        """The name of a label, or its number where the run holds no names."""
        return self.classes[label] if self.classes is not None else f"class {label}"


class Examples(Stored):
    """How the examples of an adversarial training were made."""

    method: str


class FinetuneSummary(OfModel):
    """`summary.json` of `model finetune`."""

    kind: Literal["finetune"]
    init: str = ""
    classes: tuple[str, ...] = ()
    epochs: Count
    clips: Count
    best_epoch: Count | None = None
    task: str = ""
    best_val_top1: Fraction | None = None
    best_val_mean_ap: Fraction | None = None
    best_val_robust_top1: Fraction | None = None
    best_val_robust_mean_ap: Fraction | None = None
    adversarial: Examples | None = None
    defence: str | None = None
    final_train_loss: float | None = None
    seconds: float | None = None
    parameters: Count | None = None
    failed: Count = 0
    failures: tuple[Failure, ...] = ()

    @property
    def ranked(self) -> bool:
        """Whether a mean average precision is measured: of clips with several classes, or of boxes."""
        return self.task in ("multilabel", "detect") or self.best_val_mean_ap is not None

    @property
    def best_val(self) -> float | None:
        """The figure of the best epoch, in [0, 1]."""
        return self.best_val_mean_ap if self.ranked else self.best_val_top1

    @property
    def attacked_val(self) -> float | None:
        """The same under attack; None where validation clips were not attacked."""
        return self.best_val_robust_mean_ap if self.ranked else self.best_val_robust_top1


class CurvePoint(Stored):
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
    mean_l1: float | None = None
    after: dict[str, Fraction] = {}


class StepPoint(Stored):
    """Robust accuracy once an attack has taken so many steps."""

    step: Count
    robust_accuracy: Fraction


Answered = tuple[Count, Count, Count]
"""A class, the class answered for it, and how many clips."""


class Confusion(Stored):
    """Which classes were answered for which, before an attack and after it."""

    clean: tuple[Answered, ...] = ()
    attacked: tuple[Answered, ...] = ()


class AttackColumn(Stored):
    """One attack of a run: its sweep of budgets, and at the largest what it did to the clips."""

    label: str
    attack: str
    engine: str = ""
    norm: str
    support: str = "all"
    targeted: bool = False
    steps: Count | None = None
    restarts: Count | None = None
    curve: tuple[CurvePoint, ...] = ()
    by_steps: tuple[StepPoint, ...] = ()
    broken_by: dict[str, Count] = {}
    frames: tuple[Fraction, ...] = ()
    confusion: Confusion = Confusion()
    excluded: Count = 0


class WorstPoint(Stored):
    """One budget that several attacks share: what is left when a clip has to withstand all of them."""

    norm: str
    eps: str
    eps_value: Amount
    attacks: tuple[str, ...]
    clips: Count
    robust: Count
    robust_accuracy: Fraction
    low: Fraction | None = None
    high: Fraction | None = None
    conditional: Fraction | None = None


class AttackedExample(Stored):
    """A clip that an attack broke: its film strip and its video, relative to the run folder, and what it shows."""

    file: str
    video: str = ""
    column: str = ""
    path: str = ""
    clean_pred: Count | None = None
    adv_pred: Count | None = None
    norm: str = ""
    eps: str = ""


class AttackRun(OfModel):
    """`summary.json` of `attack run`: what holds for the whole run, and one column per attack."""

    kind: Literal["attack"]
    classes: tuple[str, ...] = ()
    defence: str | None = None
    suite: str | None = None
    layout: str = ""
    precision: str = ""
    draws: Count = 1
    bpda: bool = False
    judged: str = ""
    view: str = ""
    target: str | int | None = None
    reference: Literal["labels", "predictions"] = "labels"
    listed: Count | None = None
    clips: Count
    evaluated: Count = 0
    failed: Count
    clean_accuracy: Fraction | None = None
    columns: tuple[AttackColumn, ...]
    worst: tuple[WorstPoint, ...] = ()
    failures: tuple[Failure, ...] = ()
    examples: tuple[AttackedExample, ...] = ()

    @property
    def attacks(self) -> tuple[AttackSummary, ...]:
        """The attacks, each with what it shares with the others."""
        return tuple(AttackSummary(self, column) for column in self.columns)

    def class_name(self, label: int) -> str:
        """The name of a class, or its number where the run holds no name of it."""
        return self.classes[label] if label < len(self.classes) else f"class {label}"


@dataclass(frozen=True)
class AttackSummary:
    """One attack, and the run that it is of."""

    run: AttackRun
    column: AttackColumn

    @property
    def points(self) -> tuple[CurvePoint, ...]:
        """The curve by rising budget."""
        return tuple(sorted(self.column.curve, key=lambda point: point.eps_value))

    @property
    def norm(self) -> str:
        """Of the budget."""
        return self.column.norm

    @property
    def reference(self) -> Literal["labels", "predictions"]:
        """What an answer is compared with."""
        return self.run.reference


class VerifyFlag(Stored):
    """What a check of a verification says: E makes a figure invalid, W suspect, I is worth knowing."""

    id: str
    title: str
    severity: Literal["E", "W", "I", "pass"]
    evidence: str = ""
    remedy: str = ""


class VerifyAttack(Stored):
    """What an attack of a verification left at one budget."""

    name: str
    eps: str
    eps_value: Amount
    clips: Count
    robust: Count | None = None
    robust_accuracy: Fraction
    unconfirmed: Count = 0
    forwards: Count = 0
    backwards: Count = 0


class VerifySummary(OfModel):
    """`summary.json` of `attack verify`; the figures by budget are fractions in [0, 1]."""

    kind: Literal["verify"]
    status: Literal["VALID_UPPER_BOUND", "SUSPECT", "INVALID"]
    reported_ra: dict[str, Fraction | None] = {}
    best_known_ra: dict[str, Fraction]
    strongest: dict[str, str | None] = {}
    subject: str = ""
    defence: str | None = None
    run: str | None = None
    norm: str
    reference: Literal["labels", "predictions"] = "labels"
    steps: Count | None = None
    queries: Count | None = None
    draws: Count = 1
    listed: Count | None = None
    clips: Count
    evaluated: Count
    failed: Count
    clean_accuracy: Fraction | None = None
    flags: tuple[VerifyFlag, ...] = ()
    passed: tuple[VerifyFlag, ...] = ()
    attacks: tuple[VerifyAttack, ...] = ()
    failures: tuple[Failure, ...] = ()


class Epoch(Stored):
    """One line of `epochs.jsonl`; a loss may have diverged to NaN."""

    key: str
    epoch: Count
    lr: float | None = None
    train_loss: float | None = None
    train_top1: Fraction | None = None
    val_top1: Fraction | None = None
    val_mean_ap: Fraction | None = None
    val_robust_top1: Fraction | None = None
    val_robust_mean_ap: Fraction | None = None
    seconds: float | None = None
    data_seconds: float | None = None

    @property
    def attacked_val(self) -> float | None:
        """The validation figure under attack; None where clips were not attacked."""
        return self.val_robust_top1 if self.val_robust_mean_ap is None else self.val_robust_mean_ap


class Record(Stored):
    """The state of one item of a run."""

    key: str
    status: str = "ok"


Summary = EvalSummary | FinetuneSummary | AttackRun | VerifySummary
