"""The `weights` commands: published weights, here or to be brought here."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vidbench.cli import console
from vidbench.cli.options import JsonOpt

if TYPE_CHECKING:
    from vidbench.model.convert import Exported, Imported
    from vidbench.model.start_import import StartImported
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
        Path | None,
        typer.Option("--out", metavar="FILE", help="Write safetensors here, not into the cache; a start's folder."),
    ] = None,
    layout: Annotated[
        str,
        typer.Option("--layout", metavar="START", help="A published start of r2plus1d_18, as moco, ctp, tclr or gdt."),
    ] = "",
    task: Annotated[
        str,
        typer.Option("--task", metavar="recognition|ava|charades", help="What the start is for: decides its input."),
    ] = "recognition",
    leave: Annotated[
        list[str] | None,
        typer.Option("--leave", metavar="FRONT", help="Tensors of a start to leave out, by the front of their names."),
    ] = None,
    inflate: Annotated[bool, typer.Option("--inflate", help="Repeat 2D convolutions over time where needed.")] = False,
    other_sampling: Annotated[
        bool, typer.Option("--other-sampling", help="Take weights trained with other frames or stride.")
    ] = False,
    json: JsonOpt = False,
) -> None:
    """Map a file of weights to a model's names, check every tensor, and keep it as that model's weights.

    With --layout the file is a published start of training, self-supervised mostly: it becomes a model folder for
    `model finetune --init`, with the input and the layers that the start was trained with.
    """
    from vidbench.cli.requests import ask
    from vidbench.errors import UsageError

    if layout:
        if inflate or other_sampling:
            raise UsageError("--inflate and --other-sampling do not go with --layout")
        if out is None:
            raise UsageError("--layout needs --out FOLDER", "A start is a model of its own, beside the catalogue's.")
        from vidbench.model import start_import

        start = ask(
            start_import.StartImportRequest,
            {"file": file, "layout": layout, "out": out, "model": model, "task": task, "leave": tuple(leave or ())},
        )
        console.show(start_import.import_start(start), json, _print_start)
        return
    if leave or task != "recognition":
        raise UsageError("--task and --leave go with --layout", "It names the published start that the file is.")
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


def _print_start(result: StartImported) -> None:
    console.out(
        f"{result.layout}: {result.loaded} tensors for {result.name}, {len(result.left_over)} left over, "
        f"sha256 {result.sha256[:12]}, {result.path}"
    )
    size, variant = result.preprocess, result.variant
    console.out(
        f"input for {result.task}: {size.frames} frames x {size.stride} at {size.target_fps} per second, "
        f"{size.crop} px, mean {_numbers(size.mean)}, std {_numbers(size.std)}"
    )
    if variant.bn_eps is not None:
        console.remark(f"note: batch normalisation has epsilon {variant.bn_eps:g}")
    if variant.layers:
        console.remark(f"note: layers of {variant.layers}")
    if not variant.head:
        console.remark("note: without a head; `vidbench model finetune --init` gives it a fresh one")
    if result.left_over:
        fronts = sorted({_front(name) for name in result.left_over})
        console.remark(f"note: left over: {', '.join(f'{front}*' for front in fronts)}")
    if result.counters:
        console.remark(f"note: {len(result.counters)} counters of batches are not in the file and begin at zero")
    for remark in result.remarks:
        console.remark(f"note: {remark}")


def _front(name: str) -> str:
    """The first parts of a name, up to the one that tells what it belongs to."""
    parts = name.split(".")
    return ".".join(parts[: 2 if parts[0] in ("module", "encoder_q") else 1])


def _numbers(values: tuple[float, ...]) -> str:
    return "/".join(f"{value:g}" for value in values)


def _print_exported(result: Exported) -> None:
    console.out(f"{result.name}: {result.tensors} tensors for {result.to}, sha256 {result.sha256[:12]}, {result.path}")
