"""What a user should know of an AVA export, in sentences."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from vidbench.label.ava_frames import FRAMES, PartFrames
from vidbench.label.ava_plan import SPLITS, Plan
from vidbench.label.ava_result import THRESHOLDS, ExportAvaResult
from vidbench.label.ava_rows import SplitRows

_SHOWN = 5


def remarks(
    plan: Plan, splits: Sequence[SplitRows], result: ExportAvaResult, wanted: Sequence[PartFrames]
) -> Iterator[str]:
    """What is missing, left out or needed, most important first.

    Args:
        plan: What the set has.
        splits: What goes into the files.
        result: What came of it.
        wanted: The parts and where their frames should be.
    """
    if not plan.reviewed:
        yield (
            "Not yet trainable: nobody has answered for any person. There are boxes and proposals, and no ground truth."
        )
        yield from _low_scores(splits)
    yield from _absent_splits(plan, result)
    if plan.reviewed and "val" not in result.splits:
        yield "No validation split: PySlowFast opens its files even to train. Put a video into val."
    if result.full_test_on_val:
        yield "PySlowFast needs AVA.FULL_TEST_ON_VAL True: a validation video has no box at a second that 4 divides."
    counts = result.splits.values()
    untouched, excluded = sum(one.untouched for one in counts), sum(one.excluded for one in counts)
    if untouched:
        yield f"{_many(untouched, 'person')} at keyframes left out, as nobody has answered for them."
    if excluded:
        yield (
            f"{_many(excluded, 'keyframe')} of validation and test excluded, with "
            f"{_many(sum(one.withheld for one in counts), 'answered person')}, as somebody there has no answer."
        )
    if result.left_out:
        told = (f"{one.id} ({one.reason})" for one in result.left_out)
        yield f"{_many(len(result.left_out), 'video')} left out: {_listed(told)}."
    if result.outside:
        told = (f"{one.video} at {_listed(map(str, one.seconds))}" for one in result.outside)
        yield f"Keyframes within 2 s of an end are left out, as no loader can take them: {_listed(told, '; ')}."
    if result.merged:
        told = (f"{one.video} second {one.second} persons {_listed(map(str, one.persons))}" for one in result.merged)
        yield (
            "PyTorchVideo takes persons for one whose boxes agree at two decimals (PySlowFast and MMAction2 where all "
            f"three agree): {_listed(told, '; ')}. Move a box, or delete the double."
        )
    if result.failed:
        told = (f"{one.id} ({one.reason}: {one.detail})" for one in result.failed)
        yield f"{_many(len(result.failed), 'video')} without frames, in no file: {_listed(told, '; ')}."
    missing = [one.key for one in wanted if not one.folder.is_dir() and one.key not in {x.id for x in result.failed}]
    if missing:
        yield f"Frames are not there and must be made before anything can load: {FRAMES}/ lacks {_listed(missing)}."


def _low_scores(splits: Sequence[SplitRows]) -> Iterator[str]:
    persons = [person for split in splits for rows in split.rows for person in rows.persons]
    for usual in THRESHOLDS:
        low = sum(person.score < usual for person in persons)
        if low:
            bare = [r.part.id for split in splits for r in split.rows if all(p.score < usual for p in r.persons)]
            more = f" Videos that keep no box then: {_listed(bare)}." if bare else ""
            yield f"{low} of {len(persons)} boxes have a score below {usual}, and are not used at that threshold.{more}"


def _absent_splits(plan: Plan, result: ExportAvaResult) -> Iterator[str]:
    asked = Counter(video.split for video in plan.content.videos)
    for name in SPLITS:
        if asked[name] and name not in result.splits:
            yield f"Split {name} is not written: none of its {_many(asked[name], 'video')} can be used."


def _many(count: int, one: str) -> str:
    return f"{count} {one}{'' if count == 1 else 's'}"


def _listed(told: Iterable[str], between: str = ", ") -> str:
    texts = list(told)
    more = f"{between}and {len(texts) - _SHOWN} more" if len(texts) > _SHOWN else ""
    return between.join(texts[:_SHOWN]) + more
