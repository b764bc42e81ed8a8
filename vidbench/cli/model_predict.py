"""`vidbench model predict`: what is seen in videos, clip by clip, or what each person does, second by second."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vidbench.cli import console
from vidbench.cli.complete import complete_model, complete_persons
from vidbench.cli.options import DeviceOpt, JsonOpt, PullOpt, RootOpt, SeedOpt, WeightsOpt

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vidbench.model.predict import PredictResult
    from vidbench.model.predict_result import ActionsResult, Guess, VideoActions, VideoPrediction


_OF_PERSONS = ("persons", "person_weights", "person_score", "person_ids", "first_second", "threshold")


def predict(
    sources: Annotated[
        list[str], typer.Argument(metavar="VIDEO", help="Videos, folders, lists of `path label`, manifests.")
    ],
    model: Annotated[
        str,
        typer.Option(
            "--model", metavar="MODEL", help="As for eval.", show_default=False, autocompletion=complete_model
        ),
    ],
    top: Annotated[int, typer.Option("--top", min=1, help="Classes to name.")] = 5,
    hop: Annotated[
        float | None,
        typer.Option("--hop", metavar="S", help="Seconds between clips; without it they touch. Keyframes: 1."),
    ] = None,
    persons: Annotated[
        str | None,
        typer.Option(
            "--persons",
            metavar="FILE.csv|NAME",
            help="For an action detector: boxes in AVA's format, or a person detector.",
            show_default=False,
            autocompletion=complete_persons,
        ),
    ] = None,
    person_weights: Annotated[
        str | None,
        typer.Option("--person-weights", metavar="pretrained|random|FILE", help="Of the person detector."),
    ] = None,
    person_score: Annotated[
        float | None, typer.Option("--person-score", help="Least score of a person's box; 0.8 without it.")
    ] = None,
    person_ids: Annotated[
        bool, typer.Option("--person-ids", help="The last column of FILE.csv is a person's number, not a score.")
    ] = False,
    first_second: Annotated[
        int | None,
        typer.Option("--first-second", metavar="N", help="What AVA's files call the video's start: 0, or 900."),
    ] = None,
    threshold: Annotated[
        float | None, typer.Option("--threshold", help="Least score of an action in the overlay; 0.3 without it.")
    ] = None,
    crops: Annotated[int, typer.Option("--crops", metavar="1|3", help="Crops of each clip, averaged.")] = 1,
    overlay: Annotated[
        Path | None,
        typer.Option("--overlay", metavar="OUT.mp4|DIR", help="Write the video with what is seen drawn in."),
    ] = None,
    csv: Annotated[
        Path | None, typer.Option("--csv", metavar="FILE", help="Write all clips' classes; actions in AVA's format.")
    ] = None,
    classes: Annotated[
        str | None, typer.Option("--classes", metavar="FILE|TABLE", help="Class names, if not the model's own.")
    ] = None,
    font: Annotated[
        Path | None, typer.Option("--font", metavar="FILE", help="Font of the overlay; for letters beyond ASCII.")
    ] = None,
    weights: WeightsOpt = "pretrained",
    pull: PullOpt = False,
    root: RootOpt = None,
    batch: Annotated[int, typer.Option("--batch", min=1, help="Clips or keyframes per forward pass.")] = 4,
    device: DeviceOpt = "auto",
    seed: SeedOpt = 0,
    json: JsonOpt = False,
) -> None:
    """Name the likeliest classes of every clip of whole videos, of any length and rate.

    With an action detector: what each person does at every keyframe. Without --persons its persons are found by
    fasterrcnn_resnet50_fpn_v2.
    """
    values = dict(locals())
    from vidbench.cli.requests import weights_at_hand
    from vidbench.model.zoo import MODELS

    task = MODELS.get(model).task if model in MODELS else _task_of(model)
    detects = task == "detect"
    _refuse_foreign(model, task, values)
    weights_at_hand(model, weights, pull)
    result = _actions(values) if detects else _classes(values)
    if result.failed:
        from vidbench.errors import FindingsError

        raise FindingsError(f"{result.failed} of {len(result.videos)} videos could not be looked at")


def _task_of(model: str) -> str:
    from vidbench.model.resolve import task_of

    return task_of(model)


def _classes(values: dict[str, Any]) -> PredictResult:
    from vidbench.cli.requests import ask
    from vidbench.model.predict import PredictRequest
    from vidbench.model.predict import predict as look

    request = ask(PredictRequest, values | {"hop_s": values["hop"]}, {"hop_s": "--hop"})
    result = look(request, console.reporter())
    console.show(result, values["json"], _show)
    return result


def _actions(values: dict[str, Any]) -> ActionsResult:
    from vidbench.cli.requests import ask
    from vidbench.model.predict_actions import ActionsRequest, predict_actions

    # what is not given is left to the request's own defaults
    given = {name: value for name, value in values.items() if value is not None}
    if values["hop"] is not None:
        given["hop_s"] = values["hop"]
    result = predict_actions(ask(ActionsRequest, given, {"hop_s": "--hop"}), console.reporter())
    console.show(result, values["json"], _show_actions)
    return result


def _refuse_foreign(model: str, task: str, values: dict[str, Any]) -> None:
    """Options that would have no effect, before anything is loaded."""
    from vidbench.errors import UsageError

    if task == "persons":
        raise UsageError(
            f"{model} finds persons and says nothing of what they do",
            f"Give it to an action detector: --model slowfast_r50_detection --persons {model}",
        )
    if task == "detect":
        if values["crops"] != 1:
            raise UsageError(f"--crops: {model} sees the whole frame")
        return
    for name in _OF_PERSONS:
        if values[name] not in (None, False):
            option = "--" + name.replace("_", "-")
            raise UsageError(
                f"{option} goes with an action detector, and {model} is none", "`vidbench model list` shows them."
            )


def _show_actions(result: ActionsResult) -> None:
    for video in result.videos:
        if video.status != "ok":
            console.out(f"{video.video}: failed: {video.reason}\n")
            continue
        rows = []
        for keyframe in video.keyframes:
            for one in keyframe.persons:
                who = "-" if one.person is None else str(one.person)
                box = " ".join(f"{side:.3f}" for side in one.box)
                rows.append((f"{keyframe.time_s:.2f}", who, box, *_named(one.top)))
        title = _actions_title(video)
        if rows:
            console.table(("time s", "person", "box x1 y1 x2 y2", "action", "score", "next"), rows, title)
        else:
            console.out(f"{title}: no action is looked for")
    if result.csv:
        console.out(f"csv: {console.place(result.csv)}")
    for video in result.videos:
        if video.overlay:
            console.out(f"overlay: {console.place(video.overlay)} (no sound)")
    boxes = result.persons + (f", weights: {result.person_weights}" if result.person_weights else "")
    console.out(f"persons: {boxes}{' - THE BOXES MEAN NOTHING' if result.person_weights == 'random' else ''}")
    what = f"{result.architecture}, weights: {result.weights}"
    console.out(f"{what}{' - THE ACTIONS MEAN NOTHING' if result.weights == 'random' else ''}")


def _actions_title(video: VideoActions) -> str:
    count = len(video.keyframes)
    empty = f", {video.without_persons} of them without persons" if video.without_persons else ""
    return f"{video.video}: {count} keyframes at {video.fps:.6g} fps{empty}"


def _show(result: PredictResult) -> None:
    for video in result.videos:
        if video.status != "ok":
            console.out(f"{video.video}: failed: {video.reason}\n")
            continue
        rows = [(f"{clip.start_s:.2f}", f"{clip.end_s:.2f}", *_named(clip.top)) for clip in video.clips]
        if len(rows) > 1:
            rows.append(("all", "", *_named(video.top)))
        console.table(("start s", "end s", "class", "probability", "next"), rows, _title(video))
    if result.csv:
        console.out(f"csv: {console.place(result.csv)}")
    for video in result.videos:
        if video.overlay:
            console.out(f"overlay: {console.place(video.overlay)} (no sound)")
    what = f"{result.architecture}, weights: {result.weights}"
    console.out(f"{what}{' - THE CLASSES MEAN NOTHING' if result.weights == 'random' else ''}")


def _title(video: VideoPrediction) -> str:
    told = "" if video.truth is None else f", labelled {video.truth_name or video.truth}"
    short = ", shorter than a clip" if video.short else ""
    return f"{video.video}: {video.frames} frames at {video.fps:.6g} fps{told}{short}"


def _named(top: Sequence[Guess]) -> tuple[str, str, str]:
    first, *others = top
    return first.name, f"{first.probability:.1%}", ", ".join(f"{one.name} {one.probability:.1%}" for one in others)
