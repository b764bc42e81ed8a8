"""`vidbench label`: from one's own videos to a set that trains action detectors."""

from __future__ import annotations

import typer

from vidbench.cli.label.detect_track import detect_track

app = typer.Typer(no_args_is_help=True, help="Make AVA-format sets of your own videos.")
app.command("detect-track")(detect_track)
