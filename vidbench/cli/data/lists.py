"""`vidbench data csv`: lists for the programs that read them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vidbench.cli import console
from vidbench.cli.options import JsonOpt

if TYPE_CHECKING:
    from vidbench.data.listing import BuildCsvResult

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


def _csv_text(result: BuildCsvResult) -> None:
    order = "the order of the list" if result.seed is None else f"shuffled with seed {result.seed}"
    console.out(f"{result.source}: {result.lines} videos of {result.classes} classes, {order}")
    for path in (result.raw, result.resized, result.named):
        if path is not None:
            console.out(f"wrote {path}: {result.lines} lines")
