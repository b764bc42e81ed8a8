"""`vidbench model table`: runs in a benchmark's table."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vidbench.cli import console
from vidbench.cli.options import JsonOpt

if TYPE_CHECKING:
    from vidbench.model.table import Table


def table(
    runs: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="RUN...",
            help="Run folders of `model finetune`, or of `model eval` of what that trained; NAME=RUN says the column.",
        ),
    ] = None,
    columns: Annotated[
        str, typer.Option("--columns", metavar="NAME,...|all", help="Further columns of the published figures.")
    ] = "",
    format_: Annotated[str, typer.Option("--format", metavar="text|md|csv", help="Of the table.")] = "text",
    out: Annotated[
        Path | None, typer.Option("--out", metavar="FILE", help="Write it there, as Markdown or csv.")
    ] = None,
    json: JsonOpt = False,
) -> None:
    """Print fine-tuned runs beside the published figures of the SEVERE benchmark, a row for each start."""
    from vidbench.model.table import collect, render
    from vidbench.runs import write_text_atomic

    found = collect(runs or [], columns)
    if out is not None:
        write_text_atomic(out, render(found, "md" if format_ == "text" else format_))
        console.show(found, json, lambda _: console.out(f"{out}: {len(found.rows)} rows"))
    elif format_ == "text":
        console.show(found, json, _show)
    else:
        text = render(found, format_)
        console.show(found, json, lambda _: console.out(text.rstrip("\n")))


def _show(found: Table) -> None:
    from vidbench.model.table import heading, lines

    console.table(heading(found), lines(found), found.title)
    for note in found.notes:
        console.out(note)
