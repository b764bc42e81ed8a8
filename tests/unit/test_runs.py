"""The run folder: resume, refusal, torn lines, a full disk, two processes."""

import json
import multiprocessing
import os
import subprocess
import sys
from pathlib import Path

import pytest

from vidbench.errors import InputError, MissingError, RunConflictError
from vidbench.records import read_records
from vidbench.runs import RunDir, default_run_dir, write_json_atomic


def opened(path: Path, settings: dict | None = None, resolved: dict | None = None, **more):
    return RunDir.open(
        path,
        command="model eval",
        request={"model": "m", "out": str(path)},
        settings=settings or {"model": "m", "views": "10x3"},
        resolved=resolved or {"list_sha256": "abc"},
        provenance={"versions": {}},
        **more,
    )


def status(path: Path) -> str:
    return json.loads((path / "manifest.json").read_text())["status"]


def test_records_come_back_and_the_run_ends_done(tmp_path: Path) -> None:
    with opened(tmp_path / "run") as run:
        assert status(run.path) == "running"
        run.append({"key": "a", "status": "ok"})
    with opened(tmp_path / "run") as run:
        assert run.resumed
        assert run.records == {"a": {"key": "a", "status": "ok"}}
        run.append({"key": "a", "status": "mended"})
        run.finish({"clips": 1})
    assert status(tmp_path / "run") == "done"
    assert [record["status"] for record in read_records(tmp_path / "run" / "clips.jsonl")[0]] == ["ok", "mended"]


def test_other_settings_are_refused_with_the_list_of_differences(tmp_path: Path) -> None:
    with opened(tmp_path):
        pass
    with (
        pytest.raises(RunConflictError) as caught,
        opened(tmp_path, {"model": "m", "views": "1x1"}, {"list_sha256": "x"}),
    ):
        pass
    assert 'views: "10x3" there, "1x1" asked' in caught.value.message
    assert 'list_sha256: "abc" there, "x" asked' in caught.value.message
    assert "--overwrite" in caught.value.remedy


def test_overwrite_replaces_the_other_run(tmp_path: Path) -> None:
    with opened(tmp_path) as run:
        run.append({"key": "a"})
    with opened(tmp_path, {"model": "m", "views": "1x1"}, overwrite=True) as run:
        assert run.records == {}
        assert not (tmp_path / "clips.jsonl").exists()


def test_a_failure_and_an_interrupt_are_written_down(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), opened(tmp_path / "a"):
        raise ZeroDivisionError
    assert status(tmp_path / "a") == "failed"
    with pytest.raises(KeyboardInterrupt), opened(tmp_path / "b"):
        raise KeyboardInterrupt
    assert status(tmp_path / "b") == "interrupted"


def test_a_broken_line_in_the_middle_is_named(tmp_path: Path) -> None:
    with opened(tmp_path) as run:
        run.append({"key": "a"})
    path = tmp_path / "clips.jsonl"
    path.write_text('{"key": "a"}\nnonsense\n{"key": "b"}\n')
    with pytest.raises(InputError, match=r"clips\.jsonl:2: not a record"), opened(tmp_path):
        pass


def hold(path: Path, ready, release) -> None:
    with opened(path):
        ready.set()
        release.wait(20)


def test_two_processes_do_not_share_a_run(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    ready, release = context.Event(), context.Event()
    other = context.Process(target=hold, args=(tmp_path, ready, release))
    other.start()
    try:
        assert ready.wait(20)
        with pytest.raises(RunConflictError, match="another process"), opened(tmp_path):
            pass
    finally:
        release.set()
        other.join()
    with opened(tmp_path) as run:
        assert run.resumed


@pytest.mark.skipif(os.geteuid() != 0 or sys.platform != "linux", reason="mounts a small disk, which takes root")
def test_a_full_disk_loses_no_record(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(disk)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("mounting is not allowed here")
    try:
        kept = 0
        with pytest.raises(MissingError, match="no space left"), opened(disk / "run") as run:  # noqa: PT012
            for index in range(1000):
                run.append({"key": str(index), "text": "x" * 997})
                kept = index + 1
        # the status could not be written either; the records are whole
        records, good = read_records(disk / "run" / "clips.jsonl")
        assert len(records) == kept > 10
        assert good == (disk / "run" / "clips.jsonl").stat().st_size
        subprocess.run(["mount", "-o", "remount,size=4m", str(disk)], check=True)
        with opened(disk / "run") as run:
            assert len(run.records) == kept
            run.append({"key": "more"})
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_the_default_folder_is_the_same_for_the_same_settings() -> None:
    first = default_run_dir("eval", "x3d_m", {"views": "10x3"})
    assert first == default_run_dir("eval", "x3d_m", {"views": "10x3"})
    assert first != default_run_dir("eval", "x3d_m", {"views": "10x1"})
    assert first.parent == Path("runs")
    assert first.name.startswith("eval-x3d_m-")
    assert len(first.name) == len("eval-x3d_m-") + 8


def test_json_is_replaced_as_a_whole(tmp_path: Path) -> None:
    write_json_atomic(tmp_path / "a.json", {"a": 1})
    with pytest.raises(TypeError):
        write_json_atomic(tmp_path / "a.json", {"a": object()})
    assert json.loads((tmp_path / "a.json").read_text()) == {"a": 1}
    assert [path.name for path in tmp_path.iterdir()] == ["a.json"]
