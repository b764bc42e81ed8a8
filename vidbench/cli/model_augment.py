"""`vidbench model augment`: what training clips look like under each augmentation."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vidbench.cli import console
from vidbench.cli.options import DecoderOpt, JsonOpt, SeedOpt

if TYPE_CHECKING:
    from vidbench.model.augment.preview import PreviewResult


def augment(
    video: Annotated[Path, typer.Argument(metavar="VIDEO", help="Video to take a clip of.", show_default=False)],
    preview: Annotated[
        Path, typer.Option("--preview", metavar="FILE.png", help="Contact sheet to write.", show_default=False)
    ],
    augment: Annotated[
        list[str] | None,
        typer.Option(
            "--augment",
            metavar="SPEC",
            help="As randaugment, erasing:0.25, w4:0.05 or rain:beta=0.7..1; may be repeated; default: all.",
        ),
    ] = None,
    side: Annotated[int, typer.Option("--side", help="Pixels of the square crop that is augmented.")] = 224,
    columns: Annotated[int, typer.Option("--columns", help="Frames of the clip to show, 1 to 16.")] = 4,
    thumbnail: Annotated[int, typer.Option("--thumbnail", help="Pixels of a frame on the sheet.")] = 96,
    decoder: DecoderOpt = "pyav",
    seed: SeedOpt = 0,
    json: JsonOpt = False,
) -> None:
    """Draw a clip of a video under each augmentation: one row each, name and parameters below it."""
    from vidbench.cli.requests import ask

    values = {**locals(), "augment": tuple(augment or ())}
    from vidbench.model.augment.preview import PreviewRequest
    from vidbench.model.augment.preview import preview as draw

    console.show(draw(ask(PreviewRequest, values)), json, _show)


def _show(result: PreviewResult) -> None:
    console.table(
        ("augmentation", "parameters", "probability"),
        [(row.name, row.parameters or "-", f"{row.probability:.3g}") for row in result.rows],
    )
    console.out(f"contact sheet: {result.preview}, {result.width} x {result.height}")
