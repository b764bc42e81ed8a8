"""`vidbench report`: one HTML page about finished runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vidbench.cli import console
from vidbench.cli.options import JsonOpt


def report(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN...", help="Run folders, in the order to show them.")],
    out: Annotated[Path, typer.Option("--out", metavar="FILE", help="The page to write.")] = Path("report.html"),
    title: Annotated[str, typer.Option("--title", help="Its title; made from the models' names without this.")] = "",
    json: JsonOpt = False,
) -> None:
    """Write one self-contained HTML page about evaluations, trainings, attacks and verdicts.

    It is made from the run folders alone, needs no network and holds no script.
    """
    from vidbench.report.markup import plural
    from vidbench.report.page import ReportRequest, write_report

    result = write_report(ReportRequest(runs=tuple(runs), out=out, title=title), console.reporter())
    console.show(
        result,
        json,
        lambda page: console.out(f"{page.out}: {plural(len(page.runs), 'run')}, {page.bytes / 1000:.0f} kB"),
    )
