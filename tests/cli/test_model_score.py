"""`vidbench model score`, as typed."""

import gzip
import json
from pathlib import Path

import pytest

from vidbench.cli.app import main

DATA = Path(__file__).parents[1] / "parity" / "data" / "ava_scoring"


@pytest.fixture
def words(tmp_path: Path) -> list[str]:
    for name in ("detections", "groundtruth"):
        (tmp_path / f"{name}.csv").write_bytes(gzip.decompress((DATA / "main" / f"{name}.csv.gz").read_bytes()))
    files = [str(tmp_path / "detections.csv"), str(tmp_path / "groundtruth.csv")]
    return ["-q", "model", "score", *files, "--labels", str(DATA / "main" / "label_map.pbtxt")]


def test_text(words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    excluded = str(DATA / "main" / "excluded_timestamps.csv")
    table = tmp_path / "classes.csv"
    assert main([*words, "--scorer", "mmaction2", "--exclude", excluded, "--csv", str(table)]) == 0
    told = capsys.readouterr().out
    for text in ("53.63%", "15-63", "53.55%", "worst classes first", "43 more classes", "233 excluded second"):
        assert text in told
    assert "86 boxes of excluded seconds count as missed" in told
    assert "not in the mean: 13, 26, 49, 59, 66, 74, 80" in told
    worst = [line.split()[0] for line in told.splitlines() if " action " in line]
    assert worst[:3] == ["70", "37", "46"]
    assert len(table.read_text().splitlines()) == 61


def test_json_is_all_of_stdout(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*words, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["scorer"] == "activitynet"
    assert found["mean_ap"] == pytest.approx(0.5468807603545972, abs=1e-9)
    assert found["groups"] == []
    assert {one["id"]: one["average_precision"] for one in found["classes"]}[49] is None
    assert found["detections"]["left_out"]["over the cap of the image"] == 372


def test_a_remark_goes_to_stderr(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "d.csv").write_text("a,2,0,0,1,1,1,0.5\n")
    (tmp_path / "g.csv").write_text("a,902,0,0,1,1,1,0\n")
    assert main(["model", "score", str(tmp_path / "d.csv"), str(tmp_path / "g.csv")]) == 0
    told = capsys.readouterr()
    assert "warning: no second of the ground truth has a detection" in told.err
    assert "warning" not in told.out


def test_wrong_words(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*words, "--scorer", "coco"]) == 2
    assert "--scorer 'coco'" in capsys.readouterr().err
    assert main([*words, "--exclude", "none.csv"]) == 2
    assert main([*words, "--scorer", "pyslowfast", "--exclude", "none.csv"]) == 3
    assert "none.csv: no such file" in capsys.readouterr().err
    assert main([*words, "--every", "0"]) == 2
    assert main([*words, "--groups", "odd"]) == 2
    assert main([*words, "--empty-seconds"]) == 2
    assert main([*words[:-1], "ava_81"]) == 3
    assert "ava_80" in capsys.readouterr().err
