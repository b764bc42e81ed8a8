"""`vidbench env`: what this machine has, and what to type next."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from vidbench.cli import console
from vidbench.cli.options import JsonOpt
from vidbench.errors import EXIT_MISSING

if TYPE_CHECKING:
    from vidbench.env.check import EnvCheckResult, Finding

app = typer.Typer(no_args_is_help=True, help="Look at this machine: what works, and the command that mends the rest.")

OnlyOpt = Annotated[list[str] | None, typer.Option("--only", metavar="ID", help="Run this check only; repeatable.")]
StrictOpt = Annotated[bool, typer.Option("--strict", help="End with exit code 4 on warnings, too.")]
TimeoutOpt = Annotated[float, typer.Option("--timeout", min=0.1, metavar="SECONDS", help="What one library may take.")]


@app.command("check")
def check_(only: OnlyOpt = None, json: JsonOpt = False, strict: StrictOpt = False, timeout: TimeoutOpt = 60.0) -> None:
    """Check Python, torch, GPUs, decoders, disk and weights.

    Each library is loaded in a process of its own, so a broken one is a finding and not the end.
    Nothing is changed and nothing is downloaded. Exit code 4 when a check fails.
    """
    from vidbench.env.check import EnvCheckRequest, check

    request = EnvCheckRequest(tuple(only or ()), _published(), limit_s=timeout)
    result = check(request, console.reporter(), (lambda finding: None) if json else _Printer(skipped=bool(only)))
    console.show(result, json, _verdict)
    if result.counts["fail"] or (strict and (result.counts["warn"] or result.counts["crash"])):
        raise typer.Exit(EXIT_MISSING)


def _published() -> tuple[tuple[str, str], ...]:
    from vidbench.model.zoo import MODELS

    found = []
    for name in MODELS.names():
        try:
            card = MODELS.get(name)
        except Exception as error:
            # a plug-in may load what is broken here; that must not end the check
            console.remark(f"warning: the model {name!r} does not load: {error}")
            continue
        if card.published is not None:
            found.append((name, card.published.file))
    return tuple(found)


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
