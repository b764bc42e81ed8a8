"""A frozen manifest stands wherever a list stands."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from vidbench.cli.app import main


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make_video: Callable[..., Path]) -> Path:
    """Three good videos and a broken one, a manifest of their list and one of their folder."""
    monkeypatch.chdir(tmp_path)
    for number in range(3):
        make_video(f"v/{number}.mp4", frames=12 + number)
    (tmp_path / "v" / "broken.mp4").write_bytes(b"no video")
    (tmp_path / "list.txt").write_text(
        "./v/broken.mp4 3\n" + "".join(f"./v/{number}.mp4 {number}\n" for number in range(3))
    )
    assert main(["data", "check", "list.txt", "--manifest", "list.jsonl"]) == 6
    assert main(["data", "check", "v", "--manifest", "folder.jsonl"]) == 6
    return tmp_path


def test_lists_cuts_and_frames_take_the_usable_ones(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    assert main(["data", "csv", "list.jsonl", "--no-shuffle"]) == 0
    out, err = capsys.readouterr()
    assert out.startswith("list.jsonl: 3 videos of 3 classes")
    assert "1 of the 4 videos of list.jsonl are left out" in err
    assert (folder / "test_raw.csv").read_text() == "../v/0.mp4 0\n../v/1.mp4 1\n../v/2.mp4 2\n"
    for number, manifest in enumerate(("list.jsonl", "folder.jsonl")):
        assert main(["data", "cut", manifest, "--short-side", "24", "--out", f"cut{number}"]) == 0
        assert {path.name for path in folder.glob(f"cut{number}/**/*.mp4")} == {"0.mp4", "1.mp4", "2.mp4"}
        assert main(["data", "frames", manifest, "--out", f"frames{number}", "--fps", "source"]) == 0
        assert [len(list((folder / f"frames{number}" / name).iterdir())) for name in "012"] == [12, 13, 14]


def test_a_manifest_without_labels_is_no_list(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "csv", "folder.jsonl"]) == 3
    assert "no usable video with a label" in capsys.readouterr().err


def test_an_evaluation_quotes_its_coverage(folder: Path, small_model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    assert main(["model", "eval", str(small_model), "list.jsonl", "--views", "1x1", "--out", "run"]) == 0
    assert "coverage: 3 evaluated / 4 listed" in capsys.readouterr().out
    summary = json.loads((folder / "run" / "summary.json").read_text())
    assert (summary["listed"], summary["clips"], summary["evaluated"], summary["failed"]) == (4, 3, 3, 0)
    # another file under the same name is no clip of this set
    (folder / "v" / "1.mp4").write_bytes((folder / "v" / "2.mp4").read_bytes())
    assert main(["model", "eval", str(small_model), "list.jsonl", "--views", "1x1", "--out", "again"]) == 6
    (failure,) = json.loads((folder / "again" / "summary.json").read_text())["failures"]
    assert failure["path"] == "./v/1.mp4"
    assert "changed since the manifest" in failure["reason"]
