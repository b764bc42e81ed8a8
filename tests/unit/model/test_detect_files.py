"""The files of an evaluation of action detection: digits of scores and corners, and outputs found by name."""

import gzip
import json
from pathlib import Path

import pytest

from vidbench.errors import InputError
from vidbench.formats import ava
from vidbench.model.detect_figures import figures
from vidbench.model.detect_files import Seen, outputs_of, save_classes, save_detections
from vidbench.model.label_map import load_classes
from vidbench.model.score import ScoreRequest, score_files

PARITY = Path(__file__).parents[2] / "parity" / "data" / "ava_scoring" / "main"


def test_lines_hold_every_digit_and_no_exponent(tmp_path: Path) -> None:
    path = tmp_path / "detections.csv"
    seen = [Seen("a", 902, [(0.00001, 0.1, 0.333, 1.0)], [[1e-9, 0.5, 0.123456789012]])]
    assert save_detections(path, seen, {7: 2, 9: 0}) == 2
    assert path.read_text() == (
        "a,0902,0.00001,0.1,0.333,1,7,0.123456789012\na,0902,0.00001,0.1,0.333,1,9,0.000000001000\n"
    )
    # they are lines of AVA's format of detections
    assert len(ava.load(path, ava.parse_predicted)) == 2


def test_outputs_are_found_by_name_in_any_order_and_spelling() -> None:
    assert outputs_of({1: "stand", 4: "wave (hello)"}, ("wave_hello", "jump", "Stand"), 3, "m") == {1: 2, 4: 0}


def test_outputs_without_names_are_found_by_number() -> None:
    assert outputs_of({1: "stand", 4: "wave"}, (), 4, "m") == {1: 0, 4: 3}
    with pytest.raises(InputError, match="class 5 'wave' counts, but m has 4 classes without names"):
        outputs_of({5: "wave"}, (), 4, "m")


def test_a_class_that_the_model_lacks_is_named() -> None:
    with pytest.raises(InputError, match=r"m does not have the classes 1 'a', 2 'b', 3 'c', ... \(4 in all\)"):
        outputs_of({1: "a", 2: "b", 3: "c", 4: "d"}, ("x", "y", "z", "w"), 4, "m")


def test_classes_are_read_back(tmp_path: Path) -> None:
    save_classes(tmp_path / "classes.pbtxt", {1: "bend/bow (at the waist)", 12: "walk"})
    assert load_classes(str(tmp_path / "classes.pbtxt")) == {1: "bend/bow (at the waist)", 12: "walk"}


@pytest.mark.parametrize("scorer", ["activitynet", "pyslowfast", "mmaction2"])
def test_known_detections_get_the_published_figures(tmp_path: Path, scorer: str) -> None:
    """The golden detections as a run would have recorded them are scored as the original programs scored them."""
    expected = json.loads(gzip.decompress((PARITY / "expected.json.gz").read_bytes()))["expected"]
    rows = gzip.decompress((PARITY / "detections.csv.gz").read_bytes()).decode().splitlines()
    parts, actions = [], []
    for row in rows:
        video, second, *corners, action, score = row.split(",")
        parts.append(Seen(video, int(second), [[float(corner) for corner in corners]], [[float(score)]]))
        actions.append(int(action))
    path = tmp_path / "part.csv"
    with (tmp_path / "detections.csv").open("w") as stream:
        for action in sorted(set(actions)):
            save_detections(path, (one for one, own in zip(parts, actions, strict=True) if own == action), {action: 0})
            stream.write(path.read_text())
    if scorer == "pyslowfast":
        # this scorer claims boxes in the order of the file, which the parts by action change nothing of
        assert len(rows) == sum(1 for _ in (tmp_path / "detections.csv").open())
    (tmp_path / "groundtruth.csv").write_bytes(gzip.decompress((PARITY / "groundtruth.csv.gz").read_bytes()))
    request = ScoreRequest(
        detections=tmp_path / "detections.csv",
        groundtruth=tmp_path / "groundtruth.csv",
        labels=str(PARITY / "label_map.pbtxt"),
        exclude=None if scorer == "activitynet" else PARITY / "excluded_timestamps.csv",
        scorer=scorer,
    )
    found = figures(score_files(request))
    assert found["mean_ap"] == pytest.approx(expected[scorer]["mAP"], abs=1e-9)
    assert [one["average_precision"] for one in found["per_class"]] == [
        pytest.approx(expected[scorer]["AP"][str(one["id"])], abs=1e-9) for one in found["per_class"]
    ]
