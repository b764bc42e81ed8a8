"""`vidbench data frames`: videos to folders of JPEG frames."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vidbench.cli import console
from vidbench.cli.options import DryRunOpt, JobsOpt, JsonOpt, RootOpt

if TYPE_CHECKING:
    from vidbench.data.frames import FramesResult

SourcesArg = Annotated[
    list[Path],
    typer.Argument(metavar="SOURCE", help="Videos, folders of videos, or lists.", show_default=False),
]
FramesOutOpt = Annotated[
    Path, typer.Option("--out", metavar="DIR", help="Folder of the frames; a folder per video.", show_default=False)
]
FpsOpt = Annotated[
    str, typer.Option("--fps", metavar="N|N/M|source", help="Frames a second; source keeps every frame.")
]
FromOpt = Annotated[
    float | None, typer.Option("--from", metavar="S", help="Where to begin, in seconds; AVA: 900.", show_default=False)
]
ToOpt = Annotated[
    float | None, typer.Option("--to", metavar="S", help="Where to end, not included; AVA: 1801.", show_default=False)
]
ShortSideOpt = Annotated[
    int | None,
    typer.Option("--short-side", metavar="PIXELS", help="Scale the shorter side to this.", show_default=False),
]
QualityOpt = Annotated[
    int, typer.Option("--quality", help="As FFmpeg's -q:v, 1 (best) to 31; FFmpeg takes 1 as 2, and so it is here.")
]
LayoutOpt = Annotated[
    str, typer.Option("--layout", metavar="ava|mmaction2", help="ID/ID_000001.jpg, or ID/img_00001.jpg.")
]
FrameListOpt = Annotated[
    Path | None, typer.Option("--list", metavar="FILE", help="Write PySlowFast's frame list here.", show_default=False)
]
FramesOverwriteOpt = Annotated[
    bool, typer.Option("--overwrite", help="Replace frames of other settings, and folders made by something else.")
]


def frames(
    sources: SourcesArg,
    out: FramesOutOpt,
    fps: FpsOpt = "30",
    from_s: FromOpt = None,
    to_s: ToOpt = None,
    short_side: ShortSideOpt = None,
    quality: QualityOpt = 1,
    layout: LayoutOpt = "ava",
    frame_list: FrameListOpt = None,
    jobs: JobsOpt = 0,
    root: RootOpt = None,
    overwrite: FramesOverwriteOpt = False,
    dry_run: DryRunOpt = False,
    json: JsonOpt = False,
) -> None:
    """Extract JPEG frames at a steady rate; --from and --to cut in the same pass. Running it again resumes."""
    from vidbench.cli.requests import ask
    from vidbench.data.frames import FramesRequest, extract_frames

    options = {"from_s": "--from", "to_s": "--to", "frame_list": "--list", "sources": "SOURCE"}
    result = extract_frames(ask(FramesRequest, locals(), options), console.reporter())
    console.show(result, json, _text)
    console.end(0 if dry_run else len(result.failed), result.ledger)


def _text(result: FramesResult) -> None:
    from vidbench.ledger import tell_counts

    if result.dry_run:
        console.out(f"{result.out}: would extract {result.made} of {result.videos} videos")
        return
    console.out(f"{result.out}: {result.videos} videos: {tell_counts(dict(result.counts))}")
    console.out(f"{result.frames} frames, {result.bytes / 1e6:.1f} MB; {result.made} videos extracted now")
    for video in result.failed[:10]:
        console.out(f"{video.source}: {video.reason}: {video.detail}")
    if len(result.failed) > 10:
        console.out(f"... and {len(result.failed) - 10} more")
    if result.frame_list is not None:
        console.out(f"wrote {result.frame_list}: {result.frames} frames of {result.videos - len(result.failed)} videos")
