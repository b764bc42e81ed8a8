"""The ledger of a long job: what survives, who may write, what another process sees."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from vidbench.errors import InputError, RunConflictError
from vidbench.ledger import FOLDER, Ledger, states, tell_counts


def opened(folder: Path, side: int = 256, overwrite: bool = False):
    return Ledger.open(
        folder,
        "cut",
        command="data cut",
        argv=("vidbench", "data", "cut"),
        settings={"side": side},
        overwrite=overwrite,
    )


def test_the_last_line_of_a_key_counts(tmp_path: Path) -> None:
    with opened(tmp_path) as ledger:
        ledger.append({"key": "a", "name": "a", "reason": "corrupt"})
        ledger.append({"key": "a", "name": "a", "reason": "ok", "bytes": 7})
        assert ledger.is_ok("a")
        assert not ledger.is_ok("b")
    with opened(tmp_path) as again:
        assert again.records["a"]["bytes"] == 7
        assert again.records["a"]["time"] > 1.7e9


def test_a_torn_line_is_cut_off_and_its_item_not_done(tmp_path: Path) -> None:
    with opened(tmp_path) as ledger:
        ledger.append({"key": "a", "name": "a", "reason": "ok"})
    path = tmp_path / FOLDER / "cut.jsonl"
    whole = path.read_bytes()
    path.write_bytes(whole + b'{"key": "b", "reas')
    with opened(tmp_path) as ledger:
        assert set(ledger.records) == {"a"}
        ledger.append({"key": "c", "name": "c", "reason": "ok"})
    assert [json.loads(line)["key"] for line in path.read_text().splitlines()] == ["a", "c"]


def test_other_settings_are_refused_and_told(tmp_path: Path) -> None:
    with opened(tmp_path) as ledger:
        ledger.append({"key": "a", "name": "a", "reason": "ok"})
    with pytest.raises(RunConflictError, match="side: 256 there, 128 asked"), opened(tmp_path, side=128):
        pass
    with opened(tmp_path, side=128, overwrite=True) as ledger:
        assert ledger.records == {}


def test_one_process_at_a_time(tmp_path: Path) -> None:
    with (
        opened(tmp_path),
        pytest.raises(RunConflictError, match="another process is working on cut"),
        opened(tmp_path),
    ):
        pass


def test_how_a_job_stands(tmp_path: Path) -> None:
    with opened(tmp_path) as ledger:
        ledger.plan(4, "videos")
        ledger.append({"key": "a", "name": "a", "reason": "ok", "bytes": 100})
        ledger.append({"key": "b", "name": "b", "reason": "gone"})
        ledger.append({"key": "c", "name": "c", "reason": "ok", "bytes": 20})
        # a lock is held per open file, so this process sees its own
        (state,) = states(tmp_path)
        assert (state.status, state.total, state.unit, state.bytes) == ("running", 4, "videos", 120)
        assert state.counts == {"ok": 2, "gone": 1}
        assert tell_counts(state.counts) == "2 ok, 1 gone"
    (state,) = states(tmp_path)
    assert state.status == "done"
    assert state.left_s is None


def test_a_job_that_was_killed_says_so(tmp_path: Path) -> None:
    code = (
        "import os, signal, sys\n"
        "from pathlib import Path\n"
        "from vidbench.ledger import Ledger\n"
        "with Ledger.open(Path(sys.argv[1]), 'cut', command='data cut', argv=(), settings={'side': 256}) as ledger:\n"
        "    ledger.append({'key': 'a', 'name': 'a', 'reason': 'ok'})\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=False)
    (state,) = states(tmp_path)
    assert (state.status, state.counts) == ("killed", {"ok": 1})
    with opened(tmp_path) as ledger:
        assert ledger.is_ok("a")


def test_ctrl_c_and_errors_leave_their_mark(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), opened(tmp_path):
        raise KeyboardInterrupt
    assert states(tmp_path)[0].status == "interrupted"
    with pytest.raises(InputError), opened(tmp_path):
        raise InputError("x")
    assert states(tmp_path)[0].status == "failed"


def test_no_job_no_state(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no job has worked"):
        states(tmp_path)
    with pytest.raises(InputError, match="no such folder"):
        states(tmp_path / "absent")


def test_peeking_makes_nothing(tmp_path: Path) -> None:
    assert Ledger.peek(tmp_path / "absent", "cut").records == {}
    assert not (tmp_path / "absent").exists()
