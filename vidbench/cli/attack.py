"""`vidbench attack`: list, run, table and verify."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vidbench.cli import console
from vidbench.cli.complete import complete_attack, complete_model, complete_suite
from vidbench.cli.options import (
    DecoderOpt,
    DefenceOpt,
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
from vidbench.errors import EXIT_FINDINGS, UsageError

if TYPE_CHECKING:
    from vidbench.attack.run import AttackResult
    from vidbench.attack.verify import VerifyResult

app = typer.Typer(no_args_is_help=True, help="Adversarial attacks on clips, and what they leave of a model's accuracy.")


@app.command("list")
def list_(json: JsonOpt = False) -> None:
    """Show the attacks, their norms, settings and engines, the suites and the defences."""
    from vidbench.attack.columns import describe_everything

    def text(found: dict[str, list[dict[str, object]]]) -> None:
        for title, columns in (
            ("attacks", ("attack", "summary", "norms", "engines", "source")),
            ("suites", ("suite", "summary")),
            ("defences", ("name", "summary", "setting")),
        ):
            rows = [tuple(str(row[column]) for column in columns) for row in found[title]]
            console.table((title.removesuffix("s"), *columns[1:]), rows)
        console.out("Settings of an attack: vidbench attack show NAME")

    console.show(describe_everything(), json, text)


@app.command()
def show(
    attack: Annotated[str, typer.Argument(metavar="NAME", help="The attack.", autocompletion=complete_attack)],
    json: JsonOpt = False,
) -> None:
    """Show one attack: where it comes from, and its settings with their defaults."""
    from vidbench.attack.columns import describe_one

    def text(row: dict[str, object]) -> None:
        console.table(("", attack), [(name, str(value)) for name, value in row.items() if name != "attack"])

    console.show(describe_one(attack), json, text)


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
    suite: Annotated[
        str | None,
        typer.Option(
            "--suite",
            metavar="quick|standard|video|robustart",
            help="Several attacks in place of one.",
            autocompletion=complete_suite,
        ),
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option("--data", metavar="LIST", help="Lines of `path label`; without it the built-in clips."),
    ] = None,
    defence: DefenceOpt = None,
    eps: Annotated[
        str | None,
        typer.Option("--eps", metavar="EPS[,EPS...]", help="Radii in units of the pixel range; 8/255 by default."),
    ] = None,
    norm: Annotated[
        str, typer.Option("--norm", metavar="linf|l2|l1|l21", help="Of the perturbation of a whole clip.")
    ] = "linf",
    support: Annotated[
        str,
        typer.Option(
            "--support",
            metavar="all|frames:I,J|patch:WxH+X+Y|border:N|flicker",
            help="Where the perturbation may be.",
        ),
    ] = "all",
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
    draws: Annotated[
        int, typer.Option("--draws", min=1, help="Passes to average over, for a defence that is random (EOT).")
    ] = 1,
    anew: Annotated[
        bool, typer.Option("--anew", help="Attack every clip at every radius, also what a smaller one broke.")
    ] = False,
    bpda: Annotated[
        bool, typer.Option("--bpda", help="Gradients pass the defences as if these were the identity.")
    ] = False,
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
    precision: Annotated[
        str,
        typer.Option(
            "--precision", metavar="fp32|bf16|fp16", help="While attacks are crafted; float32 has the last word."
        ),
    ] = "fp32",
    batch: Annotated[int, typer.Option("--batch", min=1, help="Clips per pass through the network.")] = 4,
    realism: Annotated[
        str,
        typer.Option(
            "--realism", metavar="none|uint8|all", help="Look again after rounding, H.264 at three rates, and scaling."
        ),
    ] = "all",
    save: Annotated[
        str, typer.Option("--save", metavar="none|ffv1|png|h264", help="Keep all attacked clips in the run folder.")
    ] = "none",
    learn: Annotated[
        Path | None,
        typer.Option("--learn", metavar="LIST", help="What universal attacks learn from; else the attacked clips."),
    ] = None,
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
    if not result.first:
        return
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
    defence = f", defence {found['defence']}" if found["defence"] else ""
    if labelled:
        clean = console.share(found["clean_accuracy"])
        console.out(f"clean accuracy {clean} ({found['clips']} clips, {found['failed']} failed{defence})")
    else:
        console.out(
            f"the model's own predictions are attacked ({found['clips']} clips, {found['failed']} failed{defence})"
        )
    columns = ["attack", "engine", "norm", "eps", "clips", "robust", "95 % interval", "fooling rate"]
    if labelled:
        columns.insert(7, "of the right ones")
    if found["target"] is not None:
        columns.append("target reached")
    rows = []
    for column in found["columns"]:
        for point in column["curve"]:
            interval = f"{point['low']:.1%} to {point['high']:.1%}"
            row = [column["label"], column["engine"], column["norm"], point["eps"], point["clips"]]
            row += [console.share(point["robust_accuracy"]), interval]
            row += [console.share(point["conditional"])] if labelled else []
            row += [console.share(point["fooling_rate"])]
            row += [console.share(point["target_rate"])] if found["target"] is not None else []
            rows.append(row)
    console.table(columns, rows)
    for point in found["worst"]:
        share, low, high = console.share(point["robust_accuracy"]), point["low"], point["high"]
        console.out(f"against all of them, {point['norm']} {point['eps']}: {share} ({low:.1%} to {high:.1%})")
    last = [column["curve"][-1] for column in found["columns"] if column["curve"]]
    if labelled and last and last[0]["after"]:
        treatments = list(last[0]["after"])
        console.table(
            ["robust, stored and read again", *treatments],
            [
                [f"{column['label']} {point['eps']}", *(console.share(point["after"].get(name)) for name in treatments)]
                for column, point in zip((c for c in found["columns"] if c["curve"]), last, strict=True)
            ],
        )
        if any(column["settings"].get("keep") == "first" for column in found["columns"]) and not found["anew"]:
            console.out("clips stop at their first success; --anew --set keep=best makes them use the whole radius")
    excluded = sum(column["excluded"] for column in found["columns"])
    if excluded:
        console.out(f"left out: {excluded} clips whose own class was to be reached")
    console.out(f"coverage: {found['evaluated']} evaluated / {found['listed']} listed")
    console.out(f"run: {result.out}")


@app.command()
def table(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN...", help="Run folders of `attack run`.")],
    format_: Annotated[str, typer.Option("--format", metavar="md|csv|latex|html", help="Of the table.")] = "md",
    metric: Annotated[
        str,
        typer.Option(
            "--metric",
            metavar="both|ra|ar",
            help="Robust accuracy, of all clips (ra); or of those that were right before (ar).",
        ),
    ] = "both",
    out: Annotated[Path | None, typer.Option("--out", metavar="FILE", help="Write it there.")] = None,
    json: JsonOpt = False,
) -> None:
    """Print models, defences and attacks as one table."""
    from vidbench.attack.table import collect, render

    found = collect(runs)
    text = render(found, format_, metric)
    if out is not None:
        from vidbench.runs import write_text_atomic

        write_text_atomic(out, text)
        console.show(found, json, lambda _: console.out(f"{out}: {len(found.rows)} rows"))
    else:
        console.show(found, json, lambda _: console.out(text.rstrip("\n")))


@app.command()
def verify(
    subject: Annotated[
        str,
        typer.Argument(metavar="RUN|MODEL", help="Folder of an attack run, or a model.", autocompletion=complete_model),
    ],
    data: Annotated[
        Path | None,
        typer.Option("--data", metavar="LIST", help="Lines of `path label`; without it the built-in clips."),
    ] = None,
    defence: DefenceOpt = None,
    eps: Annotated[
        str | None,
        typer.Option("--eps", metavar="EPS[,EPS...]", help="Radii in units of the pixel range; 8/255 by default."),
    ] = None,
    norm: Annotated[
        str, typer.Option("--norm", metavar="linf|l2", help="Of the perturbation of a whole clip.")
    ] = "linf",
    steps: Annotated[int, typer.Option("--steps", min=2, help="Of PGD and APGD.")] = 100,
    queries: Annotated[int, typer.Option("--queries", min=1, help="Of Square, per clip and radius.")] = 1000,
    draws: Annotated[
        int, typer.Option("--draws", min=2, help="Passes to average over, where the model is random (EOT).")
    ] = 16,
    weights: WeightsOpt = "pretrained",
    pull: PullOpt = False,
    limit: Annotated[int, typer.Option("--limit", min=1, help="Clips to attack.")] = 16,
    layout: Annotated[
        str, typer.Option("--layout", metavar="fast|reference", help="Memory layout of the attacks.")
    ] = "fast",
    batch: Annotated[int, typer.Option("--batch", min=1, help="Clips per pass through the network.")] = 4,
    root: RootOpt = None,
    out: OutOpt = None,
    device: DeviceOpt = "auto",
    decoder: DecoderOpt = "pyav",
    workers: WorkersOpt = 0,
    seed: SeedOpt = 0,
    overwrite: OverwriteOpt = False,
    json: JsonOpt = False,
) -> None:
    """Say whether a robustness figure can be believed, with evidence and the best known one. Resumes."""
    from vidbench.cli.requests import ask, weights_at_hand

    values = dict(locals())
    from vidbench.runs import command_of

    if command_of(Path(subject)) == "attack run":
        for name, value in (("--data", data), ("--defence", defence), ("--eps", eps)):
            if value is not None:
                raise UsageError(f"{name} is told by the run {subject}", "Leave it out, or verify the model itself.")
        values["run"] = Path(subject)
    else:
        values["model"] = subject
        weights_at_hand(subject, weights, pull)
    from vidbench.attack.verify import VerifyRequest, run_verify

    result = run_verify(ask(VerifyRequest, values), console.reporter())
    console.show(result, json, _show_verdict)
    if result.summary["status"] == "INVALID":
        raise typer.Exit(EXIT_FINDINGS)
    console.end(result.summary["failed"], result.out / "summary.json")


def _show_verdict(result: VerifyResult) -> None:
    found = result.summary
    console.out(f"{found['status']}: {found['subject']}")
    clean = console.share(found["clean_accuracy"])
    console.out(f"clean accuracy {clean} ({found['evaluated']} clips, {found['failed']} failed)")
    rows = [
        (eps, console.share(found["reported_ra"][eps]), console.share(best), found["strongest"][eps] or "-")
        for eps, best in found["best_known_ra"].items()
    ]
    console.table(("eps", "reported robust", "best known", "broken most by"), rows)
    flags = [(flag["severity"], flag["id"], flag["title"], flag["evidence"]) for flag in found["flags"]]
    if flags:
        console.table(("", "check", "what", "evidence"), flags)
    for flag in found["flags"]:
        if flag["remedy"] and flag["severity"] in "EW":
            console.out(f"{flag['id']}: {flag['remedy']}")
    console.out(f"passed: {', '.join(flag['id'] for flag in found['passed']) or 'nothing'}")
    console.out(f"run: {result.out}")
