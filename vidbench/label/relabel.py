"""label relabel: another action list for a set, with what was labelled carried over by the actions' names."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from vidbench.errors import InputError, UsageError
from vidbench.formats.labelset import Row, SetAction
from vidbench.label.actions import ActionNames, load_actions
from vidbench.label.before import changing
from vidbench.label.store import LabelSet
from vidbench.progress import Reporter, SilentReporter


class RelabelRequest(BaseModel):
    """What to change.

    Attributes:
        set: The folder of the set.
        actions: The new list: "ava_80", "ava_60" or a file, see `load_actions`.
        map: `old=new` by names, for those that are not called the same; `old=` drops an action.
        dry_run: Only say what would change.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    set: Path
    actions: str
    map: tuple[str, ...] = ()
    dry_run: bool = False


@dataclass(frozen=True)
class Move:
    """What becomes of an action.

    Attributes:
        old: Its name.
        old_id: Its id.
        new: The name that it has now; None where it is dropped.
        new_id: Likewise.
        rows: How many rows have it.
    """

    old: str
    old_id: int
    new: str | None
    new_id: int | None
    rows: int


@dataclass(frozen=True)
class RelabelResult:
    """What changed.

    Attributes:
        set: The folder of the set.
        moves: Of each action of the list before, by rising id.
        added: Names of the new list that none of the old one became; rows that were answered before were not asked
            about them.
        rows: Rows whose ids changed.
        emptied: Rows that lost their last action. They say "none of the actions" where the new list has no further
            ones, else that nobody has looked.
        kept: The folder with the files as they were, to be copied back over the set; None where nothing was written.
        dry_run: Whether nothing was written.
    """

    set: str
    moves: tuple[Move, ...]
    added: tuple[str, ...]
    rows: int
    emptied: int
    kept: str | None
    dry_run: bool


def relabel(request: RelabelRequest, reporter: Reporter | None = None) -> RelabelResult:
    """Give a set another action list.

    Raises:
        UsageError: A map that is not of that form, or names nothing.
        InputError: An action that rows have would be lost, or a file is malformed.
        RunConflictError: Another process works on the set.
    """
    reporter = reporter or SilentReporter()
    labels = LabelSet.open(request.set)
    actions = load_actions(request.actions)
    with nullcontext() if request.dry_run else labels.hold():
        content = labels.load()
        held = {video.id: labels.rows(video.id) for video in content.videos}
        counts = Counter(one for rows in held.values() for row in rows for one in row.actions or ())
        targets = _targets(content.actions, actions, request.map, counts)
        into = {one for one in targets.values() if one is not None}
        added = tuple(one.name for one in actions if one.id not in into)
        new = {
            video: tuple(_relabelled(row, targets, asked_all=not added) for row in rows) for video, rows in held.items()
        }
        pairs = [pair for video in held for pair in zip(held[video], new[video], strict=True)]
        kept = None
        if not request.dry_run:
            with changing(labels, held, "relabel") as folder:
                for video, rows in new.items():
                    if rows != held[video]:
                        labels.save_rows(video, rows)
                labels.save(replace(content, actions=actions))
            kept = str(folder)
    names = {one.id: one.name for one in actions}
    if added:
        reporter.info(f"{len(added)} actions are new: rows that were answered before were not asked about them")
    return RelabelResult(
        str(request.set),
        tuple(
            Move(one.name, one.id, names.get(targets.get(one.id) or 0), targets.get(one.id), counts[one.id])
            for one in content.actions
        ),
        added,
        sum(before != after for before, after in pairs),
        sum(bool(before.actions) and not after.actions for before, after in pairs),
        kept,
        request.dry_run,
    )


def _targets(
    old: Sequence[SetAction], new: Sequence[SetAction], told: Sequence[str], counts: Mapping[int, int]
) -> dict[int, int | None]:
    """For each id of the old list the new one; None where it is dropped."""
    before, after = ActionNames(old), ActionNames(new)
    asked: dict[int, int | None] = {}
    for text in told:
        source, target = _pair(text, before, after)
        if asked.setdefault(source, target) != target:
            raise UsageError(f"--map {text!r}: this action is mapped before, to another one", "Leave one of them out.")
    targets = {one.id: asked[one.id] if one.id in asked else after.find(one.name) for one in old}
    lost = [one for one in old if targets[one.id] is None and one.id not in asked and counts.get(one.id)]
    if lost:
        shown = ", ".join(f"{one.name!r} ({counts[one.id]} rows)" for one in lost[:10])
        raise InputError(
            f"the new list does not have {shown}" + (f" and {len(lost) - 10} more" if len(lost) > 10 else ""),
            f"Say what becomes of them: --map {lost[0].name!r}=NEW, or --map {lost[0].name!r}= to drop it.",
        )
    strangers = sorted(set(counts) - set(targets))
    if strangers:
        raise InputError(f"rows have action {strangers[0]}, which the set does not have", "Mend the rows.")
    return targets


def _pair(text: str, before: ActionNames, after: ActionNames) -> tuple[int, int | None]:
    """Old and new id of `old=new`; names may have a `=` themselves."""
    places = [place for place, letter in enumerate(text) if letter == "="]
    if not places:
        raise UsageError(f"--map {text!r} is not of the form old=new", "Give the names of two actions.")
    for place in places:
        source = before.find(text[:place])
        target = after.find(text[place + 1 :])
        if source is not None and (target is not None or not text[place + 1 :].strip()):
            return source, target
    name, _, other = text.partition("=")
    if before.find(name) is None:
        raise UsageError(f"--map {text!r}: the set has no action {name!r}{before.hint(name)}", "Give its name.")
    raise UsageError(f"--map {text!r}: the new list has no action {other!r}{after.hint(other)}", "Give its name.")


def _relabelled(row: Row, targets: Mapping[int, int | None], asked_all: bool) -> Row:
    if not row.actions:
        return row
    new = [targets[one] for one in row.actions]
    left = tuple(sorted({one for one in new if one is not None}))
    if None not in new:
        return replace(row, actions=left)
    return replace(row, actions=left if left or asked_all else None, checked=False)
