"""`vidbench model table`: the benchmark's table as text, JSON, Markdown and csv."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from vidbench.cli.app import main


def test_text_has_a_row_for_each_start_and_the_source(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["model", "table"]) == 0

    said = capsys.readouterr().out
    assert all(name in said for name in ("selavi", "supervised", "23.5", "17.9", "Charades mAP"))
    assert "transcribed by others" in said


def test_json_and_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["model", "table", "--json", "--columns", "ssv2"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert [one["name"] for one in told["columns"]] == ["charades", "ava", "ssv2"]

    out = tmp_path / "table.csv"
    assert main(["model", "table", "--format", "csv", "--out", str(out)]) == 0
    assert out.read_text().startswith("start,column,ours,published")
    assert main(["model", "table", "--format", "md"]) == 0
    assert capsys.readouterr().out.rpartition("rows\n")[2].startswith("| Start |")


def test_no_run_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["model", "table", str(tmp_path)]) == 3
    assert "manifest.json: no such file" in capsys.readouterr().err
