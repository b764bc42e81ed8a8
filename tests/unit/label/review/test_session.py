"""A whole set under review: revisions, counts, and what changes behind its back."""

from pathlib import Path

import pytest

from vidbench.errors import InputError
from vidbench.formats.labelset import Row, SetAction, SetFile, SetVideo
from vidbench.label.review.edit_kinds import EditError, Toggle
from vidbench.label.review.session import Session, StaleError, UnknownVideoError
from vidbench.label.store import TRACKS, LabelSet
from vidbench.progress import SilentReporter

BOX = (0.1, 0.1, 0.3, 0.9)
SIT = Toggle(kind="toggle", person=0, seconds=(2, 3), action=11, on=True)
ACTIONS = (SetAction(11, "sit"), SetAction(12, "stand"), SetAction(80, "watch", "person"))


def make(folder: Path, videos: int = 6) -> LabelSet:
    labels = LabelSet(folder)
    folder.mkdir(exist_ok=True)
    made = []
    for number in range(videos):
        name = f"v{number}"
        made.append(SetVideo(name, f"{name}.mp4", 1, 640, 480, "25", 300, 2, 8, "val" if number else "train"))
        labels.save_rows(name, [Row(s, 0, BOX, 0.9, (80,) if s > 6 else None) for s in range(2, 9)])
    labels.save(SetFile(ACTIONS, tuple(made)))
    return labels


class Listener(SilentReporter):
    """Keeps what was warned of."""

    def __init__(self) -> None:
        self.warned: list[str] = []

    def warn(self, message: str) -> None:
        self.warned.append(message)


def session(labels: LabelSet, start: str | None = None) -> Session:
    return Session(labels, SilentReporter(), start)


def test_the_overview_has_every_video(tmp_path: Path) -> None:
    told = session(make(tmp_path / "s")).overview()
    assert told["name"] == "s"
    assert [one["id"] for one in told["videos"]] == [f"v{n}" for n in range(6)]
    assert told["videos"][1] == {
        "id": "v1", "width": 640, "height": 480, "duration_s": 10.0, "first": 2, "last": 8, "split": "val",
        "persons": 1, "rows": 7, "answered": 2, "checked": 0, "doubts": 0, "error": None,
    }  # fmt: skip
    assert told["counts"] == {11: 0, 12: 0, 80: 12}
    assert told["classes"] == {11: "never used", 12: "never used", 80: "rare: 12 of 25 boxes"}


def test_counts_follow_edits_of_videos_that_left_memory(tmp_path: Path) -> None:
    held = session(make(tmp_path))
    for number in range(6):
        done = held.edit(f"v{number}", 0, SIT)
        assert done["counts"][11] == 2 * (number + 1)
        assert done["video"]["answered"] == 4
    for number in range(6):
        done = held.step(f"v{number}", 1, "undo")
        assert (done["revision"], done["can_undo"], done["can_redo"]) == (2, False, True)
    assert held.overview()["counts"] == {11: 0, 12: 0, 80: 12}
    assert held.edits == 12


def test_an_old_revision_is_refused_and_the_present_one_told(tmp_path: Path) -> None:
    held = session(make(tmp_path))
    held.edit("v0", 0, SIT)
    for revision in (0, 2):
        with pytest.raises(StaleError, match="another window") as caught:
            held.edit("v0", revision, SIT)
        assert caught.value.revision == 1
    with pytest.raises(StaleError):
        held.step("v0", 0, "undo")


def test_rows_written_by_something_else_are_read_anew(tmp_path: Path) -> None:
    labels = make(tmp_path)
    held = session(labels)
    held.edit("v0", 0, SIT)
    labels.save_rows("v0", [Row(2, 0, BOX, 0.9, (12,))])
    with pytest.raises(StaleError, match="changed by something else") as caught:
        held.edit("v0", 1, SIT)
    assert labels.rows("v0") == (Row(2, 0, BOX, 0.9, (12,)),)
    told = held.rows("v0")
    assert told["revision"] == caught.value.revision == 2
    assert "history.1.jsonl" in told["note"]
    assert [row["actions"] for row in told["rows"]] == [[12]]
    assert held.overview()["counts"][12] == 1
    toggle = Toggle(kind="toggle", person=0, seconds=(2,), action=11, on=True)
    assert held.edit("v0", 2, toggle)["revision"] == 3


def test_asking_for_rows_notices_too_and_no_revision_comes_twice(tmp_path: Path) -> None:
    labels = make(tmp_path)
    held = session(labels)
    held.edit("v0", 0, SIT)
    # out of memory, changed, and in again
    for number in range(1, 6):
        held.rows(f"v{number}")
    labels.save_rows("v0", [Row(2, 0, BOX, 0.9, (12,))])
    assert held.rows("v0")["revision"] == 2
    labels.save_rows("v0", [Row(2, 0, BOX, 0.9, (11,))])
    assert held.rows("v0")["revision"] == 3


def test_a_failed_write_keeps_the_revision(tmp_path: Path) -> None:
    labels = make(tmp_path)
    held = session(labels)
    in_the_way = labels.home("v0") / f".{TRACKS}.review.tmp"
    in_the_way.mkdir()
    with pytest.raises(InputError, match="cannot write"):
        held.edit("v0", 0, SIT)
    in_the_way.rmdir()
    assert held.edit("v0", 0, SIT)["revision"] == 1
    assert held.rows("v0")["note"] is None


def test_broken_rows_of_one_video_leave_the_others(tmp_path: Path) -> None:
    labels = make(tmp_path)
    (labels.home("v1") / TRACKS).write_text("{}\n")
    (labels.home("v2") / TRACKS).unlink()
    listener = Listener()
    held = Session(labels, listener)
    assert len(listener.warned) == 2
    told = {one["id"]: one["error"] for one in held.overview()["videos"]}
    assert f"{TRACKS}:1" in told["v1"]
    assert "no such file" in told["v2"]
    assert told["v0"] is None
    with pytest.raises(InputError):
        held.edit("v1", 0, SIT)
    assert held.edit("v0", 0, SIT)["revision"] == 1
    labels.save_rows("v1", [Row(2, 0, BOX)])
    assert len(held.rows("v1")["rows"]) == 1
    assert held.overview()["videos"][1]["error"] is None


def test_it_starts_where_somebody_worked_last(tmp_path: Path) -> None:
    labels = make(tmp_path)
    held = session(labels)
    assert held.overview()["start"] == {"video": "v0", "second": None, "person": None}
    held.edit("v3", 0, SIT)
    assert session(labels).overview()["start"] == {"video": "v3", "second": 2, "person": 0}
    assert session(labels, "v2").overview()["start"] == {"video": "v2", "second": None, "person": None}
    with pytest.raises(InputError, match="no video 'x'"):
        session(labels, "x")


def test_a_video_that_is_not_in_the_set(tmp_path: Path) -> None:
    held = session(make(tmp_path))
    for wish in (lambda: held.rows("x"), lambda: held.edit("../v0", 0, SIT), lambda: held.near("x", 2, 1)):
        with pytest.raises(UnknownVideoError):
            wish()


def test_rows_near_a_second(tmp_path: Path) -> None:
    held = session(make(tmp_path))
    assert [row.second for row in held.near("v0", 8, 2)] == [6, 7, 8]
    assert held.near("v0", 99, 2) == []


def test_after_the_end_nothing_is_changed(tmp_path: Path) -> None:
    labels = make(tmp_path)
    held = session(labels)
    held.close()
    with pytest.raises(InputError, match="ended"):
        held.edit("v0", 0, SIT)
    assert labels.rows("v0")[0].actions is None


def test_a_set_without_videos_has_nothing_to_review(tmp_path: Path) -> None:
    LabelSet(tmp_path).save(SetFile(ACTIONS))
    with pytest.raises(InputError, match="without videos"):
        session(LabelSet(tmp_path))


def test_refusals_leave_the_revision(tmp_path: Path) -> None:
    held = session(make(tmp_path))
    with pytest.raises(EditError):
        held.edit("v0", 0, SIT.model_copy(update={"person": 4}))
    assert held.rows("v0")["revision"] == 0
