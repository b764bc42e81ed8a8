"""`vidbench data`: from a public source, or one's own videos, to what a model is measured on."""

from __future__ import annotations

import typer

from vidbench.cli.data.check import check
from vidbench.cli.data.cut import cut
from vidbench.cli.data.fetch import fetch
from vidbench.cli.data.frames import frames
from vidbench.cli.data.lists import csv, list_
from vidbench.cli.data.status import status
from vidbench.cli.data.synthetic import synthetic

app = typer.Typer(no_args_is_help=True, help="Fetch, list, cut and check videos.")
app.command("fetch")(fetch)
app.command("list")(list_)
app.command("csv")(csv)
app.command("cut")(cut)
app.command("frames")(frames)
app.command("check")(check)
app.command("status")(status)
app.command("synthetic")(synthetic)
