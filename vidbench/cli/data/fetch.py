"""`vidbench data fetch`: a public source to a folder."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vidbench.cli import console
from vidbench.cli.complete import complete_sources
from vidbench.cli.options import DryRunOpt, JsonOpt

if TYPE_CHECKING:
    from vidbench.data.fetch import FetchResult

SourceArg = Annotated[
    str,
    typer.Argument(
        metavar="SOURCE",
        help="kinetics400, kinetics600, kinetics700, ava, charades, or urls.",
        show_default=False,
        autocompletion=complete_sources,
    ),
]
FileArg = Annotated[
    Path | None, typer.Argument(metavar="[FILE]", help="For urls: lines of `link`, or `link<tab>name`.")
]
FolderOpt = Annotated[Path, typer.Option("--out", metavar="DIR", help="The folder, made when absent.")]
SplitOpt = Annotated[str | None, typer.Option("--split", help="Kinetics: val, train, test. AVA: trainval, train, ...")]
LimitOpt = Annotated[int | None, typer.Option("--limit", min=1, help="At most so many videos.")]
PerClassOpt = Annotated[int | None, typer.Option("--per-class", min=1, help="At most so many of each class.")]
IdsOpt = Annotated[str, typer.Option("--ids", metavar="A,B", help="These videos alone, as --ids=-5KQ66BBWC4.")]
ClassesOpt = Annotated[str, typer.Option("--classes", metavar="A,B", help="Of these classes alone.")]
SampleOpt = Annotated[
    int | None,
    typer.Option("--sample-seed", min=0, help="A sample balanced over the classes, instead of what comes first."),
]
MirrorOpt = Annotated[
    str | None,
    typer.Option(
        "--mirror",
        metavar="URL",
        envvar="VIDBENCH_DATA_MIRROR",
        help="Stands in for scheme and host of every address.",
    ),
]
ViaOpt = Annotated[
    str | None,
    typer.Option("--source", metavar="mirror|youtube", help="One of them alone; without it the mirror, then YouTube."),
]
WhatOpt = Annotated[
    str, typer.Option("--what", metavar="A,B", help="Parts of AVA or Charades, as annotations,frame_lists.")
]
ThreadsOpt = Annotated[int, typer.Option("--workers", min=1, max=64, help="Downloads at a time.")]
RateOpt = Annotated[str | None, typer.Option("--rate", metavar="5M", help="Bytes a second over all downloads.")]
CookiesOpt = Annotated[
    Path | None, typer.Option("--cookies", metavar="FILE", help="Cookies for YouTube, in Netscape's form; only read.")
]
PauseOpt = Annotated[
    float | None, typer.Option("--pause", min=0, help="Seconds between videos of YouTube; without it 12.")
]
YoutubeUrlOpt = Annotated[
    str, typer.Option("--youtube-url", metavar="URL", help="Address of a video, with {id}.", show_default=False)
]
RetryOpt = Annotated[str, typer.Option("--retry-reason", metavar="A,B", help="Which earlier failures are tried again.")]
AttemptsOpt = Annotated[
    int, typer.Option("--attempts", min=1, help="Attempts in a row that may fail before an address is given up.")
]
TimeoutOpt = Annotated[float, typer.Option("--timeout", help="Seconds without an answer that end an attempt.")]


def fetch(
    source: SourceArg,
    out: FolderOpt,
    file: FileArg = None,
    split: SplitOpt = None,
    limit: LimitOpt = None,
    per_class: PerClassOpt = None,
    ids: IdsOpt = "",
    classes: ClassesOpt = "",
    sample_seed: SampleOpt = None,
    mirror: MirrorOpt = None,
    via: ViaOpt = None,
    what: WhatOpt = "",
    workers: ThreadsOpt = 4,
    rate: RateOpt = None,
    cookies: CookiesOpt = None,
    pause_s: PauseOpt = None,
    youtube_url: YoutubeUrlOpt = "https://www.youtube.com/watch?v={id}",
    retry_reasons: RetryOpt = "throttled,network,tool",
    timeout_s: TimeoutOpt = 30.0,
    attempts: AttemptsOpt = 5,
    dry_run: DryRunOpt = False,
    json: JsonOpt = False,
) -> None:
    """Fetch a public set, or any list of links. Running it again goes on; every item has a line with its reason."""
    from vidbench.cli.requests import ask
    from vidbench.data.fetch import FetchRequest
    from vidbench.data.fetch import fetch as service

    result = service(
        ask(FetchRequest, locals(), {"via": "--source", "timeout_s": "--timeout", "pause_s": "--pause"}),
        console.reporter(),
    )
    console.show(result, json, _text)
    console.end(result.failed, result.ledger or out)


def _text(result: FetchResult) -> None:
    from vidbench.ledger import tell_counts

    what = f"{result.source} {result.split}"
    if result.dry_run:
        wanted = "as many items as the source has" if result.wanted is None else f"{result.wanted} items"
        size = "of unknown size" if result.bytes is None else f"{result.bytes / 1e6:.1f} MB to transfer"
        console.out(f"{what}: {wanted}, {result.here} of them here, {size}, {result.free / 1e9:.1f} GB free")
    else:
        size = "" if result.bytes is None else f", {result.bytes / 1e6:.1f} MB"
        console.out(f"{what}: {tell_counts(result.counts)}{size}, in {result.out}")
    for note in result.notes:
        console.out(f"  {note}")
