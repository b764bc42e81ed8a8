"""`vidbench data`: from a public source, or one's own videos, to what a model is measured on."""

from __future__ import annotations

import typer

from vidbench.cli.data.lists import csv
from vidbench.cli.data.status import status
from vidbench.cli.data.synthetic import synthetic

app = typer.Typer(no_args_is_help=True, help="Fetch, list, cut and check videos.")
app.command("csv")(csv)
app.command("status")(status)
app.command("synthetic")(synthetic)
