"""Parts: every second but the ends belongs to one part, every clip is whole, names are safe and apart."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vidbench.formats.labelset import SetVideo
from vidbench.label.parts import Part, parts_of


def video(name: str = "walk", pictures: int = 360) -> SetVideo:
    return SetVideo(name, f"{name}.mp4", 1, 64, 48, "30", pictures, 2, pictures // 30 - 2)


def parts(pictures: int, name: str = "walk") -> tuple[Part, ...]:
    return parts_of([video(name, pictures)])[name]


def test_a_short_video_is_one_part_of_its_name() -> None:
    (part,) = parts(360)
    assert part == Part("walk", "walk", 1, 1, 0, 360)
    assert list(part.keyframes) == [2, 3, 4, 5, 6, 7, 8, 9, 10]
    assert [part.timestamp(second) for second in (2, 10)] == [902, 910]
    assert part.shift == 900
    for second in (1, 11):
        with pytest.raises(ValueError, match=f"second {second} is not in"):
            part.timestamp(second)


@pytest.mark.parametrize(("pictures", "keyframes"), [(0, 0), (119, 0), (120, 1), (149, 1), (150, 2)])
def test_the_shortest_video_that_has_a_keyframe(pictures: int, keyframes: int) -> None:
    assert sum(len(part.keyframes) for part in parts(pictures)) == keyframes


def test_fifteen_minutes_are_one_part_and_avas_clips_of_901_s_are_two() -> None:
    (whole,) = parts(900 * 30)
    assert (whole.id, whole.pictures, whole.keyframes) == ("walk", 27000, range(2, 899))
    assert whole.timestamp(898) == 1798
    assert [part.id for part in parts(900 * 30 + 29)] == ["walk"]
    first, second = parts(901 * 30)
    assert (first.id, first.pictures, first.keyframes) == ("walk_p01", 27000, range(2, 899))
    assert (second.id, second.from_s, second.pictures, second.keyframes) == ("walk_p02", 897, 120, range(899, 900))


def test_a_long_video_in_parts_that_follow_each_other() -> None:
    found = parts(4 * 3600 * 30)
    assert [part.from_s for part in found] == [897 * number for number in range(17)]
    assert [part.id for part in found][::15] == ["walk_p01", "walk_p16"]
    assert all((part.number, part.of) == (n, 17) for n, part in enumerate(found, start=1))
    assert found[1].timestamp(899) == 902
    assert found[1].timestamp(1795) == 1798
    assert found[2].timestamp(1796) == 902


def test_names_do_not_meet_other_videos_or_look_like_spans() -> None:
    found = parts_of(
        [video("a", 1000 * 30), video("A_P01"), video("clip_10_20"), video("x_5"), video("clip_10_20_p01")]
    )
    names = {name: [part.id for part in value] for name, value in found.items()}
    assert names == {
        "a": ["a__p01", "a__p02"],
        "A_P01": ["A_P01"],
        "clip_10_20": ["clip_10_20__p01"],
        "x_5": ["x_5"],
        "clip_10_20_p01": ["clip_10_20_p01"],
    }


@given(
    st.lists(
        st.tuples(st.sampled_from(["a", "b_p01", "b", "b_", "c_1_2", "c_1_2_p01", "-d"]), st.integers(0, 100_000)),
        max_size=7,
        unique_by=lambda one: one[0],
    )
)
def test_every_second_is_in_one_part_and_every_clip_is_whole(told: list[tuple[str, int]]) -> None:
    videos = [video(name, pictures) for name, pictures in told]
    found = parts_of(videos)
    ids = [part.id.casefold() for one in found.values() for part in one]
    assert len(set(ids)) == len(ids)
    assert not any(re.fullmatch(r".*_\d+_\d+", name) for name in ids)
    for one in videos:
        seconds = [second for part in found[one.id] for second in part.keyframes]
        assert seconds == list(range(2, one.pictures // 30 - 1))
        for part in found[one.id]:
            assert part.keyframes
            assert part.pictures <= 27000
            assert float(part.to_s) * 30 <= one.pictures + 1e-6
            for second in (part.keyframes[0], part.keyframes[-1]):
                here = second - part.from_s
                assert 902 <= part.timestamp(second) <= 1798
                # MMAction2's 32 frames at a step of 2 end in file 30 t + 32; four seconds need 30 t + 60 pictures
                assert 30 * here + 32 <= part.pictures
                assert 60 <= 30 * here <= part.pictures - 60
