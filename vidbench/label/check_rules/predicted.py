"""Files of a detector's boxes, `ava_val_predicted_boxes.csv`, which PySlowFast evaluates on."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path

from vidbench.label.check_rules import columns
from vidbench.label.check_rules.rule import Findings, Loader, rule
from vidbench.label.check_rules.text import videos_of

READERS: tuple[Loader, ...] = ("pyslowfast",)

COLUMNS = rule(
    "predicted-columns",
    "error",
    "Write video,second,x1,y1,x2,y2,action,score; action may be empty.",
    pyslowfast="IndexError with fewer than 8 columns; reads column 8 as score with more",
)
SCORE = rule(
    "predicted-score-unreadable",
    "error",
    "Write a score from 0 to 1 in column 8; 1.0 for boxes that people checked.",
    pyslowfast="ValueError: float() does not read it",
)
SCORE_RANGE = rule(
    "predicted-score-range",
    "error",
    "Write a score from 0 to 1 in column 8; 1.0 for boxes that people checked.",
    pyslowfast="compares it with AVA.DETECTION_SCORE_THRESH all the same; NaN passes every threshold",
)
SCORE_IDS = rule(
    "predicted-score-ids",
    "error",
    "Write scores into column 8: this looks like a copy of a file of labels, whose column 8 is the person's number.",
    pyslowfast="takes the person's number for the score: person 0 is dropped, all others count as certain",
)
BOX_EMPTY = rule("predicted-box-empty", "note", "Detectors give such boxes at the edge of a frame; take them out.")
ACTION_WRONG = rule(
    "predicted-action-wrong",
    "error",
    "Write 1 to 80, or nothing or -1 for none.",
    pyslowfast="AssertionError when the row is trained on",
)
LOW = rule(
    "predicted-video-low",
    "error",
    "Write 1.0 for boxes that people checked, lower AVA.DETECTION_SCORE_THRESH, or take the video out of the list.",
    pyslowfast="AssertionError: the video has no boxes left, and the frame list has one video more",
)
QUARTER = rule(
    "predicted-video-quarter",
    "warning",
    "Set AVA.FULL_TEST_ON_VAL True: otherwise only seconds that 4 divides are evaluated while training.",
    pyslowfast="AssertionError in validation: the video has no boxes left, and the frame list has one video more",
)
DROPPED = rule(
    "predicted-box-low",
    "note",
    "If the box is a person, write 1.0, or lower AVA.DETECTION_SCORE_THRESH (0.9, and 0.8 in most configurations).",
    pyslowfast="drops the box",
)


@dataclass
class PredictedFacts:
    """What a file of a detector's boxes holds.

    Attributes:
        path: The file.
        split: As in `LabelFacts`.
        rows: Rows, broken ones included.
        first: The first line of each video.
        last: The greatest second of each video and its line.
    """

    path: Path
    split: str | None
    rows: int = 0
    first: dict[str, int] = field(default_factory=dict)
    last: dict[str, tuple[int, int]] = field(default_factory=dict)


@dataclass
class _Scores:
    """What column 8 looks like.

    Attributes:
        whole: Whether all are written as whole numbers.
        seen: Different texts, while they are.
        beyond: The first lines with a whole number above 1, and how many there are.
    """

    whole: bool = True
    seen: set[str] = field(default_factory=set)
    beyond: list[tuple[int, str]] = field(default_factory=list)
    beyonds: int = 0

    def take(self, line: int, text: str, score: float) -> None:
        whole = text.isdecimal()
        self.whole &= whole
        if self.whole and len(self.seen) < 1000:
            self.seen.add(text)
        if whole and score > 1:
            self.beyonds += 1
            if len(self.beyond) < 100:
                self.beyond.append((line, text))

    @property
    def ids(self) -> bool:
        return self.whole and len(self.seen) > 1


def check_predicted(
    path: Path, split: str | None, listed: Collection[int], threshold: float, found: Findings
) -> PredictedFacts:
    """Check a file of a detector's boxes.

    Args:
        path: The file.
        split: Which split it is of.
        listed: The actions of the action lists; empty where there are none.
        threshold: Scores below are dropped by PySlowFast.
        found: Where findings go.
    """
    facts = PredictedFacts(path, split)
    known = frozenset(listed)
    scores = _Scores()
    low: dict[str, float] = {}
    never: list[str] = []
    for name, lines in videos_of(path, found, READERS):
        video = name.strip('"')
        best, quarter = -1.0, False
        for number, text in lines:
            facts.rows += 1
            fields = text.strip().split(",")
            if number == 1 and columns.is_header(fields):
                found.add(columns.HEADER, path, 1, f"the header {text[:60]!r}", READERS)
                facts.rows -= 1
                continue
            if video not in facts.first:
                columns.check_name(path, number, video, found, READERS)
                facts.first[video] = number
            second, score = _row(path, number, fields, known, scores, found)
            if second is not None and second > facts.last.get(video, (-1, 0))[0]:
                facts.last[video] = second, number
            if score is not None:
                best = max(best, score)
                quarter |= score >= threshold and second is not None and second % 4 == 0
                if score < threshold:
                    found.add(DROPPED, path, number, f"score {score} is below {threshold}", READERS)
        if video in facts.first and 0 <= best < threshold:
            low[video] = best
        elif video in facts.first and not quarter:
            never.append(video)
    if scores.ids:
        told = "column 8 holds whole numbers alone, as " + ", ".join(sorted(scores.seen, key=lambda x: (len(x), x))[:4])
        found.add(SCORE_IDS, path, None, told, READERS)
    else:
        for number, text in scores.beyond:
            found.add(SCORE_RANGE, path, number, f"score {text}", READERS)
        if scores.beyonds > len(scores.beyond):
            found.add(SCORE_RANGE, path, None, "scores above 1", READERS, scores.beyonds - len(scores.beyond))
    for video, best in low.items():
        found.add(LOW, path, facts.first[video], f"{video}: its best score is {best}, below {threshold}", READERS)
    if split == "val":
        for video in never:
            found.add(QUARTER, path, facts.first[video], f"{video}: no box at a second that 4 divides", READERS)
    return facts


def _row(
    path: Path, number: int, fields: list[str], listed: frozenset[int], scores: _Scores, found: Findings
) -> tuple[int | None, float | None]:
    """The second and the score of a row."""
    if any('"' in text for text in fields):
        found.add(columns.QUOTES, path, number, f"quotes in {','.join(fields)[:80]}", READERS)
        fields = [text.strip('"') for text in fields]
    second = columns.second_of(path, number, fields[1], found, READERS) if len(fields) > 1 else None
    if len(fields) != 8:
        found.add(COLUMNS, path, number, f"{len(fields)} columns, not 8", READERS)
        return second, None
    columns.box_of(path, number, fields[2:6], found, READERS, BOX_EMPTY)
    _action(path, number, fields[6], listed, found)
    score = columns.number_of(fields[7])
    if score is None:
        found.add(SCORE, path, number, f"score {fields[7]!r}", READERS)
        return second, None
    scores.take(number, fields[7], score)
    if not 0 <= score <= 1 and not fields[7].isdecimal():
        found.add(SCORE_RANGE, path, number, f"score {fields[7]}", READERS)
    return second, score


def _action(path: Path, number: int, text: str, listed: frozenset[int], found: Findings) -> None:
    if not text:
        return
    action = columns.whole_of(text)
    if action is None:
        found.add(columns.ACTION_UNREADABLE, path, number, f"action {text!r}", READERS)
    elif action > columns.ACTIONS[-1]:
        found.add(columns.ACTION_OVER, path, number, f"action {action}", READERS)
    elif action < 1 and action != -1:
        found.add(ACTION_WRONG, path, number, f"action {action}", READERS)
    elif listed and action != -1 and action not in listed:
        found.add(columns.ACTION_UNLISTED, path, number, f"action {action} is in no action list", READERS)
