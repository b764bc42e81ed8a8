"""`vidbench label merge`, `split` and `relabel`: sets as a whole."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vidbench.cli import console
from vidbench.cli.label.options import SetArg
from vidbench.cli.options import DryRunOpt, JsonOpt, SeedOpt

if TYPE_CHECKING:
    from vidbench.label.divide import SplitResult
    from vidbench.label.merge import MergeResult
    from vidbench.label.relabel import RelabelResult

SetsArg = Annotated[list[Path], typer.Argument(metavar="SET", help="Two sets or more.", show_default=False)]
NewSetOpt = Annotated[Path, typer.Option("--out", metavar="SET", help="Folder of the new set.", show_default=False)]
ValOpt = Annotated[float, typer.Option("--val", help="Share of the videos for validation.")]
TestOpt = Annotated[float, typer.Option("--test", help="Share for test.")]
NewActionsOpt = Annotated[
    str,
    typer.Option(
        "--actions", metavar="ava_80|ava_60|FILE", help="The new list; a file has a name a line.", show_default=False
    ),
]
MapOpt = Annotated[
    list[str] | None,
    typer.Option("--map", metavar="OLD=NEW", help="An action with another name; OLD= drops it; repeatable."),
]


def merge(sets: SetsArg, out: NewSetOpt, json: JsonOpt = False) -> None:
    """Make one set of several with the same actions."""
    from vidbench.cli.requests import ask
    from vidbench.label.merge import MergeRequest
    from vidbench.label.merge import merge as serve

    result = serve(ask(MergeRequest, locals(), {"sets": "SET"}), console.reporter())
    console.show(result, json, _merge_text)


def _merge_text(result: MergeResult) -> None:
    for one in result.renamed:
        console.out(f"{one.set}: {one.before} is called {one.now}")
    for name in result.renumbered:
        console.out(f"{name}: its actions have the numbers of the first set now")
    for note in result.notes:
        console.out(note)
    console.out(f"{result.out}: {result.sets} sets, {result.videos} videos, {result.rows} boxes")


def split(
    set_: SetArg,
    val: ValOpt = 0.2,
    test: TestOpt = 0.0,
    seed: SeedOpt = 0,
    dry_run: DryRunOpt = False,
    json: JsonOpt = False,
) -> None:
    """Say which videos are for training, validation and test. Videos that are added later move no other."""
    from vidbench.cli.requests import ask
    from vidbench.label.divide import SplitRequest, divide

    result = divide(ask(SplitRequest, {**locals(), "set": set_}, {"set": "SET"}), console.reporter())
    console.show(result, json, _split_text)


def _split_text(result: SplitResult) -> None:
    console.table(
        ("split", "videos", "boxes", "labelled", "lacks"),
        [
            (one.split, len(one.videos), one.rows, one.labelled,
             ", ".join(one.lacks[:3]) + (f" and {len(one.lacks) - 3} more" if len(one.lacks) > 3 else "") or "-")
            for one in result.parts
        ],
    )  # fmt: skip
    for note in result.notes:
        console.out(note)
    what = "would change" if result.dry_run else "changed"
    console.out(f"{result.set}: {len(result.changed)} videos {what} their split")


def relabel(
    set_: SetArg,
    actions: NewActionsOpt,
    map_: MapOpt = None,
    dry_run: DryRunOpt = False,
    json: JsonOpt = False,
) -> None:
    """Give a set another action list; labels follow by name."""
    from vidbench.cli.requests import ask
    from vidbench.label.relabel import RelabelRequest
    from vidbench.label.relabel import relabel as serve

    given = {**locals(), "set": set_, "map": tuple(map_ or ())}
    result = serve(ask(RelabelRequest, given, {"set": "SET"}), console.reporter())
    console.show(result, json, _relabel_text)


def _relabel_text(result: RelabelResult) -> None:
    moved = [one for one in result.moves if one.rows or one.new is None or one.new != one.old]
    if moved:
        console.table(
            ("id", "action", "becomes", "new id", "labels"),
            [(one.old_id, one.old, one.new or "-", one.new_id or "-", one.rows) for one in moved],
        )
    if result.added:
        console.out(f"new: {', '.join(result.added[:10])}" + (" ..." if len(result.added) > 10 else ""))
    if result.emptied:
        console.out(f"{result.emptied} boxes lost their last action")
    if result.dry_run:
        console.out(f"{result.set}: nothing was written")
    else:
        console.out(f"{result.set}: {result.rows} boxes changed; as it was before: {result.kept or '-'}")
