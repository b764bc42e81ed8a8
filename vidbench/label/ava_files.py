"""The text files and proposals of an AVA export: written beside the old ones, then all put in their place."""

from __future__ import annotations

import csv
import io
import os
import re
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from vidbench.data.frames import frame_name
from vidbench.data.jobs import PART
from vidbench.errors import disk_errors
from vidbench.formats import ava
from vidbench.formats.framelist import FrameLine, read_lines, save_frames, save_lines
from vidbench.formats.labelset import SetFile, Split
from vidbench.formats.proposals import save_proposals
from vidbench.label import ava_readme as names
from vidbench.label.ava_rows import PartRows, SplitRows, action_list
from vidbench.label.parts import FIRST_TIMESTAMP, MARGIN_S
from vidbench.ledger import FOLDER
from vidbench.runs import write_json_atomic, write_text_atomic

README = "README.txt"
IDS = "ids.csv"
FILE_NAMES = "ava_file_names_trainval_v2.1.txt"
INCLUDED = "ava_included_timestamps_v2.2.txt"

_WRITTEN = "ava-files.txt"
_STAGE = "ava-files"
_ENDING = re.compile(r"\.[A-Za-z0-9]{1,8}")


def write_files(out: Path, content: SetFile, splits: Sequence[SplitRows], *, reviewed: bool, text: str) -> list[str]:
    """Write all files of an export but the frames, and remove those that an earlier export wrote and this one does not.

    Every file is whole at any moment; they change in one go, after all of them could be written.

    Args:
        out: The folder.
        content: The set.
        splits: What goes into the files; each has a part.
        reviewed: Whether there is ground truth.
        text: What README.txt says.

    Returns:
        The files that were removed, from the folder.
    """
    stage = out / FOLDER / f"{_STAGE}.{os.getpid()}{PART}"
    _sweep(out)
    with disk_errors(stage):
        try:
            _write(stage, content, splits, reviewed, text)
            new = sorted(str(path.relative_to(stage)) for path in stage.rglob("*") if path.is_file())
            old = written(out)
            # a kill from here on leaves files of both exports, and all of them are known
            save_lines(out / FOLDER / _WRITTEN, (f"{name}\n" for name in sorted({*old, *new})))
            for name in new:
                target = out / name
                target.parent.mkdir(parents=True, exist_ok=True)
                (stage / name).replace(target)
            gone = [name for name in old if name not in new and (out / name).is_file()]
            for name in gone:
                (out / name).unlink()
            save_lines(out / FOLDER / _WRITTEN, (f"{name}\n" for name in new))
        finally:
            shutil.rmtree(stage, ignore_errors=True)
    return gone


def written(out: Path) -> list[str]:
    """The files that the last export wrote, from the folder; none where there was no export."""
    path = out / FOLDER / _WRITTEN
    if not path.exists():
        return []
    lines = [line.removesuffix("\n") for line in read_lines(path)]
    # whatever the file may say, nothing else is ever ours to remove
    return [name for name in lines if name in _possible()]


def _possible() -> set[str]:
    found = {README, IDS, FILE_NAMES}
    annotations = {
        INCLUDED,
        names.ACTIONS_80,
        names.ACTIONS_ITEMS,
        names.CLASS_NAMES,
        names.TRAIN_BOXES,
        names.VAL_BOXES,
    }
    for split in ("train", "val", "test"):
        found.add(f"frame_lists/{split}.csv")
        annotations |= {
            kind(split) for kind in (names.ground_truth, names.exclusions, names.predicted_boxes, names.dense_proposals)
        }
    return found | {f"annotations/{name}" for name in annotations}


def _write(stage: Path, content: SetFile, splits: Sequence[SplitRows], reviewed: bool, text: str) -> None:
    annotations = stage / "annotations"
    for split in splits:
        save_frames(stage / "frame_lists" / f"{split.name}.csv", _frames(split.rows))
        ava.save(
            annotations / names.predicted_boxes(split.name),
            ava.dump_predicted(row for one in split.rows for row in one.predicted()),
        )
        save_proposals(
            annotations / names.dense_proposals(split.name),
            (entry for one in split.rows for entry in one.proposals()),
        )
        if reviewed:
            _write_truth(annotations, split)
    actions = action_list(content.actions)
    ava.save(annotations / names.ACTIONS_80, ava.dump_actions(actions, "label"))
    ava.save(annotations / names.ACTIONS_ITEMS, ava.dump_actions(actions, "item"))
    write_json_atomic(annotations / names.CLASS_NAMES, {action.name: action.id - 1 for action in content.actions})
    last = max(one.timestamps[-1] for split in splits for one in split.rows)
    save_lines(annotations / INCLUDED, (f"{second:04d}\n" for second in range(FIRST_TIMESTAMP + MARGIN_S, last + 1)))
    ava.save(stage / FILE_NAMES, ava.dump_files(_file_names(splits)))
    write_text_atomic(stage / IDS, _ids(splits))
    write_text_atomic(stage / README, text)


def _write_truth(annotations: Path, split: SplitRows) -> None:
    ava.save(
        annotations / names.ground_truth(split.name),
        ava.dump_labels(row for one in split.rows for row in one.labels()),
    )
    ava.save(
        annotations / names.exclusions(split.name),
        ava.dump_seconds(row for one in split.rows for row in one.excluded_seconds()),
    )
    labelled: Mapping[Split, str] = {"train": names.TRAIN_BOXES, "val": names.VAL_BOXES}
    if split.name in labelled:
        ava.save(
            annotations / labelled[split.name],
            ava.dump_predicted(row for one in split.rows for row in one.boxes_and_labels()),
        )


def _frames(rows: Iterable[PartRows]) -> Iterator[FrameLine]:
    for number, one in enumerate(rows):
        for frame in range(one.part.pictures):
            path = f"{one.part.id}/{frame_name('ava', one.part.id, frame + 1)}"
            yield FrameLine(one.part.id, number, frame, path)


def _file_names(splits: Iterable[SplitRows]) -> Iterator[str]:
    for split in splits:
        if split.name != "test":
            for video, rows in split.parts:
                ending = Path(video.file).suffix
                yield rows.part.id + (ending if _ENDING.fullmatch(ending) else ".mp4")


def _ids(splits: Iterable[SplitRows]) -> str:
    """Which video and seconds each name of the export stands for, as CSV with a header."""
    stream = io.StringIO()
    table = csv.writer(stream, lineterminator="\n")
    table.writerow(["id", "split", "video", "source", "part", "parts", "from_s", "to_s", "offset"])
    for split in splits:
        for video, rows in split.parts:
            part = rows.part
            span = [part.from_s, f"{float(part.to_s):.3f}", part.shift]
            table.writerow([part.id, split.name, video.id, video.file, part.number, part.of, *span])
    return stream.getvalue()


def _sweep(out: Path) -> None:
    """Remove what a killed export left half written."""
    for path in (out / FOLDER).glob(f"{_STAGE}.*{PART}"):
        shutil.rmtree(path, ignore_errors=True)
