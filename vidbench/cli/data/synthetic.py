"""`vidbench data synthetic`: the built-in data set."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vidbench.cli import console
from vidbench.cli.options import JsonOpt, SeedOpt

if TYPE_CHECKING:
    from vidbench.data.synthetic import SyntheticResult

DataSetOpt = Annotated[Path, typer.Option("--out", metavar="DIR", help="Folder of the data set, made when absent.")]
TrainOpt = Annotated[int, typer.Option("--train-per-class", min=1, help="Training videos of each class.")]
ValOpt = Annotated[int, typer.Option("--val-per-class", min=1, help="Validation videos of each class.")]


def synthetic(
    out: DataSetOpt,
    train_per_class: TrainOpt = 40,
    val_per_class: ValOpt = 10,
    seed: SeedOpt = 0,
    json: JsonOpt = False,
) -> None:
    """Render the built-in data set: videos of motions that only time tells apart, and their lists."""
    from vidbench.cli.requests import ask
    from vidbench.data.synthetic import SyntheticRequest, render

    request = ask(SyntheticRequest, locals())
    console.show(render(request, console.reporter()), json, _synthetic_text)


def _synthetic_text(result: SyntheticResult) -> None:
    console.out(f"{result.out}: {len(result.classes)} classes, {result.bytes / 1e6:.1f} MB")
    for split, path in result.lists.items():
        console.out(f"wrote {path}: {result.videos[split]} videos")
