"""`vidbench model score`: a file of action detections against AVA's ground truth."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vidbench.cli import console
from vidbench.cli.options import JsonOpt

if TYPE_CHECKING:
    from vidbench.model.score import FileResult, ScoreResult

_WORST = 10
"""Classes that the text shows; csv and JSON have all."""


def score(
    detections: Annotated[
        Path,
        typer.Argument(
            metavar="DETECTIONS", help="Lines of `video_id,second,x1,y1,x2,y2,action,score`.", show_default=False
        ),
    ],
    groundtruth: Annotated[
        Path,
        typer.Argument(
            metavar="GROUNDTRUTH", help="Lines of `video_id,second,x1,y1,x2,y2,action,person`.", show_default=False
        ),
    ],
    labels: Annotated[
        str, typer.Option("--labels", metavar="FILE|ava_60|ava_80", help="The classes that count: .pbtxt or names.")
    ] = "ava_60",
    exclude: Annotated[
        Path | None, typer.Option("--exclude", metavar="FILE", help="Lines of `video_id,second` that do not count.")
    ] = None,
    scorer: Annotated[
        str, typer.Option("--scorer", metavar="activitynet|pyslowfast|mmaction2", help="Whose rules.")
    ] = "activitynet",
    groups: Annotated[
        str, typer.Option("--groups", metavar="auto|ava|none", help="Means over AVA's three groups; auto: if AVA's.")
    ] = "auto",
    every: Annotated[int, typer.Option("--every", min=1, metavar="N", help="Only seconds that N divides.")] = 1,
    empty_seconds: Annotated[
        bool, typer.Option("--empty-seconds", help="mmaction2: detections where no ground truth is are wrong.")
    ] = False,
    csv: Annotated[Path | None, typer.Option("--csv", metavar="FILE", help="Write a line per class.")] = None,
    json: JsonOpt = False,
) -> None:
    """Score action detections by AVA's mean average precision, as one of three published scorers counts it."""
    from vidbench.cli.requests import ask

    values = dict(locals())
    from vidbench.model.score import ScoreRequest
    from vidbench.model.score import score as measure

    result = measure(ask(ScoreRequest, values), console.reporter())
    for remark in result.remarks:
        console.reporter().warn(remark)
    console.show(result, json, _show)


def _show(result: ScoreResult) -> None:
    console.table(
        ("scorer", "mAP", "classes in the mean", "seconds", "ground truth", "detections"),
        [
            (
                result.scorer,
                _percent(result.mean_ap),
                result.classes_in_mean,
                result.seconds,
                result.ground_truth.counted,
                result.detections.counted,
            )
        ],
    )
    if result.groups:
        console.table(
            ("group", "ids", "classes in the mean", "mAP"),
            [(one.name, f"{one.first}-{one.last}", one.classes, _percent(one.mean_ap)) for one in result.groups],
        )
    ranked = sorted((one for one in result.classes if one.in_mean), key=lambda one: one.average_precision)
    console.table(
        ("id", "class", "AP", "ground truth", "detections"),
        [
            (one.id, one.name, _percent(one.average_precision), one.ground_truth, one.detections)
            for one in ranked[:_WORST]
        ],
        title="worst classes first",
    )
    if len(ranked) > _WORST:
        console.out(f"{len(ranked) - _WORST} more classes: --csv or --json")
    without = [str(one.id) for one in result.classes if not one.in_mean]
    if without:
        console.out(f"classes that are not in the mean: {', '.join(without)}")
    _show_file("ground truth", result.ground_truth)
    _show_file("detections", result.detections)
    if result.excluded_missed:
        console.out(f"{result.excluded_missed} boxes of excluded seconds count as missed, as in MMAction2's program")
    if result.csv:
        console.out(f"classes: {console.place(result.csv)}")


def _percent(share: float) -> str:
    return "-" if math.isnan(share) else f"{share:.2%}"


def _show_file(kind: str, read: FileResult) -> None:
    reasons = "; ".join(f"{many} {reason}" for reason, many in read.left_out.items())
    console.out(f"{kind}: {read.counted} of {read.boxes} boxes count{f'; left out: {reasons}' if reasons else ''}")
