"""A video's rows under edits: memory and disk agree, also after a kill."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest

from vidbench.errors import InputError
from vidbench.formats.labelset import Row, SetVideo, row_of
from vidbench.label.review.edit_kinds import Edit, EditError, EditRequest
from vidbench.label.review.edits import Facts
from vidbench.label.review.history import HISTORY
from vidbench.label.review.open_video import OpenVideo, Tally
from vidbench.label.store import TRACKS, LabelSet

VIDEO = SetVideo("v", "v.mp4", 1, 640, 480, "30", 600, 2, 17)
FACTS = Facts({11: "sit", 12: "stand", 80: "watch"}, VIDEO.keyframes)
POSES = {11: "sit", 12: "stand"}


def asked(**edit: object) -> Edit:
    told = {name.rstrip("_"): tuple(value) if isinstance(value, list) else value for name, value in edit.items()}
    return EditRequest.model_validate({"revision": 0, "edit": told}).edit


@pytest.fixture
def labels(tmp_path: Path) -> LabelSet:
    """Persons 0 and 1 at all keyframes, apart from each other."""
    labels = LabelSet(tmp_path)
    boxes = ((0.1, 0.1, 0.3, 0.9), (0.5, 0.1, 0.7, 0.9))
    labels.save_rows("v", [Row(s, p, boxes[p], 0.9) for s in VIDEO.keyframes for p in (0, 1)])
    return labels


def opened(labels: LabelSet) -> OpenVideo:
    return OpenVideo(labels, VIDEO, FACTS, POSES)


def agree(labels: LabelSet, open_: OpenVideo) -> None:
    """What is in memory is what somebody who opens the video anew sees."""
    fresh = opened(labels)
    assert fresh.note is None
    assert fresh.rows == open_.rows == {row.key: row for row in labels.rows("v")}
    assert fresh.told() == open_.told()
    assert fresh.tally.figures() == open_.tally.figures()
    assert +fresh.tally.actions == +open_.tally.actions
    assert fresh.digest == open_.digest
    assert (fresh.history.can_undo, fresh.history.can_redo) == (open_.history.can_undo, open_.history.can_redo)


EDITS = (
    asked(kind="toggle", person=0, seconds=[2, 3], action=11, on=True),
    asked(kind="fill", person=0, from_=3, until="end"),
    asked(kind="split", person=0, from_=9),
    asked(kind="swap", a=1, b=2, from_=12),
    asked(kind="delete", person=0, seconds=[4, 5]),
    asked(kind="box", person=1, second=2, box=[0.1, 0.1, 0.3, 0.9]),
    asked(kind="add", second=5, box=[0.4, 0.1, 0.5, 0.2]),
    asked(kind="delete", person=2, seconds=None),
    asked(kind="merge", person=3, into=0),
    asked(kind="none", person=1, seconds=[2], on=True),
    asked(kind="check", person=1, seconds=[2], on=True),
)


def test_edits_and_their_undoing_agree_with_the_disk(labels: LabelSet) -> None:
    open_ = opened(labels)
    states = [labels.rows("v")]
    for number, edit in enumerate(EDITS, start=1):
        done = open_.edit(edit)
        assert done.says
        assert open_.revision == number
        agree(labels, open_)
        states.append(labels.rows("v"))
    for state in reversed(states[:-1]):
        open_.step("undo")
        assert labels.rows("v") == state
    assert not open_.history.can_undo
    # another process goes on where this one ended
    open_ = opened(labels)
    for state in states[1:]:
        open_.step("redo")
        assert labels.rows("v") == state
    agree(labels, open_)
    with pytest.raises(EditError, match="nothing to redo"):
        open_.step("redo")


def test_the_answer_names_what_is_gone_and_what_is_new(labels: LabelSet) -> None:
    open_ = opened(labels)
    done = open_.edit(asked(kind="split", person=0, from_=16))
    assert done.removed == [[16, 0], [17, 0]]
    assert [(row["second"], row["person"]) for row in done.rows] == [(16, 2), (17, 2)]
    done = open_.edit(asked(kind="swap", a=1, b=2, from_=17))
    assert done.removed == []
    assert [(row["second"], row["person"]) for row in done.rows] == [(17, 1), (17, 2)]


def test_rows_come_along_of_which_only_the_warnings_changed(labels: LabelSet) -> None:
    open_ = opened(labels)
    done = open_.edit(asked(kind="box", person=1, second=5, box=[0.1, 0.1, 0.3, 0.9]))
    assert [(row["person"], row["warnings"]) for row in done.rows] == [
        (0, ["overlaps person 1 by 1.00"]),
        (1, ["overlaps person 0 by 1.00"]),
    ]
    done = open_.edit(asked(kind="delete", person=1, seconds=[5]))
    assert done.removed == [[5, 1]]
    assert [(row["person"], row["warnings"]) for row in done.rows] == [(0, [])]


def test_nothing_to_change_writes_nothing(labels: LabelSet) -> None:
    open_ = opened(labels)
    before = (labels.home("v") / TRACKS).stat()
    done = open_.edit(asked(kind="toggle", person=0, seconds=[2], action=11, on=False))
    assert (done.removed, done.rows, open_.revision) == ([], [], 0)
    assert "nothing to change" in done.says
    assert (labels.home("v") / TRACKS).stat() == before
    assert not (labels.home("v") / HISTORY).exists()


def test_a_refused_edit_changes_nothing(labels: LabelSet) -> None:
    open_ = opened(labels)
    before = (labels.home("v") / TRACKS).read_bytes()
    with pytest.raises(EditError):
        open_.edit(asked(kind="merge", person=0, into=1))
    assert (labels.home("v") / TRACKS).read_bytes() == before
    agree(labels, open_)


def test_rows_changed_by_something_else_are_noticed(labels: LabelSet) -> None:
    path = labels.home("v") / TRACKS
    open_ = opened(labels)
    open_.edit(EDITS[0])
    assert open_.still_current()
    # the same bytes again are no change, whatever the clock says
    path.write_bytes(path.read_bytes())
    os.utime(path, ns=(1, 1))
    assert open_.still_current()
    # the same size, but other rows
    text = path.read_text()
    path.write_text(text.replace('"actions": [11]', '"actions": [12]', 1))
    assert not open_.still_current()
    fresh = opened(labels)
    assert fresh.note is not None
    assert "changed by something else" in fresh.note
    path.unlink()
    assert not open_.still_current()


def test_a_write_that_fails_leaves_the_old_rows(labels: LabelSet) -> None:
    open_ = opened(labels)
    open_.edit(EDITS[0])
    before = (labels.home("v") / TRACKS).read_bytes()
    in_the_way = labels.home("v") / f".{TRACKS}.review.tmp"
    in_the_way.mkdir()
    with pytest.raises(InputError, match="cannot write"):
        open_.edit(EDITS[1])
    assert (labels.home("v") / TRACKS).read_bytes() == before
    in_the_way.rmdir()
    again = opened(labels)
    assert again.note is None
    assert again.revision == 1
    again.edit(EDITS[1])
    agree(labels, again)


def test_broken_rows_are_told_with_their_line(labels: LabelSet) -> None:
    path = labels.home("v") / TRACKS
    lines = path.read_text().splitlines(keepends=True)
    lines[3] = lines[3].replace('"person": 1', '"person": "x"')
    path.write_text("".join(lines))
    with pytest.raises(InputError, match=r"tracks\.jsonl:4"):
        opened(labels)


def test_tally_takes_rows_out_again() -> None:
    tally = Tally()
    rows = [Row(2, 0, (0.1, 0.1, 0.2, 0.2), None, (11, 80), None, True, ("weak",)), Row(3, 1, (0.1, 0.1, 0.2, 0.2))]
    tally.count(rows)
    held = tally.copy()
    tally.count(rows[:1], -1)
    assert tally.figures() == {"persons": 1, "rows": 1, "answered": 0, "checked": 0, "doubts": 0}
    assert held.figures() == {"persons": 2, "rows": 2, "answered": 1, "checked": 1, "doubts": 1}


BUSY = """
import os, random, sys
from pathlib import Path
sys.path.insert(0, {tests!r})
from test_open_video import busy

# a fork for each round, as starting Python anew takes longer than the round
for line in sys.stdin:
    pid = os.fork()
    if not pid:
        busy(Path({folder!r}), int(line))
    os.waitpid(pid, 0)
    print("dead", flush=True)
"""


def busy(folder: Path, seed: int) -> None:
    """Edit without end, and say after each step where it stands."""
    chance = random.Random(seed)
    video = opened(LabelSet(folder))
    assert video.note is None
    print(os.getpid(), flush=True)
    while True:
        person, second = chance.choice([p for _, p in video.rows]), chance.randrange(2, 18)
        answer = [chance.choice([11, 12, 80])]
        edits = (
            {"kind": "fill", "person": person, "from_": second, "until": "whole", "actions": answer},
            {"kind": "split", "person": person, "from_": second},
            {"kind": "swap", "a": 0, "b": 1, "from_": second},
            {"kind": "merge", "person": person, "into": 0},
        )
        with suppress(EditError):
            number = chance.randrange(6)
            if number < 4:
                video.edit(asked(**edits[number]))
            else:
                video.step("undo" if number == 4 else "redo")
        print(video.revision, video.digest, flush=True)


def test_killed_at_any_moment_rows_and_history_agree(labels: LabelSet) -> None:
    chance = random.Random(1)
    start = {row.key: row for row in labels.rows("v")}
    script = BUSY.format(tests=str(Path(__file__).parent), folder=str(labels.folder))
    command = [sys.executable, "-c", script]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as rounds:
        assert rounds.stdin is not None
        assert rounds.stdout is not None
        for seed in range(12):
            rounds.stdin.write(f"{seed}\n")
            rounds.stdin.flush()
            worker = int(rounds.stdout.readline())
            told = [rounds.stdout.readline() for _ in range(chance.randrange(1, 15))]
            # anywhere within the next steps
            time.sleep(chance.random() * 0.01)
            os.kill(worker, signal.SIGKILL)
            told += iter(rounds.stdout.readline, "dead\n")
            revision, digest = told[-1].split()
            open_ = opened(labels)
            assert open_.note is None
            # what was answered is there; at most one step more
            assert open_.revision in (int(revision), int(revision) + 1)
            assert open_.revision > int(revision) or open_.digest == digest
            assert _replayed(labels, dict(start)) == open_.rows


def _replayed(labels: LabelSet, rows: dict[tuple[int, int], Row]) -> dict[tuple[int, int], Row]:
    """The rows that the edits of the history lead to, by its lines alone."""
    done: list[dict[str, list[Row]]] = []
    undone: list[dict[str, list[Row]]] = []
    for line in (labels.home("v") / HISTORY).read_text().splitlines()[1:]:
        told = json.loads(line)
        if told["do"] == "edit":
            step = {name: [row_of(one) for one in told[name]] for name in ("removed", "added")}
            undone.clear()
            done.append(step)
            order = ("removed", "added")
        elif told["do"] == "undo":
            undone.append(step := done.pop())
            order = ("added", "removed")
        else:
            done.append(step := undone.pop())
            order = ("removed", "added")
        for row in step[order[0]]:
            assert rows.pop(row.key) == row
        for row in step[order[1]]:
            assert rows.setdefault(row.key, row) is row
    return rows
