"""What a report takes from `summary.json` of an evaluation of action detection."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from vidbench.report.summaries import Count, Example, Failure, Fraction, OfModel, Stored

RECALLS = 101


class ClassPrecision(Stored):
    """The average precision of a class, and how many boxes of the ground truth and detections it has."""

    id: Count
    name: str = Field(alias="class")
    average_precision: Fraction | None = None
    positives: Count
    detections: Count = 0


class GroupPrecision(Stored):
    """The mean average precision of some classes, by number."""

    name: str = Field(alias="group")
    first: Count
    last: Count
    classes: Count
    mean_ap: Fraction | None = None


class Curve(Stored):
    """The best precision at each recall of 0, 0.01, ..., 1 or more."""

    name: str
    average_precision: Fraction
    positives: Count
    precision: tuple[Fraction, ...]

    @model_validator(mode="after")
    def _fits(self) -> Curve:
        if len(self.precision) != RECALLS:
            raise ValueError(f"{len(self.precision)} precisions, not {RECALLS}")
        return self


class DetectExample(Example):
    """A picture of one of the worst misses: of a wrong detection, or of an action that was missed."""

    kind: Literal["wrong", "missed"]


class DetectSummary(OfModel):
    """`summary.json` of `model eval --task detect`; figures are fractions in [0, 1]."""

    kind: Literal["eval"]
    task: Literal["detect"]
    data: str = ""
    part: str = ""
    boxes_from: Literal["truth", "detected"]
    min_score: Fraction | None = None
    listed: Count
    clips: Count
    evaluated: Count
    failed: Count
    boxes: Count
    frames: Count
    stride: Count
    short_side: Count
    precision: str = ""
    scorer: str
    mean_ap: Fraction | None = None
    classes_in_mean: Count = 0
    excluded_seconds: Count = 0
    per_class: tuple[ClassPrecision, ...] = ()
    groups: tuple[GroupPrecision, ...] = ()
    curves: tuple[Curve, ...] = ()
    remarks: tuple[str, ...] = ()
    failures: tuple[Failure, ...] = ()
    examples: tuple[DetectExample, ...] = ()
