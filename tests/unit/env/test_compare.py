"""What changed between two runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from vidbench.env.compare import Difference, compare, compare_runs
from vidbench.errors import InputError
from vidbench.runs import RunDir, read_environment

ONE = {
    "python": "3.11.7",
    "gpus": ["NVIDIA H200"],
    "driver": "",
    "variables": {"OMP_NUM_THREADS": "1"},
    "packages": {"torch": "2.14.0", "zipp": "3.0", "av": "18.1.0"},
}
TWO = {
    "python": "3.11.7",
    "gpus": [],
    "driver": "580.95.05",
    "variables": {},
    "packages": {"torch": "2.15.0", "av": "18.1.0", "attrs": "1"},
}


def test_the_weightiest_difference_comes_first() -> None:
    assert compare(ONE, TWO) == (
        Difference("package", "torch", "2.14.0", "2.15.0"),
        Difference("machine", "gpus", "NVIDIA H200", None),
        Difference("machine", "driver", None, "580.95.05"),
        Difference("package", "attrs", None, "1"),
        Difference("package", "zipp", "3.0", None),
        Difference("variable", "OMP_NUM_THREADS", "1", None),
    )
    assert compare(ONE, ONE) == ()


def run(folder: Path) -> None:
    with RunDir.open(folder, command="model eval", request={}, settings={}, resolved={}, provenance={}) as one:
        one.finish({})


def test_a_run_folder_says_what_it_ran_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NCCL_DEBUG", raising=False)
    run(tmp_path / "a")
    monkeypatch.setenv("NCCL_DEBUG", "INFO")
    run(tmp_path / "b")
    found = compare_runs(tmp_path / "a", tmp_path / "b")
    assert found.differences == (Difference("variable", "NCCL_DEBUG", None, "INFO"),)
    # taken up in another environment: the last start counts, and the first is not forgotten
    run(tmp_path / "a")
    assert compare_runs(tmp_path / "a", tmp_path / "b").differences == ()
    assert (tmp_path / "a" / "environment.json").read_text().count('"at"') == 2
    assert "torch" in read_environment(tmp_path / "a")["packages"]


def test_a_folder_that_is_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"holds no environment\.json"):
        compare_runs(tmp_path, tmp_path)
