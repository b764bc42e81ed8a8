"""What files say of each other: videos of lists and boxes, frames that keyframes need, splits that are copies."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations

from vidbench.label.check_rules import timestamps
from vidbench.label.check_rules.action_lists import ActionFacts
from vidbench.label.check_rules.frame_lists import ListFacts
from vidbench.label.check_rules.frames import FrameFolders, check_length, check_naming
from vidbench.label.check_rules.labels import LabelFacts
from vidbench.label.check_rules.layout import Layout
from vidbench.label.check_rules.predicted import READERS as PYSLOWFAST
from vidbench.label.check_rules.predicted import PredictedFacts
from vidbench.label.check_rules.rule import LOADERS, Findings, Loader, rule

LIST_MISSING = rule(
    "list-missing",
    "error",
    "Make a frame list of the split: `vidbench data frames` or `vidbench label export`.",
    pyslowfast="FileNotFoundError (AVA.FRAME_LIST_DIR)",
    pytorchvideo="FileNotFoundError",
)
PREDICTED_MISSING = rule(
    "predicted-missing",
    "error",
    "Export boxes for this split; PySlowFast evaluates on detected boxes, never on the labels.",
    pyslowfast="FileNotFoundError (AVA.TEST_PREDICT_BOX_LISTS)",
)
LABELS_MISSING = rule(
    "labels-missing",
    "error",
    "Put ava_train_v2.2.csv and ava_val_v2.2.csv into the folder annotations.",
    every="FileNotFoundError",
)
UNLISTED = rule(
    "labels-video-unlisted",
    "error",
    "Add the video's frames to the list, or take its rows out.",
    pyslowfast="AssertionError: as many videos must be in the list as have boxes",
    pytorchvideo="KeyError",
)
PREDICTED_UNLISTED = rule(
    "predicted-video-unlisted",
    "error",
    "Add the video's frames to the list, or take its rows out.",
    pyslowfast="AssertionError: as many videos must be in the list as have boxes",
)
UNBOXED = rule(
    "list-video-unboxed",
    "error",
    "Take the video out of the list, or add its boxes.",
    pyslowfast="AssertionError: as many videos must be in the list as have boxes",
)
COPY = rule("split-copy", "error", "Give each video to one split; a copy of the training set measures nothing.")
SHARED = rule("split-video-shared", "warning", "Give each video to one split; figures on seen videos are too good.")
UNUSED = rule("class-unused", "warning", "Label persons who do it, or take the action out of the list.")


def compare(
    layout: Layout,
    labels: Sequence[LabelFacts],
    predicted: Sequence[PredictedFacts],
    lists: Sequence[ListFacts],
    excluded: Mapping[str, dict[str, int]],
    actions: ActionFacts,
    folders: FrameFolders | None,
    found: Findings,
    reviewed: bool = True,
) -> tuple[str, ...]:
    """Compare the files of a folder; gives what could not be compared.

    Args:
        layout: The folder's files.
        labels: What its files of boxes with actions hold.
        predicted: What its files of a detector's boxes hold.
        lists: What its frame lists hold.
        excluded: The videos of the files of excluded seconds, by split.
        actions: What its action lists say.
        folders: The frames on disk; None where they are left alone.
        found: Where findings go.
        reviewed: Whether there should be labels.
    """
    skipped: list[str] = []
    if not labels and reviewed:
        found.add(LABELS_MISSING, layout.notes, None, "no file of boxes with actions (ava_train_v2.2.csv)")
    main = {split: _main(layout, split, labels) for split in ("train", "val", "test")}
    by_split = {one.split: one for one in lists if one.split}
    whole = bool(lists) or bool(folders and folders.bases)
    for split, facts in main.items():
        held = by_split.get(split)
        if facts is not None:
            _needed(layout, split, facts, held, excluded, whole, found)
            _classes(facts, actions, found)
            if held is None and not whole:
                skipped.append(f"{split}: there are no frames and no frame list to compare the boxes with")
        if held is not None:
            _paired(held, facts, [one for one in predicted if one.split == split], found)
    files: list[LabelFacts | PredictedFacts] = [*labels, *predicted]
    for one in files:
        only = LOADERS if isinstance(one, LabelFacts) else PYSLOWFAST
        _lengths(one, by_split.get(one.split or ""), folders, only, found)
    _copies([one for one in main.values() if one is not None], found)
    return tuple(skipped)


def _main(layout: Layout, split: str, labels: Sequence[LabelFacts]) -> LabelFacts | None:
    given = layout.main("labels", split)
    return next((one for one in labels if given is not None and one.path == given.path), None)


def _needed(
    layout: Layout,
    split: str,
    facts: LabelFacts,
    held: ListFacts | None,
    excluded: Mapping[str, dict[str, int]],
    whole: bool,
    found: Findings,
) -> None:
    """The files that a split needs beside its labels."""
    if held is None and whole:
        found.add(LIST_MISSING, layout.lists, None, f"no frame list of split {split} ({split}.csv)")
    if split not in excluded:
        told = f"no file of excluded seconds of split {split} (ava_{split}_excluded_timestamps_v2.2.csv)"
        found.add(timestamps.MISSING, layout.notes, None, told)
    elif given := layout.main("excluded", split):
        for video, line in excluded[split].items():
            if video not in facts.first and not (held and video in held.videos):
                found.add(timestamps.UNKNOWN, given.path, line, f"{video} is not in split {split}")
    if split == "val" and layout.main("predicted", split) is None:
        told = "no file of a detector's boxes of split val (ava_val_predicted_boxes.csv)"
        found.add(PREDICTED_MISSING, layout.notes, None, told)


def _paired(held: ListFacts, facts: LabelFacts | None, predicted: Sequence[PredictedFacts], found: Findings) -> None:
    """Each video of the list has boxes, and each video with boxes is in the list."""
    training = held.split == "train"
    if facts is not None:
        only: tuple[Loader, ...] = LOADERS if training else ("pytorchvideo",)
        for video, line in facts.first.items():
            if video not in held.videos:
                found.add(UNLISTED, facts.path, line, f"{video} is not in {held.path.name}", only)
    # in training its boxes are those of the labels, and those of a detector come on top
    files: Sequence[LabelFacts | PredictedFacts] = [facts] if training and facts is not None else predicted
    for one in files:
        for video, listed in held.videos.items():
            if video not in one.first:
                found.add(UNBOXED, held.path, listed.line, f"{video} has no box in {one.path.name}")
    for boxes in predicted:
        for video, line in boxes.first.items():
            if video not in held.videos:
                found.add(PREDICTED_UNLISTED, boxes.path, line, f"{video} is not in {held.path.name}")


def _lengths(
    facts: LabelFacts | PredictedFacts,
    held: ListFacts | None,
    folders: FrameFolders | None,
    only: tuple[Loader, ...],
    found: Findings,
) -> None:
    """Frames that the last keyframes need."""
    for video, last in facts.last.items():
        on_disk = folders.of_video(video) if folders is not None else ()
        if folders is not None and folders.bases and isinstance(facts, LabelFacts):
            check_naming(facts.path, video, facts.first[video], on_disk, found)
        if on_disk:
            check_length(facts.path, video, last, max(one.images for one in on_disk), only, found)
        elif held is not None and video in held.videos:
            check_length(facts.path, video, last, held.videos[video].frames, only, found)


def _copies(labels: Sequence[LabelFacts], found: Findings) -> None:
    for a, b in combinations(labels, 2):
        if a.rows and a.rows == b.rows and a.digest == b.digest:
            found.add(COPY, b.path, None, f"the same {b.rows} rows as {a.path.name}")
            continue
        for video, line in b.first.items():
            if video in a.first:
                found.add(SHARED, b.path, line, f"{video} is in {a.path.name}, too")


def _classes(facts: LabelFacts, actions: ActionFacts, found: Findings) -> None:
    if not facts.actions:
        # a file of nothing, or of seconds alone
        return
    for number, name in sorted(actions.names.items()):
        if not facts.actions[number]:
            found.add(UNUSED, facts.path, None, f"nobody does {number} {name!r}")
