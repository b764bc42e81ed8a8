"""The figures of a run are a function of its records."""

from __future__ import annotations

from typing import Any

import pytest

from vidbench.attack.robustness import by_steps, confusion, curve, frame_shares, summarise, worst_case


def record(clip: str, eps: float, *, clean: bool, robust: bool, **more: Any) -> dict[str, Any]:
    return {
        "key": f"{clip}{eps}", "clip": clip, "path": f"{clip}.mp4", "label": 1, "column": "pgd", "norm": "linf",
        "eps": str(eps), "eps_value": eps, "status": "ok", "clean_pred": 1 if clean else 0, "clean_correct": clean,
        "adv_pred": 1 if robust else 2, "robust": robust, "linf": eps, "l2": eps, "l1": eps, "frames": [0.0, eps],
        "after": {"uint8": 1 if robust else 2}, "step": -1 if robust else 3, "forwards": 4, "backwards": 3,
        "broken_by": "", **more,
    }  # fmt: skip


def four(eps: float) -> list[dict[str, Any]]:
    """Three are right before; one of them withstands; the wrong one answers right under attack by chance."""
    return [
        record("a", eps, clean=True, robust=True),
        record("b", eps, clean=True, robust=False),
        record("c", eps, clean=True, robust=False, step=0),
        record("d", eps, clean=False, robust=False, adv_pred=1, after={"uint8": 1}),
    ]


def test_robust_and_conditional_accuracy_are_told_apart() -> None:
    (point,) = curve(four(0.1), "labels")
    assert point["robust_accuracy"] == 1 / 4
    assert point["conditional"] == 1 / 3
    assert point["fooling_rate"] == 2 / 3
    assert point["low"] < 1 / 4 < point["high"]
    # the clip that was wrong before is not robust, whatever it answers later
    assert point["after"] == {"uint8": 1 / 4}


def test_points_ascend_and_each_has_its_own_clips() -> None:
    points = curve([*four(0.2), *four(0.1)[:2]], "labels")
    assert [(point["eps_value"], point["clips"]) for point in points] == [(0.1, 2), (0.2, 4)]


def test_curves_over_steps_fall_where_clips_break() -> None:
    assert by_steps(four(0.1)) == [{"step": 0, "robust_accuracy": 0.5}, {"step": 3, "robust_accuracy": 0.25}]


def test_the_worst_case_counts_what_withstands_all() -> None:
    strong = [row | {"robust": row["robust"] and row["clip"] != "a"} for row in four(0.1)]
    (point,) = worst_case([("pgd", four(0.1)), ("other", strong)], "labels")
    assert (point["robust"], point["clips"], point["attacks"]) == (0, 4, ["pgd", "other"])
    # of one attack alone there is no worst case
    assert worst_case([("pgd", four(0.1))], "labels") == []
    other_norm = [row | {"norm": "l2"} for row in four(0.1)]
    assert worst_case([("pgd", four(0.1)), ("other", other_norm)], "labels") == []


def test_confusions_before_and_after() -> None:
    found = confusion(four(0.1))
    assert found["clean"] == [[1, 1, 3], [1, 0, 1]]
    assert found["attacked"] == [[1, 1, 2], [1, 2, 2]]


def test_shares_of_frames_sum_to_one() -> None:
    rows = [record("a", 0.1, clean=True, robust=False, frames=[3.0, 4.0]), record("b", 0.1, clean=True, robust=True)]
    shares = frame_shares(rows)
    assert shares == [pytest.approx((9 / 25) / 2), pytest.approx((16 / 25 + 1) / 2)]
    assert frame_shares([record("a", 0, clean=True, robust=True, frames=[0.0, 0.0])]) == []


def test_failures_and_clips_left_out_are_in_no_figure() -> None:
    failed = {"key": "x", "clip": "x", "path": "x.mp4", "column": "pgd", "status": "failed", "reason": "torn"}
    left_out = failed | {"key": "y", "clip": "y", "status": "excluded", "eps_value": 0.1}
    mended = failed | {"key": "z", "clip": "a"}
    facts = {"label": "pgd", "attack": "pgd", "settings": {"steps": 7}}
    rows = [*four(0.1), failed, left_out, mended]
    found = summarise([(facts, rows)], rows, 6, by_labels=True)
    assert (found["evaluated"], found["failed"], found["clean_accuracy"]) == (4, 1, 0.75)
    (column,) = found["columns"]
    assert (column["excluded"], column["steps"], column["curve"][0]["clips"]) == (1, 7, 4)
    assert found["failures"] == [{"path": "x.mp4", "reason": "torn"}]
