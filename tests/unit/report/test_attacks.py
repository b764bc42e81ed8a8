"""What a report says of attacks and of verifications: figures, plots, pictures, videos."""

from __future__ import annotations

import base64
import json
import re
import shutil
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from vidbench.errors import InputError
from vidbench.report.folders import MAX_IMAGE_BYTES, read_images, read_runs

Page = Callable[..., str]
Parse = Callable[[str], Any]
CURVE = {"0": 14, "4/255": 8, "8/255": 2}


def summary(folder: Path) -> Any:
    return json.loads((folder / "summary.json").read_text())


def change(runs: Any, folder: Path, edit: Callable[[Any], object]) -> Path:
    """Change a stored summary in place."""
    stored = summary(folder)
    edit(stored)
    runs.json(folder / "summary.json", stored)
    return folder


def worst(norm: str = "linf", eps: str = "8/255", robust: int = 1, names: tuple[str, ...] = ("pgd", "square")) -> Any:
    return {
        "norm": norm, "eps": eps, "eps_value": float(Fraction(eps)), "attacks": list(names), "clips": 16,
        "robust": robust, "robust_accuracy": robust / 16, "low": 0.01, "high": 0.28, "conditional": robust / 14,
    }  # fmt: skip


def plots(text: str, variant: str) -> list[str]:
    return re.findall(rf'<svg class="plot {variant}".*?</svg>', text, flags=re.S)


def drawn(text: str, heading: str) -> str:
    """The one plot of that name."""
    found = [plot for plot in plots(text, "half") if f'aria-label="{heading}"' in plot]
    assert len(found) == 1
    return found[0]


def movie(folder: Path) -> Path:
    """A real H.264 file."""
    import numpy as np

    from vidbench.video.encode import encode

    frames = np.linspace(0, 255, 4 * 16 * 56 * 3).reshape(4, 16, 56, 3).astype(np.uint8)
    encode(folder, frames, Fraction(8), crf=30)
    return folder


@pytest.fixture
def filmed(runs: Any, tmp_path: Path) -> Path:
    """An attack run with two examples in motion."""
    folder: Path = runs.attack("attack", CURVE, 16, examples=2)
    for index in range(2):
        movie(folder / f"examples/strip{index}.mp4")
    return change(
        runs, folder, lambda s: [one.update(video=one["file"].replace("png", "mp4")) for one in s["examples"]]
    )


def test_each_attack_of_a_run_has_its_rows_and_the_worst_case_its_own(runs: Any, page: Page, parse: Parse) -> None:
    folder = runs.attack(
        "suite", CURVE, 16, columns=[{"label": "square", "attack": "square", "steps": 1, "restarts": 1}],
        summary={"worst": [worst(eps="4/255", robust=6), worst()]},
    )  # fmt: skip
    tree = parse(page(folder))
    assert tree.row("pgd", "L\u221e", "8/255")[3] == tree.row("square", "L\u221e", "8/255")[3] == "12.5%"
    row = tree.row("Worst case of all 2 attacks", "L\u221e", "8/255")
    assert row[3:] == ["6.2%", "1.0 to 28.0%", "1 / 16", "7.1%", "92.9%", "\u2013", "\u2013"]
    assert "6.2% under all 2 attacks (L\u221e\u00a0\u2264\u00a08/255): 1 of 16 clips" in " ".join(tree.words)
    # an attack that the worst case covers is not told a second time
    assert "12.5% under pgd" not in tree.text
    assert "Worst-case robust accuracy" in tree.text


def test_attacks_without_a_budget_in_common_are_told_one_by_one(runs: Any, page: Page, parse: Parse) -> None:
    folder = runs.attack("a", CURVE, 16, columns=[{"label": "cw", "norm": "l1"}])
    text = page(folder)
    tree = parse(text)
    assert "12.5% under pgd (L\u221e \u2264 8/255)" in tree.text
    assert "under cw (L1" in tree.text
    assert "Worst" not in tree.text
    assert tree.row("Attack", "Norm", "eps")[-1] == "Mean L1"
    assert tree.row("cw", "L1", "8/255")[-1] == "282"
    assert len(plots(text, "wide")) == 2


def test_the_defence_is_part_of_the_name_where_any_run_has_one(runs: Any, page: Page, parse: Parse) -> None:
    bare = runs.attack("bare", CURVE, 16)
    tree = parse(page(bare))
    assert "without defence" not in tree.text
    blind = runs.attack("blind", CURVE, 16, summary={"defence": "h264:23"})
    aware = runs.attack("aware", CURVE, 16, summary={"defence": "h264:23", "bpda": True})
    tree = parse(page(bare, blind, aware))
    for label in ("pgd without defence", "pgd behind h264:23", "pgd behind h264:23 (BPDA)"):
        assert tree.row(label, "L\u221e", "8/255")
    heads = tree.row("Attack", "Model", "Run")
    assert tree.row("pgd behind h264:23 (BPDA)", "x3d_tiny", "aware")[heads.index("Defence")] == "h264:23 (BPDA)"
    assert "as if these were the identity" in tree.text


def test_worst_cases_are_told_apart_by_defence_and_run(runs: Any, page: Page, parse: Parse) -> None:
    other = [{"label": "square"}]
    bare = runs.attack("bare", CURVE, 16, columns=other, summary={"worst": [worst()]})
    aware = runs.attack("aware", CURVE, 16, columns=other, summary={"worst": [worst(robust=3)], "defence": "gcm"})
    tree = parse(page(bare, aware))
    assert tree.row("Worst case of all 2 attacks without defence of bare")[3] == "6.2%"
    assert tree.row("Worst case of all 2 attacks behind gcm of aware")[3] == "18.8%"


def test_what_tells_a_column_from_the_others_is_in_the_table_of_runs(runs: Any, page: Page, parse: Parse) -> None:
    targeted = {"targeted": True, "target": 2, "support": "frames:0,3", "excluded": 3, "draws": 16}
    tree = parse(page(runs.attack("a", CURVE, 16, summary=targeted)))
    heads = tree.row("Attack", "Model", "Run")
    row = dict(zip(heads, tree.row("targeted pgd", "x3d_tiny", "a"), strict=True))
    assert row["Goal"] == "targeted: line"
    assert row["Where"] == "frames:0,3"
    assert row["Left out"] == "3"
    assert row["Draws (EOT)"] == "16"


def test_the_course_of_an_attack_is_a_staircase(runs: Any, page: Page, parse: Parse) -> None:
    steps = [{"step": 0, "robust_accuracy": 0.75}, {"step": 4, "robust_accuracy": 0.5}]
    text = page(runs.attack("a", CURVE, 16, summary={"by_steps": steps, "steps": 8, "restarts": 1}))
    parse(text)
    plot = drawn(text, "Robust accuracy by steps, L\u221e")
    assert "after 4 steps: 50.0%" in plot
    assert "after all 8 steps: 50.0%" in plot
    (line,) = re.findall(r'<path class="line c0" d="M([^"]*)"', plot)
    corners = [tuple(map(float, corner.split(","))) for corner in line.split("L")]
    # along, down, along
    assert len(corners) == 5
    assert corners[0][1] == corners[1][1] < corners[2][1] == corners[3][1] == corners[4][1]
    assert corners[1][0] == corners[2][0]


def test_an_attack_that_broke_nothing_has_no_course(runs: Any, page: Page) -> None:
    steps = [{"step": 0, "robust_accuracy": 0.75}]
    assert "by steps" not in page(runs.attack("a", CURVE, 16, summary={"by_steps": steps}))


def test_frames_that_carry_the_perturbation(runs: Any, page: Page) -> None:
    text = page(runs.attack("a", CURVE, 16, summary={"frames": [0.7, 0.1, 0.2]}))
    plot = drawn(text, "Perturbation by frame, L\u221e")
    for said in ("frame 0: 70.0%", "frame 1: 10.0%", "frame 2: 20.0%"):
        assert said in plot
    assert "Perturbation by frame" not in page(runs.attack("image", CURVE, 16, summary={"frames": [1.0]}))


def test_figures_after_storing_stand_beside_those_before(runs: Any, page: Page, parse: Parse) -> None:
    folder = runs.attack("a", CURVE, 16)
    after = {"uint8": 0.125, "h264-18": 0.25, "h264-28": 0.5, "resize": 0.75}

    def edit(stored: Any) -> None:
        stored["columns"][0]["curve"][2]["after"] = after

    tree = parse(page(change(runs, folder, edit)))
    heads = tree.row("Attack", "Budget")
    assert heads[2:] == [
        "Robust accuracy (RA)", "8-bit frames", "H.264 CRF 18", "H.264 CRF 28", "H.264 CRF 23, scaled",
    ]  # fmt: skip
    row = tree.row("pgd", "L\u221e\u00a0\u2264\u00a08/255")
    assert row[2:] == ["12.5%", "12.5%", "25.0%", "50.0%", "75.0%"]
    assert "After storing" not in parse(page(runs.attack("none", CURVE, 16))).text


def test_confusions_before_and_after(runs: Any, page: Page, parse: Parse) -> None:
    confusion = {"clean": [[0, 0, 7], [1, 1, 6], [1, 2, 1]], "attacked": [[0, 2, 5], [0, 0, 2], [1, 0, 7]]}
    text = page(runs.attack("a", CURVE, 16, summary={"confusion": confusion}))
    tree = parse(text)
    assert text.count('<svg class="matrix"') == 2
    assert "true: circle; predicted: line; 5 of 7 clips (71.4%)" in text
    after = "After pgd (L\u221e\u00a0\u2264\u00a08/255)"
    assert tree.row("Before the attacks") == ["Before the attacks", "square", "line", "1", "7", "14.3%"]
    assert tree.row(after, "square") == [after, "square", "circle", "7", "7", "100.0%"]
    assert tree.row(after, "circle") == [after, "circle", "line", "5", "7", "71.4%"]


def test_many_classes_have_tables_of_confusions_alone(runs: Any, page: Page, parse: Parse) -> None:
    confusion = {"clean": [[0, 0, 7]], "attacked": [[20, 0, 7]]}
    names = [f"action {k}" for k in range(21)]
    text = page(runs.attack("a", CURVE, 16, summary={"confusion": confusion, "classes": names}))
    assert '<svg class="matrix"' not in text
    assert parse(text).row("After pgd (L\u221e\u00a0\u2264\u00a08/255)")[1:3] == ["action 20", "action 0"]


def test_a_class_beyond_the_names_is_named_by_its_number(runs: Any, page: Page, parse: Parse) -> None:
    confusion = {"clean": [[0, 7, 3]], "attacked": []}
    text = page(runs.attack("a", CURVE, 16, summary={"confusion": confusion}))
    assert parse(text).row("Before the attacks")[1:3] == ["circle", "class 7"]


def test_parts_of_a_cascade(runs: Any, page: Page, parse: Parse) -> None:
    text = page(runs.attack("a", CURVE, 16, summary={"label": "autoattack", "broken_by": {"apgd-ce": 9, "square": 3}}))
    tree = parse(text)
    assert tree.row("autoattack", "apgd-ce") == ["autoattack", "apgd-ce", "9", "75.0%"]
    assert tree.row("autoattack", "square") == ["autoattack", "square", "3", "25.0%"]


def test_videos_are_in_the_page_beside_their_strips(filmed: Path, page: Page, parse: Parse) -> None:
    tree = parse(page(filmed))
    videos = [attributes for tag, attributes in tree.tags if tag == "video"]
    assert len(videos) == len([tag for tag, _ in tree.tags if tag == "img"]) == 2
    for index, video in enumerate(videos):
        data = base64.b64decode(video["src"].removeprefix("data:video/mp4;base64,"), validate=True)
        assert data == (filmed / f"examples/strip{index}.mp4").read_bytes()
        assert {"controls", "muted", "loop"} <= video.keys()
        assert "autoplay" not in video
        assert video["preload"] == "metadata"
        assert video["aria-label"] == (
            f"In motion: clip{index}.mp4: circle becomes square under pgd at L\u221e\u00a0\u2264\u00a08/255"
        )
    assert "clip1.mp4: circle becomes square under pgd" in tree.text


def test_only_real_videos_of_the_run_folder_are_shown(
    filmed: Path, runs: Any, page: Page, parse: Parse, tmp_path: Path
) -> None:
    outside = tmp_path / "secret.mp4"
    shutil.copy(filmed / "examples/strip0.mp4", outside)
    (filmed / "examples/strip0.mp4").write_bytes(b"<html><script>alert(1)</script>")
    change(runs, filmed, lambda s: s["examples"][1].update(video="../../secret.mp4"))
    tree = parse(page(filmed))
    assert not [tag for tag, _ in tree.tags if tag == "video"]
    assert len([tag for tag, _ in tree.tags if tag == "img"]) == 2
    assert "examples/strip0.mp4: not shown: not an MP4 file" in tree.text
    assert "../../secret.mp4: not shown: it lies outside the run folder" in tree.text
    change(runs, filmed, lambda s: s["examples"][1].update(video="examples/strip0.mp4"))
    with (filmed / "examples/strip0.mp4").open("ab") as stream:
        stream.truncate(MAX_IMAGE_BYTES + 1)
    assert "examples/strip0.mp4: not shown: 1.5 MB, more than 1.5 MB" in parse(page(filmed)).text


def test_every_attack_of_a_suite_has_a_share_in_the_examples(runs: Any) -> None:
    folder = runs.attack("a", CURVE, 16, examples=12)

    def edit(stored: Any) -> None:
        for index, one in enumerate(stored["examples"]):
            one["column"] = ("pgd", "pgd", "pgd", "pgd", "pgd", "pgd", "pgd", "cw", "cw", "cw", "patch", "cw")[index]

    (run,) = read_runs((change(runs, folder, edit),))
    images, remarks = read_images(run)
    names = [image.caption.partition(":")[0] for image in images]
    assert names == ["clip0.mp4", "clip1.mp4", "clip2.mp4", "clip7.mp4", "clip8.mp4", "clip10.mp4"]
    assert remarks == ("6 more in the run folder; a report shows at most 6 of a run",)


def test_a_run_of_an_older_version_is_refused_with_the_way_out(runs: Any) -> None:
    folder = runs.attack("old", CURVE, 16)

    def edit(stored: Any) -> None:
        stored.update(stored.pop("columns")[0])

    change(runs, folder, edit)
    with pytest.raises(InputError, match="older version") as caught:
        read_runs((folder,))
    assert "--overwrite" in (caught.value.remedy or "")


@pytest.mark.parametrize(
    ("place", "value", "message"),
    [
        ("by_steps", [{"step": -1, "robust_accuracy": 0.5}], "columns.0.by_steps.0.step"),
        ("frames", [1.5], "columns.0.frames.0"),
        ("confusion", {"clean": [[0, 1]]}, "columns.0.confusion.clean.0"),
        ("broken_by", {"pgd": "many"}, "columns.0.broken_by.pgd"),
    ],
)
def test_impossible_figures_of_an_attack_are_refused(runs: Any, place: str, value: Any, message: str) -> None:
    folder = runs.attack("a", CURVE, 16, summary={place: value})
    with pytest.raises(InputError, match=re.escape(message)):
        read_runs((folder,))


def test_a_verification_is_a_panel_with_flags_and_attacks(runs: Any, page: Page, parse: Parse) -> None:
    text = page(runs.verify("checked"))
    tree = parse(text)
    assert '<div class="verdict invalid"><p class="judgement"><strong>Invalid.</strong>' in text
    budget = "L\u221e\u00a0\u2264\u00a08/255"
    assert tree.row(budget, "37.5%") == [budget, "37.5%", "12.5%", "square"]
    assert tree.row("R1") == [
        "R1", "Error", "reported figure", "6/16 reported, 2/16 left.", "Report the smaller figure.",
    ]  # fmt: skip
    assert [row[1] for row in tree.cells if row[0] in ("R1", "C5", "C26")] == ["Error", "Warning", "Note"]
    assert "1 check passed" in tree.text
    assert "C18 budget: All inside." in tree.text
    assert tree.row(budget, "square") == [budget, "square", "12.5%", "2 / 16", "1", "1\u2009600", "800"]
    assert "Verdict on the robustness of x3d_tiny: invalid" in tree.text
    assert "is 12.5%, against 37.5% reported." in tree.text
    assert [a["id"] for tag, a in tree.tags if tag == "section"] == [
        "summary", "verification", "reading", "reproduction",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("status", "kind", "words"),
    [("VALID_UPPER_BOUND", "good", "Valid upper bound"), ("SUSPECT", "bad", "Suspect"), ("INVALID", "invalid", "Inva")],
)
def test_a_verdict_is_told_in_words_and_by_colour(runs: Any, page: Page, status: str, kind: str, words: str) -> None:
    figures: Any = {
        "status": status,
        "flags": [],
        "run": None,
        "reported_ra": {"8/255": None},
        "strongest": {"8/255": None},
    }
    text = page(runs.verify("checked", summary=figures))
    assert f'<div class="verdict {kind}"><p class="judgement"><strong>{words}' in text
    assert "No check found anything." in text
    assert ">By its own gradients<" in text


def test_what_a_verification_holds_is_escaped(runs: Any, page: Page, parse: Parse) -> None:
    nasty = '<script>alert("1")</script>'
    flag = {"id": nasty, "title": nasty, "severity": "W", "evidence": nasty, "remedy": nasty}
    facts = {"flags": [flag], "passed": [flag], "run": nasty, "model": nasty, "norm": nasty, "defence": nasty,
             "best_known_ra": {nasty: 0.5}, "strongest": {nasty: nasty}}  # fmt: skip
    tree = parse(page(runs.verify("checked", summary=facts)))
    assert not [tag for tag, _ in tree.tags if tag == "script"]
    assert tree.text.count(nasty) > 8


def test_an_unfinished_verification_has_no_verdict(runs: Any, page: Page, parse: Parse) -> None:
    folder = runs.verify("half", status="interrupted")
    runs.lines(folder / "clips.jsonl", [{"key": "answer:1", "check": "answer"}])
    tree = parse(page(folder))
    assert "half is not finished: its status is \u201cinterrupted\u201d, with 1 record so far" in tree.text
    assert "Invalid" not in tree.text


def test_an_unknown_status_is_refused(runs: Any) -> None:
    with pytest.raises(InputError, match="status"):
        read_runs((runs.verify("new", summary={"status": "PROVEN"}),))


@pytest.mark.needs_chromium
def test_a_browser_plays_the_videos_by_the_rules_of_the_page(
    filmed: Path, runs: Any, page: Page, tmp_path: Path, browse: Callable[[str, Path, int], str]
) -> None:
    text = page(filmed, runs.verify("checked"))
    assert "CONSOLE" not in browse((tmp_path / "out" / "report.html").as_uri(), tmp_path, 1100)
    # without the rule for videos there is a complaint, so they are loaded
    (tmp_path / "without.html").write_text(text.replace("; media-src data:", ""))
    assert "media-src" in browse((tmp_path / "without.html").as_uri(), tmp_path, 1100)
