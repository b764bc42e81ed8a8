"""Kinetics' annotations: which seconds of which video show which class."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from vidbench.errors import InputError
from vidbench.formats.kinetics import line_errors

COLUMNS = ("label", "youtube_id", "time_start", "time_end", "split")
"""How the official files name their columns; ActivityNet's add `is_cc`, files without labels lack `label`."""

_FIELDS = {
    "label": "label",
    "label-name": "label",
    "youtube_id": "id",
    "video-id": "id",
    "time_start": "start",
    "start-time": "start",
    "time_end": "end",
    "end-time": "end",
    "split": "split",
}
_ID = re.compile(r'[^\s/\\"\x00-\x1f\x7f]+')
_SECONDS = re.compile(r"-?\d{1,6}(?:\.\d*)?")
_QUOTED = re.compile(r'[,"\r\n]')
_SPLITS = {"validate": "val", "validation": "val"}
_REMEDY = f"The file begins with a line of column names, as {','.join(COLUMNS)}; a time is a number of seconds."


@dataclass(frozen=True, slots=True)
class Annotation:
    """One clip of a Kinetics set.

    Attributes:
        youtube_id: The video's id at YouTube; may begin with a hyphen.
        start_s: Where the clip begins, in seconds of the video.
        end_s: Where it ends, after `start_s`.
        label: The class name without quotes; empty where the file has none, as for test splits.
        split: As the file writes it, "train", "val", "validate" or "test"; empty where there is no such column.
        extra: The cells of further columns, as `is_cc`, in the file's order.
        line: The line in the file, from 1.
    """

    youtube_id: str
    start_s: float
    end_s: float
    label: str = ""
    split: str = ""
    extra: tuple[str, ...] = ()
    line: int = 0

    @property
    def key(self) -> tuple[str, float, float]:
        """What tells the clip from all others; some videos give more than one."""
        return self.youtube_id, self.start_s, self.end_s

    @property
    def stem(self) -> str:
        """The name of the clip's file without its ending, `<id>_<start>_<end>`, whole seconds in six digits."""
        return f"{self.youtube_id}_{int(self.start_s):06d}_{int(self.end_s):06d}"

    @property
    def clip_name(self) -> str:
        """The name of the clip's file, as ActivityNet's crawler gives it."""
        return f"{self.stem}.mp4"

    @property
    def split_name(self) -> str:
        """The split as lists are called: DeepMind's "validate" is "val"."""
        return _SPLITS.get(self.split, self.split)


@dataclass(frozen=True)
class AnnotationFile:
    """What an annotation file holds.

    Attributes:
        columns: The names of its columns, in order.
        rows: The clips, in order.
    """

    columns: tuple[str, ...]
    rows: tuple[Annotation, ...]


def parse_annotations(lines: Iterable[str], source: str | Path) -> AnnotationFile:
    """Read annotations: comma separated, quoted or not, columns by the names in the first line.

    Read are the files of DeepMind, ActivityNet and the Common Visual Data Foundation, with or without labels,
    and the older `video-id,start-time,end-time,label-name`.

    Args:
        lines: The lines, with or without their ends.
        source: The file's name, for errors.

    Raises:
        InputError: A column is missing or rows are malformed: too few cells, an id that is none, times that are
            negative, reversed or no numbers, a clip or the name of its file listed twice.
            The message names each as `file:line: reason`.
    """
    reader = csv.reader((line if line.endswith("\n") else line + "\n" for line in lines), strict=True)
    try:
        columns = tuple(cell.strip().strip('"') for cell in next(reader, []))
        places = _places(columns, source)
        found = _Rows(places, len(columns))
        for cells in reader:
            if any(cell.strip() for cell in cells):
                found.add(cells, reader.line_num)
    except csv.Error as error:
        raise InputError(f"{source}:{reader.line_num}: {error}", _REMEDY) from error
    if found.problems:
        raise line_errors(source, found.problems, _REMEDY)
    if not found.rows:
        raise InputError(f"{source}: no clip in it", _REMEDY)
    return AnnotationFile(columns, tuple(found.rows))


def decode_annotations(data: bytes, source: str | Path) -> tuple[Annotation, ...]:
    """The clips of an annotation file's bytes, UTF-8 text.

    Raises:
        InputError: Not UTF-8, or malformed; see `parse_annotations`.
    """
    return parse_annotations(io.StringIO(_decoded(data, source), newline=""), source).rows


def load_annotations(path: Path) -> AnnotationFile:
    """Read an annotation file.

    Raises:
        InputError: It is missing, not UTF-8 text or malformed; see `parse_annotations`.
    """
    return parse_annotations(io.StringIO(read_table_text(path), newline=""), path)


def read_table_text(path: Path) -> str:
    """The text of an annotation file; a byte order mark at its start is skipped.

    Raises:
        InputError: No such file, a folder, not readable, or not UTF-8.
    """
    try:
        return _decoded(path.read_bytes(), path)
    except FileNotFoundError:
        raise InputError(f"{path}: no such file", "Give the path of an annotation file.") from None
    except IsADirectoryError:
        raise InputError(f"{path}: a folder, not a file", "Give the path of an annotation file.") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from error


def _decoded(data: bytes, source: str | Path) -> str:
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise InputError(f"{source}:{line}: not UTF-8 text", "Save it as UTF-8.") from error


def dump_annotations(rows: Iterable[Annotation], columns: Sequence[str] = COLUMNS) -> str:
    """The text of an annotation file with the given columns; `parse_annotations` reads it back.

    Whole seconds are written without a decimal point. Cells are quoted where they must be.
    """
    lines = [csv_line(columns)]
    for row in rows:
        extra = iter(row.extra)
        cells = {
            "label": row.label,
            "id": row.youtube_id,
            "start": seconds(row.start_s),
            "end": seconds(row.end_s),
            "split": row.split,
        }
        lines.append(csv_line(cells[_FIELDS[name]] if name in _FIELDS else next(extra, "") for name in columns))
    return "".join(lines)


def csv_line(cells: Iterable[str]) -> str:
    """A line of comma separated cells, of which those are quoted that must be; ends in LF."""
    # the standard library's writer leaves a carriage return bare when lines end in LF
    return ",".join('"' + cell.replace('"', '""') + '"' if _QUOTED.search(cell) else cell for cell in cells) + "\n"


def seconds(value: float) -> str:
    """A time as the shortest text that reads back as the same number."""
    return str(int(value)) if value == int(value) else repr(value)


def _places(columns: Sequence[str], source: str | Path) -> dict[str, int]:
    places: dict[str, int] = {}
    for index, name in enumerate(columns):
        field = _FIELDS.get(name)
        if field and field in places:
            raise InputError(f"{source}:1: two columns of the {field}: {columns[places[field]]} and {name}", _REMEDY)
        if field:
            places[field] = index
    wanted = {"id": "youtube_id", "start": "time_start", "end": "time_end"}
    missing = [name for field, name in wanted.items() if field not in places]
    if missing:
        got = ",".join(columns)
        shown = repr(got if len(got) <= 80 else got[:77] + "...") if got else "nothing"
        raise InputError(f"{source}:1: no column {', '.join(missing)} in {shown}", _REMEDY)
    return places


class _Rows:
    """Collects rows and problems."""

    def __init__(self, places: dict[str, int], width: int) -> None:
        self.rows: list[Annotation] = []
        self.problems: list[tuple[int, str]] = []
        self._places, self._width = places, width
        self._others = [index for index in range(width) if index not in places.values()]
        self._lines: dict[str, tuple[int, tuple[str, float, float]]] = {}

    def add(self, cells: Sequence[str], line: int) -> None:
        if len(cells) != self._width:
            self.problems.append((line, f"{len(cells)} cells, where the first line names {self._width} columns"))
            return
        times: list[float] = []
        for field, name in (("start", "time_start"), ("end", "time_end")):
            value = _number(cells[self._places[field]])
            if value is None:
                self.problems.append((line, f"{name} {cells[self._places[field]]!r} is not a number of seconds"))
                return
            times.append(value)
        row = Annotation(
            youtube_id=cells[self._places["id"]].strip(),
            start_s=times[0],
            end_s=times[1],
            label=self._text(cells, "label").replace('"', "").strip(),
            split=self._text(cells, "split").strip(),
            extra=tuple(cells[index] for index in self._others),
            line=line,
        )
        problem = self._problem(row)
        if problem:
            self.problems.append((line, problem))
        else:
            self.rows.append(row)

    def _text(self, cells: Sequence[str], field: str) -> str:
        return cells[self._places[field]] if field in self._places else ""

    def _problem(self, row: Annotation) -> str:
        if not _ID.fullmatch(row.youtube_id):
            return f"the id {row.youtube_id!r} is none" if row.youtube_id else "no id"
        if row.start_s < 0:
            return f"time_start {seconds(row.start_s)} is negative"
        if row.end_s <= row.start_s:
            return f"time_end {seconds(row.end_s)} is not after time_start {seconds(row.start_s)}"
        first, key = self._lines.setdefault(row.stem, (row.line, row.key))
        if first == row.line:
            return ""
        if key == row.key:
            span = f"{seconds(row.start_s)} to {seconds(row.end_s)} s"
            return f"{row.youtube_id} from {span} is listed before, at line {first}"
        return f"its file would be called {row.clip_name}, as that of line {first}"


def _number(text: str) -> float | None:
    # names of files have six digits for the seconds
    return float(text) if _SECONDS.fullmatch(text.strip()) else None
