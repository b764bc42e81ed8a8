"""`vidbench report` from the command line: exit codes, stdout, stderr, the page."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from vidbench.cli.app import main


@pytest.fixture
def run(tmp_path: Path) -> Path:
    folder = tmp_path / "an eval"
    folder.mkdir()
    manifest = {"schema_version": 1, "command": "model eval", "created": "2026-01-02T03:04:05+00:00", "status": "done"}
    summary = {
        "kind": "eval",
        "model": "x3d_tiny",
        "num_classes": 2,
        "clips": 8,
        "evaluated": 8,
        "failed": 0,
        "top1": 0.75,
        "top1_low": 0.409,
        "top1_high": 0.929,
    }
    (folder / "manifest.json").write_text(json.dumps(manifest))
    (folder / "summary.json").write_text(json.dumps(summary))
    return folder


def test_a_page_is_written(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "pages" / "report.html"
    assert main(["report", str(run), "--out", str(out), "--title", "Mine & yours"]) == 0
    printed = capsys.readouterr()
    assert printed.out == f"{out}: 1 run, {out.stat().st_size / 1000:.0f} kB\n"
    assert printed.err == ""
    text = out.read_text(encoding="utf-8")
    assert "<h1>Mine &amp; yours</h1>" in text
    assert "75.0%" in text


def test_without_out_the_page_is_report_html(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["report", run.name]) == 0
    assert capsys.readouterr().out.startswith("report.html: 1 run, ")
    assert (tmp_path / "report.html").is_file()


def test_json_is_all_of_stdout(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "report.html"
    assert main(["report", str(run), "--out", str(out), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {
        "out": str(out),
        "bytes": out.stat().st_size,
        "runs": [str(run)],
        "sections": ["summary", "evaluation", "reading", "reproduction"],
    }


def test_an_unfinished_run_is_a_warning(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (run / "summary.json").unlink()
    assert main(["report", str(run), "--out", str(tmp_path / "r.html")]) == 0
    assert f"warning: {run}: not finished" in capsys.readouterr().err


def test_a_folder_that_is_no_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "r.html"
    assert main(["report", str(tmp_path), "--out", str(out)]) == 3
    printed = capsys.readouterr()
    assert printed.out == ""
    assert f"vidbench: {tmp_path}: not a run folder" in printed.err
    assert "vidbench model eval" in printed.err
    assert not out.exists()


def test_a_page_that_is_not_html(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = (run / "summary.json").read_bytes()
    assert main(["report", str(run), "--out", str(run / "summary.json")]) == 2
    assert "ends in .html" in capsys.readouterr().err
    assert (run / "summary.json").read_bytes() == before


def test_no_run_is_a_usage_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report"]) == 2
    assert "RUN" in capsys.readouterr().err
