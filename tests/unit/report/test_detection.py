"""The part of the page on action detection: eighty classes, names that are markup, groups, curves and pictures."""

import json

import pytest

from vidbench.errors import InputError

CLASSES = 80


def detection(runs, name: str, **changes: object):
    """A finished evaluation of detection with eighty classes, of which the last has no figure."""
    folder = runs.manifest(name, "model eval")
    (folder / "misses").mkdir()
    stored = {
        "kind": "eval",
        "task": "detect",
        "model": "runs/mine",
        "architecture": "x3d_tiny",
        "data": "sets/ava",
        "part": "val",
        "boxes_from": "detected",
        "min_score": 0.8,
        "listed": 500,
        "clips": 400,
        "evaluated": 399,
        "failed": 1,
        "boxes": 1200,
        "frames": 8,
        "stride": 8,
        "short_side": 256,
        "precision": "fp32",
        "scorer": "pyslowfast",
        "mean_ap": 0.25,
        "classes_in_mean": CLASSES - 1,
        "per_class": [
            {
                "id": number,
                "class": f"act <i>{number}</i>",
                "average_precision": None if number == CLASSES else number / 100,
                "positives": 0 if number == CLASSES else 1000 + number,
            }
            for number in range(1, CLASSES + 1)
        ],
        "groups": [{"group": "pose", "first": 1, "last": 14, "classes": 14, "mean_ap": 0.3}],
        "curves": [
            {"name": "best: <b>", "average_precision": 0.79, "positives": 3, "precision": [1.0] * 60 + [0.5] * 41}
        ],
        "remarks": ["2 excluded <seconds>"],
        "failures": [{"path": "film 0902", "reason": "<script>"}],
        "examples": [],
    }
    stored.update(changes)
    (folder / "summary.json").write_text(json.dumps(stored))
    return folder


def test_eighty_classes_are_there_once_with_both_ends_open(runs, page, parse) -> None:
    text = page(detection(runs, "one"))
    tree = parse(text)
    shown = [row[0] for row in tree.cells if row and "act <i>" in row[0]]
    assert len(shown) == len(set(shown)) == CLASSES - 1
    assert shown[:2] == ["79 act <i>79</i>", "78 act <i>78</i>"]
    assert shown[-1] == "1 act <i>1</i>"
    words = " ".join(tree.words)
    assert "Show the 39 classes between" in words
    assert "1 class not in the mean: act <i>80</i> (0 boxes)." in words
    assert "1 keyframe could not be used" in words
    assert "25.0%" in words
    assert not {name for name, _ in tree.tags} & {"i", "b", "script", "seconds"}


def test_runs_of_different_scorers_are_not_set_beside_each_other_in_silence(runs, page) -> None:
    text = page(
        detection(runs, "one"), detection(runs, "two", scorer="activitynet", boxes_from="truth", min_score=None)
    )
    assert "counted by different scorers" in text
    assert "Boxes of the ground truth make the task easier" in text


def test_a_run_without_figures_says_so(runs, page) -> None:
    text = page(detection(runs, "one", mean_ap=None, per_class=[], curves=[], groups=[], classes_in_mean=0))
    assert "no average precision was measured" in text


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        (
            {"curves": [{"name": "a", "average_precision": 1, "positives": 1, "precision": [1.0]}]},
            "1 precisions, not 101",
        ),
        ({"mean_ap": 2.0}, "mean_ap"),
        ({"boxes_from": "guessed"}, "boxes_from"),
    ],
    ids=["short-curve", "beyond-one", "unknown-boxes"],
)
def test_a_summary_of_another_form_is_refused(runs, page, changes, told) -> None:
    with pytest.raises(InputError, match=told):
        page(detection(runs, "one", **changes))


def test_pictures_come_from_inside_the_run_folder_alone(runs, page, tmp_path) -> None:
    (tmp_path / "secret.png").write_bytes(b"\x89PNG")
    example = {"file": "../../secret.png", "caption": "x", "kind": "wrong"}
    assert "it lies outside the run folder" in page(detection(runs, "one", examples=[example]))
