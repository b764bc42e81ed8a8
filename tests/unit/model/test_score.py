"""Scoring files: what is read, what is refused, what is told."""

import csv
import math
from pathlib import Path

import pytest

from vidbench.errors import InputError, UnknownNameError, UsageError
from vidbench.model import ava_boxes
from vidbench.model.ava_scorers import EXCLUDED, NO_TRUTH, NOT_LISTED, SCORERS
from vidbench.model.label_map import load_classes
from vidbench.model.score import NOT_TAKEN, ScoreRequest, ScoreResult, score

TRUTH = "a,0902,0.1,0.1,0.5,0.9,1,0\na,0903,0.1,0.1,0.5,0.9,12,0\nb,0904,0.2,0.2,0.6,0.6,80,4\n"
FOUND = "a,0902,0.1,0.1,0.5,0.8,1,0.9\na,0903,0.5,0.1,0.9,0.9,12,0.8\nb,0904,0.2,0.2,0.6,0.6,80,0.7\n"


class Folder:
    """Writes the files of a test and scores them."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def write(self, name: str, text: str) -> Path:
        (self.path / name).write_text(text, newline="")
        return self.path / name

    def score(self, found: str = FOUND, truth: str = TRUTH, **more: object) -> ScoreResult:
        files = {"detections": self.write("d.csv", found), "groundtruth": self.write("g.csv", truth)}
        return score(ScoreRequest.model_validate(files | more))


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path)


@pytest.mark.parametrize("scorer", SCORERS)
def test_classes_groups_and_counts(folder: Folder, scorer: str) -> None:
    result = folder.score(scorer=scorer)
    assert {one.id: one.average_precision for one in result.classes if one.in_mean} == {1: 1.0, 12: 0.0, 80: 1.0}
    assert result.mean_ap == pytest.approx(2 / 3)
    assert [(one.name, one.classes) for one in result.groups] == [("pose", 2), ("object", 0), ("person", 1)]
    assert result.groups[0].mean_ap == 0.5
    assert math.isnan(result.groups[1].mean_ap)
    assert (result.classes_in_mean, len(result.classes), result.seconds) == (3, 60, 3)
    assert (result.ground_truth.counted, result.detections.counted, result.remarks) == (3, 3, ())


def test_groups_are_of_ava_s_classes(folder: Folder) -> None:
    own = str(folder.write("names.txt", "jump\nrun\n"))
    files = ("a,0902,0,0,1,1,1,0.9\n", "a,0902,0,0,1,1,1,0\n")
    assert folder.score(*files, labels=own).groups == ()
    assert [one.classes for one in folder.score(*files, labels=own, groups="ava").groups] == [1, 0, 0]
    assert len(folder.score(*files, labels=own, scorer="mmaction2").groups) == 3
    assert folder.score(groups="none").groups == ()


def test_what_is_left_out_and_why(folder: Folder) -> None:
    found = FOUND + "c,0902,0,0,1,1,1,0.5\na,0902,0,0,1,1,2,0.5\n"
    excluded = folder.write("e.csv", "b,0904\nz,0999\n")
    result = folder.score(found, scorer="mmaction2", exclude=excluded)
    assert result.detections.left_out == {NOT_LISTED: 1, EXCLUDED: 1, NO_TRUTH: 1}
    assert (result.detections.boxes, result.detections.counted) == (5, 2)
    assert (result.excluded, result.excluded_missed, result.ground_truth.counted) == (2, 1, 3)
    assert result.remarks == ("1 of 2 excluded seconds are in neither file of boxes",)
    result = folder.score(found, scorer="mmaction2", every=2)
    assert result.detections.left_out == {NOT_TAKEN: 1, NOT_LISTED: 1, NO_TRUTH: 1}
    assert result.ground_truth.left_out == {NOT_TAKEN: 1}
    assert result.seconds == 2


def test_detections_where_nothing_is(folder: Folder) -> None:
    found = "c,0902,0,0,1,1,1,0.95\n" + FOUND
    assert folder.score(found, scorer="mmaction2").classes[0].average_precision == 1.0
    assert folder.score(found, scorer="mmaction2", empty_seconds=True).classes[0].average_precision == 0.5
    with pytest.raises(UsageError, match="mmaction2 alone"):
        folder.score(scorer="pyslowfast", empty_seconds=True)


def test_activitynet_takes_no_exclusions(folder: Folder) -> None:
    with pytest.raises(UsageError, match="no excluded seconds"):
        folder.score(exclude=folder.write("e.csv", ""))


def test_seconds_with_fractions_and_lines_of_two_and_seven_columns(folder: Folder) -> None:
    truth = "a,902,0,0,1,1,1\na,902.5,0,0,1,1,1\nb,0903\n"
    found = "a,0902.000000,0,0,1,1,1,0.9\na,0902.50,0,0,1,1,1,0.8\nb,903,0,0,1,1,1,0.99\n"
    result = folder.score(found, truth)
    assert (result.ground_truth.lines, result.ground_truth.boxes, result.seconds) == (3, 2, 3)
    # wrong, right, right
    assert result.classes[0].average_precision == pytest.approx(2 / 3)
    assert folder.score(found, truth, every=2).detections.left_out == {NOT_TAKEN: 2}
    assert folder.score("a,902,0,0,1,1,1\n", "a,902,0,0,1,1,1\n").mean_ap == 1.0


@pytest.mark.parametrize(
    ("scorer", "found", "truth", "told"),
    [
        ("pyslowfast", FOUND, TRUTH + "c,0905\n", "g.csv:4: 2 columns, not 7 or 8"),
        ("mmaction2", FOUND, TRUTH + "c,0905\n", "g.csv:4: 2 columns, not 7 or 8"),
        ("pyslowfast", "a,0902,0,0,1,1,1\n", TRUTH, "d.csv:1: 7 columns, not 8"),
        ("pyslowfast", FOUND + "a,902.0,0,0,1,1,1,0.5\n", TRUTH, "d.csv:4: the second '902.0' is not a whole number"),
        ("activitynet", FOUND + "a,x,0,0,1,1,1,0.5\n", TRUTH, "d.csv:4: the second 'x' is not a number"),
        ("activitynet", FOUND + "a,nan,0,0,1,1,1,0.5\n", TRUTH, "d.csv:4: the second 'nan' is not a number"),
        ("activitynet", "\n" + FOUND + ",1,0,0,1,1,1,0.5\n", TRUTH, "d.csv:5: no video name"),
        ("activitynet", FOUND + "a,902,0,0,one,1,1,0.5\n", TRUTH, "d.csv:4: x2 'one' is not a number"),
        ("activitynet", FOUND + "a,902,0,0,1,inf,1,0.5\n", TRUTH, "d.csv:4: y2 'inf' is not a number"),
        ("activitynet", FOUND + "a,902,0,0,1,1,,0.5\n", TRUTH, "d.csv:4: the action '' is not a whole number"),
        ("activitynet", FOUND + "a,902,0,0,1,1,9999999999,0.5\n", TRUTH, "d.csv:4: the action 9999999999 is too large"),
        ("activitynet", FOUND + "a,902,0,0,1,1,1,nan\n", TRUTH, "d.csv:4: the last column 'nan' is not a number"),
        ("activitynet", FOUND, "a,902,0.5,0,0.2,1,1,0\n", "g.csv:1: the box 0.5,0,0.2,1 is not x1 <= x2 and y1 <= y2"),
        ("mmaction2", "a,902,0.5,0,0.2,1,1,0\n", TRUTH, "d.csv:1: the box 0.5,0,0.2,1 is not"),
        ("activitynet", FOUND, "video_id,second,x1,y1,x2,y2,action,person\n", "g.csv:1: the second 'second' is not"),
    ],
)
def test_malformed_lines(folder: Folder, scorer: str, found: str, truth: str, told: str) -> None:
    with pytest.raises(InputError) as error:
        folder.score(found, truth, scorer=scorer)
    assert told in error.value.message
    assert "A line is" in error.value.remedy


def test_all_bad_lines_of_a_file_are_named(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ava_boxes, "_BLOCK", 2)
    with pytest.raises(InputError) as error:
        folder.score("a,1\nx\n" + FOUND + "y\n", scorer="pyslowfast")
    assert [line.rsplit(":", 2)[1] for line in error.value.message.splitlines()] == ["1", "2", "6"]


@pytest.mark.parametrize("block", [1, 2, 1000])
def test_blocks_make_no_difference(folder: Folder, monkeypatch: pytest.MonkeyPatch, block: int) -> None:
    """Empty lines, carriage returns, a mark at the start, and lines of all widths."""
    monkeypatch.setattr(ava_boxes, "_BLOCK", block)
    text = "\ufeff" + TRUTH.replace("\n", "\r\n") + "\n \nc,0905\na,0902,0,0,1,1,1\n"
    result = folder.score(truth=text)
    assert (result.ground_truth.lines, result.ground_truth.boxes, result.seconds) == (5, 4, 4)
    assert result.classes[0].average_precision == 0.5


def test_detections_that_are_the_wrong_way_round_are_dropped(folder: Folder) -> None:
    result = folder.score(FOUND + "a,902,0.5,0,0.2,1,1,0.99\n", scorer="pyslowfast")
    assert result.detections.left_out == {"box without area": 1}


def test_remarks(folder: Folder) -> None:
    far = FOUND.replace("09", "00")
    assert "are names and seconds of one kind" in folder.score(far).remarks[0]
    assert "pixels and fractions" in folder.score("a,902,10,10,320,240,1,0.5\n").remarks[0]
    empty = folder.score("")
    assert (empty.remarks, empty.mean_ap) == (("there are no detections",), 0.0)
    nothing = folder.score("", scorer="mmaction2")
    assert math.isnan(nothing.mean_ap)
    assert nothing.classes_in_mean == 0


def test_no_ground_truth_to_score_with(folder: Folder) -> None:
    with pytest.raises(InputError, match="no box to score with"):
        folder.score(truth="a,902,0,0,1,1,2,0\n")
    with pytest.raises(InputError, match="no such file"):
        score(ScoreRequest(detections=folder.path / "none.csv", groundtruth=folder.write("g.csv", TRUTH)))


def test_a_line_per_class(folder: Folder) -> None:
    result = folder.score(csv=folder.path / "new" / "classes.csv")
    assert result.csv is not None
    rows = list(csv.DictReader(result.csv.open(newline="")))
    assert len(rows) == 60
    assert rows[0] == {
        "id": "1",
        "name": "bend/bow (at the waist)",
        "average_precision": "1.0",
        "ground_truth": "1",
        "detections": "1",
        "in_mean": "yes",
    }
    assert (rows[1]["average_precision"], rows[1]["in_mean"]) == ("", "no")
    assert any("," in row["name"] for row in rows)


def test_label_maps(folder: Folder) -> None:
    assert len(load_classes("ava_80")) == 80
    assert list(load_classes("ava_60"))[:3] == [1, 3, 4]
    assert load_classes(str(folder.write("a.txt", "# mine\nrun\n\npose: stand\n"))) == {1: "run", 2: "stand"}
    assert load_classes(str(folder.write("b.txt", "\ufeff7: run, fast\n3: object: read\n"))) == {
        3: "read",
        7: "run, fast",
    }
    listed = 'item {\n  name: "b"\n  id: 9\n}\nitem {\n  name: "a"\n  id: 2\n}\n'
    assert load_classes(str(folder.write("c.pbtxt", listed))) == {2: "a", 9: "b"}
    with pytest.raises(UnknownNameError, match="label map"):
        load_classes("ava_61")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "1: no classes"),
        ("run\n2: stand\n", "2: some names have an id"),
        ("1: run\n1: stand\n", "2: number 1 or name 'stand' is there twice"),
        ("run\nrun\n", "2: number 2 or name 'run' is there twice"),
        ("0: run\n", "1: number 0"),
        ("run\x07\n", "1: 'run\\x07' is no class"),
        ('item{\n  name: "a"\n}\n', "1: 'item{' begins no block"),
    ],
)
def test_malformed_label_maps(folder: Folder, text: str, told: str) -> None:
    with pytest.raises(InputError) as error:
        load_classes(str(folder.write("x.txt", text)))
    assert f"x.txt:{told}" in error.value.message
