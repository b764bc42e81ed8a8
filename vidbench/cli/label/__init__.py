"""`vidbench label`: from one's own videos to a set that trains action detectors."""

from __future__ import annotations

import typer

from vidbench.cli.label.check import check, stats
from vidbench.cli.label.detect_track import detect_track
from vidbench.cli.label.exchange import export, import_
from vidbench.cli.label.review import review
from vidbench.cli.label.sets import merge, relabel, split

app = typer.Typer(no_args_is_help=True, help="Make AVA-format sets of your own videos.")
app.command("detect-track")(detect_track)
app.command("review")(review)
app.command("export")(export)
app.command("import")(import_)
app.command("check")(check)
app.command("stats")(stats)
app.command("split")(split)
app.command("merge")(merge)
app.command("relabel")(relabel)
