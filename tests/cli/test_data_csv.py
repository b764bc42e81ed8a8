"""`vidbench data csv` as it is typed: exit codes, both streams, the files."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from vidbench.cli.app import main

LIST = """\
./kinetics-400-dataset-files/val/playing_cards/02K4QYwUR6k_000112_000122.mp4 222
./kinetics-400-dataset-files/val/hurling_(sport)/034KeIezQZ8_000001_000011.mp4 161
./kinetics-400-dataset-files/val/abseiling/0wR5jVB-WPk_000417_000427.mp4 0
"""
# seed 0 orders three lines as 2, 1, 0
RAW = """\
../kinetics-400-dataset-files/val/abseiling/0wR5jVB-WPk_000417_000427.mp4 0
../kinetics-400-dataset-files/val/hurling_(sport)/034KeIezQZ8_000001_000011.mp4 161
../kinetics-400-dataset-files/val/playing_cards/02K4QYwUR6k_000112_000122.mp4 222
"""
RESIZED = RAW.replace("/val/", "/val_256/")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "vallist.txt").write_text(LIST)
    return tmp_path


def test_as_the_guide_types_it(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "csv", "vallist.txt"]) == 0
    out, err = capsys.readouterr()
    assert out == (
        "vallist.txt: 3 videos of 3 classes, shuffled with seed 0\n"
        "wrote test_raw.csv: 3 lines\n"
        "wrote test_256.csv: 3 lines\n"
    )
    assert err == ""
    assert (folder / "test_raw.csv").read_bytes().decode() == RAW
    assert (folder / "test_256.csv").read_bytes().decode() == RESIZED
    assert {path.name for path in folder.iterdir()} == {"vallist.txt", "test_raw.csv", "test_256.csv"}


def test_every_option(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = [
        "--no-shuffle",
        "--prefix",
        "/mnt/",
        "--out-dir",
        "out",
        "--name",
        "test.csv",
        "--from",
        "val",
        "--to",
        "v",
    ]
    assert main(["data", "csv", *options, "vallist.txt"]) == 0
    out, err = capsys.readouterr()
    assert out.splitlines() == [
        "vallist.txt: 3 videos of 3 classes, the order of the list",
        "wrote out/test_raw.csv: 3 lines",
        "wrote out/test_256.csv: 3 lines",
        "wrote out/test.csv: 3 lines",
    ]
    assert err == ""
    expected = LIST.replace("./", "/mnt/./").replace("val", "v")
    assert (folder / "out" / "test.csv").read_text() == expected
    assert (folder / "out" / "test_256.csv").read_text() == expected
    assert (folder / "out" / "test_raw.csv").read_text() == LIST.replace("./", "/mnt/./")


def test_another_seed_gives_another_order(folder: Path) -> None:
    assert main(["data", "csv", "vallist.txt", "--seed", "1"]) == 0
    lines = (folder / "test_raw.csv").read_text().splitlines()
    assert sorted(lines) == sorted(RAW.splitlines())
    assert [line.split(" ")[1] for line in lines] == ["222", "0", "161"]


def test_json_is_all_there_is_on_stdout(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "vallist.txt").write_text("val/a.mp4 0\n")
    assert main(["data", "csv", "vallist.txt", "--json"]) == 0
    out, err = capsys.readouterr()
    warning = "no path contains /val/: test_raw.csv and test_256.csv are the same (see --from and --to)"
    assert json.loads(out) == {
        "source": "vallist.txt",
        "lines": 1,
        "classes": 1,
        "seed": 0,
        "raw": "test_raw.csv",
        "resized": "test_256.csv",
        "named": None,
        "warnings": [warning],
    }
    assert err == f"warning: {warning}\n"


def test_quiet_silences_warnings(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "vallist.txt").write_text("val/a.mp4 0\n")
    assert main(["-q", "data", "csv", "vallist.txt"]) == 0
    assert capsys.readouterr().err == ""


def test_malformed_lines_end_with_3_and_write_nothing(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "vallist.txt").write_text(LIST + "./val/playing cards/x.mp4 3\n./val/y.mp4\n")
    assert main(["data", "csv", "vallist.txt"]) == 3
    out, err = capsys.readouterr()
    assert out == ""
    assert err.splitlines()[:2] == [
        "vidbench: vallist.txt:4: the path './val/playing cards/x.mp4' has a blank in it",
        "vallist.txt:5: no label after './val/y.mp4'",
    ]
    assert "underscores" in err
    assert [path.name for path in folder.iterdir()] == ["vallist.txt"]


@pytest.mark.parametrize(
    ("arguments", "code", "part"),
    [
        (["nowhere.txt"], 3, "nowhere.txt: no such file"),
        (["."], 3, "a folder, not a list"),
        (["vallist.txt", "--name", "vallist.txt"], 3, "would be overwritten"),
        (["vallist.txt", "--name", "a/b"], 2, "not a file name"),
        (["vallist.txt", "--from", ""], 2, "--from is empty"),
        (["vallist.txt", "--seed", "-1"], 2, "--seed"),
        (["vallist.txt", "--seed", "4294967296"], 2, "--seed"),
        ([], 2, "LIST"),
    ],
)
def test_refusals(arguments: list[str], code: int, part: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "csv", *arguments]) == code
    out, err = capsys.readouterr()
    assert out == ""
    assert part in err
    assert [path.name for path in folder.iterdir()] == ["vallist.txt"]


def test_synthetic_renders_videos_with_lists(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from vidbench.data.dataset import read_clips

    arguments = ["data", "synthetic", "--out", "demo", "--train-per-class", "1", "--val-per-class", "1", "--json"]
    assert main(arguments) == 0
    result = json.loads(capsys.readouterr().out)
    assert set(result["lists"]) == {"train", "val"}
    for split, path in result["lists"].items():
        clips = read_clips(Path(path))
        assert len(clips.items) == result["videos"][split] == len(result["classes"])
        assert all(item.path.stat().st_size > 0 for item in clips.items)
    assert main(arguments[:-1]) == 0
    assert "demo" in capsys.readouterr().out


def test_annotations_as_annotations(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "validate.csv").write_text(
        "label,youtube_id,time_start,time_end,split\n"
        "playing cards,02K4QYwUR6k,112,122,validate\nzumba,-aaaaaaaaaa,1,11,validate\n"
    )
    (folder / "val/playing_cards").mkdir(parents=True)
    (folder / "val/playing_cards/02K4QYwUR6k_000112_000122.mp4").touch()
    assert main(["data", "csv", "validate.csv"]) == 3
    assert capsys.readouterr().err.splitlines()[-1] == "  The file looks like one of another kind: --kind kinetics"
    assert main(["data", "csv", "--kind", "kinetics", "validate.csv"]) == 2
    assert "--kind kinetics needs --videos" in capsys.readouterr().err
    assert main(["data", "csv", "--kind", "kinetics", "validate.csv", "--videos", "val"]) == 0
    out, err = capsys.readouterr()
    assert out == (
        "val: videos of 1 classes of kinetics400\n"
        "wrote val.csv: 1 of 2 annotated, 1 missing\n"
        "wrote val.missing.csv: the other 1\n"
    )
    assert "warning: 1 of 2 clips of val.csv are not there, see val.missing.csv" in err
    assert (folder / "val.csv").read_text() == "./val/playing_cards/02K4QYwUR6k_000112_000122.mp4 222\n"
    assert main(["-q", "data", "csv", "val.csv", "--no-shuffle"]) == 0
    assert (folder / "test_256.csv").read_text() == "../val_256/playing_cards/02K4QYwUR6k_000112_000122.mp4 222\n"


def test_charades_and_something(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "Charades_v1_train.csv").write_text("id,actions\n46GP8,c092 0.00 0.05\n")
    (folder / "ss-train.json").write_text('[{"id": "1", "template": "Closing [something]"}]')
    for name in ("rgb/46GP8/46GP8-000001.jpg", "rgb/46GP8/46GP8-000002.jpg", "frames/1/1_000001.jpg", "webm/1.webm"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    command = ["-q", "data", "csv", "--json", "--kind"]
    assert main([*command, "charades", "Charades_v1_train.csv", "--frames", "rgb"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert (result["path"], result["frames"], result["missing"]) == ("train.csv", 2, 0)
    assert (folder / "train.csv").read_text().splitlines()[1:] == [
        '46GP8 0 0 46GP8/46GP8-000001.jpg "92"', '46GP8 0 1 46GP8/46GP8-000002.jpg "92"',
    ]  # fmt: skip
    assert main([*command, "something", "ss-train.json", "--frames", "frames", "--out-dir", "a"]) == 0
    assert sorted(path.name for path in (folder / "a").iterdir()) == [
        "something-something-v2-labels.json", "something-something-v2-train.json", "train.csv", "train.missing.json",
    ]  # fmt: skip
    assert main([*command, "something", "ss-train.json", "--videos", "webm", "--out-dir", "b"]) == 0
    assert (folder / "b/train.csv").read_text() == "./webm/1.webm 5\n"


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (["vallist.txt", "--videos", "."], "--videos belongs to --kind kinetics or something"),
        (["vallist.txt", "--frames", "."], "--frames belongs to --kind charades or something"),
        (["x.csv", "--kind", "kinetics", "--videos", ".", "--seed", "1"], "--seed belongs to --kind list"),
        (["x.csv", "--kind", "kinetics", "--videos", ".", "--no-shuffle"], "--no-shuffle belongs to --kind list"),
        (["x.csv", "--kind", "charades", "--frames", ".", "--from", "x"], "--from belongs to --kind list"),
        (["x.csv", "--kind", "charades"], "--kind charades needs --frames"),
        (["x.csv", "--kind", "charades", "--frames", ".", "--fps", "fast"], "--fps"),
        (["x.csv", "--kind", "charades", "--frames", ".", "--fps", "0"], "--fps"),
        (["x.json", "--kind", "something"], "either --videos or --frames is needed"),
        (["vallist.txt", "vallist.txt"], "--kind list takes one file, not 2"),
        (["vallist.txt", "--kind", "other"], "--kind"),
    ],
)
def test_options_belong_to_kinds(
    arguments: list[str], part: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["data", "csv", *arguments]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert part in err
    assert [path.name for path in folder.iterdir()] == ["vallist.txt"]
