"""Which file of a folder is what: by its name, and by its first line where the name does not tell."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

Kind = Literal["labels", "predicted", "list", "actions", "excluded", "included", "proposals"]

_FOLDERS = (".", "annotations", "frame_lists")
_ENDINGS = (".csv", ".txt", ".pbtxt", ".pkl", ".pickle")
_SPLIT = re.compile(r"(?:^|[^a-z])(train|val|test)(?![a-z])")
_BY_NAME: tuple[tuple[re.Pattern[str], Kind], ...] = (
    (re.compile(r".*\.pbtxt"), "actions"),
    (re.compile(r".*\.(pkl|pickle)"), "proposals"),
    (re.compile(r".*excluded_timestamps.*\.(csv|txt)"), "excluded"),
    (re.compile(r".*included_timestamps.*\.(csv|txt)"), "included"),
    (re.compile(r".*predicted_boxes.*\.csv|ava_detection_.*\.csv"), "predicted"),
)
_LABELS = re.compile(r"ava_(train|val|test)_v[0-9.]+\.(csv|txt)")


@dataclass(frozen=True, slots=True)
class Given:
    """A file that is to be checked.

    Attributes:
        path: The file.
        kind: What it is.
        split: "train", "val" or "test"; None where its name does not tell.
    """

    path: Path
    kind: Kind
    split: str | None


@dataclass
class Layout:
    """What a folder holds.

    Attributes:
        notes: Where annotations should be.
        lists: Where frame lists should be.
        files: By path.
        others: Text files that are none of these kinds; nobody looks at them.
    """

    notes: Path
    lists: Path
    files: list[Given] = field(default_factory=list)
    others: list[Path] = field(default_factory=list)

    def of(self, kind: Kind) -> list[Given]:
        """The files of a kind."""
        return [one for one in self.files if one.kind == kind]

    def main(self, kind: Kind, split: str) -> Given | None:
        """The file of a kind and split that a loader would be given: the newest AVA version, or else the first."""
        fitting = [one for one in self.of(kind) if one.split == split]
        plain = [one for one in fitting if re.fullmatch(rf"ava_{split}_v[0-9.]+\.(csv|txt)", one.path.name)]
        exact = [one for one in fitting if one.path.stem == split]
        best = plain[-1:] or exact or fitting
        return best[0] if best else None


def lay_out(root: Path) -> Layout:
    """Look for the files of a folder in AVA's format, also if it is the folder of the annotations alone."""
    notes = root / "annotations" if (root / "annotations").is_dir() else root
    lists = root / "frame_lists" if (root / "frame_lists").is_dir() else notes
    layout = Layout(notes, lists)
    folders = [root / name for name in _FOLDERS]
    folders += sorted(notes.glob("person_box_*"))
    for folder in dict.fromkeys(Path(os.path.normpath(one)) for one in folders):
        if not folder.is_dir():
            continue
        for path in sorted(folder.iterdir()):
            if path.suffix.lower() not in _ENDINGS or not path.is_file() or path.name.startswith("."):
                continue
            kind = _kind(path)
            if kind is None:
                layout.others.append(path)
            else:
                split = _SPLIT.search(path.name.lower())
                layout.files.append(Given(path, kind, split[1] if split else None))
    return layout


def _kind(path: Path) -> Kind | None:
    name = path.name.lower()
    for pattern, kind in _BY_NAME:
        if pattern.fullmatch(name):
            return kind
    if _LABELS.fullmatch(name):
        return "labels"
    if path.suffix.lower() != ".csv":
        return None
    if path.parent.name == "frame_lists":
        return "list"
    try:
        with path.open("rb") as stream:
            first = stream.readline(4096).decode(errors="replace").strip()
    except OSError:
        return None
    fields = first.split(",")
    if len(first.split()) == 5 and len(fields) < 7:
        return "list"
    # other tables that lie about are not ours to judge
    named = bool(_SPLIT.search(name))
    numbered = len(fields) in (7, 8) and bool(re.fullmatch(r'"?[0-9.]+"?', fields[1]))
    return "labels" if named or numbered else None
