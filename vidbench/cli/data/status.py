"""`vidbench data status`: how the jobs of a folder stand, from another terminal."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vidbench.cli import console
from vidbench.cli.options import JsonOpt
from vidbench.ledger import JobState, states, tell_counts

FolderArg = Annotated[
    Path, typer.Argument(metavar="DIR", help="The folder that the job's --out names.", show_default=False)
]


def status(folder: FolderArg, json: JsonOpt = False) -> None:
    """Tell how the jobs of a folder stand: counts by reason, rate, time left. Reads only."""
    console.show(states(folder), json, _text)


def _text(found: list[JobState]) -> None:
    for state in found:
        done = sum(state.counts.values())
        of = "" if state.total is None else f" of {state.total}"
        console.out(f"{state.job}: {state.status}, {done}{of} {state.unit}: {tell_counts(state.counts)}")
        facts = [f"{state.bytes / 1e6:.1f} MB"] if state.bytes else []
        if state.rate is not None:
            rate = f"{state.rate:.0f}" if state.rate >= 100 else f"{state.rate:.3g}"
            facts.append(f"{rate} {state.unit}/s")
        if state.left_s is not None:
            facts.append(f"{console.duration(state.left_s)} left")
        console.out(f"  {', '.join([*facts, 'last change ' + state.updated])}")
