"""`vidbench data list` as it is typed: exit codes, both streams, the files."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from vidbench.cli.app import main


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name in ("playing cards/02K4QYwUR6k_000112_000122.mp4", "abseiling/0wR5jVB-WPk_000417_000427.mp4",
                 "hurling (sport)/034KeIezQZ8_000001_000011.mp4", "abseiling/.DS_Store"):  # fmt: skip
        path = tmp_path / "kinetics-400-dataset-files/val" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    return tmp_path / "kinetics-400-dataset-files"


LIST = """\
./kinetics-400-dataset-files/val/abseiling/0wR5jVB-WPk_000417_000427.mp4 0
./kinetics-400-dataset-files/val/hurling_(sport)/034KeIezQZ8_000001_000011.mp4 161
./kinetics-400-dataset-files/val/playing_cards/02K4QYwUR6k_000112_000122.mp4 222
"""


def test_folders_with_blanks_are_refused_and_the_command_is_given(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["data", "list", "kinetics-400-dataset-files/val"]) == 3
    out, err = capsys.readouterr()
    assert out == ""
    assert "2 folders and videos have a blank" in err
    command = "vidbench data list kinetics-400-dataset-files/val --rename"
    assert err.rstrip().endswith(command)
    assert (folder / "val/playing cards").is_dir()
    assert main(command.split()[1:]) == 0


def test_rename_then_csv_as_the_workflow(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["data", "list", "kinetics-400-dataset-files/val", "--rename"]
    assert main([*arguments, "--dry-run"]) == 0
    assert not (folder / "vallist.txt").exists()
    out, err = capsys.readouterr()
    home = "kinetics-400-dataset-files"
    told = (
        f"renamed: {home}/val/hurling (sport) -> hurling_(sport)\n"
        f"renamed: {home}/val/playing cards -> playing_cards\n"
        f"{home}/val: 3 videos of 3 classes of kinetics400\n"
        "not listed: 1 hidden\n"
        f"wrote {home}/vallist.txt: 3 lines\n"
    )
    assert out == told.replace("renamed", "would be renamed").replace("wrote", "would write")
    assert main(arguments) == 0
    out, err = capsys.readouterr()
    assert (out, err) == (told, "")
    assert (folder / "vallist.txt").read_text() == LIST
    assert main(["data", "csv", f"{home}/vallist.txt"]) == 0
    lines = (folder / "test_256.csv").read_text().splitlines()
    assert sorted(lines) == sorted("." + line.replace("/val/", "/val_256/") for line in LIST.splitlines())


def test_json_is_all_there_is_on_stdout(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "val/abseiling/empty.mp4").touch()
    assert main(["data", "list", "kinetics-400-dataset-files/val", "--rename", "--split", "val=0.5", "--json"]) == 0
    out, err = capsys.readouterr()
    result = json.loads(out)
    assert result["lists"] == {side: f"kinetics-400-dataset-files/{side}list.txt" for side in ("val", "train")}
    assert sum(result["videos"].values()) == 4
    assert result["empty_files"] == 1
    assert [f"warning: {text}" for text in result["warnings"]] == err.splitlines()


@pytest.mark.parametrize(
    ("arguments", "code", "part"),
    [
        (["none"], 3, "none: no such folder"),
        (["val", "--labels", "kinetics40"], 3, "unknown class table 'kinetics40'"),
        (["val", "--labels", "ucf101"], 3, "All folders are classes of kinetics400: --labels kinetics400"),
        (["val", "--split", "val"], 2, "--split"),
        (["val", "--split", "val=0.1", "--source-pattern", "("], 2, "--source-pattern"),
        (["val", "--seed", "-1"], 2, "--seed"),
        (["val", "--rename", "--out", "."], 3, "a folder has the name of a list"),
        ([], 2, "DIR"),
    ],
)
def test_refusals(
    arguments: list[str], code: int, part: str, folder: Path, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.chdir(folder)
    assert main(["data", "list", *arguments]) == code
    out, err = capsys.readouterr()
    assert out == ""
    assert part in err
    assert (folder / "val/playing cards").is_dir()
    assert [path.name for path in folder.iterdir()] == ["val"]
