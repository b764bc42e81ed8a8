"""`vidbench data cut`: spans and smaller copies of videos."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vidbench.cli import console
from vidbench.cli.options import DryRunOpt, JobsOpt, JsonOpt, RootOpt

if TYPE_CHECKING:
    from vidbench.data.cut import CutPlan, CutResult

SHOWN_FAILURES = 10

SourcesArg = Annotated[
    list[Path],
    typer.Argument(metavar="SOURCE...", help="Lists of `path label`, videos, folders.", show_default=False),
]
OutOpt = Annotated[
    Path | None, typer.Option("--out", metavar="DIR", help="Where the cuts go; folders keep their tree below it.")
]
FromOpt = Annotated[float | None, typer.Option("--from", metavar="S", help="Second at which the span begins.")]
ToOpt = Annotated[float | None, typer.Option("--to", metavar="S", help="Second at which it ends.")]
SpansOpt = Annotated[
    str | None,
    typer.Option(
        "--spans",
        metavar="ava|FILE",
        help="ava: seconds 900 to 1801. FILE: csv of `video,start,end[,name]`, or Kinetics' annotations.",
    ),
]
ShortSideOpt = Annotated[
    int | None, typer.Option("--short-side", metavar="N", help="Scale the shorter side to N pixels.")
]
FpsOpt = Annotated[
    str | None, typer.Option("--fps", metavar="F", help="Constant frame rate, as 30 or 30000/1001; else times stay.")
]
ModeOpt = Annotated[
    str,
    typer.Option(
        "--mode", metavar="exact|smart", help="exact encodes every frame; smart copies whole groups of pictures."
    ),
]
EngineOpt = Annotated[
    str, typer.Option("--engine", metavar="pyav|ffmpeg", help="What encodes; the frames are the same.")
]
ReplaceOpt = Annotated[
    tuple[str, str] | None,
    typer.Option("--replace", metavar="OLD NEW", help="Make a second tree: OLD in each path becomes NEW."),
]
CrfOpt = Annotated[int, typer.Option("--crf", help="Quality of H.264, 0 (lossless) to 51.")]
PresetOpt = Annotated[str, typer.Option("--preset", help="Speed of x264, ultrafast to veryslow.")]
AudioOpt = Annotated[bool, typer.Option("--audio/--no-audio", help="Copy the sound, or leave it out.")]
ReplaceFilesOpt = Annotated[
    bool, typer.Option("--overwrite", help="Replace files that other settings or other programs made.")
]


def cut(
    sources: SourcesArg,
    out: OutOpt = None,
    start_s: FromOpt = None,
    end_s: ToOpt = None,
    spans: SpansOpt = None,
    short_side: ShortSideOpt = None,
    fps: FpsOpt = None,
    mode: ModeOpt = "exact",
    engine: EngineOpt = "pyav",
    replace: ReplaceOpt = None,
    crf: CrfOpt = 18,
    preset: PresetOpt = "fast",
    audio: AudioOpt = False,
    jobs: JobsOpt = 0,
    root: RootOpt = None,
    overwrite: ReplaceFilesOpt = False,
    dry_run: DryRunOpt = False,
    json: JsonOpt = False,
) -> None:
    """Cut spans out of videos, or make smaller copies of a whole tree. Running it again resumes."""
    from vidbench.cli.requests import ask
    from vidbench.data.cut import CutRequest, cut_videos, plan_cuts

    request = ask(CutRequest, locals())
    if dry_run:
        console.show(plan_cuts(request), json, _plan_text)
        return
    result = cut_videos(request, console.reporter())
    console.show(result, json, _text)
    console.end(result.failed, result.ledger)


def _plan_text(plan: CutPlan) -> None:
    console.out(
        f"{plan.cuts} cuts of {plan.videos} videos to {console.place(plan.out)}, {plan.there} of them there already"
    )
    if plan.seconds:
        console.out(f"{console.duration(plan.seconds)} to write where the videos are long enough")
    if plan.open_ended:
        console.out(f"{plan.open_ended} cuts go to the end of their video")
    _spans_text(plan)
    console.out(f"{plan.free_bytes / 1e9:.1f} GB are free")


def _text(result: CutResult) -> None:
    from vidbench.ledger import tell_counts

    console.out(
        f"{console.place(result.out)}: {result.cuts} cuts of {result.videos} videos: {tell_counts(result.counts)}"
    )
    modes = ", ".join(f"{number} {mode}" for mode, number in result.modes.items())
    if modes:
        length = console.duration(result.seconds)
        console.out(f"{modes}; {result.frames} frames, {length}, {result.bytes / 1e6:.1f} MB")
    for why, number in result.fallbacks.items():
        console.out(f"exact, not smart: {number}: {why}")
    _spans_text(result)
    for failure in result.failures[:SHOWN_FAILURES]:
        console.out(f"{failure.reason}: {failure.name}: {failure.detail}")
    if len(result.failures) > SHOWN_FAILURES:
        console.out(f"... and {len(result.failures) - SHOWN_FAILURES} more that failed")
    console.out(f"ledger: {console.place(result.ledger)}")


def _spans_text(found: CutPlan | CutResult) -> None:
    if found.unmatched:
        console.out(f"spans that name none of the videos: {found.unmatched}")
    if found.idle:
        console.out(f"videos without a span: {found.idle}")
