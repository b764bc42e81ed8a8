"""The `weights` commands: published weights, here or to be brought here."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vidbench.cli import console
from vidbench.cli.options import JsonOpt

if TYPE_CHECKING:
    from vidbench.model.convert import Exported, Imported
    from vidbench.model.weights import PullResult, VerifyResult, WeightsRow

app = typer.Typer(no_args_is_help=True, help="Weights: list, pull, path, verify, import, export.")

NamesArg = Annotated[
    list[str], typer.Argument(metavar="NAME[@TAG]...", help="Catalogue models, as x3d_m or x3d_m@pyslowfast.")
]


@app.command("list")
def list_(json: JsonOpt = False) -> None:
    """List the published weights, every file of every model, and where each is on this machine."""
    from vidbench.model.weights import listing

    console.show(listing(), json, _print_rows)


@app.command()
def pull(
    names: NamesArg,
    mirror: Annotated[
        str | None,
        typer.Option("--mirror", metavar="URL", help="Take URL/<file> instead of the published address."),
    ] = None,
    file: Annotated[
        Path | None, typer.Option("--from", metavar="FILE", help="Copy a local file instead of downloading.")
    ] = None,
    json: JsonOpt = False,
) -> None:
    """Download published weights into the cache. Running it again resumes; what is here is left alone."""
    from vidbench.model import weights

    request = weights.PullRequest(names=tuple(names), mirror=mirror, file=file)
    console.show(weights.pull(request, console.reporter()), json, _print_pulled)


@app.command()
def path(
    name: Annotated[str, typer.Argument(metavar="NAME[@TAG]", help="A catalogue model, as x3d_m or x3d_m@pyslowfast.")],
    json: JsonOpt = False,
) -> None:
    """Print where a model's weights are; exit code 4 where they are not here."""
    from vidbench.model.weights import parse_name, require

    card, tag = parse_name(name)
    found = require(card, tag=tag)
    console.show({"name": name, "path": found}, json, lambda _: console.out(str(found)))


@app.command()
def verify(
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="[NAME[@TAG]...]", help="Catalogue models; without any, all that are here."),
    ] = None,
    json: JsonOpt = False,
) -> None:
    """Hash weights again and compare with what was recorded; exit code 6 where one is changed or missing."""
    from vidbench.errors import FindingsError
    from vidbench.model import weights

    result = weights.verify(tuple(names or ()))
    console.show(result, json, _print_verified)
    if result.failed:
        raise FindingsError(
            f"{result.failed} of {len(result.weights)} files of weights are changed or missing",
            "`vidbench weights pull NAME` brings them again.",
        )


@app.command("import")
def import_(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="Of PySlowFast, pytorchvideo, torchvision, timm or Caffe2.")
    ],
    model: Annotated[str, typer.Option("--model", metavar="NAME", help="The catalogue model that it is for.")],
    out: Annotated[
        Path | None, typer.Option("--out", metavar="FILE", help="Write safetensors here, not into the cache.")
    ] = None,
    inflate: Annotated[bool, typer.Option("--inflate", help="Repeat 2D convolutions over time where needed.")] = False,
    other_sampling: Annotated[
        bool, typer.Option("--other-sampling", help="Take weights trained with other frames or stride.")
    ] = False,
    json: JsonOpt = False,
) -> None:
    """Map a file of weights to a model's names, check every tensor, and keep it as that model's weights."""
    from vidbench.model import convert

    request = convert.ImportRequest(file=file, model=model, out=out, inflate=inflate, other_sampling=other_sampling)
    console.show(convert.import_weights(request, console.reporter()), json, _print_imported)


@app.command()
def export(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A catalogue model, or a run folder of finetune.")],
    to: Annotated[str, typer.Option("--to", help="pyslowfast, pytorchvideo, torchvision, timm or safetensors.")],
    out: Annotated[Path, typer.Option("--out", metavar="FILE", help="The file to write.")],
    weights: Annotated[str, typer.Option("--weights", help="pretrained, random or a file.")] = "pretrained",
    json: JsonOpt = False,
) -> None:
    """Write a model's weights under the names that another program gives them."""
    from vidbench.cli.requests import ask, weights_at_hand

    weights_at_hand(name, weights, pull=False)
    from vidbench.model import convert

    request = ask(convert.ExportRequest, {"model": name, "to": to, "out": out, "weights": weights})
    console.show(convert.export_weights(request), json, _print_exported)


def _print_rows(rows: tuple[WeightsRow, ...]) -> None:
    # names are for copying, so no column may fold them: the rest is in the JSON and in `model show`
    console.table(
        ("name", "where", "size", "figure (views)", "protocol", "set"),
        (
            (
                row.name,
                row.where,
                "-" if row.size is None else f"{row.size / 1e6:.1f} MB",
                _figure(row),
                row.protocol or "-",
                row.data,
            )
            for row in rows
        ),
    )


def _figure(row: WeightsRow) -> str:
    views = f" ({row.views})" if row.views else ""
    if row.mean_ap is not None:
        return f"mAP {row.mean_ap:.2f}{views}"
    return "-" if row.top1 is None else f"{row.top1:.2f}{views}"


def _print_pulled(result: PullResult) -> None:
    for item in result.weights:
        console.out(f"{item.name}: {item.action}, {item.size / 1e6:.1f} MB, sha256 {item.sha256[:12]}, {item.path}")


def _print_verified(result: VerifyResult) -> None:
    for item in result.weights:
        where = item.path if item.path is not None else "not here"
        console.out(f"{item.name}: {item.status}, sha256 {(item.sha256 or '-')[:12]}, {where}")
    if not result.weights:
        console.out("no weights are here")


def _print_imported(result: Imported) -> None:
    whose = result.dialect or "unknown, unchanged"
    console.out(
        f"{result.name}: {result.taken} of {result.taken + len(result.ignored)} tensors mapped (names: {whose}), "
        f"{result.loaded} of {result.loaded} of the network, sha256 {result.sha256[:12]}, {result.path}"
    )
    for remark in result.remarks:
        console.remark(f"note: {remark}")
    if result.inflated:
        console.remark(f"note: {len(result.inflated)} 2D convolutions were inflated")
    if result.ignored:
        console.remark(f"note: {len(result.ignored)} tensors are no weights: {', '.join(result.ignored[:5])}")


def _print_exported(result: Exported) -> None:
    console.out(f"{result.name}: {result.tensors} tensors for {result.to}, sha256 {result.sha256[:12]}, {result.path}")
