"""`vidbench label check` and `stats`: what three loaders make of a set, and what is in it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vidbench.cli import console
from vidbench.cli.label.options import SetArg
from vidbench.cli.options import JsonOpt
from vidbench.errors import FindingsError

if TYPE_CHECKING:
    from vidbench.label.check import CheckResult
    from vidbench.label.stats import StatsResult

FolderArg = Annotated[
    Path, typer.Argument(metavar="SET|DIR", help="A set, or any folder in AVA's format.", show_default=False)
]
LoaderOpt = Annotated[
    list[str] | None,
    typer.Option("--loader", metavar="pyslowfast|mmaction2|pytorchvideo", help="Think of this one only; repeatable."),
]
FramesOpt = Annotated[bool, typer.Option("--frames/--no-frames", help="Look for the files of frames, too.")]
ShownOpt = Annotated[int, typer.Option("--shown", min=1, help="Places to name of each finding.")]
ScoreOpt = Annotated[float, typer.Option("--score", help="PySlowFast's AVA.DETECTION_SCORE_THRESH.")]
AllActionsOpt = Annotated[bool, typer.Option("--all", help="List also the actions that nobody does.")]


def check(
    folder: FolderArg,
    loader: LoaderOpt = None,
    frames: FramesOpt = True,
    shown: ShownOpt = 5,
    score: ScoreOpt = 0.8,
    json: JsonOpt = False,
) -> None:
    """Say what PySlowFast, MMAction2 and PyTorchVideo would stumble over, by file and line, and what mends it.

    Nothing is changed. Exit code 6 when there are errors.
    """
    from vidbench.cli.requests import ask
    from vidbench.label.check import CheckRequest
    from vidbench.label.check import check as serve

    chosen = {"loaders": tuple(loader)} if loader else {}
    request = ask(CheckRequest, {**locals(), **chosen}, {"folder": "SET", "loaders": "--loader"})
    result = serve(request, console.reporter())
    console.show(result, json, _check_text)
    if not result.ok:
        raise FindingsError(f"{result.count('error')} errors", "Each finding says what mends it.")


def _check_text(result: CheckResult) -> None:
    for one in result.findings:
        of = f" [{', '.join(one.loaders)}]" if one.loaders else ""
        place = one.file if one.line is None else f"{one.file}:{one.line}"
        console.out(f"{one.severity} {one.rule}{of}")
        console.out(f"  {place}: {one.message}")
        for other in one.places[1:]:
            console.out(f"  {one.file if other.line is None else f'{one.file}:{other.line}'}: {other.message}")
        if one.count > max(len(one.places), 1):
            console.out(f"  ... and {one.count - max(len(one.places), 1)} more")
        for effect in one.effects:
            console.out(f"  {effect.loader}: {effect.text}")
        console.out(f"  Fix: {one.fix}")
    for line in result.skipped:
        console.out(f"not checked: {line}")
    if result.passed_over:
        console.out(f"of no known kind: {', '.join(result.passed_over)}")
    looked = ", ".join(f"{number} {what}" for what, number in result.counts.items())
    console.out(f"{result.folder}: looked at {len(result.files)} files: {looked}" if looked else f"{result.folder}")
    told = ", ".join(f"{result.count(severity)} {severity}s" for severity in ("error", "warning", "note"))
    console.out(told if result.findings else f"nothing to mend for {', '.join(result.loaders)}")


def stats(folder: SetArg, every: AllActionsOpt = False, json: JsonOpt = False) -> None:
    """Count persons, boxes, answers and actions of a set, by split."""
    from vidbench.label.stats import StatsRequest
    from vidbench.label.stats import stats as serve

    result = serve(StatsRequest(folder=folder), console.reporter())
    console.show(result, json, lambda found: _stats_text(found, every))


def _stats_text(result: StatsResult, every: bool) -> None:
    rows = [("all", result.whole), *result.splits.items()] if len(result.splits) != 1 else list(result.splits.items())
    console.table(
        ("split", "videos", "minutes", "keyframes", "persons", "boxes", "answered", "no action", "checked", "doubtful",
         "labels"),
        [
            (name, one.videos, f"{one.seconds / 60:.1f}", one.keyframes, one.persons, one.boxes, one.answered,
             one.no_action, one.checked, one.doubtful, one.labels)
            for name, one in rows
        ],
    )  # fmt: skip
    splits = list(result.splits)
    listed = [one for one in result.actions if one.count or every]
    if listed:
        console.table(
            ("id", "action", "group", "labels", *(splits if len(splits) > 1 else ())),
            [
                (one.id, one.name, one.group, one.count,
                 *((one.by_split.get(name, 0) for name in splits) if len(splits) > 1 else ()))
                for one in sorted(listed, key=lambda action: (-action.count, action.id))
            ],
        )  # fmt: skip
    unused = sum(not one.count for one in result.actions)
    spread = result.boxes_per_keyframe
    console.out(
        f"{result.folder}: {spread.mean:.1f} persons per keyframe (most {spread.most:.0f}), boxes "
        f"{result.heights.median:.0f} pixels high, persons at {result.tracks.median:.0f} keyframes (medians)"
    )
    if unused:
        console.out(f"{unused} of {len(result.actions)} actions are done by nobody")
