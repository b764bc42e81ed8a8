"""The panel that puts a measured figure beside the published one, and where else the page says so."""

import html
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from vidbench.errors import InputError
from vidbench.model.outcome import Outcome
from vidbench.model.protocol import RULES, Protocol, Views
from vidbench.model.verdict import judge, lines
from vidbench.model.zoo import MODELS
from vidbench.report.folders import read_runs

Page = Callable[..., str]
NASTY = '<script>alert("1")</script><img src=x onerror=alert(1)>'
USED = {
    "rule": "pyslowfast", "views": "10x3", "ensemble": "mean", "resize": "decode", "frames": 13, "stride": 6,
    "short_side": 182, "crop": 182,
}  # fmt: skip
SEVERAL = {
    "task": "multilabel", "top1": None, "top1_low": None, "top1_high": None, "top5": None,
    "mean_class_accuracy": None, "mean_ap": 0.3125, "mean_ap_low": 0.25, "mean_ap_high": 0.4,
    "per_class": [{"label": 0, "class": "sitting", "clips": 9, "average_precision": 0.5}], "confusion": None,
}  # fmt: skip


def words(text: str) -> str:
    """What a reader sees, in one line."""
    body = re.sub(r"<style>.*?</style>", "", text, flags=re.S)
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", body)).split())


def judged(shift: int = 0, views: tuple[int, int] = (10, 3)) -> dict[str, Any]:
    """The verdict that an evaluation of x3d_s stores whose labels are `shift` too high."""
    guesses = [index % 399 for index in range(800)]
    outcome = Outcome(
        1000, 800, 800, 0, 400, [one + shift for one in guesses], [one if one % 4 else 3 for one in guesses]
    )
    card = MODELS.get("x3d_s")
    found = judge(outcome, card.published, card=card, protocol=Protocol(RULES["pyslowfast"], Views(*views)))
    return found.as_dict() | {"lines": lines(found)}


def made_up(**changes: object) -> dict[str, Any]:
    """A verdict with one cause."""
    cause = {"id": "preset", "certainty": "certain", "text": "a", "evidence": "b", "remedy": "c", "numbers": {"x": 1}}
    return {
        "verdict": "below", "reason": "r", "metric": "top-1", "measured": 70.0, "interval": [65.0, 75.0],
        "published": 76.0, "published_by": "zoo", "difference": -6.0, "tolerance": [2.0, 2.0], "evaluated": 300,
        "causes": [cause],
    } | changes  # fmt: skip


def cause(**changes: str) -> dict[str, str]:
    return {"id": "preset", "certainty": "certain", "text": "a", "evidence": "b", "remedy": "c"} | changes


def test_the_panel_says_what_the_verdict_says(runs: Any, page: Page) -> None:
    stored = judged(views=(1, 1))
    text = page(runs.eval("eval", [[3, 1], [0, 4]], summary={"verdict": stored}))
    said = words(text)
    assert f"{stored['verdict'].capitalize()}. {stored['reason']}" in said
    assert f"top-1 {stored['measured']:.2f}% (95% interval {stored['interval'][0]:.1f} to " in said
    assert f"Published top-1 {stored['published']:.2f}% ({stored['published_by']}" in said
    assert f"Difference {abs(stored['difference']):.2f} points" in said
    assert {one["id"] for one in stored["causes"]} == {"preset", "part-of-the-list"}
    for one in stored["causes"]:
        assert one["evidence"][1:] in said
        assert f"Remedy: {one['remedy']}".replace("`", "") in said.replace(" .", ".").replace(" ,", ",")
    assert f"Verdict beside the published {stored['published']:.2f}%: {stored['verdict']}." in said
    assert f"published {stored['published']:.2f}%: {stored['verdict']}" in said
    assert 'class="beside"' in text
    assert "less than once in 1000 times" in said


def test_labels_out_of_order_are_in_the_first_paragraph(runs: Any, page: Page) -> None:
    stored = judged(shift=1) | {"published": None, "difference": None, "tolerance": None}
    text = page(runs.eval("eval", [[3, 1], [0, 4]], summary={"verdict": stored}))
    lead = words(text[text.index('class="lead"') :]).partition("Clean top-1")[0]
    assert "Verdict: at chance. Likely: The labels are one too high, as if counted from 1." in lead
    assert 'class="verdict bad"' in text
    assert 'class="beside"' not in text
    assert "Published" not in words(text)


@pytest.mark.parametrize(
    ("verdict", "kind"),
    [
        ("within tolerance", "good"),
        ("below", "bad"),
        ("above", "bad"),
        ("not comparable", "open"),
        ("at chance", "bad"),
    ],
)
def test_the_kind_of_panel_follows_the_judgement(runs: Any, page: Page, verdict: str, kind: str) -> None:
    text = page(runs.eval("eval", [[1]], summary={"verdict": made_up(verdict=verdict, causes=[])}))
    assert re.findall('class="verdict ([a-z]+)"', text) == [kind]


def test_remarks_on_how_much_was_measured_are_no_warning(runs: Any, page: Page) -> None:
    stored = made_up(verdict="no published figure", published=None, causes=[cause(id="part-of-the-list")])
    text = page(runs.eval("eval", [[1]], summary={"verdict": stored}))
    assert 'class="verdict open"' in text
    assert "Verdict:" not in words(text)


def test_an_older_summary_has_no_panel(runs: Any, page: Page) -> None:
    text = page(runs.eval("eval", [[3, 1], [0, 4]]))
    assert "Verdict" not in words(text)
    assert "1000" not in words(text)
    assert "10 \u00d7 3" in words(text)


def test_all_of_a_verdict_is_escaped(runs: Any, page: Page) -> None:
    hostile = cause(id=NASTY, text=NASTY, evidence=f"`{NASTY}`", remedy=f"--{NASTY} ` {NASTY}")
    stored = made_up(
        reason=NASTY, metric=NASTY, published_by=NASTY, tolerance_why=NASTY, protocol=NASTY, causes=[hostile]
    )
    used = USED | {"rule": NASTY, "views": NASTY, "ensemble": NASTY, "resize": NASTY}
    more = {"verdict": stored, "protocol": used, "precision": NASTY, "task": NASTY, "weights": NASTY}
    folder = runs.eval("eval", [[3, 1], [0, 4]], summary=more)
    runs.json(folder / "manifest.json", {**_manifest(folder), "provenance": {"processes": NASTY}})
    text = page(folder)
    assert "<script" not in text
    assert "<img" not in text
    assert words(text).count('alert("1")') > 10


def _manifest(folder: Path) -> Any:
    return json.loads((folder / "manifest.json").read_text())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"measured": 101.0}, "verdict.measured: "),
        ({"measured": float("nan")}, "verdict.measured: "),
        ({"difference": -1e9}, "verdict.difference: "),
        ({"tolerance": [1.0, 1e300]}, "verdict.tolerance.1: "),
        ({"interval": [80.0, 20.0]}, "an interval from 80.0 to 20.0"),
        ({"verdict": "splendid"}, "verdict.verdict: "),
        ({"causes": [cause(certainty="sure")]}, "verdict.causes.0.certainty: "),
        ({"evaluated": -1}, "verdict.evaluated: "),
    ],
)
def test_impossible_verdicts_are_refused(runs: Any, changes: Any, message: str) -> None:
    folder = runs.eval("eval", [[1]], summary={"verdict": made_up(**changes)})
    with pytest.raises(InputError, match=re.escape(message)):
        read_runs((folder,))


def test_many_causes_are_cut_and_counted(runs: Any, page: Page) -> None:
    stored = made_up(causes=[cause(text=f"cause {index}") for index in range(40)])
    said = words(page(runs.eval("eval", [[1]], summary={"verdict": stored})))
    assert "Cause 11." in said
    assert "Cause 12." not in said
    assert "28 more in the summary of the run." in said


def test_a_long_text_is_cut_in_the_first_paragraph_alone(runs: Any, page: Page) -> None:
    stored = made_up(causes=[cause(text="x" * 5000)])
    text = page(runs.eval("eval", [[1]], summary={"verdict": stored}))
    assert "X" + "x" * 198 + "…" in text
    assert text.count("x" * 4999) == 1


def test_protocol_precision_and_coverage_stand_in_the_table(runs: Any, page: Page) -> None:
    summary = {"protocol": USED, "precision": "bf16", "listed": 20}
    text = words(page(runs.eval("eval", [[3, 1], [0, 4]], summary=summary)))
    size = "13 frames, every 6th, side 182, crop 182, resize decode, mean over views"
    assert f"eval 8 / 20 0 pyslowfast 10 \u00d7 3 {size} bf16" in text


def test_mean_average_precision_is_in_summary_and_tile(runs: Any, page: Page) -> None:
    stored = made_up(metric="mAP", measured=31.25, interval=[25.0, 40.0], published=38.9, verdict="below", causes=[])
    text = words(page(runs.eval("eval", [[3, 1], [0, 4]], summary=SEVERAL | {"verdict": stored})))
    assert "x3d_tiny reaches a mean average precision of 31.2% on 8 clips (95% interval 25.0 to 40.0%)." in text
    assert "Mean average precision 31.2% x3d_tiny 95% CI 25.0 to 40.0% 8 clips published 38.90%: below" in text
    assert "mAP 31.25% (95% interval 25.0 to 40.0%" in text
    assert "Clean top-1" not in text
    assert "Wilson" not in text
    assert "drawing the clips anew" in text
    none = words(page(runs.eval("none", [[0]], summary=SEVERAL | {"mean_ap": None, "per_class": []})))
    assert "no average precision was measured" in none


@pytest.mark.parametrize(
    ("recorded", "typed"),
    [
        ({"processes": 4}, "torchrun --nproc-per-node 4 --no-python vidbench model eval x3d_tiny"),
        (
            {"processes": 16, "processes_per_machine": 8},
            "torchrun --nnodes 2 --nproc-per-node 8 --no-python vidbench model eval x3d_tiny",
        ),
        ({"processes": 1}, "Reproduction eval done vidbench model eval x3d_tiny"),
        ({"processes": True}, "eval done vidbench model eval x3d_tiny"),
        ({"processes": -3}, "eval done vidbench model eval x3d_tiny"),
        ({"processes": 10**9}, "eval done vidbench model eval x3d_tiny"),
    ],
)
def test_a_run_of_several_processes_is_started_by_torchrun(
    runs: Any, page: Page, recorded: dict[str, object], typed: str
) -> None:
    assert typed in words(page(runs.eval("eval", [[1]], provenance=recorded)))
