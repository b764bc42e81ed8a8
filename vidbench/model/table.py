"""`vidbench model table`: fine-tuned runs in a benchmark's table, beside the published figures."""

from __future__ import annotations

import csv
import io
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

from vidbench.errors import InputError, UnknownNameError, UsageError
from vidbench.model.recipe import published, read_recipe
from vidbench.model.table_runs import Entry, read_entry

Json = dict[str, Any]
ALL = "all"
MISSING = "\u2013"
_MARK = "*"
FORMS = ("text", "md", "csv")


@dataclass(frozen=True)
class Column:
    """A figure of the benchmark.

    Attributes:
        name: What users type.
        title: What it is; per cent unless it says something else.
        figure: Its name in a run's summary; empty where vidbench does not measure it.
        recipe: The recipe whose runs stand in it; empty for none.
    """

    name: str
    title: str
    figure: str
    recipe: str


@dataclass(frozen=True)
class Cell:
    """One start in one column.

    Attributes:
        ours: Mean over the runs, in the column's unit; None for none. Runs that are marked count only where there is
            no other.
        published: The published figure.
        difference: Ours less the published one.
        marked: Whether ours is of marked runs.
        runs: All that are given, a test in place of the training that it measures.
        counted: How many of them ours is the mean of.
    """

    ours: float | None
    published: float | None
    difference: float | None
    marked: bool
    runs: tuple[Entry, ...]
    counted: int


@dataclass(frozen=True)
class Row:
    """One start.

    Attributes:
        init: Its name.
        confidence: "transcribed" or "low": how sure the published figures are; empty where there are none.
        note: What else is to be known of them.
        cells: By the name of the column.
    """

    init: str
    confidence: str
    note: str
    cells: dict[str, Cell]


@dataclass(frozen=True)
class Table:
    """What `model table` prints.

    Attributes:
        title: The benchmark.
        source: Where its figures are from.
        columns: Those shown.
        rows: The benchmark's starts, then other ones that were trained from.
        notes: A line for each mark of a run, and for what is doubtful in the published figures.
    """

    title: str
    source: str
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    notes: tuple[str, ...]


def collect(runs: Sequence[str], columns: str = "") -> Table:
    """Read run folders into the table of the SEVERE benchmark.

    A run stands in the column of its recipe, or in the one that is named before it, as `ucf101=runs/a`. Runs of one
    start in one column are averaged, as those of several seeds are. A run that is not finished, or not of the
    published protocol, is there with a mark and a note.

    Args:
        runs: Folders of `model finetune`, or of `model eval` of what that trained; `NAME=FOLDER` names the column.
        columns: Names of further columns, with commas, or "all".

    Raises:
        UnknownNameError: No column is called so.
        InputError: A folder that is none of these, or whose column is not to be told.
    """
    bench = tomllib.loads((files("vidbench.model") / "benchmarks" / "severe.toml").read_text(encoding="utf-8"))
    known = {
        name: Column(name, held["title"], held.get("figure", ""), held.get("recipe", ""))
        for name, held in bench["columns"].items()
    }
    shown = {*bench["shown"], *_asked(columns, known)}
    placed: dict[tuple[str, str], list[Entry]] = {}
    recipes = _recipes()
    for given in runs:
        column, entry = _placed(given, known, recipes)
        shown.add(column.name)
        placed.setdefault((entry.init, column.name), []).append(entry)
    names = tuple(known[name] for name in known if name in shown)
    inits = dict.fromkeys((*bench["rows"], *(init for init, _ in placed)))
    rows = tuple(_row(init, bench["rows"].get(init, {}), names, placed) for init in inits)
    return Table(bench["title"], bench["source"], names, rows, tuple(_notes(rows, bench["source"])))


def _recipes() -> Json:
    found = {name: read_recipe(name) for name in published()}
    return {name: {"faithful": bool(one.faithful), "test": one.test} for name, one in found.items() if one.column}


def _asked(columns: str, known: dict[str, Column]) -> tuple[str, ...]:
    if columns == ALL:
        return tuple(known)
    asked = tuple(name.strip() for name in columns.split(",") if name.strip())
    for name in asked:
        if name not in known:
            raise UnknownNameError("column", name, tuple(known), f"There are {', '.join(known)}; or say {ALL}.")
    return asked


def _placed(given: str, known: dict[str, Column], recipes: Json) -> tuple[Column, Entry]:
    name, equals, folder = given.partition("=")
    if Path(given).exists() or not equals:
        name, folder = "", given
    elif name not in known:
        raise UnknownNameError("column", name, tuple(known), f"There are {', '.join(known)}.")
    entry = read_entry(Path(folder), recipes)
    found = known.get(name) or next((one for one in known.values() if one.recipe and one.recipe == entry.recipe), None)
    if found is None:
        raise InputError(
            f"{folder}: was trained without a recipe of the benchmark, so its column is not known",
            f"Name it: NAME={folder}, where NAME is one of {', '.join(known)}.",
        )
    if not found.figure:
        raise InputError(f"{given}: {found.title} is nothing that vidbench measures")
    return found, entry


def _row(init: str, held: Json, columns: Sequence[Column], placed: dict[tuple[str, str], list[Entry]]) -> Row:
    cells = {one.name: _cell(one, held.get(one.name), placed.get((init, one.name), [])) for one in columns}
    return Row(init, held.get("confidence", ""), held.get("note", ""), cells)


def _cell(column: Column, figure: float | None, entries: Sequence[Entry]) -> Cell:
    tested = {entry.trained.resolve() for entry in entries if entry.tested and entry.figures}
    # a training stands for itself only where no test of it is given
    runs = tuple(one for one in entries if one.tested or one.trained.resolve() not in tested)
    given = [(one, one.figures.get(column.figure)) for one in runs]
    measured = [(one, 100 * value) for one, value in given if value is not None]
    clean = [value for one, value in measured if not one.marks]
    values = clean or [value for _, value in measured]
    ours = sum(values) / len(values) if values else None
    difference = None if ours is None or figure is None else ours - figure
    return Cell(ours, figure, difference, bool(values) and not clean, runs, len(values))


def _notes(rows: Sequence[Row], source: str) -> list[str]:
    notes = [f"Published: {source}."]
    low = [row.init for row in rows if row.confidence == "low"]
    if low:
        notes.append(f"Published figures of {', '.join(low)} are from memory, of low confidence.")
    notes += [f"{row.init}: {row.note}." for row in rows if row.note]
    for row in rows:
        for name, cell in row.cells.items():
            notes += [f"{row.init}, {name}: {one.run}: {'; '.join(one.marks)}" for one in cell.runs if one.marks]
            if len(cell.runs) > 1 and cell.counted:
                used = f"mean of {cell.counted} runs" if cell.counted > 1 else "one run"
                notes.append(f"{row.init}, {name}: {used}")
    return notes


def heading(table: Table) -> list[str]:
    """The titles of the columns of `lines`."""
    head = ["Start"]
    for one in table.columns:
        head += [one.title, "published", "difference"]
    return [*head, "runs"]


def lines(table: Table) -> list[list[str]]:
    """A row each: start; ours, published and difference of each column; run folders. `*` marks, see the notes."""
    body = []
    for row in table.rows:
        line, folders = [row.init], []
        for one in table.columns:
            cell = row.cells[one.name]
            digits = 3 if cell.published is not None and cell.published < 1 else 1
            unsure = _MARK if cell.published is not None and row.confidence == "low" else ""
            line.append(_number(cell.ours, digits) + (_MARK if cell.marked else ""))
            line.append(_number(cell.published, digits) + unsure)
            line.append(_number(cell.difference, digits, signed=True))
            folders += [f"{run.run}{_MARK if run.marks else ''}" for run in cell.runs]
        body.append([*line, " ".join(folders) or MISSING])
    return body


def _number(value: float | None, digits: int, signed: bool = False) -> str:
    if value is None:
        return MISSING
    return f"{value:+.{digits}f}" if signed else f"{value:.{digits}f}"


def render(table: Table, form: str) -> str:
    """The table as Markdown ("md") with its notes, or as "csv": a row for each start and column, marks in a cell.

    Raises:
        UsageError: No such form.
    """
    if form == "md":
        return _markdown(table)
    if form == "csv":
        return _csv(table)
    raise UsageError(f"--format {form!r} is none", f"There are {', '.join(FORMS)}.")


def _markdown(table: Table) -> str:
    def line(cells: Sequence[str]) -> str:
        return "| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in cells) + " |"

    head = heading(table)
    rule = "| " + " | ".join([":---", *["---:"] * (len(head) - 2), ":---"]) + " |"
    return "\n".join([line(head), rule, *map(line, lines(table)), "", *(f"{note}\n" for note in table.notes)])


def _csv(table: Table) -> str:
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(("start", "column", "ours", "published", "difference", "confidence", "marked", "runs", "marks"))
    for row in table.rows:
        for name, cell in row.cells.items():
            numbers = ["" if one is None else f"{one:.4g}" for one in (cell.ours, cell.published, cell.difference)]
            runs, marks = [str(one.run) for one in cell.runs], [mark for one in cell.runs for mark in one.marks]
            writer.writerow(
                (row.init, name, *numbers, row.confidence, int(cell.marked), " ".join(runs), "; ".join(marks))
            )
    return stream.getvalue()
