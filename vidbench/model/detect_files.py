"""The files of an evaluation of action detection: detections, ground truth, classes and seconds that do not count."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vidbench.errors import InputError
from vidbench.formats import ava
from vidbench.formats.framelist import save_lines
from vidbench.formats.labels import spelling

DETECTIONS = "detections.csv"
GROUND_TRUTH = "groundtruth.csv"
CLASSES = "classes.pbtxt"
EXCLUDED = "excluded.csv"

_DIGITS = 12


@dataclass(frozen=True)
class Seen:
    """What a network says of the boxes of a keyframe.

    Attributes:
        video: The video's name.
        second: As in AVA's files.
        boxes: M boxes, x1, y1, x2, y2 in fractions of the frame.
        scores: Of each box the K outputs, in [0, 1].
    """

    video: str
    second: int
    boxes: Sequence[Sequence[float]]
    scores: Sequence[Sequence[float]]


def save_detections(path: Path, seen: Iterable[Seen], outputs: Mapping[int, int]) -> int:
    """Write `video_id,second,x1,y1,x2,y2,action,score`: a line for each class of each box, keyframe by keyframe.

    Scores have 12 decimals, so that no two become equal that a float32 can tell apart; box corners have their own
    digits.

    Args:
        path: The file.
        seen: In the order of the file.
        outputs: The number of each class that counts, and its output of the network.

    Returns:
        How many lines.

    Raises:
        InputError: It cannot be written.
    """
    written = 0

    def lines() -> Iterator[str]:
        nonlocal written
        pairs = tuple(outputs.items())
        for one in seen:
            for box, scores in zip(one.boxes, one.scores, strict=True):
                head = f"{one.video},{one.second:04d},{','.join(map(_corner, box))}"
                for number, output in pairs:
                    yield f"{head},{number},{scores[output]:.{_DIGITS}f}\n"
                written += len(pairs)

    save_lines(path, lines())
    return written


def _corner(value: float) -> str:
    """The shortest decimal that is read back as the same number, never with an exponent."""
    return str(np.format_float_positional(value, trim="-"))


def save_ground_truth(path: Path, rows: Iterable[ava.Label | ava.Second]) -> None:
    """Write rows of ground truth, as they were read.

    Raises:
        InputError: It cannot be written.
    """
    ava.save(path, ava.dump_labels(rows))


def save_classes(path: Path, classes: Mapping[int, str]) -> None:
    """Write the classes that count as an action list.

    Raises:
        InputError: A name that cannot stand in one.
    """
    ava.save(path, ava.dump_actions((ava.Action(number, name) for number, name in classes.items()), "item"))


def outputs_of(classes: Mapping[int, str], names: Sequence[str], count: int, model: str) -> dict[int, int]:
    """Which output of a network stands for which class: found by name, or by number where the outputs have none.

    Args:
        classes: Numbers and names of the classes that count.
        names: Of the outputs, in order; empty where they have none: output 0 is then class 1.
        count: Of outputs.
        model: For the message.

    Raises:
        InputError: A class that the network does not have.
    """
    if not names:
        beyond = [number for number in classes if number > count]
        if beyond:
            raise InputError(
                f"class {beyond[0]} {classes[beyond[0]]!r} counts, but {model} has {count} classes without names",
                "Give a model that was trained on this set, or its label map: --labels FILE.",
            )
        return {number: number - 1 for number in classes}
    places = {spelling(name): place for place, name in enumerate(names)}
    lacking = [f"{number} {name!r}" for number, name in classes.items() if spelling(name) not in places]
    if lacking:
        told = ", ".join(lacking[:3]) + (f", ... ({len(lacking)} in all)" if len(lacking) > 3 else "")
        raise InputError(
            f"{model} does not have the classes {told} of the set; it has {', '.join(map(repr, names[:3]))}"
            + (f", ... ({count} in all)" if count > 3 else ""),
            "Give a model that was trained on these classes, or name those that count: --labels FILE.",
        )
    return {number: places[spelling(name)] for number, name in classes.items()}
