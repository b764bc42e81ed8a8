"""`vidbench data`: from lists and videos on disk to what a model is measured on."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vidbench.cli import console
from vidbench.cli.options import JsonOpt, SeedOpt

if TYPE_CHECKING:
    from vidbench.data.listing import BuildCsvResult
    from vidbench.data.synthetic import SyntheticResult

app = typer.Typer(no_args_is_help=True, help="Prepare lists and videos.")


ListArg = Annotated[
    Path, typer.Argument(metavar="LIST", help="Lines of `path label`, as vallist.txt.", show_default=False)
]
OrderSeedOpt = Annotated[int, typer.Option("--seed", min=0, max=2**32 - 1, help="Seed of the order.")]
ShuffleOpt = Annotated[bool, typer.Option("--shuffle/--no-shuffle", help="Change the order of the lines, or keep it.")]
PrefixOpt = Annotated[str, typer.Option("--prefix", help="Put directly before paths that start with ./ and no others.")]
OutDirOpt = Annotated[
    Path | None, typer.Option("--out-dir", metavar="DIR", help="Where to write; without it the list's folder.")
]
NameOpt = Annotated[
    str | None,
    typer.Option("--name", metavar="FILE", help="Write test_256.csv under this name, too; PySlowFast reads test.csv."),
]
FromOpt = Annotated[str, typer.Option("--from", help="What marks the raw videos in a path.")]
ToOpt = Annotated[str, typer.Option("--to", help="What stands in its place in test_256.csv.")]
DataSetOpt = Annotated[Path, typer.Option("--out", metavar="DIR", help="Folder of the data set, made when absent.")]
TrainOpt = Annotated[int, typer.Option("--train-per-class", min=1, help="Training videos of each class.")]
ValOpt = Annotated[int, typer.Option("--val-per-class", min=1, help="Validation videos of each class.")]


@app.command("csv")
def csv(
    source: ListArg,
    seed: OrderSeedOpt = 0,
    shuffle: ShuffleOpt = True,
    prefix: PrefixOpt = ".",
    out_dir: OutDirOpt = None,
    name: NameOpt = None,
    source_part: FromOpt = "/val/",
    target_part: ToOpt = "/val_256/",
    json: JsonOpt = False,
) -> None:
    """Write the shuffled lists that PySlowFast evaluates: test_raw.csv and test_256.csv."""
    from vidbench.cli.requests import ask
    from vidbench.data.listing import BuildCsvRequest, build_csv

    request = ask(BuildCsvRequest, {**locals(), "list": source})
    console.show(build_csv(request, console.reporter()), json, _csv_text)


@app.command("synthetic")
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


def _csv_text(result: BuildCsvResult) -> None:
    order = "the order of the list" if result.seed is None else f"shuffled with seed {result.seed}"
    console.out(f"{result.source}: {result.lines} videos of {result.classes} classes, {order}")
    for path in (result.raw, result.resized, result.named):
        if path is not None:
            console.out(f"wrote {path}: {result.lines} lines")


def _synthetic_text(result: SyntheticResult) -> None:
    console.out(f"{result.out}: {len(result.classes)} classes, {result.bytes / 1e6:.1f} MB")
    for split, path in result.lists.items():
        console.out(f"wrote {path}: {result.videos[split]} videos")
