"""`vidbench label` as typed: from videos to what training code reads, exit codes and words."""

import json
from pathlib import Path

import pytest

from tests.conftest import MakeVideo
from vidbench.cli.app import main
from vidbench.label.store import LabelSet


@pytest.fixture
def work(make_video: MakeVideo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two videos of 12 s with two persons each, whose boxes a table tells."""
    monkeypatch.chdir(tmp_path)
    lines = ["video,second,x1,y1,x2,y2,score,person"]
    for name in ("one", "two"):
        make_video(f"videos/{name}.mp4", frames=360)
        for second in range(12):
            lines += [
                f"{name},{second},{x:.2f},0.2,{x + 0.2:.2f},0.9,0.95,{person}" for person, x in ((0, 0.1), (1, 0.6))
            ]
    (tmp_path / "boxes.csv").write_text("\n".join(lines) + "\n")
    return tmp_path


DETECT = ["label", "detect-track", "videos", "--detector", "boxes", "--boxes", "boxes.csv", "--out", "set"]


def answer(folder: Path, actions: tuple[int, ...] = (12,)) -> None:
    from dataclasses import replace

    store = LabelSet.open(folder)
    for video in store.load().videos:
        store.save_rows(video.id, [replace(row, actions=actions) for row in store.rows(video.id)])


def test_from_videos_to_a_set_that_loaders_take(work: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(DETECT) == 0
    told = capsys.readouterr()
    assert "set: 4 persons, 36 boxes at keyframes to label, 80 actions" in told.out
    assert told.out.rstrip().endswith("Next: vidbench label review set")

    assert main(["label", "export", "set", "--no-frames"]) == 0
    assert "Not yet trainable" in capsys.readouterr().out
    assert not list((work / "set" / "ava" / "annotations").glob("ava_*_v2.2.csv"))

    answer(work / "set")
    assert main(["label", "split", "set", "--val", "0.5", "--json"]) == 0
    assert [len(part["videos"]) for part in json.loads(capsys.readouterr().out)["parts"]] == [1, 1]
    assert main(["label", "export", "set", "--short-side", "16", "--overwrite"]) == 0
    assert "720 frames" in capsys.readouterr().out
    assert main(["label", "check", "set"]) == 0
    assert "0 errors" in capsys.readouterr().out
    rows = (work / "set" / "ava" / "annotations" / "ava_train_v2.2.csv").read_text().splitlines()
    assert len(rows) == 18
    assert rows[0].split(",")[1:] == ["0902", "0.100", "0.200", "0.300", "0.900", "12", "0"]

    assert main(["label", "stats", "set"]) == 0
    assert "79 of 80 actions are done by nobody" in capsys.readouterr().out


def test_what_is_broken_by_hand_is_found_and_ends_with_6(work: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(DETECT) == 0
    answer(work / "set")
    assert main(["label", "export", "set", "--no-frames"]) == 0
    path = work / "set" / "ava" / "annotations" / "ava_train_v2.2.csv"
    lines = path.read_text().splitlines(keepends=True)
    lines[4] = lines[4].replace(",0904,", ",904.0,")
    path.write_text("".join(lines))
    capsys.readouterr()
    assert main(["label", "check", "set", "--no-frames"]) == 6
    told = capsys.readouterr()
    assert "ava/annotations/ava_train_v2.2.csv:5" in told.out
    assert "Fix:" in told.out
    assert "errors" in told.err
    assert main(["label", "check", "set", "--no-frames", "--json"]) == 6
    found = json.loads(capsys.readouterr().out)["findings"]
    assert any(one["line"] == 5 and one["severity"] == "error" for one in found)
    # what nothing but another loader stumbles over does not count
    assert main(["label", "check", "set", "--no-frames", "--loader", "mmaction"]) == 2


def test_weights_that_are_missing_are_never_fetched(work: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["label", "detect-track", "videos", "--out", "set"]) == 4
    told = capsys.readouterr().err
    assert "yolo11n.pt" in told
    assert "curl" in told
    assert not (work / "set" / "set.json").exists()
    assert main(["label", "detect-track", "videos", "--out", "set", "--weights", "mine.pt", "--overwrite"]) in (3, 4)
    assert "mine.pt" in capsys.readouterr().err


def test_via_and_back(work: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(DETECT) == 0
    answer(work / "set", (12, 80))
    before = (work / "set" / "videos" / "one" / "tracks.jsonl").read_bytes()
    assert main(["label", "export", "set", "--format", "via"]) == 0
    assert "36 boxes of 2 videos, 18 pictures" in capsys.readouterr().out
    project = json.loads((work / "set-via" / "one.json").read_text())
    for source in project["file"].values():
        assert (work / "set-via" / source["src"]).is_file()
    assert main(["label", "import", "set", "set-via/one.json", "--format", "via"]) == 0
    assert "nothing changed" in capsys.readouterr().out
    # somebody takes an action away
    box = next(value for key, value in project["metadata"].items() if "_s0002_p1" in key)
    field = next(key for key, value in box["av"].items() if value == "80")
    box["av"][field] = ""
    (work / "set-via" / "one.json").write_text(json.dumps(project))
    assert main(["label", "import", "set", "set-via/one.json", "--format", "via", "--dry-run"]) == 0
    assert "nothing was written" in capsys.readouterr().out
    assert (work / "set" / "videos" / "one" / "tracks.jsonl").read_bytes() == before
    assert main(["label", "import", "set", "set-via/one.json", "--format", "via"]) == 0
    rows = {row.key: row for row in LabelSet(work / "set").rows("one")}
    assert rows[2, 1].actions == (12,)
    assert rows[2, 0].actions == (12, 80)


@pytest.mark.parametrize("kind", ["mot", "coco", "csv"])
def test_boxes_go_out_and_come_in(work: Path, kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(DETECT) == 0
    assert main(["label", "export", "set", "--format", kind, "--out", "out"]) == 0
    files = [str(path) for path in sorted((work / "out").rglob("*")) if path.suffix in (".txt", ".json", ".csv")]
    boxes = [name for name in files if "README" not in name]
    assert main(["label", "import", "set", *boxes, "--format", kind]) == 0
    told = capsys.readouterr().out
    assert "18" in told
    rows = LabelSet(work / "set").rows("two")
    assert [row.key for row in rows] == [(second, person) for second in range(2, 11) for person in range(2)]
    assert all(abs(row.box[0] - (0.1, 0.6)[row.person]) < 0.002 for row in rows)


def test_sets_are_joined_and_get_other_actions(work: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(DETECT) == 0
    answer(work / "set")
    other = [str(work / "videos" / "one.mp4")]
    (work / "more").mkdir()
    (work / "more" / "one.mp4").write_bytes(Path(other[0]).read_bytes())
    assert main(["label", "detect-track", "more", *DETECT[3:-1], "set2"]) == 0
    assert main(["label", "merge", "set", "set2", "--out", "both"]) == 0
    assert "2 sets, 3 videos, 54 boxes" in capsys.readouterr().out
    (work / "actions.txt").write_text("pose: upright\npose: sit\n")
    assert main(["label", "relabel", "both", "--actions", "actions.txt"]) == 3
    assert "stand" in capsys.readouterr().err
    assert main(["label", "relabel", "both", "--actions", "actions.txt", "--map", "stand=upright"]) == 0
    assert {row.actions for row in LabelSet(work / "both").rows("one")} == {(1,)}


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["detect-track", "videos", "--out", "set", "--rate", "7"], 2, "--rate 7"),
        (["detect-track", "videos", "--out", "set", "--tracker", "sort"], 3, "unknown tracker 'sort'"),
        (["detect-track", "none", "--out", "set"], 3, "no such file or folder"),
        (["review", "set"], 3, "no labelled set"),
        (["export", "set"], 3, "no labelled set"),
        (["export", "set", "--format", "via", "--short-side", "64"], 2, "are for --format ava"),
        (["export", "set", "--dense"], 2, "does not go with --format ava"),
        (["export", "set", "--format", "xml"], 2, "--format"),
        (["check", "videos"], 3, ""),
        (["stats", "set"], 3, "no labelled set"),
        (["split", "set", "--val", "1"], 2, "--val"),
        (["merge", "set", "--out", "x"], 2, ""),
    ],
    ids=lambda value: "-".join(value[:3]).replace("/", "") if isinstance(value, list) else None,
)
def test_bad_input(work: Path, words: list[str], code: int, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["label", *words]) == code
    assert said in capsys.readouterr().err
    assert not (work / "set").exists()
