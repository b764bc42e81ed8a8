"""`vidbench data check`: what every video is, before anything is measured on it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vidbench.cli import console
from vidbench.cli.options import JobsOpt, JsonOpt, RootOpt
from vidbench.errors import FindingsError, UsageError

if TYPE_CHECKING:
    from vidbench.data.check import CheckResult, Finding, MatrixResult
    from vidbench.data.layout import LayoutResult

SHOWN = 20

SourceArg = Annotated[
    Path | None, typer.Argument(metavar="LIST|DIR|MANIFEST", help="What to check.", show_default=False)
]
LevelOpt = Annotated[
    str | None,
    typer.Option(
        "--level",
        metavar="quick|sampled|full",
        help="quick reads the container, sampled decodes at keyframes, full decodes all. Without it full.",
    ),
]
DecoderOpt = Annotated[
    str | None,
    typer.Option("--decoder", metavar="pyav|torchcodec|decord", help="What has to return every frame, besides PyAV."),
]
MinOpt = Annotated[
    float | None, typer.Option("--min-duration", metavar="S", help="Seconds below which a video is short.")
]
TimeoutOpt = Annotated[float, typer.Option("--timeout", metavar="S", help="Seconds that one video may take.")]
ManifestOpt = Annotated[
    Path | None, typer.Option("--manifest", metavar="FILE.jsonl", help="Write the frozen manifest.")
]
CleanOpt = Annotated[Path | None, typer.Option("--clean", metavar="FILE", help="Write the list of the usable lines.")]
RepairOpt = Annotated[
    Path | None, typer.Option("--repair", metavar="DIR", help="Write repaired copies of truncated and corrupt videos.")
]
LayoutOpt = Annotated[
    str | None,
    typer.Option("--layout", metavar="ava|charades|kinetics", help="Check a data folder against its loaders instead."),
]
MatrixOpt = Annotated[
    bool, typer.Option("--matrix", help="Count the frames that each decoder returns of each codec instead.")
]
ReplaceOpt = Annotated[bool, typer.Option("--overwrite", help="Replace a manifest or list that would change.")]


def check(
    source: SourceArg = None,
    level: LevelOpt = None,
    decoder: DecoderOpt = None,
    min_duration: MinOpt = None,
    jobs: JobsOpt = 0,
    timeout: TimeoutOpt = 600,
    root: RootOpt = None,
    manifest: ManifestOpt = None,
    clean: CleanOpt = None,
    repair: RepairOpt = None,
    layout: LayoutOpt = None,
    matrix: MatrixOpt = False,
    overwrite: ReplaceOpt = False,
    json: JsonOpt = False,
) -> None:
    """Tell ok, broken, short and double videos apart, and freeze what was found. Running it again goes on."""
    values = dict(locals())
    if matrix:
        _alone(values, "matrix")
        return _matrix(json)
    if source is None:
        raise UsageError("no LIST or DIR", "Name what to check, or --matrix.")
    if layout:
        _alone(values, "layout", "source")
        return _layout(source, layout, json)
    return _videos(values, json)


def _alone(values: dict[str, Any], *chosen: str) -> None:
    """Refuse options that have no meaning beside `--matrix` or `--layout`."""
    usual = {"jobs": 0, "timeout": 600, "overwrite": False, "matrix": False}
    wrong = [
        name
        for name, value in values.items()
        if name not in (*chosen, "json") and value is not None and value != usual.get(name)
    ]
    if wrong:
        told = "SOURCE" if wrong[0] == "source" else "--" + wrong[0].replace("_", "-")
        raise UsageError(f"--{chosen[0]} does not go with {told}", "Run them as two commands.")


def _matrix(json: bool) -> None:
    from vidbench.data.check import codec_matrix

    console.show(codec_matrix(console.reporter()), json, _matrix_text)


def _matrix_text(result: MatrixResult) -> None:
    names = list(next(iter(result.rows.values())))
    console.table(("codec", *names), [(codec, *cells.values()) for codec, cells in result.rows.items()])


def _layout(source: Path, layout: str, json: bool) -> None:
    from vidbench.cli.requests import ask
    from vidbench.data.layout import LayoutRequest, check_layout

    result = check_layout(ask(LayoutRequest, {"folder": source, "layout": layout}), console.reporter())
    console.show(result, json, _layout_text)
    if result.findings:
        number = len(result.findings)
        raise FindingsError(f"{source}: {number} finding{'s' * (number > 1)}", "Each says what mends it.")


def _layout_text(result: LayoutResult) -> None:
    counts = ", ".join(f"{number} {what}" for what, number in result.counts.items() if number)
    console.out(f"{result.folder}: {result.layout}, {counts or 'nothing of it is there'}")
    if not result.findings:
        console.out("no finding")
    for finding in result.findings:
        more = f" ({finding.more} more like it)" if finding.more else ""
        console.out(f"{finding.place}: {finding.problem}{more}")
        console.out(f"  fails: {', '.join(finding.fails)}. {finding.remedy}")


def _videos(values: dict[str, Any], json: bool) -> None:
    from vidbench.cli.requests import ask
    from vidbench.data.check import CheckRequest
    from vidbench.data.check import check as service

    result = service(ask(CheckRequest, values), console.reporter())
    console.show(result, json, _text, _document)
    if result.bad:
        bad = [finding.kind for finding in (result.changed if result.verified else result.findings)]
        counts = result.counts if not result.verified else {"changed": len(bad)}
        told = ", ".join(f"{n} {kind}" for kind, n in counts.items() if kind not in ("ok", "short", "vfr"))
        raise FindingsError(f"{told}: {_coverage(result)}", f"The reasons are in {result.records}.")


def _coverage(result: CheckResult) -> str:
    return f"{result.usable} of {result.listed} usable"


def _document(result: CheckResult) -> object:
    return {**console.jsonable(result), "bad": result.bad, "coverage": _coverage(result)}


def _text(result: CheckResult) -> None:
    others = f", {result.others} other files" if result.others else ""
    console.out(f"{result.source}: {result.listed} videos{others}, level {result.level}, decoder {result.decoder}")
    console.out(", ".join(f"{number} {kind}" for kind, number in result.counts.items()))
    if result.verified:
        _listing(result.changed, lambda one: f"changed: {_name(one)}: {one.detail}")
        console.out(f"{len(result.changed)} of {result.listed} changed since the manifest was written")
    else:
        _listing(result.findings, lambda one: f"{one.kind}: {_name(one)}: {one.detail}")
    console.out(_coverage(result))
    for path in (result.manifest, result.clean):
        if path is not None:
            console.out(f"wrote {path}")
    for one in result.repaired or ():
        console.out(f"{one.path if one.path.isprintable() else repr(one.path)}: {one.detail}")
    console.out(f"records: {result.records}")


def _listing(found: tuple[Finding, ...], line: Callable[[Finding], str]) -> None:
    for one in found[:SHOWN]:
        console.out(line(one))
    if len(found) > SHOWN:
        console.out(f"... and {len(found) - SHOWN} more")


def _name(one: Finding) -> str:
    # a name may hold a line end
    name = one.path if one.path.isprintable() else repr(one.path)
    return name if one.line is None else f"{name} (line {one.line})"
