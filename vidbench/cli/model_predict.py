"""`vidbench model predict`: what is seen in videos, clip by clip."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vidbench.cli import console
from vidbench.cli.complete import complete_model
from vidbench.cli.options import DeviceOpt, JsonOpt, PullOpt, RootOpt, SeedOpt, WeightsOpt

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vidbench.model.predict import Guess, PredictResult, VideoPrediction


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
        float | None, typer.Option("--hop", metavar="S", help="Seconds between clips; without it they touch.")
    ] = None,
    crops: Annotated[int, typer.Option("--crops", metavar="1|3", help="Crops of each clip, averaged.")] = 1,
    overlay: Annotated[
        Path | None, typer.Option("--overlay", metavar="OUT.mp4|DIR", help="Write the video with its classes drawn in.")
    ] = None,
    csv: Annotated[Path | None, typer.Option("--csv", metavar="FILE", help="Write all clips' classes.")] = None,
    classes: Annotated[
        str | None, typer.Option("--classes", metavar="FILE|TABLE", help="Class names, if not the model's own.")
    ] = None,
    font: Annotated[
        Path | None, typer.Option("--font", metavar="FILE", help="Font of the overlay; for letters beyond ASCII.")
    ] = None,
    weights: WeightsOpt = "pretrained",
    pull: PullOpt = False,
    root: RootOpt = None,
    batch: Annotated[int, typer.Option("--batch", min=1, help="Clips per forward pass.")] = 4,
    device: DeviceOpt = "auto",
    seed: SeedOpt = 0,
    json: JsonOpt = False,
) -> None:
    """Name the likeliest classes of every clip of whole videos, of any length and rate."""
    from vidbench.cli.requests import ask, weights_at_hand

    values = dict(locals())
    weights_at_hand(model, weights, pull)
    from vidbench.errors import FindingsError
    from vidbench.model.predict import PredictRequest
    from vidbench.model.predict import predict as look

    spelled = {"hop_s": "--hop"}
    result = look(ask(PredictRequest, values | {"hop_s": hop}, spelled), console.reporter())
    console.show(result, json, _show)
    if result.failed:
        raise FindingsError(f"{result.failed} of {len(result.videos)} videos could not be looked at")


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
