"""The benchmark's table: runs beside published figures; what is unfinished or of another protocol is marked."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest

from vidbench.errors import InputError, UnknownNameError, UsageError
from vidbench.model.recipe import read_recipe, resolve
from vidbench.model.table import Row, Table, collect, heading, lines, render

TEST = {"rule": "charades", "views": "10x3"}


def write(folder: Path, name: str, document: dict[str, Any]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(json.dumps(document))


def trained(
    folder: Path,
    init: str,
    recipe: str = "severe-charades",
    *,
    faithful: bool = True,
    typed: dict[str, Any] | None = None,
    best: float | None = 0.08,
    finished: bool = True,
    **more: Any,
) -> Path:
    """A run folder as `model finetune` leaves it, as far as the table reads it."""
    if kept := more.pop("asked_best", None):
        more["best"] = kept
    asked = {"model": "r2plus1d_18", "init": init, "epochs": 57, "limit": None, "recipe": None, **more}
    if recipe:
        record = resolve(read_recipe(recipe), {"model": asked["model"], **(typed or {})}, faithful).record
        asked["recipe"] = record.model_dump(mode="json")
    write(folder, "manifest.json", {"command": "model finetune", "request": asked})
    (folder / "epochs.jsonl").write_text("{}\n{}\n")
    if finished:
        write(folder, "summary.json", {"kind": "finetune", "best_val_mean_ap": best, "failed": 0})
    return folder


def an_eval(folder: Path, model: Path, mean_ap: float, *, finished: bool = True, **more: Any) -> Path:
    """A run folder as `model eval` leaves it."""
    write(folder, "manifest.json", {"command": "model eval", "request": {"model": str(model), "limit": None}})
    if finished:
        write(folder, "summary.json", {"kind": "eval", "mean_ap": mean_ap, "protocol": TEST, "failed": 0, **more})
    return folder


def row(table: Table, init: str) -> Row:
    return next(one for one in table.rows if one.init == init)


def test_without_runs_it_is_the_published_table() -> None:
    table = collect([])

    assert [one.name for one in table.columns] == ["charades", "ava"]
    assert [one.init for one in table.rows][:3] == ["scratch", "selavi", "moco"]
    published = {one.init: tuple(cell.published for cell in one.cells.values()) for one in table.rows}
    assert published["supervised"] == (23.5, 17.9)
    assert published["rspnet"] == (9.0, 14.1)
    assert row(table, "scratch").confidence == "low"
    assert any("scratch are from memory" in note for note in table.notes)


def test_a_faithful_test_stands_beside_the_published_figure(tmp_path: Path) -> None:
    run = trained(tmp_path / "gdt", "gdt")
    test = an_eval(tmp_path / "gdt-test", run, 0.0862)

    cell = row(collect([str(run), str(test)]), "gdt").cells["charades"]

    assert cell.ours == pytest.approx(8.62)
    assert cell.difference == pytest.approx(0.12)
    # the test stands for the training that it measures
    assert ([one.run for one in cell.runs], cell.marked) == ([test], False)


def test_seeds_are_averaged_and_marked_runs_left_aside(tmp_path: Path) -> None:
    runs = []
    for number, value in enumerate((0.12, 0.13)):
        run = trained(tmp_path / f"tclr{number}", "TCLR")
        runs.append(str(an_eval(tmp_path / f"test{number}", run, value)))
    runs.append(str(trained(tmp_path / "other", "tclr", typed={"epochs": 2}, best=0.5)))

    table = collect(runs)
    cell = row(table, "tclr").cells["charades"]

    assert cell.ours == pytest.approx(12.5)
    assert (len(cell.runs), cell.marked) == (3, False)
    assert "tclr, charades: mean of 2 runs" in table.notes
    assert any("other: epochs 2 for 57" in note for note in table.notes)


def test_a_run_without_a_figure_is_not_counted_in_the_mean(tmp_path: Path) -> None:
    runs = [
        trained(tmp_path / "a", "gdt", best=0.1),
        trained(tmp_path / "b", "gdt", best=0.2),
        trained(tmp_path / "c", "gdt", finished=False),
    ]

    table = collect(list(map(str, runs)))

    assert row(table, "gdt").cells["charades"].ours == pytest.approx(15)
    assert "gdt, charades: mean of 2 runs" in table.notes


@pytest.mark.parametrize(
    ("how", "mark"),
    [
        ({"faithful": False}, "not --faithful"),
        ({"typed": {"batch": 4}}, "batch 4 for 16"),
        ({"recipe": ""}, "no recipe"),
        ({"limit": 5}, "the first 5 of the list alone"),
        ({"model": "x3d_s"}, "network x3d_s"),
        ({"finished": False}, "unfinished: 2 of 57 epochs"),
        ({}, "validation within the training: one view, the best epoch"),
        ({"asked_best": "last"}, "validation within the training: one view, the last epoch"),
        ({"best": None}, "validation within the training: there was none"),
    ],
    ids=["fixed", "overridden", "no-recipe", "limit", "network", "unfinished", "validation", "last", "no-validation"],
)
def test_other_protocols_are_marked_and_not_dropped(tmp_path: Path, how: dict[str, Any], mark: str) -> None:
    run = trained(tmp_path / "run", "selavi", **how)

    table = collect([f"charades={run}"])
    cell = row(table, "selavi").cells["charades"]

    (entry,) = cell.runs
    assert mark in entry.marks
    assert cell.marked == (cell.ours is not None)
    assert any(mark in note and str(run) in note for note in table.notes)
    assert f"{run}*" in lines(table)[1][-1]


@pytest.mark.parametrize(
    ("more", "mark"),
    [
        ({"protocol": {"rule": "pyslowfast", "views": "10x3"}}, "tested with protocol pyslowfast for charades"),
        ({"protocol": {"rule": "charades", "views": "1x1"}}, "tested with views 1x1 for 10x3"),
        ({"failed": 3}, "3 could not be read in the test"),
        ({"finished": False}, "its test is not finished"),
    ],
    ids=["rule", "views", "failed", "unfinished"],
)
def test_other_tests_are_marked(tmp_path: Path, more: dict[str, Any], mark: str) -> None:
    test = an_eval(tmp_path / "test", trained(tmp_path / "run", "ctp"), 0.1, **more)

    (entry,) = row(collect([str(test)]), "ctp").cells["charades"].runs

    assert entry.marks == (mark,)


def test_a_test_of_boxes_that_is_not_the_authors_is_marked(tmp_path: Path) -> None:
    run = trained(tmp_path / "run", "gdt", "severe-ava")
    asked = {"boxes_from": "detected", "min_score": 0.9, "scorer": "pyslowfast", "protocol": None}
    same = an_eval(tmp_path / "same", run, 0.1, **asked)
    other = an_eval(tmp_path / "other", run, 0.2, **asked | {"boxes_from": "truth", "min_score": None})

    runs = row(collect([str(same), str(other)]), "gdt").cells["ava"].runs

    assert runs[0].marks == ()
    assert runs[1].marks == ("tested with boxes truth for detected", "tested with min_score None for 0.9")


def test_starts_by_folder_and_published_weights_have_their_rows(tmp_path: Path) -> None:
    write(tmp_path / "imported", "model.json", {"trained": {"start": "moco"}})
    runs = [
        trained(tmp_path / "a", str(tmp_path / "imported"), "severe-ava"),
        trained(tmp_path / "b", "pretrained", "severe-ava"),
        trained(tmp_path / "c", "mine.pth", "severe-ava"),
    ]

    table = collect(list(map(str, runs)))

    filled = [one.init for one in table.rows if one.cells["ava"].runs]
    assert filled == ["moco", "supervised", "mine.pth"]
    assert row(table, "mine.pth").cells["ava"].published is None


def test_refused_folders(tmp_path: Path) -> None:
    write(tmp_path / "other", "manifest.json", {"command": "attack run"})
    lost = an_eval(tmp_path / "test", tmp_path / "gone", 0.1)
    plain = trained(tmp_path / "plain", "gdt", "")

    with pytest.raises(InputError, match="a run of 'attack run'"):
        collect([str(tmp_path / "other")])
    with pytest.raises(InputError, match="is not here as a run"):
        collect([str(lost)])
    with pytest.raises(InputError, match=r"column is not known\n.*NAME="):
        collect([str(plain)])
    with pytest.raises(InputError, match="nothing that vidbench measures"):
        collect([f"repetition={plain}"])
    with pytest.raises(UnknownNameError, match=r"unknown column 'hmdb'"):
        collect([], "hmdb")
    with pytest.raises(UnknownNameError, match=r"unknown column 'hmdb'"):
        collect([f"hmdb={plain}"])


def test_forms(tmp_path: Path) -> None:
    table = collect([str(trained(tmp_path / "a|b", "scratch", best=0.07))], "repetition")

    text = render(table, "md").splitlines()
    assert text[0].startswith("| Start | Charades mAP | published | difference | AVA mAP |")
    assert text[2].startswith("| scratch | 7.0* | 7.9* | -0.9 | \u2013 | 7.4* |")
    assert "a\\|b*" in text[2]
    assert "0.162" in text[3]
    rows = list(csv.DictReader(io.StringIO(render(table, "csv"))))
    assert len(rows) == 3 * len(table.rows)
    assert (rows[0]["start"], rows[0]["ours"], rows[0]["marked"]) == ("scratch", "7", "1")
    assert len(heading(table)) == len(lines(table)[0]) == 11
    assert len(collect([], "all").columns) == 25
    with pytest.raises(UsageError, match="--format 'pdf' is none"):
        render(table, "pdf")
