"""`vidbench label export` and `import`: to training code and other labelling tools, and back."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vidbench.cli import console
from vidbench.cli.label.options import SetArg, VideosOpt
from vidbench.cli.options import DryRunOpt, JobsOpt, JsonOpt
from vidbench.errors import UsageError

if TYPE_CHECKING:
    from vidbench.label.ava_result import ExportAvaResult
    from vidbench.label.bring import ImportResult
    from vidbench.label.export import ExportResult

SHOWN = 10

ExportFormatOpt = Annotated[
    str, typer.Option("--format", metavar="ava|via|mot|coco|csv", help="ava is what training code reads.")
]
ExportOutOpt = Annotated[
    Path | None, typer.Option("--out", metavar="DIR", help="Where to; ava: SET/ava, others: SET-FORMAT beside the set.")
]
FramesOpt = Annotated[bool, typer.Option("--frames/--no-frames", help="ava: extract the frames that are missing.")]
RawOpt = Annotated[
    bool, typer.Option("--rawframes/--no-rawframes", help="ava: MMAction2's names for frames, too; links cost no room.")
]
ShortOpt = Annotated[
    int | None, typer.Option("--short-side", metavar="PIXELS", help="ava: of the frames.", show_default=False)
]
QualityOpt = Annotated[int, typer.Option("--quality", min=1, max=31, help="ava: of the frames, as FFmpeg's -q:v.")]
DenseOpt = Annotated[bool, typer.Option("--dense", help="mot, coco, csv: also boxes between the keyframes.")]
ReplaceOpt = Annotated[bool, typer.Option("--overwrite", help="Replace files that are there.")]
FilesArg = Annotated[
    list[Path], typer.Argument(metavar="FILE", help="Files; of MOT one per video.", show_default=False)
]
ImportFormatOpt = Annotated[
    str, typer.Option("--format", metavar="via|mot|coco|csv", help="What the files are.", show_default=False)
]
ModeOpt = Annotated[
    str,
    typer.Option(
        "--mode",
        metavar="replace|whole|add",
        help="replace: keyframes that the file speaks of become what it says; whole: all; add: new boxes only.",
    ),
]
TicksOpt = Annotated[
    str,
    typer.Option(
        "--unchanged-ticks",
        metavar="refuse|keep|read",
        help="via: ticks left as exported under an option list that was edited since.",
    ),
]
IgnoreOpt = Annotated[
    list[str] | None, typer.Option("--ignore", metavar="NAME", help="via: attribute that is no action; repeatable.")
]


def export(
    set_: SetArg,
    format_: ExportFormatOpt = "ava",
    out: ExportOutOpt = None,
    video: VideosOpt = None,
    frames: FramesOpt = True,
    rawframes: RawOpt = True,
    short_side: ShortOpt = None,
    quality: QualityOpt = 1,
    dense: DenseOpt = False,
    jobs: JobsOpt = 0,
    overwrite: ReplaceOpt = False,
    json: JsonOpt = False,
) -> None:
    """Write a set in AVA's layout for PySlowFast, MMAction2 and PyTorchVideo, or for another labelling tool."""
    if format_ == "ava":
        if video or dense:
            raise UsageError(f"{'--video' if video else '--dense'} does not go with --format ava", "Leave it out.")
        _export_ava({**locals(), "folder": set_}, json)
        return
    if not (rawframes and frames) or short_side is not None or quality != 1:
        raise UsageError("--frames, --rawframes, --short-side and --quality are for --format ava", "Leave them out.")
    from vidbench.cli.requests import ask
    from vidbench.label.export import ExportRequest
    from vidbench.label.export import export as serve

    target = out or set_.with_name(f"{set_.name}-{format_}")
    given = {"set": set_, "format": format_, "out": target, "videos": tuple(video or ()), "dense": dense}
    result = serve(
        ask(ExportRequest, {**given, "overwrite": overwrite}, {"set": "SET", "videos": "--video"}), console.reporter()
    )
    console.show(result, json, _export_text)


def _export_ava(options: dict[str, object], json: bool) -> None:
    from vidbench.cli.requests import ask
    from vidbench.label.export_ava import ExportAvaRequest, export_ava

    result = export_ava(ask(ExportAvaRequest, options, {"folder": "SET"}), console.reporter())
    console.show(result, json, _ava_text)
    console.end(len(result.failed), result.out)


def _ava_text(result: ExportAvaResult) -> None:
    if result.splits:
        console.table(
            ("split", "videos", "keyframes", "persons", "labels", "no action", "untouched", "excluded"),
            [
                (name, one.parts, one.keyframes, one.persons, one.labels, one.negatives, one.untouched, one.excluded)
                for name, one in result.splits.items()
            ],
        )
    console.out(
        f"{result.out}: {result.frames} frames, {result.bytes / 1e6:.1f} MB; {result.made} videos extracted now"
    )
    for failed in result.failed[:SHOWN]:
        console.out(f"failed: {failed.source}: {failed.reason}: {failed.detail}")
    for left in result.left_out[:SHOWN]:
        console.out(f"left out: {left.id}: {left.reason}")
    if len(result.left_out) > SHOWN:
        console.out(f"... and {len(result.left_out) - SHOWN} more")
    for remark in result.remarks:
        console.out(remark)


def _export_text(result: ExportResult) -> None:
    for name in result.files[:SHOWN]:
        console.out(f"wrote {name}")
    if len(result.files) > SHOWN:
        console.out(f"... and {len(result.files) - SHOWN} more")
    pictures = f", {result.pictures} pictures" if result.pictures else ""
    console.out(f"{result.out}: {result.boxes} boxes of {result.videos} videos{pictures}")
    if result.off_track:
        console.out(f"{result.off_track} boxes between keyframes belong to nobody of the set and are left out")
    for note in result.notes:
        console.out(note)


def import_(
    set_: SetArg,
    files: FilesArg,
    format_: ImportFormatOpt,
    video: VideosOpt = None,
    mode: ModeOpt = "replace",
    unchanged_ticks: TicksOpt = "refuse",
    ignore: IgnoreOpt = None,
    dry_run: DryRunOpt = False,
    json: JsonOpt = False,
) -> None:
    """Take labels from VIA, or boxes from MOT, COCO or CSV files, into a set. What was there before is kept aside."""
    from vidbench.cli.requests import ask
    from vidbench.label.bring import ImportRequest, bring

    given = {
        **locals(), "set": set_, "format": format_, "videos": tuple(video or ()), "ignore": tuple(ignore or ()),
    }  # fmt: skip
    result = bring(ask(ImportRequest, given, {"set": "SET", "files": "FILE", "videos": "--video"}), console.reporter())
    console.show(result, json, _import_text)


def _import_text(result: ImportResult) -> None:
    console.table(
        ("video", "keyframes", "boxes", "added", "removed", "changed", "other person"),
        [
            (one.video, one.keyframes, one.rows, one.added, one.removed, one.changed, one.renumbered)
            for one in result.videos
        ],
    )
    for note in result.notes:
        console.out(note)
    if result.dry_run:
        console.out(f"{result.set}: nothing was written")
    elif result.kept is None:
        console.out(f"{result.set}: nothing changed")
    else:
        console.out(f"{result.set}: as it was before: {result.kept}")
