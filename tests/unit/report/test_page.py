"""The page as a whole: escaped, self-contained, the same each time, and true to the summaries."""

from __future__ import annotations

import base64
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from vidbench.errors import InputError, UsageError
from vidbench.report.page import ReportRequest, write_report

Page = Callable[..., str]
Parse = Callable[[str], Any]
Browse = Callable[[str, Path, int], str]
NASTY = '<script>alert("1")</script>'


def summary(folder: Path) -> Any:
    return json.loads((folder / "summary.json").read_text())


def test_all_that_comes_from_a_run_is_escaped(runs: Any, page: Page, parse: Parse) -> None:
    names = [NASTY, 'it\'s "quoted" & <b>bold</b>', "</style></svg><img src=x onerror=alert(1)>"]
    evaluation = runs.eval(
        "eval",
        [[3, 1, 0], [0, 4, 0], [2, 0, 2]],
        names,
        summary={"model": NASTY, "failed": 1, "failures": [{"path": NASTY, "reason": NASTY}]},
        provenance={"versions": {NASTY: NASTY}, "platform": NASTY, "device": NASTY, "git": NASTY, "seed": 1},
        resolved={NASTY: NASTY},
        request={"argv": ["model", "eval", NASTY], NASTY: NASTY},
        created=NASTY,
    )
    attack = runs.attack(
        "attack",
        {"0": 4, "8/255": 1},
        5,
        examples=1,
        summary={"label": NASTY, "engine": NASTY, "norm": NASTY, "defence": NASTY, "view": NASTY},
    )
    stored = summary(attack)
    stored["examples"][0]["path"] = NASTY
    stored["columns"][0]["curve"][1]["eps"] = NASTY
    runs.json(attack / "summary.json", stored)
    training = runs.finetune("ft", [1.0, 0.5], summary={"init": NASTY, "model": NASTY})
    half = runs.manifest("half", "attack run", status=NASTY)
    text = page(evaluation, attack, training, half, title=NASTY)
    tree = parse(text)
    assert not [tag for tag, _ in tree.tags if tag in ("script", "b", "iframe", "object")]
    assert not [name for _, attributes in tree.tags for name in attributes if name.startswith("on")]
    assert len([tag for tag, _ in tree.tags if tag == "img"]) == 1
    assert len([tag for tag, _ in tree.tags if tag == "style"]) == 1
    # escaped, not dropped
    assert tree.text.count(NASTY) > 20
    assert tree.row(names[1])[2:] == ["4 / 4", "100.0%"]


def test_control_and_reordering_characters_are_made_visible(runs: Any, page: Page) -> None:
    text = page(runs.eval("eval", [[1, 0], [0, 1]], ["a\u202eb", "c\x00\x1bd"]))
    assert "a\ufffdb" in text
    assert "c\ufffd\ufffdd" in text
    assert not re.search("[\x00-\x08\x0b-\x1f\u202e]", text)


def test_the_same_runs_give_the_same_bytes(runs: Any, tmp_path: Path) -> None:
    folders = (
        runs.finetune("ft", [2.0, 1.0]),
        runs.eval("eval", [[3, 1], [0, 4]]),
        runs.attack("attack", {"0": 4, "8/255": 1}, 5, examples=2),
    )
    first = write_report(ReportRequest(runs=folders, out=tmp_path / "a.html"))
    moved = tmp_path / "elsewhere" / "deep"
    shutil.copytree(runs.root, moved)
    second = write_report(ReportRequest(runs=tuple(moved / f.name for f in folders), out=tmp_path / "b.html"))
    assert (tmp_path / "a.html").read_bytes() == (tmp_path / "b.html").read_bytes()
    assert first.bytes == second.bytes == (tmp_path / "a.html").stat().st_size
    assert first.sections == ("summary", "training", "evaluation", "robustness", "reading", "reproduction")
    assert str(tmp_path) not in (tmp_path / "a.html").read_text()


def test_a_second_report_replaces_the_first_and_leaves_nothing_else(runs: Any, tmp_path: Path) -> None:
    out = tmp_path / "new" / "report.html"
    write_report(ReportRequest(runs=(runs.eval("one", [[1]]),), out=out))
    write_report(ReportRequest(runs=(runs.eval("two", [[2]]),), out=out))
    assert [path.name for path in out.parent.iterdir()] == ["report.html"]
    assert ">two<" in out.read_text()


def test_the_page_is_self_contained(runs: Any, page: Page, parse: Parse) -> None:
    strips = runs.attack("attack", {"0": 4, "8/255": 1}, 5, examples=2)
    text = page(runs.finetune("ft", [2.0, 1.0]), runs.eval("eval", [[3, 1], [0, 4]]), strips)
    tree = parse(text)
    policy = [
        a["content"] for tag, a in tree.tags if tag == "meta" and a.get("http-equiv") == "Content-Security-Policy"
    ]
    assert policy == ["default-src 'none'; style-src 'unsafe-inline'; img-src data:; media-src data:"]
    fetching = [
        value
        for _, attributes in tree.tags
        for name, value in attributes.items()
        if name in ("src", "href", "srcset", "data", "action", "poster", "xlink:href")
    ]
    assert fetching
    assert all(value is not None and value.startswith(("data:", "#")) for value in fetching)
    assert "url(" not in text
    assert "@import" not in text
    assert "http" not in text.replace("http-equiv", "")
    ids = [a["id"] for _, a in tree.tags if "id" in a]
    assert len(ids) == len(set(ids))
    assert {f"#{one}" for one in ids} == {a["href"] for tag, a in tree.tags if tag == "a"}
    pictures = [a for tag, a in tree.tags if tag == "img"]
    for index, picture in enumerate(pictures):
        data = base64.b64decode(str(picture["src"]).removeprefix("data:image/png;base64,"), validate=True)
        assert data == (strips / "examples" / f"strip{index}.png").read_bytes()
        assert (picture["width"], picture["height"]) == (str(320 + index), "96")
        assert picture["alt"]


def test_the_figures_are_those_of_the_evaluation(runs: Any, page: Page, parse: Parse) -> None:
    folder = runs.eval(
        "eval",
        [[7, 2, 1], [0, 10, 0], [4, 1, 5]],
        ["walk", "run", "jump"],
        summary={"top5": 0.987, "clips": 33, "failed": 3, "failures": [{"path": "a/b.mp4", "reason": "moov atom"}]},
    )
    stored = summary(folder)
    tree = parse(page(folder))
    interval = f"{100 * stored['top1_low']:.1f} to {100 * stored['top1_high']:.1f}%"
    assert tree.row("x3d_tiny", "eval")[2:] == [
        "30 / 33", "3", "10 \u00d7 3", "\u2013", "73.3%", interval, "98.7%", "73.3%",
    ]  # fmt: skip
    assert f"x3d_tiny answers 73.3% of 30 clips right (95% interval {interval})" in tree.text
    assert [row[0] for row in tree.cells if row[0] in ("walk", "run", "jump") and len(row) == 4] == [
        "jump",
        "walk",
        "run",
    ]
    assert tree.row("walk", "", "7 / 10", "70.0%")
    assert tree.row("jump", "walk") == ["jump", "walk", "4", "10", "40.0%"]
    assert tree.row("a/b.mp4") == ["a/b.mp4", "moov atom"]
    assert "2 more: see the records" in tree.text
    assert "3 clips could not be used" in tree.text


def test_the_figures_are_those_of_the_attack(runs: Any, page: Page, parse: Parse) -> None:
    folder = runs.attack("attack", {"0": 50, "2/255": 30, "8/255": 2, "16/255": 0}, 60)
    tree = parse(page(folder))
    for point in summary(folder)["columns"][0]["curve"]:
        row = tree.row("pgd", "L\u221e", point["eps"])
        assert row[3] == f"{100 * point['robust'] / 60:.1f}%"
        assert row[4] == f"{100 * point['low']:.1f} to {100 * point['high']:.1f}%"
        assert row[5] == f"{point['robust']} / 60"
        assert row[6] == f"{100 * point['robust'] / 50:.1f}%"
        assert row[7] == f"{100 * (50 - point['robust']) / 50:.1f}%"
        assert row[8] == f"{255 * point['mean_linf']:.2f}/255"
    assert "3.3% under pgd (L\u221e\u00a0\u2264\u00a08/255): 2 of 60 clips" in " ".join(tree.words)
    assert "60 clips; 0.0% at 16/255" in tree.text
    assert "Robust accuracy is an upper bound" in tree.text


def test_a_targeted_attack_says_how_often_it_reached_its_target(runs: Any, page: Page, parse: Parse) -> None:
    folder = runs.attack("attack", {"0": 8, "8/255": 1}, 10, summary={"targeted": True})
    stored = summary(folder)
    stored["columns"][0]["curve"][0]["target_rate"] = 0.1
    stored["columns"][0]["curve"][1]["target_rate"] = 0.7
    runs.json(folder / "summary.json", stored)
    tree = parse(page(folder))
    assert tree.row("Attack", "Norm", "eps")[8] == "Target reached"
    assert tree.row("targeted pgd", "L\u221e", "8/255")[8] == "70.0%"


def test_a_model_given_as_a_path_is_named_by_its_last_part(runs: Any, page: Page, parse: Parse) -> None:
    model = {"model": "/home/someone/runs/mine", "architecture": "x3d_tiny"}
    tree = parse(page(runs.eval("eval", [[1]], summary=model)))
    assert "Report on mine" in tree.text
    assert "mine answers 100.0% of 1 clip right" in tree.text
    assert tree.row("/home/someone/runs/mine (x3d_tiny)", "eval")


def test_without_labels_the_figure_is_the_fooling_rate(runs: Any, page: Page, parse: Parse) -> None:
    folder = runs.attack(
        "attack", {"0": 60, "8/255": 3}, 60, summary={"reference": "predictions", "clean_accuracy": None}
    )
    tree = parse(page(folder))
    assert tree.row("pgd", "L\u221e", "8/255")[3:6] == ["3 / 60", "95.0%", "86.3 to 98.3%"]
    assert "95.0% of 60 predictions change" in tree.text
    assert "Robust accuracy (RA)" not in tree.text
    assert "robust accuracy is" not in tree.text.lower().replace("robust accuracy is an upper bound", "")


def test_the_figures_are_those_of_the_training(runs: Any, page: Page, parse: Parse) -> None:
    folder = runs.finetune("ft", [2.0, 1.25, 0.75])
    tree = parse(page(folder))
    assert tree.row("ft", "x3d_tiny")[2:] == [
        "random", "3", "120", "3", "3", "68.3%", "0.750", "123\u2009456", "38 s",
    ]  # fmt: skip
    assert tree.row("2") == ["2", "0.00500", "1.250", "55.0%", "52.5%", "12 s"]
    assert "validation top-1 accuracy of 68.3% in epoch 3" in tree.text


def test_a_training_with_several_classes_is_shown_by_its_mean_average_precision(
    runs: Any, page: Page, parse: Parse
) -> None:
    told = {"task": "multilabel", "best_val_top1": None, "best_val_mean_ap": 0.4125, "best_val_robust_mean_ap": 0.2,
            "adversarial": {"method": "w4", "levels": 20}, "defence": "resize-pad"}  # fmt: skip
    folder = runs.finetune("ft", [2.0, 1.0], summary=told)
    runs.lines(
        folder / "epochs.jsonl",
        [
            {"key": f"epoch-{k:04d}", "epoch": k, "lr": 0.01, "train_loss": 2 / k, "val_mean_ap": share,
             "val_robust_mean_ap": 0.1 * k, "seconds": 50.0, "data_seconds": 4.0}
            for k, share in ((1, 0.25), (2, 0.4125))
        ],
    )  # fmt: skip
    tree = parse(page(folder))
    assert "was fine-tuned with attacked clips (w4) behind resize-pad on" in tree.text
    assert "validation mean average precision of 41.2%, of 20.0% under attack, in epoch 2" in tree.text
    assert "validation, attacked" in tree.text
    assert "Best validation mAP" in tree.text
    assert "Mean average precision over epochs" in tree.text
    assert "Top-1 accuracy" not in tree.text
    assert tree.row("1") == ["1", "0.0100", "2.000", "25.0%", "10.0%", "50 s", "4.0 s"]
    assert "Best val. mAP" in tree.text
    both = parse(page(folder, runs.finetune("other", [2.0])))
    assert "Best val. top-1 or mAP" in both.text


def test_a_diverged_training_is_shown(runs: Any, page: Page, parse: Parse) -> None:
    tree = parse(page(runs.finetune("ft", [2.0, float("nan")], val=False)))
    assert "training loss of NaN" in tree.text
    assert tree.row("2")[2:5] == ["NaN", "55.0%", "\u2013"]


class Listener:
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.warnings: list[str] = []

    def task(self, title: str, total: float | None, unit: str) -> Any:
        raise AssertionError("a report is too quick for a task")

    def info(self, message: str) -> None:
        pass

    def warn(self, message: str) -> None:
        self.warnings.append(message)


def test_an_unfinished_run_is_shown_with_its_counts_alone(runs: Any, tmp_path: Path, parse: Parse) -> None:
    # a summary from before the run was taken up again is out of date
    folder = runs.attack("half", {"0": 50, "8/255": 2}, 60, status="interrupted")
    records = [{"key": str(k), "status": "failed" if k < 2 else "ok"} for k in range(17)]
    runs.lines(folder / "clips.jsonl", [*records, {"key": "0", "status": "ok"}])
    with (folder / "clips.jsonl").open("a") as stream:
        stream.write('{"key": "torn", "sta')
    listener = Listener()
    result = write_report(ReportRequest(runs=(folder,), out=tmp_path / "r.html"), listener)
    tree = parse((tmp_path / "r.html").read_text())
    assert "half is not finished: its status is “interrupted”, with 17 records so far, 1 of them failed" in tree.text
    assert "1 of 1 run is not finished" in tree.text
    assert "3.3%" not in tree.text
    assert result.sections == ("summary", "robustness", "reading", "reproduction")
    assert listener.warnings == [f"{folder}: not finished (status 'interrupted'); shown without figures"]


def test_a_run_that_has_only_begun_is_shown(runs: Any, page: Page, parse: Parse) -> None:
    tree = parse(page(runs.manifest("begun", "model eval", status="running"), runs.manifest("done", "model eval")))
    assert "begun is not finished: its status is “running”, with 0 records so far" in tree.text
    assert "done is not finished: it is marked as done, but holds no summary" in tree.text
    assert "2 of 2 runs are not finished and give no figures yet" in tree.text


def test_an_unfinished_training_shows_the_epochs_it_has(runs: Any, page: Page, parse: Parse) -> None:
    text = page(runs.finetune("ft", [2.0, 1.0], status="interrupted"))
    assert "2 epochs so far" in parse(text).text
    assert "epoch 2: 1.00" in text


def test_missing_large_and_foreign_examples_are_noted(runs: Any, tmp_path: Path, parse: Parse) -> None:
    folder = runs.attack("attack", {"8/255": 1}, 5, examples=8)
    (folder / "examples/strip0.png").unlink()
    with (folder / "examples/strip1.png").open("ab") as stream:
        stream.truncate(1_500_001)
    (folder / "examples/strip2.png").write_text("<svg onload=alert(1)>")
    secret = tmp_path / "secret.png"
    shutil.copy(folder / "examples/strip4.png", secret)
    (folder / "examples/strip3.png").unlink()
    (folder / "examples/strip3.png").symlink_to(secret)
    stored = summary(folder)
    stored["examples"][4]["file"] = "../../secret.png"
    runs.json(folder / "summary.json", stored)
    listener = Listener()
    write_report(ReportRequest(runs=(folder,), out=tmp_path / "r.html"), listener)
    tree = parse((tmp_path / "r.html").read_text())
    assert len([tag for tag, _ in tree.tags if tag == "img"]) == 1
    for remark in (
        "examples/strip0.png: not shown: no such file",
        "examples/strip1.png: not shown: 1.5 MB, more than 1.5 MB",
        "examples/strip2.png: not shown: not a PNG file",
        "examples/strip3.png: not shown: it lies outside the run folder",
        "../../secret.png: not shown: it lies outside the run folder",
        "2 more in the run folder",
    ):
        assert remark in tree.text
        assert any(remark in warning for warning in listener.warnings)


@pytest.mark.parametrize("size", [2, 50])
def test_a_confusion_matrix_of_few_and_of_many_classes(runs: Any, page: Page, size: int, parse: Parse) -> None:
    confusion = [
        [3 if row == column else int(column == (row + 1) % size) for column in range(size)] for row in range(size)
    ]
    text = page(runs.eval("eval", confusion))
    assert text.count('class="heat"') - 11 == 2 * size
    assert "true: class 0; predicted: class 1; 1 of 4 clips (25.0%)" in text
    parse(text)


def test_four_hundred_classes_have_no_matrix_but_all_their_bars(runs: Any, page: Page, parse: Parse) -> None:
    confusion = [[2 if row == column else 0 for column in range(400)] for row in range(400)]
    confusion[399][0], confusion[399][399] = 2, 0
    confusion[7][7] = 0
    text = page(runs.eval("eval", confusion))
    tree = parse(text)
    assert 'class="matrix"' not in text
    assert "No confusion matrix: it is drawn for up to 50 classes, and there are 400." in tree.text
    assert "1 class of 400 has no clip here" in tree.text
    bars = [row for row in tree.cells if re.fullmatch(r"class \d+", row[0])]
    assert len(bars) == 399
    assert bars[0] == ["class 399", "", "0 / 2", "0.0%"]


def test_one_clip(runs: Any, page: Page, parse: Parse) -> None:
    tree = parse(page(runs.eval("eval", [[0, 1], [0, 0]]), runs.attack("attack", {"8/255": 1}, 1)))
    assert "x3d_tiny answers 0.0% of 1 clip right (95% interval 0.0 to 79.3%)." in tree.text
    assert "1 of 1 clip, 95% interval 20.7 to 100.0%" in tree.text
    assert "the least number behind a figure is 1." in tree.text


def test_no_clips_at_all(runs: Any, page: Page, parse: Parse) -> None:
    tree = parse(page(runs.eval("eval", [[0, 0], [0, 0]]), runs.attack("attack", {}, 0), runs.finetune("ft", [])))
    assert "x3d_tiny was run on 0 clips; no accuracy was measured." in tree.text
    assert "pgd was run with no budget above zero." in tree.text
    assert "holds no finished epochs" in tree.text
    assert "no figures" in tree.text
    assert "nan" not in tree.text.lower().split()


def test_attacks_of_one_norm_share_a_plot_and_are_told_apart(runs: Any, page: Page) -> None:
    curve = {"0": 5, "8/255": 1}
    text = page(
        runs.attack("a", curve, 6),
        runs.attack("b", curve, 6, summary={"steps": 50}),
        runs.attack("c", curve, 6, summary={"engine": "art", "steps": 50}),
        runs.attack("d", curve, 6, summary={"label": "fgsm"}),
        runs.attack("e", {"0": 5, "1/2": 1}, 6, summary={"norm": "l2"}),
    )
    plots = re.findall(r'<svg class="plot wide".*?</svg>', text, flags=re.S)
    assert len(plots) == 2
    labels = [sorted(re.findall(r'<text class="label"[^>]*><title>(.*?)</title>', plot)) for plot in plots]
    assert labels == [["fgsm", "pgd, art", "pgd, native, 20 steps", "pgd, native, 50 steps"], ["pgd"]]


def test_runs_on_different_lists_are_not_compared_silently(runs: Any, page: Page) -> None:
    same = runs.eval("one", [[1]]), runs.eval("two", [[1]])
    assert "not directly comparable" not in page(*same)
    other = runs.eval("three", [[1]], resolved={"list_sha256": "ef" * 32})
    assert "not directly comparable" in page(*same, other)


def test_the_command_is_quoted_for_the_shell(runs: Any, page: Page, parse: Parse) -> None:
    tree = parse(page(runs.eval("eval", [[1]]), runs.eval("bare", [[1]], request={}, settings={})))
    assert "vidbench model eval x3d_tiny 'clips of mine.csv' --out runs/eval" in tree.text
    assert tree.text.count("With the options that the request holds.") == 1
    assert "ab" * 32 in tree.text
    assert tree.row("torch") == ["torch", "2.15.0"]
    assert tree.row("av") == ["av", "absent"]


def test_versions_that_differ_stand_side_by_side(runs: Any, page: Page, parse: Parse) -> None:
    other = {"versions": {"vidbench": "0.2.0", "new": "1"}}
    tree = parse(page(runs.eval("one", [[1]]), runs.eval("two", [[1]], provenance=other)))
    assert tree.row("vidbench") == ["vidbench", "0.1.0", "0.2.0"]
    assert tree.row("new") == ["new", "\u2013", "1"]


def test_runs_of_one_name_are_told_apart(runs: Any, page: Page, parse: Parse) -> None:
    tree = parse(page(runs.eval("monday/eval", [[1]]), runs.eval("tuesday/eval", [[1]])))
    assert tree.row("x3d_tiny", "monday/eval")
    assert tree.row("x3d_tiny", "tuesday/eval")


def test_what_is_no_run_is_refused(runs: Any, tmp_path: Path) -> None:
    out = tmp_path / "r.html"
    (tmp_path / "empty").mkdir()
    good = runs.eval("eval", [[1]])
    cases = {
        "holds no manifest.json": (tmp_path / "empty",),
        "not a run folder": (tmp_path / "absent",),
        "given twice": (good, good / ".." / "eval"),
        "cannot show a run of 'data cut'": (runs.manifest("cut", "data cut"),),
        "schema version 2": (runs.manifest("new", "model eval", schema_version=2),),
    }
    for message, folders in cases.items():
        with pytest.raises(InputError, match=re.escape(message)):
            write_report(ReportRequest(runs=folders, out=out))
    assert not out.exists()


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("summary.json", "[1, 2]", "summary.json: Input should be an object"),
        ("summary.json", '{"kind": "eval"', "summary.json: Invalid JSON"),
        ("manifest.json", "[" * 100_000, "manifest.json: Invalid JSON"),
        ("manifest.json", '{"schema_version": ' + "9" * 5000 + "}", "manifest.json: "),
    ],
)
def test_malformed_files_are_named(runs: Any, tmp_path: Path, name: str, text: str, message: str) -> None:
    folder = runs.eval("eval", [[1]])
    (folder / name).write_text(text)
    with pytest.raises(InputError, match=re.escape(message)):
        write_report(ReportRequest(runs=(folder,), out=tmp_path / "r.html"))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"top1": 83.3}, "top1: Input should be less than or equal to 1"),
        ({"top1": float("nan")}, "top1: "),
        ({"evaluated": "60"}, "evaluated: Input should be a valid integer"),
        ({"confusion": [[1, 2]]}, "confusion is not 2 x 2"),
        ({"classes": ["a"]}, "classes holds 1 names"),
        ({"kind": "attack"}, "kind: Input should be 'eval'"),
    ],
)
def test_impossible_figures_are_refused(runs: Any, tmp_path: Path, changes: Any, message: str) -> None:
    folder = runs.eval("eval", [[1, 0], [0, 1]], summary=changes)
    with pytest.raises(InputError, match=re.escape(message)):
        write_report(ReportRequest(runs=(folder,), out=tmp_path / "r.html"))


def test_the_page_never_takes_the_place_of_something_else(runs: Any, tmp_path: Path) -> None:
    folder = runs.eval("eval", [[1]])
    with pytest.raises(UsageError, match="is HTML"):
        write_report(ReportRequest(runs=(folder,), out=folder / "summary.json"))
    (tmp_path / "d.html").mkdir()
    with pytest.raises(InputError, match="is a folder"):
        write_report(ReportRequest(runs=(folder,), out=tmp_path / "d.html"))
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match=r"cannot write .*r\.html: Not a directory"):
        write_report(ReportRequest(runs=(folder,), out=tmp_path / "file" / "r.html"))


def test_nothing_heavy_is_imported() -> None:
    code = "import sys, vidbench.report.page; print(*{'torch', 'numpy', 'av', 'typer', 'rich'} & sys.modules.keys())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


@pytest.mark.needs_chromium
@pytest.mark.parametrize("width", [1200, 600])
def test_a_browser_shows_the_page_without_complaint(
    runs: Any, page: Page, tmp_path: Path, browse: Browse, width: int
) -> None:
    verdict = {
        "verdict": "below", "reason": "By 12.5 points.", "metric": "top-1", "measured": 87.5, "interval": [52.9, 97.8],
        "published": 100.0, "published_by": "a zoo", "difference": -12.5, "tolerance": [40.0, 11.0], "evaluated": 8,
        "causes": [{"id": "preset", "certainty": "certain", "text": "views", "evidence": "1x1", "remedy": "--views"}],
    }  # fmt: skip
    text = page(
        runs.finetune("ft", [2.0, 1.0]),
        runs.eval("eval", [[3, 1], [0, 4]], ["a", "a name " * 40], summary={"verdict": verdict}),
        runs.attack("attack", {"0": 4, "8/255": 1}, 5, examples=2),
    )
    assert "CONSOLE" not in browse((tmp_path / "out" / "report.html").as_uri(), tmp_path, width)
    assert (tmp_path / "shot.png").stat().st_size > 10_000
    # the same page with a script in it, to know that a complaint would have been heard
    (tmp_path / "broken.html").write_text(text.replace("</body>", "<script>1</script></body>"))
    assert "CONSOLE" in browse((tmp_path / "broken.html").as_uri(), tmp_path, width)
