"""vidbench/label/linking.py: pieces of tracks to persons."""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np
import pytest

from vidbench.label.linking import LinkSettings, PersonTrack, link
from vidbench.label.seen import Found, Tracklet
from vidbench.label.tracklets import TrackletBuilder

TEN = LinkSettings(rate=10)
RED, BLUE = (np.eye(8, dtype=np.float32)[n] for n in (0, 1))


def piece(
    track: int, first: int, last: int, x: float = 100, speed: float = 0, *, y: float = 100, shot: int = 0,
    step: int = 3, look: np.ndarray | None = None,
) -> Tracklet:  # fmt: skip
    """A box of 40 by 100 every `step` moments; `x` is the centre at `first`, `speed` pixels a second."""
    numbers = np.arange(first, last + 1, step)
    middle = x + speed * (numbers - first) / 30
    boxes = np.stack((middle - 20, np.full(len(middle), y - 50), middle + 20, np.full(len(middle), y + 50)), axis=1)
    return Tracklet(track, numbers, boxes, np.full(len(numbers), 0.9), shot, look, look)


def told(persons: tuple[PersonTrack, ...]) -> list[list[int]]:
    """The trackers' numbers of each person."""
    return [sorted(set(person.tracks.tolist())) for person in persons]


def boxes(persons: tuple[PersonTrack, ...]) -> list[tuple[int, float]]:
    """Moment and left edge of each box that a detector gave."""
    return sorted(
        (number, edge)
        for person in persons
        for number, edge in zip(person.numbers.tolist(), person.boxes[:, 0].tolist(), strict=True)
        if number not in person.drawn
    )


def test_nothing() -> None:
    assert link((), TEN) == ()
    assert TrackletBuilder().tracklets() == ()


def test_persons_are_numbered_by_appearance_and_from_left_to_right() -> None:
    persons = link([piece(7, 30, 90, 500), piece(9, 0, 90, 400), piece(3, 0, 90, 40)], TEN)
    assert told(persons) == [[3], [9], [7]]
    assert [person.person for person in persons] == [0, 1, 2]


# a fast walker to and fro as a detector saw it, ten pictures a second: the middle and the width of each box; and what
# a tracker made of it, which lost the walker at turns and took up an old number again: track, first and last moment
SLOWER_MIDDLE = (
    "234 242 251 263 267 255 246 239 219 210 199 191 182 165 154 146 139 118 107 97 91 79 62 53 57 64 71 91 102 112 "
    "117 129 147 158 164 173 192 201 212 221 232 248 259 267 270 251 239 230 223 213 194 185 176 168 158 138 128 123 "
    "111 94 84 75 66 56 60 71 80 88 104 115 127 133 142 159 171 180 188 200 216 228 234 243 262 274 260 254 244 225 "
    "217 207 199 189 169 159 150 143 125 116 104 97 89 70 59 49 57 66 83 97 102 110 130 140 149 159 168 184 196 205 "
    "212 230"
)
SLOWER_WIDTH = (
    "57 65 48 32 53 69 70 54 35 52 61 59 30 53 62 71 54 34 47 62 56 32 35 62 68 66 38 35 57 66 45 30 53 70 64 56 35 "
    "52 63 60 32 53 70 71 53 34 47 63 58 31 34 61 70 53 39 45 64 60 46 36 64 71 65 39 47 56 66 45 34 52 70 64 35 36 "
    "56 65 49 32 53 70 66 51 36 48 62 57 46 35 61 71 65 36 46 63 64 48 33 61 66 61 35 45 55 66 47 34 53 66 64 50 36 "
    "55 64 61 32 54 71 72 51 37"
)
SLOWER_TRACKS = [(0, 0, 78), (1, 81, 132), (2, 135, 135), (0, 138, 258), (3, 261, 315), (0, 318, 357)]
FASTER_MIDDLE = (
    "252 262 274 263 246 234 224 203 190 181 170 152 140 129 118 96 83 75 62 49 64 72 84 108 116 123 142 155 167 178 "
    "198 212 221 232 251 264 273 262 239 231 221 202 190 167 147 134 125 113 97 80 73 62 56 68 76 88 107 117 127 148 "
    "160 170 181 200 214 222 233 257 268 269 257 240 224 217 206 184 174 165 147 134 121 112 91 77 68 57 56 70 77 89 "
    "111 120 131 150 162 174 181 204 217 227 238 258 270 266 257 234 222 213 201 184 171 163 142 129 118 108 90 76 66"
)
FASTER_WIDTH = (
    "49 64 58 30 52 72 52 30 59 66 43 30 60 66 34 47 63 59 28 51 69 66 33 49 67 41 32 61 73 52 26 63 57 30 52 69 65 "
    "34 49 65 44 30 60 51 30 64 59 30 49 69 65 33 47 63 58 29 53 73 50 29 57 65 43 31 71 61 32 47 64 59 29 50 68 64 "
    "33 57 65 43 29 60 72 50 30 64 58 29 51 70 62 32 58 68 40 29 63 73 48 28 63 59 30 52 71 64 33 47 66 59 30 60 69 "
    "52 26 56 66 46 29 71 64"
)
FASTER_TRACKS = [
    (0, 0, 66),
    (1, 69, 111),
    (0, 114, 120),
    (2, 123, 126),
    (3, 132, 168),
    (0, 171, 177),
    (4, 180, 210),
    (5, 213, 213),
    (0, 216, 225),
    (3, 228, 261),
    (0, 264, 270),
    (6, 273, 312),
    (7, 315, 315),
    (8, 318, 321),
    (0, 324, 357),
]


@pytest.mark.parametrize(
    ("middle", "width", "tracks", "missing"),
    [
        pytest.param(SLOWER_MIDDLE, SLOWER_WIDTH, SLOWER_TRACKS, 360, id="slower"),
        pytest.param(FASTER_MIDDLE, FASTER_WIDTH, FASTER_TRACKS, 129, id="faster"),
    ],
)
def test_who_turns_round_alone_stays_one_person(
    middle: str, width: str, tracks: list[tuple[int, int, int]], missing: int
) -> None:
    numbers = np.setdiff1d(np.arange(0, 360, 3), missing)
    centre, half = np.array(middle.split(), dtype=float), np.array(width.split(), dtype=float) / 2
    boxes = np.stack((centre - half, np.full(len(half), 88), centre + half, np.full(len(half), 207)), axis=1)
    parts = [
        Tracklet(track, numbers[rows], boxes[rows], np.full(rows.sum(), 0.9))
        for track, first, last in tracks
        for rows in [(numbers >= first) & (numbers <= last)]
    ]
    [person] = link(parts, TEN)
    assert person.numbers.tolist() == sorted({*numbers.tolist(), *person.drawn})


def test_two_who_may_have_gone_on_are_not_taken_for_a_turn() -> None:
    # one is lost, and at once two begin on either side: nothing tells who of them it was
    persons = link([piece(0, 0, 60, 100, 60), piece(1, 63, 120, 200, 60), piece(2, 63, 120, 240, -60)], TEN)
    assert told(persons) == [[0, 1], [2]]


def test_a_gap_is_bridged_where_motion_leads() -> None:
    # 2 s at 60 px/s, 1 s out of sight; another person begins nearby where the first was lost
    persons = link([piece(0, 0, 60, 100, 60), piece(1, 90, 150, 280, 60), piece(2, 84, 150, 215, 0)], TEN)
    assert told(persons) == [[0, 1], [2]]
    assert persons[0].joined == {90}


def test_alike_persons_meet_behind_a_wall_and_walk_on() -> None:
    parts = [
        piece(0, 0, 60, 100, 80, look=RED), piece(1, 0, 60, 500, -80, look=RED),
        piece(2, 90, 150, 340, 80, look=RED), piece(3, 90, 150, 260, -80, look=RED),
    ]  # fmt: skip
    assert told(link(parts, TEN)) == [[0, 2], [1, 3]]


def test_looks_speak_against_a_join() -> None:
    one, other = piece(0, 0, 60, 100, 0, look=RED), piece(1, 100, 150, 130, 0, look=BLUE)
    assert told(link([one, replace(other, first_look=RED, last_look=RED)], TEN)) == [[0, 1]]
    assert told(link([one, replace(other, track=1)], TEN)) == [[0], [1]]


def test_what_is_cut_by_a_pole_still_walks_at_its_speed() -> None:
    # the pole is at 280 to 340; what is visible shrinks at its left edge and grows from its right one
    before, after = piece(0, 0, 89, 100, 66), piece(1, 126, 200, 100 + 66 * 4.2, 66)
    before = replace(before, boxes=np.minimum(before.boxes, (280, 999, 280, 999)))
    grown = after.boxes.copy()
    grown[:, 0] = np.maximum(grown[:, 0], 340)
    rival = piece(2, 120, 200, 290, 0, y=240)
    assert told(link([before, replace(after, boxes=grown), rival], TEN)) == [[0, 1], [2]]


def test_too_long_a_gap_is_none() -> None:
    parts = [piece(0, 0, 60), piece(1, 180, 240)]
    assert told(link(parts, TEN)) == [[0], [1]]
    assert told(link(parts, replace(TEN, gap_s=4.0))) == [[0, 1]]


def test_what_the_tracker_bridged_itself_may_be_longer() -> None:
    assert told(link([piece(0, 0, 60), piece(0, 150, 210)], TEN)) == [[0]]


def test_never_across_a_cut() -> None:
    parts = [piece(0, 0, 60), piece(1, 63, 120, shot=1)]
    assert told(link(parts, TEN)) == [[0], [1]]


def test_never_two_at_once() -> None:
    rng = np.random.default_rng(2)
    parts = []
    for track in range(60):
        first = int(rng.integers(0, 200)) * 3
        parts.append(piece(track, first, first + int(rng.integers(0, 30)) * 3, float(rng.uniform(0, 300))))
    persons = link(parts, replace(TEN, min_hits=1, duplicate_iou=1.1))
    assert len(persons) < 60
    for person in persons:
        assert (np.diff(person.numbers) > 0).all()
    assert boxes(persons) == sorted(box for part in parts for box in zip(part.numbers, part.boxes[:, 0], strict=True))


def test_duplicates_become_one() -> None:
    double = piece(1, 30, 120, 102)
    persons = link([piece(0, 0, 90), double, piece(2, 0, 120, 160)], TEN)
    assert told(persons) == [[0, 1], [2]]
    assert persons[0].numbers.tolist() == list(range(0, 121, 3))
    assert persons[0].boxes[15, 0] == 80  # of the longer one
    assert persons[0].boxes[-1, 0] == 82


def test_persons_who_pass_each_other_are_no_duplicates() -> None:
    assert told(link([piece(0, 0, 90, 100, 80), piece(1, 0, 90, 340, -80)], TEN)) == [[0], [1]]


def test_short_ones_are_dropped_but_where_the_video_or_a_shot_cuts_them() -> None:
    long = piece(0, 0, 300, 50)
    blink = piece(1, 150, 153, 300)
    coming, going = piece(2, 297, 300, 300), piece(3, 0, 0, 300)
    after = piece(4, 303, 600, 50, shot=1)
    at_cut = piece(5, 303, 303, 400, shot=1)
    persons = link([long, blink, coming, going, after, at_cut], TEN, [(0, 300), (303, 600)])
    assert told(persons) == [[0], [3], [2], [4], [5]]
    assert persons[1].weak == {0}
    assert not persons[0].weak
    # what ends before the last picture is not cut short
    assert told(link([blink], TEN, [(0, 300)])) == []
    assert told(link([piece(1, 150, 156, 300)], TEN, [(0, 300)])) == [[1]]
    assert told(link([piece(1, 150, 156, 300)], replace(TEN, min_duration_s=1.0), [(0, 300)])) == []


def test_a_missed_keyframe_is_drawn() -> None:
    whole = piece(0, 0, 90, 100, 60)
    keep = whole.numbers != 60
    holed = replace(whole, numbers=whole.numbers[keep], boxes=whole.boxes[keep], scores=whole.scores[keep])
    (person,) = link([holed], TEN)
    assert person.drawn == {60}
    assert person.numbers.tolist() == whole.numbers.tolist()
    assert person.boxes == pytest.approx(whole.boxes)
    assert person.scores[20] == 0
    assert len(person.tracks) == len(person.scores) == len(person.numbers)
    (bare,) = link([holed], replace(TEN, fill_s=0))
    assert not bare.drawn
    assert bare.numbers.tolist() == holed.numbers.tolist()


def test_a_keyframe_in_a_long_gap_is_not_drawn() -> None:
    (person,) = link([piece(0, 0, 48), piece(1, 72, 120)], TEN)
    assert 60 not in person.numbers
    assert person.joined == {72}


def test_who_may_have_been_confused_is_marked_where_they_part() -> None:
    parts = [piece(0, 0, 90, 100, 80), piece(1, 0, 90, 340, -80)]
    persons = link(parts, TEN)
    assert persons[0].weak == persons[1].weak
    (moment,) = persons[0].weak
    # they meet after 1.5 s, and their boxes leave each other a quarter of a second later
    assert 45 < moment <= 60
    looks = [replace(part, first_look=look, last_look=look) for part, look in zip(parts, (RED, BLUE), strict=True)]
    assert not link(looks, TEN)[0].weak


def test_a_jump_is_marked() -> None:
    walk = piece(0, 0, 90, 100, 60)
    boxes = walk.boxes.copy()
    boxes[15:] += (90, 0, 90, 0)
    (person,) = link([replace(walk, boxes=boxes)], TEN)
    assert person.weak == {45}
    assert not link([walk], TEN)[0].weak


def test_a_join_with_a_rival_is_marked() -> None:
    persons = link([piece(0, 0, 60, 100), piece(1, 90, 150, 85), piece(2, 90, 150, 116, y=104)], TEN)
    assert any(90 in person.weak for person in persons)


def add(builder: TrackletBuilder, number: int, tracks: dict[int, float], shot: int = 0, look: bool = False) -> None:
    boxes = np.array([[x, 0, x + 40, 100] for x in tracks.values()], dtype=float).reshape(-1, 4)
    looks = np.tile(RED, (len(tracks), 1)) if look else None
    builder.add(number, Found(boxes, np.full(len(boxes), 0.9)), np.array(list(tracks), dtype=np.int64), looks, shot)


def test_the_builder_gathers_pieces() -> None:
    builder = TrackletBuilder()
    for number in range(0, 31, 3):
        add(builder, number, {0: 10.0 + number, -1: 200.0, 5: 90.0} if number else {5: 90.0}, look=True)
    one, other = builder.tracklets()
    assert (one.track, other.track) == (5, 0)
    assert one.numbers.tolist() == list(range(0, 31, 3))
    assert other.boxes[0].tolist() == [13, 0, 53, 100]
    assert other.first_look == pytest.approx(RED)
    assert builder.shots == ((0, 30),)


def test_the_builder_ends_pieces_at_cuts_and_long_gaps() -> None:
    builder = TrackletBuilder()
    for number in range(0, 121, 3):
        seen = number <= 30 or 36 <= number <= 60 or number >= 90
        add(builder, number, {0: 10.0} if seen else {}, shot=int(number >= 105))
    # a short miss is none; 1 s is one; a cut is one
    assert [(one.numbers[0], one.numbers[-1], one.shot) for one in builder.tracklets()] == [
        (0, 60, 0), (90, 102, 0), (105, 120, 1),
    ]  # fmt: skip
    assert builder.shots == ((0, 102), (105, 120))


def test_at_one_picture_a_second_neighbours_are_neighbours() -> None:
    builder = TrackletBuilder()
    for number in range(0, 301, 30):
        add(builder, number, {0: 10.0})
    (one,) = builder.tracklets()
    assert len(one.numbers) == 11


def test_late_confirmed_tracks_count_from_their_first_box() -> None:
    builder = TrackletBuilder()
    for number in range(0, 61, 3):
        add(builder, number, {4: 10.0})
    (person,) = link(builder.tracklets(), TEN, builder.shots)
    assert person.numbers[0] == 0


def test_a_thousand_pieces_take_little_time() -> None:
    rng = np.random.default_rng(0)
    parts = [
        piece(n, first, first + 150, float(rng.uniform(0, 1900)), float(rng.uniform(-60, 60)), look=RED)
        for n, first in enumerate((rng.integers(0, 3000, 1000) * 3).tolist())
    ]
    began = time.process_time()
    persons = link(parts, replace(TEN, min_hits=1, duplicate_iou=1.1))
    assert time.process_time() - began < 4
    assert boxes(persons) == sorted(box for part in parts for box in zip(part.numbers, part.boxes[:, 0], strict=True))
