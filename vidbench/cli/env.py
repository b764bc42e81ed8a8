"""`vidbench env`: what this machine has, and what to type next."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vidbench.cli import console
from vidbench.cli.options import JsonOpt
from vidbench.env import LOADING
from vidbench.errors import EXIT_MISSING
from vidbench.progress import Reporter, SilentReporter

if TYPE_CHECKING:
    from vidbench.env.check import EnvCheckResult, Explanation
    from vidbench.env.compare import Comparison
    from vidbench.env.facts import PublishedFile
    from vidbench.env.findings import Finding

app = typer.Typer(no_args_is_help=True, help="Look at this machine: what works, and the command that mends the rest.")

OnlyOpt = Annotated[list[str] | None, typer.Option("--only", metavar="ID", help="Run this check only; repeatable.")]
StrictOpt = Annotated[bool, typer.Option("--strict", help="End with exit code 4 on warnings, too.")]
TimeoutOpt = Annotated[float, typer.Option("--timeout", min=0.1, metavar="SECONDS", help="What one library may take.")]


@app.command("check")
def check_(
    only: OnlyOpt = None,
    group: Annotated[
        list[str] | None, typer.Option("--group", metavar="NAME", help="Run the checks of this group only; repeatable.")
    ] = None,
    for_: Annotated[
        str,
        typer.Option(
            "--for",
            metavar="attack|finetune|eval|fetch|label|demo|detectron2",
            help="What vidbench is wanted for; a failure of anything else is a warning.",
        ),
    ] = "",
    deep: Annotated[
        bool, typer.Option("--deep", help="Compute, decode and start processes, too; takes up to some minutes.")
    ] = False,
    net: Annotated[bool, typer.Option("--net", help="Ask the hosts of weights and data sets, too.")] = False,
    json: JsonOpt = False,
    strict: StrictOpt = False,
    timeout: TimeoutOpt = 60.0,
) -> None:
    """Check Python, torch, GPUs, decoders, disk and weights.

    Each library is loaded in a process of its own, so a broken one is a finding and not the end.
    Nothing is changed and nothing is downloaded. Exit code 4 when a check fails.
    """
    chosen = bool(only or group)
    reporter: Reporter = console.reporter() if chosen else SilentReporter()
    if not chosen:
        # at once, before all that follows is imported
        console.note(LOADING)
    from vidbench.env.check import EnvCheckRequest, check

    request = EnvCheckRequest(
        only=tuple(only or ()),
        groups=tuple(group or ()),
        purpose=for_,
        deep=deep,
        net=net,
        published=_published(),
        limit_s=timeout,
        addresses=_addresses() if net or "J3" in {name.upper() for name in only or ()} else (),
    )
    result = check(request, reporter, (lambda finding: None) if json else _Printer(skipped=chosen))
    console.show(result, json, _verdict)
    if result.counts["fail"] or (strict and (result.counts["warn"] or result.counts["crash"])):
        raise typer.Exit(EXIT_MISSING)


@app.command()
def explain(
    check: Annotated[str, typer.Argument(metavar="ID", help="A check, as D1.", show_default=False)],
    json: JsonOpt = False,
) -> None:
    """Say what a check looks at, why, and which errors point to it."""
    from vidbench.env.check import explain as look_up

    console.show(look_up(check), json, _explain)


def _explain(one: Explanation) -> None:
    console.out(f"{one.id}: {one.title} ({one.group}; {', '.join(one.affects)})")
    console.out(one.why)
    for error in one.errors:
        console.out()
        console.out(f"/{error.pattern}/")
        console.out(f"  {error.cause}")
        console.out(f"  {error.remedy}")
    console.out()
    more = {"always": "", "deep": " (otherwise with --deep)", "net": " (otherwise with --net)"}[one.when]
    console.out(f"vidbench env check --only {one.id}{more}")


@app.command()
def report(json: JsonOpt = False, timeout: TimeoutOpt = 60.0) -> None:
    """Print what a bug report needs: versions, machine, findings; no names of people or machines."""
    from vidbench.env.check import EnvCheckRequest, check
    from vidbench.env.report import report as write

    checked = check(EnvCheckRequest(published=_published(), limit_s=timeout), console.reporter())
    console.show(write(checked), json, lambda found: console.out(found.text))


@app.command()
def diff(
    first: Annotated[Path, typer.Argument(metavar="RUN_A", help="A run folder.", show_default=False)],
    second: Annotated[Path, typer.Argument(metavar="RUN_B", help="Another.", show_default=False)],
    json: JsonOpt = False,
) -> None:
    """Say what differs between the environments of two runs."""
    from vidbench.env.compare import compare_runs

    console.show(compare_runs(first, second), json, _diff)


def _diff(found: Comparison) -> None:
    if not found.differences:
        console.out("both ran in the same environment")
        return
    rows = [(one.part, one.name, one.first or "-", one.second or "-") for one in found.differences]
    console.table(("part", "name", str(found.first), str(found.second)), rows)


@app.command()
def watch(
    interval: Annotated[float, typer.Option("--interval", min=0.1, metavar="S", help="Seconds between samples.")] = 1.0,
    count: Annotated[int | None, typer.Option("--count", min=1, help="Samples to take; default: until Ctrl-C.")] = None,
    csv: Annotated[Path | None, typer.Option("--csv", metavar="FILE", help="Add a line per device and sample.")] = None,
) -> None:
    """Show how busy the GPUs are, or CPU and memory where there is none."""
    from vidbench.cli.watching import show
    from vidbench.env.watch import Log
    from vidbench.env.watch import watch as samples

    log = Log(csv) if csv is not None else None
    show(samples(interval, count), log)


def _published() -> tuple[PublishedFile, ...]:
    """Every published file once, under the first name that `weights pull` knows it by."""
    from vidbench.env.facts import PublishedFile
    from vidbench.model.zoo import MODELS

    found: dict[str, PublishedFile] = {}
    for name in MODELS.names():
        try:
            card = MODELS.get(name)
        except Exception as error:
            # a plug-in may load what is broken here; that must not end the check
            console.remark(f"warning: the model {name!r} does not load: {error}")
            continue
        if card.published is None:
            continue
        for one in (card.published, *card.others):
            pulled_by = name if one is card.published else f"{name}@{one.tag}"
            found.setdefault(one.file, PublishedFile(pulled_by, one.file, one.bytes, one.sha256))
    return tuple(found.values())


def _addresses() -> tuple[str, ...]:
    """One address of every host that weights and data sets come from."""
    from urllib.parse import urlsplit

    from vidbench.data.sources import SOURCES
    from vidbench.model.zoo import MODELS

    cards = [MODELS.get(name) for name in MODELS.names()]
    found = [url for card in cards if card.published is not None for url in card.published.urls]
    for name in SOURCES.names():
        source = SOURCES.get(name)
        parts = (source.parts, source.annotations, *(address for address, _ in source.extras))
        found += [address.replace("{split}", "val") for address in parts if address.startswith("http")]
    by_host: dict[str, str] = {}
    for address in found:
        by_host.setdefault(urlsplit(address).netloc, address)
    return tuple(by_host.values())


_MARKS = {"ok": "ok", "info": "info", "warn": "WARN", "fail": "FAIL", "skip": "skip", "crash": "CRASH"}
_COLOURS = {
    "ok": typer.colors.GREEN,
    "info": typer.colors.BLUE,
    "warn": typer.colors.YELLOW,
    "fail": typer.colors.RED,
    "skip": typer.colors.BRIGHT_BLACK,
    "crash": typer.colors.MAGENTA,
}


class _Printer:
    """Prints findings as they come, a heading before each group; checks that do not apply only on demand."""

    def __init__(self, skipped: bool) -> None:
        self._skipped = skipped
        self._group = ""

    def __call__(self, finding: Finding) -> None:
        if finding.status == "skip" and not self._skipped:
            return
        if finding.group != self._group:
            console.out(("\n" if self._group else "") + _paint(finding.group, bold=True))
            self._group = finding.group
        mark = _paint(f"{_MARKS[finding.status]:<5}", colour=_COLOURS[finding.status])
        suffers = f" [stops {', '.join(finding.affects)}]" if finding.status == "fail" else ""
        console.out(f"  {mark} {finding.id:<9} {finding.title}: {finding.message}{suffers}")
        if finding.remedy:
            console.out(f"        {finding.remedy}")
        sys.stdout.flush()


def _verdict(result: EnvCheckResult) -> None:
    skipped = result.counts["skip"]
    console.out()
    console.out(f"{result.verdict}" + (f" ({skipped} did not apply)" if skipped else ""))


def _paint(text: str, colour: str | None = None, bold: bool = False) -> str:
    plain = not sys.stdout.isatty() or os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb"
    return text if plain else typer.style(text, fg=colour, bold=bold)
