"""`vidbench attack`: list and run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vidbench.cli import console
from vidbench.cli.complete import complete_attack, complete_model
from vidbench.cli.options import (
    DecoderOpt,
    DeviceOpt,
    JsonOpt,
    OutOpt,
    OverwriteOpt,
    PullOpt,
    RootOpt,
    SeedOpt,
    WeightsOpt,
    WorkersOpt,
)
from vidbench.errors import UsageError

if TYPE_CHECKING:
    from vidbench.attack.run import AttackResult

app = typer.Typer(no_args_is_help=True, help="Adversarial attacks on clips, and what they leave of a model's accuracy.")


@app.command("list")
def list_(json: JsonOpt = False) -> None:
    """Show the attacks, their norms, their settings and the engines that have them."""
    from vidbench.attack.methods import describe_all

    def text(rows: list[dict[str, object]]) -> None:
        columns = ("attack", "summary", "norms", "settings", "engines", "source")
        console.table(columns, [tuple(str(row[column]) for column in columns) for row in rows])

    console.show(describe_all(), json, text)


@app.command()
def run(
    model: Annotated[
        str,
        typer.Option(
            "--model", metavar="MODEL", help="Catalogue name, run folder or file.", autocompletion=complete_model
        ),
    ],
    attack: Annotated[
        str, typer.Option("--attack", metavar="NAME", help="The attack.", autocompletion=complete_attack)
    ] = "pgd",
    data: Annotated[
        Path | None,
        typer.Option("--data", metavar="LIST", help="Lines of `path label`; without it the built-in clips."),
    ] = None,
    eps: Annotated[
        str | None,
        typer.Option("--eps", metavar="EPS[,EPS...]", help="Radii in units of the pixel range; 8/255 by default."),
    ] = None,
    norm: Annotated[
        str, typer.Option("--norm", metavar="linf|l2", help="Of the perturbation of a whole clip.")
    ] = "linf",
    steps: Annotated[int | None, typer.Option("--steps", help="Gradient steps (pgd: 10).")] = None,
    step: Annotated[
        str | None, typer.Option("--step", metavar="EPS", help="Step size; a quarter of eps by default.")
    ] = None,
    restarts: Annotated[
        int | None, typer.Option("--restarts", help="Random starts, the worst counts (pgd: 1).")
    ] = None,
    random_start: Annotated[
        bool | None,
        typer.Option("--random-start/--no-random-start", help="Start in the ball or at the clip.", show_default=False),
    ] = None,
    target: Annotated[
        str | None,
        typer.Option("--target", metavar="random|least-likely|CLASS", help="Reach a class instead of leaving one."),
    ] = None,
    set_: Annotated[
        list[str] | None, typer.Option("--set", metavar="NAME=VALUE", help="Any setting of the attack.")
    ] = None,
    engine: Annotated[str, typer.Option("--engine", metavar="native|art", help="Who computes it.")] = "native",
    weights: WeightsOpt = "pretrained",
    pull: PullOpt = False,
    limit: Annotated[int, typer.Option("--limit", min=1, help="Clips to attack.")] = 16,
    layout: Annotated[
        str, typer.Option("--layout", metavar="fast|reference", help="Memory layout of the attack.")
    ] = "fast",
    batch: Annotated[int, typer.Option("--batch", min=1, help="Clips per gradient step.")] = 4,
    root: RootOpt = None,
    out: OutOpt = None,
    device: DeviceOpt = "auto",
    decoder: DecoderOpt = "pyav",
    workers: WorkersOpt = 0,
    seed: SeedOpt = 0,
    overwrite: OverwriteOpt = False,
    json: JsonOpt = False,
) -> None:
    """Attack a model and report what is left of its accuracy. Running it again resumes."""
    from vidbench.cli.requests import ask, weights_at_hand

    values = dict(locals())
    weights_at_hand(model, weights, pull)
    from vidbench.attack.run import AttackRequest, run_attack

    values["attack_settings"] = _settings(set_, steps=steps, step=step, restarts=restarts, random_start=random_start)
    result = run_attack(ask(AttackRequest, values), console.reporter())
    console.show(result, json, _show)
    console.end(result.summary["failed"], result.out / "summary.json")


def _settings(pairs: list[str] | None, **named: object) -> dict[str, str]:
    given = {name: str(value) for name, value in named.items() if value is not None}
    for pair in pairs or []:
        name, equals, value = pair.partition("=")
        if not equals or not name:
            raise UsageError(f"--set {pair!r} is not NAME=VALUE")
        if name in given:
            raise UsageError(f"{name} is given twice")
        given[name] = value
    return given


def _show(result: AttackResult) -> None:
    found = result.summary
    labelled = found["reference"] == "labels"
    if labelled:
        clean = console.share(found["clean_accuracy"])
        console.out(f"clean accuracy {clean} ({found['clips']} clips, {found['failed']} failed)")
    else:
        console.out(f"the model's own predictions are attacked ({found['clips']} clips, {found['failed']} failed)")
    columns = ["attack", "engine", "norm", "eps", "clips", "robust", "95 % interval", "fooling rate"]
    if labelled:
        columns.insert(7, "of the right ones")
    if found["targeted"]:
        columns.append("target reached")
    rows = []
    for point in found["curve"]:
        interval = f"{point['low']:.1%} to {point['high']:.1%}"
        row = [found["attack"], found["engine"], found["norm"], point["eps"], point["clips"]]
        row += [console.share(point["robust_accuracy"]), interval]
        row += [console.share(point["conditional"])] if labelled else []
        row += [console.share(point["fooling_rate"])]
        row += [console.share(point["target_rate"])] if found["targeted"] else []
        rows.append(row)
    console.table(columns, rows)
    console.out(f"coverage: {found['evaluated']} evaluated / {found['listed']} listed")
    console.out(f"run: {result.out}")
