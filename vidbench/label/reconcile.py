"""What an edited file says of a video, laid over the rows that the set has: who is who, what changed."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace

from vidbench.formats.labelset import BoxT, Doubt, Row

SAME_IOU = 0.5
"""From this overlap on a box without a number is the person whose box it lies on."""


@dataclass(frozen=True, slots=True)
class Offered:
    """A box that a file gives at a keyframe.

    Attributes:
        where: Where the file has it, for messages.
        second: The keyframe.
        box: Where the person is.
        person: The number that the file gives; None where it gives none.
        origin: Second and person of the row that the box was made from; None where the file does not know.
        actions: As in `Row`.
        tells: Whether the file tells of actions at all; where not, those of the set stay.
        score: As in `Row`; None where the file has none.
        track: As in `Row`.
    """

    where: str
    second: int
    box: BoxT
    person: int | None = None
    origin: tuple[int, int] | None = None
    actions: tuple[int, ...] | None = None
    tells: bool = True
    score: float | None = None
    track: int | None = None


@dataclass(frozen=True)
class Merged:
    """The rows of a video after an import.

    Attributes:
        rows: All of them, by second and person.
        added: Second and person of each new row.
        removed: Of each row that is no more.
        changed: Of each row that says something else than before, by its new person.
        renumbered: Second, number before, number now.
        new_persons: Numbers given to boxes that had none.
        problems: What must be mended in the file; with any, the rows are not to be used.
    """

    rows: tuple[Row, ...]
    added: tuple[tuple[int, int], ...] = ()
    removed: tuple[tuple[int, int], ...] = ()
    changed: tuple[tuple[int, int], ...] = ()
    renumbered: tuple[tuple[int, int, int], ...] = ()
    new_persons: tuple[int, ...] = ()
    problems: tuple[str, ...] = ()


def replaced(rows: Sequence[Row], seconds: Collection[int], offered: Iterable[Offered]) -> Merged:
    """Let the file have its way at the seconds that it speaks of; rows of other seconds stay as they are.

    A box is, in this order, the row that it was made from, the row of its person number, the row whose box it lies
    on; else it is new, and a box without a number gets one that nobody in the video has. A number in the file goes
    before the number of the row. What the file does not tell (score, track, doubts) stays. A box that moved has no
    score, as no detector gave it, and is marked as drawn; a row that changed is no longer checked.

    Args:
        rows: Of the video.
        seconds: What the file speaks of: rows there that it does not have are removed.
        offered: Its boxes, all of these seconds.
    """
    boxes = list(offered)
    held = {row.key: row for row in rows if row.second in seconds}
    origins, persons, problems = _who(held, boxes)
    given = [number for number in persons if number is not None]
    following = 1 + max([row.person for row in rows] + given, default=-1)
    fresh: list[int] = []
    made: dict[tuple[int, int], tuple[Row, Row | None]] = {}
    for one, origin, number in zip(boxes, origins, persons, strict=True):
        if number is None:
            number = following
            fresh.append(number)
            following += 1
        row = _row(one, held.get(origin) if origin else None, number)
        if row.key in made:
            problems.append(
                f"{one.where}: person {number} is there twice at second {one.second}: "
                "give one of the two another number, or none"
            )
        made[row.key] = row, held.get(origin) if origin else None
    used = {origin.key for _, origin in made.values() if origin is not None}
    return Merged(
        tuple(
            sorted([*(row for row in rows if row.second not in seconds), *(row for row, _ in made.values())], key=_key)
        ),
        tuple(sorted(key for key, (_, origin) in made.items() if origin is None)),
        tuple(sorted(held.keys() - used)),
        tuple(sorted(key for key, (row, origin) in made.items() if origin is not None and row != origin)),
        tuple(sorted((key[0], o.person, key[1]) for key, (_, o) in made.items() if o and o.person != key[1])),
        tuple(fresh),
        tuple(problems),
    )


def joined(rows: Sequence[Row], offered: Iterable[Offered]) -> tuple[Merged, int]:
    """Add boxes that the set does not have; no row of the set changes.

    The file's person numbers are another's: each gets a number that nobody in the video has, the same one at all
    seconds. A box that lies on one of the set is left out.

    Args:
        rows: Of the video.
        offered: The file's boxes.

    Returns:
        The rows, and how many boxes were left out.
    """
    boxes = list(offered)
    following = 1 + max((row.person for row in rows), default=-1)
    numbers: dict[int, int] = {}
    added: list[Row] = []
    at: dict[int, list[BoxT]] = {}
    for row in rows:
        at.setdefault(row.second, []).append(row.box)
    for one in boxes:
        if any(overlap(one.box, box) >= SAME_IOU for box in at.get(one.second, ())):
            continue
        number = following if one.person is None else numbers.get(one.person, following)
        if number == following:
            following += 1
        if one.person is not None:
            numbers[one.person] = number
        added.append(_row(one, None, number))
    merged = Merged(
        tuple(sorted([*rows, *added], key=_key)),
        tuple(sorted(row.key for row in added)),
        new_persons=tuple(sorted({row.person for row in added})),
    )
    return merged, len(boxes) - len(added)


def overlap(first: BoxT, second: BoxT) -> float:
    """Intersection over union of two boxes, 0 to 1."""
    width = min(first[2], second[2]) - max(first[0], second[0])
    height = min(first[3], second[3]) - max(first[1], second[1])
    if width <= 0 or height <= 0:
        return 0.0
    both = width * height
    areas = sum((box[2] - box[0]) * (box[3] - box[1]) for box in (first, second))
    return both / (areas - both)


def _who(
    held: dict[tuple[int, int], Row], boxes: Sequence[Offered]
) -> tuple[list[tuple[int, int] | None], list[int | None], list[str]]:
    """For each box the row that it comes from, and its person; and what is wrong."""
    origins: list[tuple[int, int] | None] = [None] * len(boxes)
    persons: list[int | None] = [one.person for one in boxes]
    problems: list[str] = []
    taken: set[tuple[int, int]] = set()

    def take(place: int, key: tuple[int, int]) -> None:
        origins[place] = key
        taken.add(key)
        if persons[place] is None:
            persons[place] = key[1]

    for place, one in enumerate(boxes):
        if one.origin is None:
            continue
        if one.origin in taken:
            problems.append(f"{one.where}: a second box made from person {one.origin[1]} at second {one.origin[0]}")
        elif one.origin in held:
            take(place, one.origin)
        elif persons[place] is None:
            persons[place] = one.origin[1]
    for place, one in enumerate(boxes):
        if origins[place] is None and one.person is not None:
            key = one.second, one.person
            if key in held and key not in taken:
                take(place, key)
    claimed = taken | {(one.second, number) for one, number in zip(boxes, persons, strict=True) if number is not None}
    free: dict[int, list[Row]] = {}
    for key, row in held.items():
        if key not in claimed:
            free.setdefault(key[0], []).append(row)
    pairs = sorted(
        (-share, place, row.key)
        for place, one in enumerate(boxes)
        if origins[place] is None and persons[place] is None
        for row in free.get(one.second, ())
        if (share := overlap(one.box, row.box)) >= SAME_IOU
    )
    for _, place, key in pairs:
        if origins[place] is None and key not in taken:
            take(place, key)
    return origins, persons, problems


def _row(one: Offered, origin: Row | None, person: int) -> Row:
    if origin is None:
        doubts: tuple[Doubt, ...] = () if one.score is not None else ("drawn",)
        return Row(one.second, person, one.box, one.score, one.actions if one.tells else None, one.track, False, doubts)
    row = replace(origin, person=person)
    if one.tells:
        row = replace(row, actions=one.actions)
    if one.score is not None:
        row = replace(row, score=one.score)
    if one.box != origin.box:
        row = replace(row, box=one.box, score=one.score)
        if one.score is None and "drawn" not in row.doubts:
            row = replace(row, doubts=(*row.doubts, "drawn"))
    return row if row == origin else replace(row, checked=False)


def _key(row: Row) -> tuple[int, int]:
    return row.key
