"""Robustness tables from run folders."""

from __future__ import annotations

import json
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from vidbench.attack.table import Cell, Row, Table, collect, render
from vidbench.errors import InputError, UsageError


def run(folder: Path, *, defence: str | None = None, model: str = "models/net", **left: float) -> Path:
    folder.mkdir()
    manifest = {"command": "attack run", "resolved": {"list_sha256": "0" * 64}}
    columns: list[dict[str, Any]] = [
        {
            "label": name, "engine": "native", "norm": "linf",
            "curve": [
                {"eps": "0", "eps_value": 0.0, "robust_accuracy": 0.8, "conditional": 1.0, "clips": 10},
                {"eps": "8/255", "eps_value": 8 / 255, "robust_accuracy": ra, "conditional": ra / 0.8, "clips": 10},
            ],
        }
        for name, ra in left.items()
    ]  # fmt: skip
    summary = {"model": model, "defence": defence, "clips": 10, "clean_accuracy": 0.8, "reference": "labels"}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    (folder / "summary.json").write_text(json.dumps(summary | {"columns": columns}))
    return folder


def test_runs_of_one_model_and_defence_are_one_row(tmp_path: Path) -> None:
    runs = [run(tmp_path / "a", fgsm=0.2), run(tmp_path / "b", pgd=0.0)]
    runs.append(run(tmp_path / "c", defence="gcm", fgsm=0.7, pgd=0.8))
    table = collect(runs)
    assert table.columns == ("fgsm L∞ 8/255", "pgd L∞ 8/255")
    plain, hidden = table.rows
    assert (plain.model, plain.defence, plain.notes) == ("net", "none", ())
    assert plain.cells["fgsm L∞ 8/255"] == Cell(0.2, 0.25, 10)
    assert hidden.defence == "gcm"
    # one clip of ten is no evidence
    assert hidden.notes == ()
    (more,) = collect([run(tmp_path / "d", defence="gcm", fgsm=0.5, pgd=0.8)]).rows
    assert more.notes == ("pgd L∞ 8/255 leaves more than one step of FGSM: gradients are hidden, see attack verify",)


def test_what_cannot_be_a_row(tmp_path: Path) -> None:
    first, again = run(tmp_path / "a", fgsm=0.2), run(tmp_path / "b", fgsm=0.3)
    with pytest.raises(InputError, match="in another run, too"):
        collect([first, again])
    with pytest.raises(InputError, match="no such file"):
        collect([tmp_path / "none"])
    (first / "summary.json").unlink()
    with pytest.raises(InputError, match="not finished"):
        collect([first])
    (again / "manifest.json").write_text('{"command": "model eval", "resolved": {}}')
    with pytest.raises(InputError, match="'model eval'"):
        collect([again])


NASTY = Table(
    ("fgsm L∞ 8/255", "a|b & <i>"),
    (Row("net_<b>50%", "none", 0.8, {"fgsm L∞ 8/255": Cell(0.125, 0.15625, 8)}), Row("x", "gcm", None, {})),
)


def test_markdown() -> None:
    lines = render(NASTY, "md", "ra").splitlines()
    assert lines[0] == "| Model | Defence | Clean accuracy | fgsm L∞ 8/255 RA | a\\|b & <i> RA |"
    assert lines[2] == "| net_<b>50% | none | 80.00 | 12.50 | \u2013 |"
    assert "Neither may be compared" in lines[5]


def test_csv_leaves_cells_empty() -> None:
    lines = render(NASTY, "csv", "both").splitlines()
    assert lines[1] == "net_<b>50%,none,80.00,12.50,15.62,,"
    assert lines[2] == "x,gcm,,,,,"


def test_latex_escapes() -> None:
    text = render(NASTY, "latex", "ar")
    assert r"net\_<b>50\% & none & 80.00 & 15.62 & -- \\" in text
    assert r"fgsm L$\infty$ 8/255 AR & a|b \& <i> AR \\" in text
    assert text.count(r"\begin") == text.count(r"\end") == 1


def test_html_is_escaped_and_whole() -> None:
    class Reader(HTMLParser):
        cells: list[str] = []  # noqa: RUF012
        tags: list[str] = []  # noqa: RUF012

        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            self.tags.append(tag)

        def handle_data(self, data: str) -> None:
            self.cells.append(data)

    reader = Reader()
    reader.feed(render(NASTY, "html", "both"))
    assert "b" not in reader.tags
    assert "i" not in reader.tags
    assert "net_<b>50%" in reader.cells


def test_unknown_forms() -> None:
    with pytest.raises(UsageError, match="'xls'"):
        render(NASTY, "xls", "ra")
    with pytest.raises(UsageError, match="'top1'"):
        render(NASTY, "md", "top1")
