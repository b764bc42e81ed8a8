"""What an edit does to the rows of a video; touches nothing on disk.

* A change of actions or of the box takes back `checked`; a change of the person's number does not.
* Taking away the last action leaves a row on which nobody has looked; "no action" is only what is said so.
* An answer leaves the doubts as they are; a check ends them. A box drawn by hand has no score and is not in doubt for
  being drawn.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace

from vidbench.formats.labelset import BoxT, Row, box_of
from vidbench.label.review.edit_kinds import (
    Add,
    Check,
    Delete,
    Edit,
    EditError,
    Fill,
    Merge,
    MoveBox,
    NoAction,
    SetAnswer,
    Split,
    Swap,
    Toggle,
)

Key = tuple[int, int]
"""Second and person."""
Rows = Mapping[Key, Row]

_SHOWN = 8


@dataclass(frozen=True, slots=True)
class Facts:
    """What edits must agree with.

    Attributes:
        actions: Names by id.
        keyframes: The seconds of the video's keyframes.
    """

    actions: Mapping[int, str]
    keyframes: range


@dataclass(frozen=True, slots=True)
class Change:
    """What an edit takes away and puts in place; a changed row is in both.

    Attributes:
        removed: Rows as they were.
        added: Rows as they are now.
        says: One line of what was done.
    """

    removed: tuple[Row, ...]
    added: tuple[Row, ...]
    says: str


def change(rows: Rows, edit: Edit, facts: Facts) -> Change:
    """What an edit does; empty where all is so already.

    Raises:
        EditError: It cannot be made: an unknown person, second or action, or two boxes of a person at a second.
    """
    match edit:
        case Toggle():
            return _toggle(rows, edit, facts)
        case NoAction():
            return _no_action(rows, edit)
        case SetAnswer():
            answer = _known(edit.actions, facts)
            found = _at(rows, edit.person, edit.seconds)
            says = f"{_words(answer, facts)} for {_where(edit.person, found)}"
            return _rewritten(found, lambda row: _answered(row, answer), says)
        case Fill():
            return _fill(rows, edit, facts)
        case Merge():
            return _merge(rows, edit)
        case Split():
            return _split(rows, edit)
        case Swap():
            return _swap(rows, edit)
        case Delete():
            found = _all(rows, edit.person) if edit.seconds is None else _at(rows, edit.person, edit.seconds)
            return Change(tuple(found), (), f"deleted {_where(edit.person, found)}")
        case MoveBox():
            (row,) = _at(rows, edit.person, (edit.second,))
            doubts = tuple(doubt for doubt in row.doubts if doubt != "drawn")
            box = _drawn(edit.box)
            moved = row if box == row.box else replace(row, box=box, score=None, checked=False, doubts=doubts)
            return _rewritten([row], lambda _: moved, f"box of person {edit.person} at second {edit.second} drawn")
        case Add():
            return _add(rows, edit, facts)
        case Check():
            return _check(rows, edit)


def spans(seconds: Iterable[int]) -> str:
    """Seconds in few words, as "2-5, 9"."""
    runs: list[list[int]] = []
    for second in sorted(seconds):
        if runs and second == runs[-1][1] + 1:
            runs[-1][1] = second
        else:
            runs.append([second, second])
    shown = [f"{a}-{b}" if b > a else str(a) for a, b in runs[:_SHOWN]]
    return ", ".join(shown) + (f" and {len(runs) - _SHOWN} more spans" if len(runs) > _SHOWN else "")


def _toggle(rows: Rows, edit: Toggle, facts: Facts) -> Change:
    _known((edit.action,), facts)
    found = _at(rows, edit.person, edit.seconds)

    def toggled(row: Row) -> Row:
        held = set(row.actions or ())
        if edit.on:
            return _answered(row, tuple(sorted(held | {edit.action})))
        if edit.action not in held:
            return row
        return _answered(row, tuple(sorted(held - {edit.action})) or None)

    says = f"{facts.actions[edit.action]} {'on' if edit.on else 'off'} for {_where(edit.person, found)}"
    return _rewritten(found, toggled, says)


def _no_action(rows: Rows, edit: NoAction) -> Change:
    found = _at(rows, edit.person, edit.seconds)
    if edit.on:
        return _rewritten(found, lambda row: _answered(row, ()), f"no action for {_where(edit.person, found)}")
    says = f'"no action" taken back for {_where(edit.person, found)}'
    return _rewritten(found, lambda row: _answered(row, None) if row.actions == () else row, says)


def _fill(rows: Rows, edit: Fill, facts: Facts) -> Change:
    (source,) = _at(rows, edit.person, (edit.start,))
    given = "actions" in edit.model_fields_set
    answer = _known(edit.actions, facts) if given else source.actions
    track = _all(rows, edit.person)
    later = [row for row in track if row.second > edit.start]
    stop = ""
    if edit.until == "whole":
        found = track
    elif edit.until == "end":
        found = [source, *later]
    else:
        # an answer just typed into the source says nothing of where the old one ended: the next keyframe does
        before = source.actions if given else (later[0].actions if later else None)
        found = [source]
        for row in later:
            if row.actions != before:
                stop = f"; stops before second {row.second}, where the answer changes"
                break
            found.append(row)
    says = f"{_words(answer, facts)} for {_where(edit.person, found)}{stop}"
    return _rewritten(found, lambda row: _answered(row, answer), says)


def _merge(rows: Rows, edit: Merge) -> Change:
    if edit.person == edit.into:
        raise EditError(f"person {edit.person} cannot be merged into itself")
    moving, held = _all(rows, edit.person), _all(rows, edit.into)
    both = {row.second for row in moving} & {row.second for row in held}
    if both:
        raise EditError(f"persons {edit.person} and {edit.into} both have a box at second {spans(both)}")
    return _renumbered(moving, lambda _: edit.into, f"person {edit.person} merged into {edit.into}")


def _split(rows: Rows, edit: Split) -> Change:
    track = _all(rows, edit.person)
    later = [row for row in track if row.second >= edit.start]
    if not later:
        raise EditError(f"person {edit.person} has no box from second {edit.start} on")
    if len(later) == len(track):
        raise EditError(f"person {edit.person} has no box before second {edit.start}: nothing to split")
    number = _next_person(rows)
    return _renumbered(later, lambda _: number, f"person {edit.person} is person {number} from second {edit.start} on")


def _swap(rows: Rows, edit: Swap) -> Change:
    if edit.a == edit.b:
        raise EditError("a person cannot be swapped with itself")
    tracks = [*_all(rows, edit.a), *_all(rows, edit.b)]
    later = [row for row in tracks if row.second >= edit.start]
    if not later:
        raise EditError(f"neither person {edit.a} nor {edit.b} has a box from second {edit.start} on")
    says = f"persons {edit.a} and {edit.b} swapped from second {edit.start} on"
    return _renumbered(later, lambda row: edit.b if row.person == edit.a else edit.a, says)


def _add(rows: Rows, edit: Add, facts: Facts) -> Change:
    if edit.second not in facts.keyframes:
        raise EditError(f"second {edit.second} is no keyframe of the video")
    person = _next_person(rows) if edit.person is None else edit.person
    if (edit.second, person) in rows:
        raise EditError(f"person {person} has a box at second {edit.second} already")
    row = Row(edit.second, person, _drawn(edit.box))
    return Change((), (row,), f"box of person {person} added at second {edit.second}")


def _check(rows: Rows, edit: Check) -> Change:
    found = _at(rows, edit.person, edit.seconds)
    if not edit.on:
        says = f"check taken back for {_where(edit.person, found)}"
        return _rewritten(found, lambda row: replace(row, checked=False), says)
    open_ = [row.second for row in found if row.actions is None]
    if open_:
        raise EditError(f"person {edit.person} has no answer at second {spans(open_)}: answer before you check")
    says = f"checked {_where(edit.person, found)}"
    return _rewritten(found, lambda row: replace(row, checked=True, doubts=()), says)


def _all(rows: Rows, person: int) -> list[Row]:
    found = sorted((row for key, row in rows.items() if key[1] == person), key=lambda row: row.second)
    if not found:
        raise EditError(f"there is no person {person}")
    return found


def _at(rows: Rows, person: int, seconds: Iterable[int]) -> list[Row]:
    wanted = sorted(set(seconds))
    missing = [second for second in wanted if (second, person) not in rows]
    if missing:
        raise EditError(f"person {person} has no box at second {spans(missing)}")
    return [rows[second, person] for second in wanted]


def _next_person(rows: Rows) -> int:
    number = max((person for _, person in rows), default=-1) + 1
    if number > 999_999:
        raise EditError("no number is left for another person")
    return number


def _known(answer: tuple[int, ...] | None, facts: Facts) -> tuple[int, ...] | None:
    unknown = sorted(set(answer or ()) - facts.actions.keys())
    if unknown:
        raise EditError(f"the set has no action {', '.join(map(str, unknown))}")
    return None if answer is None else tuple(sorted(set(answer)))


def _answered(row: Row, answer: tuple[int, ...] | None) -> Row:
    return row if row.actions == answer else replace(row, actions=answer, checked=False)


def _drawn(box: tuple[float, float, float, float]) -> BoxT:
    inside = box_of(*box)
    if inside is None:
        raise EditError("the box has no area within the frame")
    return inside


def _rewritten(found: Iterable[Row], new: Callable[[Row], Row], says: str) -> Change:
    pairs = [(row, new(row)) for row in found]
    pairs = [(old, now) for old, now in pairs if old != now]
    return Change(tuple(old for old, _ in pairs), tuple(now for _, now in pairs), says)


def _renumbered(found: Iterable[Row], number: Callable[[Row], int], says: str) -> Change:
    return _rewritten(found, lambda row: replace(row, person=number(row)), says)


def _words(answer: tuple[int, ...] | None, facts: Facts) -> str:
    if answer is None:
        return "answer taken back"
    return ", ".join(facts.actions[one] for one in answer) or "no action"


def _where(person: int, found: list[Row]) -> str:
    return f"person {person} at second {spans(row.second for row in found)}"
