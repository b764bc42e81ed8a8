"""Workers that crash, hang and fail: every item comes back once."""

from __future__ import annotations

import operator
import os
import pickle
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from vidbench.data.pool import Lost, each
from vidbench.errors import InputError, MissingError, UnknownNameError
from vidbench.formats.kinetics import load_list


def test_every_item_comes_back_once() -> None:
    items = list(range(40))
    assert sorted(each(operator.neg, items, jobs=3)) == [(item, -item) for item in items]


def test_items_are_taken_as_workers_become_free() -> None:
    taken = []

    def items() -> Iterator[int]:
        for item in range(100):
            taken.append(item)
            yield item

    with closing(each(operator.neg, items(), jobs=2)) as results:
        next(results)
    assert len(taken) <= 4


def test_workers_in_turns_rest_while_the_caller_works(tmp_path: Path) -> None:
    places = [tmp_path / str(number) for number in range(6)]
    seen = []
    with closing(each(Path.touch, places, jobs=2, in_turns=True)) as results:
        for _ in results:
            time.sleep(0.2)
            seen.append(len(list(tmp_path.iterdir())))
    assert seen == [2, 2, 4, 4, 6, 6]


def test_workers_in_turns_lose_an_item_alone() -> None:
    items = [signal.SIGKILL, signal.SIGWINCH, signal.SIGCHLD]
    lost = Lost("crashed", "the worker was ended by SIGKILL")
    assert dict(each(signal.raise_signal, items, jobs=2, in_turns=True)) == {
        signal.SIGKILL: lost,
        signal.SIGWINCH: None,
        signal.SIGCHLD: None,
    }
    slow = dict(each(time.sleep, [60, 0.0, 0.1], jobs=2, timeout_s=2, in_turns=True))
    assert slow == {60: Lost("timeout", "no end after 2 s"), 0.0: None, 0.1: None}


def test_a_worker_that_crashes_costs_its_item_alone() -> None:
    # signal 0 does nothing
    results = dict(each(signal.raise_signal, [signal.SIGKILL, signal.SIGWINCH, signal.SIGABRT, signal.SIGCHLD], jobs=2))
    assert results == {
        signal.SIGKILL: Lost("crashed", "the worker was ended by SIGKILL"),
        signal.SIGWINCH: None,
        signal.SIGABRT: Lost("crashed", "the worker was ended by SIGABRT"),
        signal.SIGCHLD: None,
    }
    assert list(each(os._exit, [7], jobs=1)) == [(7, Lost("crashed", "the worker ended with exit code 7"))]


def test_a_worker_that_hangs_is_ended_and_the_others_go_on() -> None:
    started = time.monotonic()
    results = dict(each(time.sleep, [60, 0.0, 0.1, 0.2], jobs=2, timeout_s=2))
    assert results == {60: Lost("timeout", "no end after 2 s"), 0.0: None, 0.1: None, 0.2: None}
    assert time.monotonic() - started < 20


def test_an_error_of_ours_arrives_whole_and_ends_the_work(tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        list(each(load_list, [tmp_path / "absent.txt"], jobs=1))
    assert caught.value.message == f"{tmp_path}/absent.txt: no such file"
    assert caught.value.remedy


def test_a_bug_arrives_with_its_traceback() -> None:
    with pytest.raises(RuntimeError, match="TypeError"):
        list(each(operator.neg, ["text"], jobs=1))


@pytest.mark.parametrize("error", [MissingError("a", "b"), UnknownNameError("model", "x3d_q", ["x3d_s"], "see")])
def test_errors_can_be_sent(error: Exception) -> None:
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is type(error)
    assert str(again) == str(error)


def test_workers_end_with_a_parent_that_is_killed(tmp_path: Path) -> None:
    code = (
        "import subprocess\n"
        "from vidbench.data.pool import each\n"
        f"list(each(subprocess.run, [['sh', '-c', 'echo $PPID > {tmp_path}/pid; sleep 30']], jobs=1))"
    )
    parent = subprocess.Popen([sys.executable, "-c", code])
    pid_file = tmp_path / "pid"
    _until(lambda: pid_file.exists() and pid_file.read_text().strip())
    worker = int(pid_file.read_text())
    parent.kill()
    parent.wait()
    _until(lambda: not _alive(worker))


def _alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except OSError:
        return False
    return state != "Z"


def _until(condition: Callable[[], object], limit_s: float = 20) -> None:
    end = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.05)
