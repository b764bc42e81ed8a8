"""`vidbench model eval`: how good a model is on a list of clips, or a detector of actions on an AVA set."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vidbench.cli import console
from vidbench.cli.options import (
    DecoderOpt,
    DefenceOpt,
    DeviceOpt,
    JsonOpt,
    LimitOpt,
    ModelArg,
    OutOpt,
    OverwriteOpt,
    ProtocolOpt,
    PullOpt,
    RootOpt,
    SeedOpt,
    WeightsOpt,
)

if TYPE_CHECKING:
    from vidbench.model.evaluate import EvaluateResult
    from vidbench.model.evaluate_detect import EvaluateDetectResult

_OF_CLIPS = (
    "protocol", "views", "resize", "defence", "root", "layout", "compile_", "decoder", "cam", "cam_layer",
    "tensorboard",
)  # fmt: skip
_OF_BOXES = (
    "part", "boxes", "boxes_file", "min_score", "videos", "frames", "first_second", "video_start", "missing",
    "scorer", "labels", "exclude", "groups",
)  # fmt: skip
_TASKS = ("classify", "multilabel", "detect")
_SHOWN = 5


def eval_(
    context: typer.Context,
    model: ModelArg,
    clips: Annotated[
        Path,
        typer.Argument(metavar="LIST|SET", help="Lines of `path label`; of a detector an AVA set.", show_default=False),
    ],
    out: OutOpt = None,
    task: Annotated[
        str | None, typer.Option("--task", metavar="|".join(_TASKS), help="Default: what the model does.")
    ] = None,
    protocol: ProtocolOpt = None,
    views: Annotated[
        str | None,
        typer.Option(
            "--views", metavar="KxC", help="K clips over time, 1 or 3 crops; default: those of the published figure."
        ),
    ] = None,
    resize: Annotated[
        str | None,
        typer.Option(
            "--resize", metavar="decode|exact", help="Scale in the decoder or after; default: the protocol's."
        ),
    ] = None,
    weights: WeightsOpt = "pretrained",
    pull: PullOpt = False,
    defence: DefenceOpt = None,
    root: RootOpt = None,
    layout: Annotated[str, typer.Option("--layout", metavar="fast|reference", help="Memory layout.")] = "fast",
    precision: Annotated[str, typer.Option("--precision", metavar="fp32|bf16|fp16", help="Of the network.")] = "fp32",
    compile_: Annotated[bool, typer.Option("--compile", help="Run the network through torch.compile.")] = False,
    batch: Annotated[
        int, typer.Option("--batch", min=0, help="Views or keyframes per forward pass; 0 takes what fits.")
    ] = 0,
    device: DeviceOpt = "auto",
    decoder: DecoderOpt = "pyav",
    workers: Annotated[int, typer.Option("--workers", min=0, help="Processes that decode; 0 takes one per core.")] = 0,
    timeout: Annotated[
        float, typer.Option("--timeout", metavar="S", help="Seconds that reading a video may take.")
    ] = 600,
    misses: Annotated[int, typer.Option("--misses", min=0, help="Pictures to draw of the worst misses.")] = 6,
    cam: Annotated[bool, typer.Option("--cam", help="Draw Grad-CAM below the misses.")] = False,
    cam_layer: Annotated[
        list[str] | None, typer.Option("--cam-layer", metavar="MODULE", help="What Grad-CAM looks at; may be repeated.")
    ] = None,
    tensorboard: Annotated[
        bool, typer.Option("--tensorboard", help="Write events for TensorBoard, too; its extra is needed.")
    ] = False,
    part: Annotated[
        str, typer.Option("--part", metavar="val|train|test", help="detect: which part of the set.")
    ] = "val",
    boxes: Annotated[
        str, typer.Option("--boxes", metavar="truth|detected", help="detect: whose boxes are asked about.")
    ] = "truth",
    boxes_file: Annotated[
        Path | None, typer.Option("--boxes-file", metavar="FILE", help="detect: detected boxes; default: the set's.")
    ] = None,
    min_score: Annotated[
        float | None, typer.Option("--min-score", help="detect: least score of a detected box; default: 0.9.")
    ] = None,
    videos: Annotated[
        Path | None, typer.Option("--videos", metavar="DIR", help="detect: read video files in place of frames.")
    ] = None,
    frames: Annotated[
        Path | None, typer.Option("--frames", metavar="DIR", help="detect: folder of the frame list's paths.")
    ] = None,
    first_second: Annotated[
        int, typer.Option("--first-second", min=0, help="detect: the second that the first frame shows.")
    ] = 900,
    video_start: Annotated[
        int | None, typer.Option("--video-start", min=0, help="detect: where in the video files that second lies.")
    ] = None,
    missing: Annotated[
        str, typer.Option("--missing", metavar="refuse|skip", help="detect: what of videos that are not there.")
    ] = "refuse",
    scorer: Annotated[
        str, typer.Option("--scorer", metavar="activitynet|pyslowfast|mmaction2", help="detect: whose rules count.")
    ] = "activitynet",
    labels: Annotated[
        str | None, typer.Option("--labels", metavar="FILE|ava_60|ava_80", help="detect: the classes that count.")
    ] = None,
    exclude: Annotated[
        Path | None, typer.Option("--exclude", metavar="FILE", help="detect: seconds that do not count.")
    ] = None,
    groups: Annotated[
        str, typer.Option("--groups", metavar="auto|ava|none", help="detect: means over AVA's three groups.")
    ] = "auto",
    seed: SeedOpt = 0,
    limit: LimitOpt = None,
    overwrite: OverwriteOpt = False,
    json: JsonOpt = False,
) -> None:
    """Measure a model on a list of clips, or a detector of actions on an AVA set. Running it again resumes."""
    values = dict(locals())
    del values["context"]
    chosen = _task(model, task)
    _refuse_foreign(context, chosen)
    from vidbench.cli.requests import weights_at_hand

    weights_at_hand(model, weights, pull)
    values |= {"compile": values.pop("compile_"), "timeout_s": timeout, "cam_layers": tuple(cam_layer or ())}
    if chosen == "detect":
        _detect(values | {"data": clips}, json)
    else:
        _clips(values, json)


def _task(model: str, task: str | None) -> str:
    """What is measured: what is asked for, else what the model does."""
    from vidbench.errors import UsageError
    from vidbench.model.zoo import MODELS

    if task is not None and task not in _TASKS:
        raise UsageError(f"--task {task!r} is none of {', '.join(_TASKS)}")
    if task is not None:
        return task
    if model in MODELS:
        return MODELS.get(model).task
    from vidbench.model.resolve import task_of

    return task_of(model)


def _refuse_foreign(context: typer.Context, task: str) -> None:
    """Refuse options that say nothing to this task, by name."""
    from vidbench.errors import UsageError

    foreign = _OF_CLIPS if task == "detect" else _OF_BOXES
    given = [
        name.rstrip("_").replace("_", "-")
        for name in foreign
        if (source := context.get_parameter_source(name)) is not None and source.name == "COMMANDLINE"
    ]
    if given:
        meant = "a list of clips" if task == "detect" else "--task detect"
        raise UsageError(f"--{given[0]} goes with {meant}, and this is --task {task}", "Leave it out.")


def _clips(values: dict[str, Any], json: bool) -> None:
    from vidbench.cli.requests import ask
    from vidbench.model.evaluate import EvaluateRequest, evaluate

    result = evaluate(ask(EvaluateRequest, values, {"timeout_s": "--timeout"}), console.reporter())
    if not result.first:
        return
    console.show(result, json, _show_clips)
    console.end(result.summary["failed"], result.out / "summary.json")


def _detect(values: dict[str, Any], json: bool) -> None:
    from vidbench.cli.requests import ask
    from vidbench.model.detect_request import EvaluateDetectRequest
    from vidbench.model.evaluate_detect import evaluate_detect

    request = ask(EvaluateDetectRequest, values, {"timeout_s": "--timeout"})
    result = evaluate_detect(request, console.reporter())
    console.show(result, json, _show_boxes)
    console.end(result.summary["failed"], result.out / "summary.json")


def _show_clips(result: EvaluateResult) -> None:
    found = result.summary
    head = [("model", found["model"]), ("views", found["protocol"]["views"]), ("clips", found["evaluated"])]
    head.append(("failed", found["failed"]))
    if found["task"] == "multilabel":
        figures = [
            ("mAP", console.share(found["mean_ap"], 2)),
            ("95 % interval", f"{found['mean_ap_low']:.1%} to {found['mean_ap_high']:.1%}"),
        ]
    else:
        figures = [
            ("top-1", console.share(found["top1"], 2)),
            ("95 % interval", f"{found['top1_low']:.1%} to {found['top1_high']:.1%}"),
            ("top-5", console.share(found["top5"], 2)),
            ("mean class", console.share(found["mean_class_accuracy"], 2)),
        ]
    cells = [*head, *figures]
    console.table(tuple(name for name, _ in cells), [tuple(value for _, value in cells)])
    used = found["protocol"]
    size = f"{used['frames']}x{used['stride']}, short side {used['short_side']}, crop {used['crop']}"
    console.out(f"protocol: {used['rule']} {used['views']}, {size}, resize {used['resize']}, {found['precision']}")
    if found["defence"]:
        console.out(f"defence: {found['defence']}")
    console.out(f"coverage: {found['evaluated']} evaluated / {found['listed']} listed")
    verdict = found["verdict"]
    if verdict["published"] is not None or verdict["causes"]:
        for line in verdict["lines"]:
            console.out(line)
    console.out(f"run: {result.out}")


def _show_boxes(result: EvaluateDetectResult) -> None:
    found = result.summary
    console.table(
        ("model", "mAP", "classes in the mean", "keyframes", "boxes", "failed", "scorer"),
        [
            (
                found["model"],
                console.share(found["mean_ap"], 2),
                found["classes_in_mean"],
                found["evaluated"],
                found["boxes"],
                found["failed"],
                found["scorer"],
            )
        ],
    )
    if found["groups"]:
        rows = [
            (one["group"], f"{one['first']}-{one['last']}", one["classes"], console.share(one["mean_ap"], 2))
            for one in found["groups"]
        ]
        console.table(("group", "ids", "classes in the mean", "mAP"), rows)
    ranked = [one for one in found["per_class"] if one["average_precision"] is not None]
    ranked.sort(key=lambda one: (-one["average_precision"], one["id"]))
    if len(ranked) <= 2 * _SHOWN:
        _show_classes("classes, best first", ranked)
    else:
        _show_classes("best classes", ranked[:_SHOWN])
        _show_classes("worst classes", ranked[-_SHOWN:])
        console.out(f"{len(ranked) - 2 * _SHOWN} more classes: --json, or vidbench report")
    if found["classes_without_truth"]:
        console.out(f"classes without ground truth: {', '.join(map(str, found['classes_without_truth']))}")
    whose = "ground truth" if found["boxes_from"] == "truth" else f"detected, score {found['min_score']:g} or more"
    size = f"{found['frames']}x{found['stride']}, whole frame, short side {found['short_side']}"
    console.out(f"protocol: {size}, boxes of {found['part']}: {whose}, {found['precision']}")
    console.out(f"coverage: {found['evaluated']} evaluated / {found['listed']} listed keyframes")
    for remark in found["remarks"]:
        console.out(f"remark: {remark}")
    console.out(f"run: {result.out}")


def _show_classes(title: str, classes: list[dict[str, Any]]) -> None:
    rows = [
        (one["id"], one["class"], console.share(one["average_precision"], 2), one["positives"], one["detections"])
        for one in classes
    ]
    console.table(("id", "class", "AP", "positives", "detections"), rows, title=title)
