"""`vidbench attack table`: models, defences and attacks of several runs side by side."""

from __future__ import annotations

import csv
import html
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from vidbench.errors import InputError, UsageError
from vidbench.runs import MANIFEST, SUMMARY, read_json

Json = dict[str, Any]
Metric = Literal["both", "ra", "ar"]
MISSING = "\u2013"
NOTE = (
    "RA, robust accuracy: right after the attack, of all clips. AR: right after the attack, of those that were right "
    "before. Neither may be compared with the other."
)


@dataclass(frozen=True)
class Cell:
    """One attack on one model.

    Attributes:
        robust_accuracy: RA, in [0, 1]; None where the list has no labels of the model's classes.
        conditional: AR, in [0, 1].
        clips: How many.
    """

    robust_accuracy: float | None
    conditional: float | None
    clips: int


@dataclass(frozen=True)
class Row:
    """One model with one defence.

    Attributes:
        model: As it was named.
        defence: As typed, or "none".
        clean_accuracy: In [0, 1].
        cells: By the name of the column.
        notes: What makes its figures doubtful.
    """

    model: str
    defence: str
    clean_accuracy: float | None
    cells: dict[str, Cell]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Table:
    """What `attack table` prints.

    Attributes:
        columns: Attacks with norm and radius, in the order in which runs name them.
        rows: Models with defences.
    """

    columns: tuple[str, ...]
    rows: tuple[Row, ...]


_NORMS = {"linf": "L∞", "l2": "L2", "l1": "L1", "l21": "L2,1"}


def collect(runs: Sequence[Path]) -> Table:
    """Read run folders of `attack run`; a model and defence that several runs attack are one row.

    Raises:
        InputError: A folder that is none, that is not finished, or two figures for one cell.
    """
    columns: dict[str, None] = {}
    rows: dict[tuple[str, str, str], Row] = {}
    for run in runs:
        manifest, summary = _read(run)
        defence = summary.get("defence") or "none"
        source = str(manifest["resolved"].get("list_sha256", ""))
        # runs over other clips are other rows, as their figures stand for other things
        key = (summary["model"], defence, f"{source} {summary['clips']}")
        row = rows.setdefault(key, Row(_short(summary["model"]), defence, summary["clean_accuracy"], {}))
        for column in summary["columns"]:
            for point in column["curve"]:
                if point["eps_value"] == 0:
                    continue
                name = _name(column, point)
                if name in row.cells:
                    raise InputError(
                        f"{run}: {row.model}, {defence}: {name} is in another run, too", "Give one run of each attack."
                    )
                columns[name] = None
                by_labels = summary["reference"] == "labels"
                robust = point["robust_accuracy"] if by_labels else None
                row.cells[name] = Cell(robust, point["conditional"], point["clips"])
    return Table(tuple(columns), tuple(_remarked(row) for row in rows.values()))


def _read(run: Path) -> tuple[Json, Json]:
    manifest = read_json(run / MANIFEST)
    if manifest.get("command") != "attack run":
        raise InputError(f"{run}: a run of {manifest.get('command')!r}", "Give run folders of `vidbench attack run`.")
    if not (run / SUMMARY).exists():
        raise InputError(f"{run}: not finished", "Run its command again; it goes on where it stopped.")
    summary = read_json(run / SUMMARY)
    if "columns" not in summary:
        raise InputError(f"{run}: written by an older version", "Run it again with --overwrite.")
    return manifest, summary


def _short(model: str) -> str:
    return model.rstrip("/").rpartition("/")[2] or model


def _name(column: Json, point: Json) -> str:
    if point["eps"] in column["label"]:
        return str(column["label"])
    kind = column["label"] if column["engine"] == "native" else f"{column['label']} ({column['engine']})"
    return f"{kind} {_NORMS.get(column['norm'], column['norm'])} {point['eps']}"


def _remarked(row: Row) -> Row:
    """The row with what only its own figures tell: a stronger attack that does less."""
    left = {name: cell.robust_accuracy for name, cell in row.cells.items() if cell.robust_accuracy is not None}
    single = {name.partition(" ")[2]: value for name, value in left.items() if name.lower().startswith("fgsm ")}
    notes = []
    for name, value in left.items():
        one = single.get(name.partition(" ")[2])
        iterated = name.lower().startswith(("pgd", "apgd", "autoattack"))
        if iterated and one is not None and value > one + 1.5 / max(row.cells[name].clips, 1):
            notes.append(f"{name} leaves more than one step of FGSM: gradients are hidden, see attack verify")
    return Row(row.model, row.defence, row.clean_accuracy, row.cells, tuple(notes))


def render(table: Table, form: str, metric: str) -> str:
    """The table as Markdown ("md"), "csv", "latex" or "html".

    Args:
        table: What `collect` gave.
        form: The form.
        metric: "ra", "ar", or "both" in two columns each.

    Raises:
        UsageError: No such form or metric.
    """
    if metric not in ("both", "ra", "ar"):
        raise UsageError(f"--metric {metric!r} is none", "There are both, ra and ar.")
    forms = {"md": _markdown, "csv": _csv, "latex": _latex, "html": _html}
    if form not in forms:
        raise UsageError(f"--format {form!r} is none", f"There are {', '.join(forms)}.")
    kinds = [kind for kind in ("ra", "ar") if metric in (kind, "both")]
    head = ["Model", "Defence", "Clean accuracy"]
    head += [f"{name} {kind.upper()}" for name in table.columns for kind in kinds]
    body = []
    for row in table.rows:
        line = [row.model, row.defence, _percent(row.clean_accuracy)]
        for name in table.columns:
            cell = row.cells.get(name)
            for kind in kinds:
                value = None if cell is None else cell.robust_accuracy if kind == "ra" else cell.conditional
                line.append(_percent(value))
        body.append(line)
    notes = [NOTE, *(f"{row.model}, {row.defence}: {note}" for row in table.rows for note in row.notes)]
    return forms[form](head, body, notes)


def _percent(value: float | None) -> str:
    return MISSING if value is None else f"{100 * value:.2f}"


def _markdown(head: Sequence[str], body: Sequence[Sequence[str]], notes: Sequence[str]) -> str:
    def line(cells: Sequence[str]) -> str:
        return "| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in cells) + " |"

    rule = "| " + " | ".join([":---"] * 2 + ["---:"] * (len(head) - 2)) + " |"
    return "\n".join([line(head), rule, *(line(row) for row in body), "", *(f"{note}\n" for note in notes)])


def _csv(head: Sequence[str], body: Sequence[Sequence[str]], notes: Sequence[str]) -> str:
    del notes  # a reader of tables would take them for rows
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(head)
    writer.writerows([["" if cell == MISSING else cell for cell in row] for row in body])
    return stream.getvalue()


_TEX = str.maketrans(
    {
        "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
        "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "∞": r"$\infty$", MISSING: "--",
    }
)  # fmt: skip


def _latex(head: Sequence[str], body: Sequence[Sequence[str]], notes: Sequence[str]) -> str:
    def line(cells: Sequence[str]) -> str:
        return " & ".join(cell.translate(_TEX) for cell in cells) + r" \\"

    return "\n".join(
        [
            r"% needs \usepackage{booktabs}",
            r"\begin{tabular}{ll" + "r" * (len(head) - 2) + "}",
            r"\toprule",
            line(head),
            r"\midrule",
            *(line(row) for row in body),
            r"\bottomrule",
            r"\end{tabular}",
            *(f"% {note}" for note in notes),
            "",
        ]
    )


def _html(head: Sequence[str], body: Sequence[Sequence[str]], notes: Sequence[str]) -> str:
    def line(cells: Sequence[str], tag: str) -> str:
        return "<tr>" + "".join(f"<{tag}>{html.escape(cell)}</{tag}>" for cell in cells) + "</tr>"

    return "\n".join(
        [
            "<table>",
            f"<thead>{line(head, 'th')}</thead>",
            "<tbody>",
            *(line(row, "td") for row in body),
            "</tbody>",
            "</table>",
            *(f"<p>{html.escape(note)}</p>" for note in notes),
            "",
        ]
    )
