"""The folder of a set."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vidbench.errors import InputError, RunConflictError
from vidbench.formats.labelset import Row, SetAction, SetFile, SetVideo, TrackPath
from vidbench.label.store import LabelSet, safe_id

BOX = (0.1, 0.2, 0.3, 0.9)


def test_what_is_written_is_read(tmp_path: Path) -> None:
    store = LabelSet(tmp_path)
    video = SetVideo("a", "a.mp4", 5, 64, 48, "30", 300, 2, 8)
    store.save(SetFile((SetAction(1, "sit"),), (video,)))
    store.save_rows("a", [Row(3, 0, BOX), Row(2, 1, BOX)])
    store.save_paths("a", [TrackPath(0, (60,), (BOX,))])
    again = LabelSet.open(tmp_path)
    assert again.load().videos == (video,)
    assert [row.key for row in again.rows("a")] == [(2, 1), (3, 0)]
    assert again.paths("a")[0].numbers == (60,)
    assert again.file(video) == tmp_path / "a.mp4"
    assert again.keyframe("a", 2).name == "000002.jpg"


def test_a_folder_without_a_set_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        LabelSet.open(tmp_path)
    assert "vidbench label detect-track" in caught.value.remedy


def test_rows_that_are_missing_are_no_empty_video(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        LabelSet(tmp_path).rows("a")
    assert LabelSet(tmp_path).paths("a") == ()


def test_one_writer_at_a_time(tmp_path: Path) -> None:
    (tmp_path / ".vidbench").mkdir()
    with LabelSet(tmp_path).hold(), pytest.raises(RunConflictError), LabelSet(tmp_path).hold():
        pass


@pytest.mark.parametrize(
    ("stem", "taken", "name"),
    [
        ("-5KQ66BBWC4", (), "-5KQ66BBWC4"),
        ("my holiday.part 2", (), "my_holiday_part_2"),
        ("100% 'real' \"talk\"", (), "100_real_talk"),
        ("a,b", ("a_b",), "a_b_2"),
        ("Clip", ("clip", "CLIP_2"), "Clip_3"),
        ("видео", (), "video"),
        ("x" * 300, (), "x" * 80),
    ],
)
def test_names_that_all_readers_take(stem: str, taken: tuple[str, ...], name: str) -> None:
    assert safe_id(stem, taken) == name


@given(st.text(max_size=200), st.lists(st.text(max_size=20), max_size=5))
def test_any_name_becomes_a_safe_one(stem: str, others: list[str]) -> None:
    taken: list[str] = []
    for one in [*others, stem, stem]:
        name = safe_id(one, taken)
        assert name.isascii()
        assert all(letter.isalnum() or letter in "_-" for letter in name)
        assert name.casefold() not in {held.casefold() for held in taken}
        taken.append(name)
