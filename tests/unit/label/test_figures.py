"""The drawn persons that the labelling tests stand on: truth, worlds, the committed detector, and the measures."""

import itertools
import math
from typing import Any

import numpy as np
import pytest

from tests.figures import measure as measures
from tests.figures import scenes, walkers
from tests.figures import tracking_metrics as metrics

Frames = list[list[tuple[int, tuple[float, float, float, float]]]]


PEOPLED = [kind for kind in scenes.KINDS if kind != "empty"]


@pytest.mark.parametrize("world", ["train", "test"])
@pytest.mark.parametrize("kind", PEOPLED)
def test_truth_is_tight_around_what_was_painted(kind: str, world: str) -> None:
    """Where a person stands alone, the box is that of the pixels which differ from the empty place."""
    drawn = scenes.scene(kind, 3, world=world, seconds=4, fps=5)
    alone = 0
    for index, (picture, truths) in enumerate(drawn.rendered()):
        changed = (picture != drawn.empty(index)).any(2)
        covered = np.zeros_like(changed)
        for truth in truths:
            x1, y1, x2, y2 = map(int, truth.box)
            assert 0 <= x1 < x2 <= 320
            assert 0 <= y1 < y2 <= 240
            assert 0 < truth.visible <= 1
            covered[y1:y2, x1:x2] = True
            others = [other.box for other in truths if other is not truth]
            if others and metrics.overlaps([truth.box], others).any():
                continue
            alone += 1
            inside = changed[y1:y2, x1:x2]
            rows, columns = np.flatnonzero(inside.any(1)), np.flatnonzero(inside.any(0))
            # a pixel of cloth may by chance have the colour of the wall
            assert rows[0] <= 1
            assert columns[0] <= 1
            assert rows[-1] >= y2 - y1 - 2
            assert columns[-1] >= x2 - x1 - 2
        assert not (changed & ~covered).any()
    assert alone > 0


@pytest.mark.parametrize("kind", scenes.KINDS)
def test_a_scene_depends_on_its_arguments_alone(kind: str) -> None:
    def look(seed: int) -> tuple[list[bytes], Any]:
        drawn = scenes.scene(kind, seed, world="test", seconds=1, fps=5)
        return [picture.tobytes() for picture in drawn.frames()], drawn.truth

    assert look(1) == look(1)
    assert look(1)[0] != look(2)[0]


def test_the_shape_is_as_asked() -> None:
    drawn = scenes.scene("crowd", 0, world="test", size=(200, 150), seconds=2, fps=12.5)
    pictures = list(drawn.frames())
    assert len(pictures) == len(drawn) == len(drawn.truth) == 25
    assert {(picture.shape, str(picture.dtype)) for picture in pictures} == {((150, 200, 3), "uint8")}


def test_the_worlds_share_neither_cloth_nor_palette_nor_build_nor_place() -> None:
    rng = np.random.default_rng(0)
    weaves: dict[str, set[str]] = {}
    colours: dict[str, set[tuple[int, int, int]]] = {}
    builds: dict[str, list[float]] = {}
    for world in ("train", "test"):
        looks = [walkers.look(rng, world) for _ in range(300)]
        weaves[world] = {one.weave for one in looks} - {"plain"}
        colours[world] = {one.skin for one in looks} | {one.hair for one in looks}
        builds[world] = [one.breadth for one in looks]
    assert weaves["train"].isdisjoint(weaves["test"])
    assert colours["train"].isdisjoint(colours["test"])
    ours, theirs = np.array(builds["test"]), np.array(builds["train"])
    for low, high in ((0.92, 0.97), (1.01, 1.06)):
        assert ((ours > low) & (ours < high)).any()
        assert not ((theirs > low) & (theirs < high)).any()
    one, other = (scenes.scene("empty", 5, world=world, seconds=0.2).empty(0) for world in ("train", "test"))
    assert (one != other).mean() > 0.5


def test_identical_persons_wear_the_same_and_others_do_not() -> None:
    for identical, different in ((True, 1), (False, 3)):
        [take] = scenes.scene("crossing", 4, world="test", seconds=1, identical=identical).takes
        assert len({actor.figure.look for actor in take.actors}) == min(different, len(take.actors))
        assert len(take.actors) >= 2


@pytest.mark.parametrize("seed", range(6))
def test_occlusion_hides_a_person_who_comes_back(seed: int) -> None:
    drawn = scenes.scene("occlusion", seed, world="test", seconds=6, fps=15)
    # a hand or a heel that swings out does not count
    seen = np.array([sum(truth.visible for truth in truths if truth.person == 0) for truths in drawn.truth])
    at = np.flatnonzero(seen > 0.05)
    gap = at[0] + np.flatnonzero(seen[at[0] : at[-1]] <= 0.05)
    assert 0.5 <= len(gap) / 15 <= 1.6
    assert gap[-1] - gap[0] < len(gap) + 4
    assert seen[: gap[0]].max() == seen[gap[-1] :].max() == 1


@pytest.mark.parametrize("seed", range(6))
def test_crossing_persons_hide_one_another_for_a_while(seed: int) -> None:
    drawn = scenes.scene("crossing", seed, world="test", seconds=6, fps=15)
    close = []
    for truths in drawn.truth:
        boxes = {truth.person: truth.box for truth in truths}
        close.append(0 in boxes and 1 in boxes and metrics.overlaps([boxes[0]], [boxes[1]])[0, 0] > 0.2)
    assert 0.3 <= sum(close) / 15 <= 3
    assert min(truth.visible for truths in drawn.truth for truth in truths if truth.person == 0) < 0.7


@pytest.mark.parametrize("seed", range(6))
def test_fast_is_two_to_four_box_widths_a_second(seed: int) -> None:
    drawn = scenes.scene("fast", seed, world="test", seconds=6, fps=30)
    boxes = np.array([truths[0].box for truths in drawn.truth])
    width = (boxes[:, 2] - boxes[:, 0]).mean()
    middles = boxes[:, [0, 2]].mean(1)
    # over half seconds, the swing of the legs averages out; the fastest are those without a turn
    speed = np.abs(middles[15:] - middles[:-15]).max() * 2 / width
    assert 1.7 <= speed <= 5
    ahead = np.sign(middles[15:] - middles[:-15])
    assert {-1.0, 1.0} <= set(ahead.tolist())


def test_walkers_of_walk_never_hide_one_another() -> None:
    for seed in range(4):
        drawn = scenes.scene("walk", seed, world="test", seconds=4, fps=5)
        assert all(truth.visible == 1 for truths in drawn.truth for truth in truths)
        assert len({len(truths) for truths in drawn.truth}) == 1


def test_enter_leave_begins_empty_or_partly_and_persons_go() -> None:
    drawn = scenes.scene("enter_leave", 2, world="test", seconds=8, fps=10)
    counts = [len(truths) for truths in drawn.truth]
    assert counts[0] <= 1
    assert max(counts) >= 2
    assert any(truth.visible < 0.5 for truths in drawn.truth for truth in truths)


def test_crowd_is_many_and_empty_is_none() -> None:
    assert max(len(truths) for truths in scenes.scene("crowd", 0, world="test", seconds=1).truth) >= 8
    assert not any(scenes.scene("empty", 0, world="test", seconds=1).truth)


def test_a_cut_changes_place_and_persons() -> None:
    drawn = scenes.scene("cut", 0, world="test", seconds=4, fps=10)
    assert drawn.cuts == (20,)
    pictures = list(drawn.frames())
    steps = [float(np.abs(b.astype(int) - a.astype(int)).mean()) for a, b in itertools.pairwise(pictures)]
    assert int(np.argmax(steps)) == 19
    before = {truth.person for truths in drawn.truth[:20] for truth in truths}
    after = {truth.person for truths in drawn.truth[20:] for truth in truths}
    assert before
    assert after
    assert before.isdisjoint(after)


@pytest.fixture(scope="module")
def detect() -> measures.Detect:
    """The committed detector, as the product loads it: as data alone."""
    return measures.detector()


@pytest.mark.parametrize("identical", [False, True], ids=["dressed", "identical"])
def test_committed_detector_finds_persons_it_has_not_seen(detect: measures.Detect, identical: bool) -> None:
    total = sum(
        (
            measures.measure(detect, scenes.scene(kind, seed, world="test", seconds=4, fps=1, identical=identical))
            for kind in ("walk", "crossing", "occlusion", "fast", "enter_leave")
            for seed in range(101, 105)
        ),
        start=measures.Found(0, 0, 0, 0),
    )
    assert total.persons >= 100
    assert total.recall >= 0.93
    assert total.false_per_100 <= 40


def test_committed_detector_finds_nobody_where_nobody_is(detect: measures.Detect) -> None:
    total = sum(
        (measures.measure(detect, scenes.scene("empty", seed, world="test", seconds=1, fps=1)) for seed in range(12)),
        start=measures.Found(0, 0, 0, 0),
    )
    assert total.frames == 12
    assert total.false <= 1


def test_committed_detector_is_small() -> None:
    assert measures.WEIGHTS.stat().st_size < 1_500_000


LEFT, RIGHT = (0.0, 0.0, 10.0, 20.0), (100.0, 0.0, 110.0, 20.0)


def _two(count: int) -> Frames:
    return [[(1, LEFT), (2, RIGHT)] for _ in range(count)]


def test_perfect_tracks() -> None:
    result: Frames = [[(8, RIGHT), (7, LEFT)] for _ in range(10)]
    clear, who = metrics.clear_mot(_two(10), result), metrics.identity(_two(10), result)
    assert (clear.mota, clear.motp, clear.switches, clear.misses, clear.false_positives) == (1, 1, 0, 0, 0)
    assert (who.idf1, who.idp, who.idr, who.idtp) == (1, 1, 1, 20)


def test_identities_swapped_half_way() -> None:
    result: Frames = [[(7, LEFT), (8, RIGHT)] if at < 5 else [(8, LEFT), (7, RIGHT)] for at in range(10)]
    clear, who = metrics.clear_mot(_two(10), result), metrics.identity(_two(10), result)
    assert clear.switches == 2
    assert clear.mota == pytest.approx(1 - 2 / 20)
    assert (who.idf1, who.idp, who.idr) == (0.5, 0.5, 0.5)


def test_a_track_broken_in_two() -> None:
    """Six and four frames of one person under two names: one switch, and the longer piece counts."""
    truth: Frames = [[(1, LEFT)] for _ in range(10)]
    result: Frames = [[(7 if at < 6 else 8, LEFT)] for at in range(10)]
    clear, who = metrics.clear_mot(truth, result), metrics.identity(truth, result)
    assert (clear.switches, clear.misses, clear.false_positives) == (1, 0, 0)
    assert clear.mota == pytest.approx(0.9)
    assert (who.idtp, who.idf1) == (6, 0.6)


def test_misses_and_false_positives() -> None:
    """Of 20 boxes 4 are missing, and 3 of 19 found ones are on nobody."""
    away = (200.0, 0.0, 210.0, 20.0)
    result: Frames = [
        [(7, LEFT), *([(8, RIGHT)] if at >= 4 else []), *([(9, away)] if at < 3 else [])] for at in range(10)
    ]
    clear, who = metrics.clear_mot(_two(10), result), metrics.identity(_two(10), result)
    assert (clear.truths, clear.matches, clear.misses, clear.false_positives, clear.switches) == (20, 16, 4, 3, 0)
    assert clear.mota == pytest.approx(1 - 7 / 20)
    assert who.idp == pytest.approx(16 / 19)
    assert who.idr == pytest.approx(16 / 20)
    assert who.idf1 == pytest.approx(32 / 39)


def test_a_name_kept_through_a_gap_is_no_switch_and_a_new_one_is() -> None:
    truth: Frames = [[(1, LEFT)] if at not in (4, 5) else [] for at in range(10)]
    for later, switches in ((7, 0), (8, 1)):
        result: Frames = [[(7 if at < 4 else later, LEFT)] if at not in (4, 5) else [] for at in range(10)]
        assert metrics.clear_mot(truth, result).switches == switches


def test_a_pair_holds_while_it_overlaps_even_if_another_box_fits_better() -> None:
    shifted = (2.0, 0.0, 12.0, 20.0)  # 8 of 12 columns in common: 2/3
    truth: Frames = [[(1, LEFT)], [(1, LEFT)]]
    result: Frames = [[(7, LEFT)], [(7, shifted), (8, LEFT)]]
    clear = metrics.clear_mot(truth, result)
    assert (clear.switches, clear.matches, clear.false_positives) == (0, 2, 1)
    assert clear.motp == pytest.approx((1 + 2 / 3) / 2)


def test_as_many_pairs_as_possible_come_before_the_best_one() -> None:
    """The best single pair (1, 8) would leave 2 without a box."""
    truth: Frames = [[(1, (0.0, 0.0, 10.0, 10.0)), (2, (2.0, 0.0, 12.0, 10.0))]]
    result: Frames = [[(7, (-2.0, 0.0, 8.0, 10.0)), (8, (0.0, 0.0, 10.0, 10.0))]]
    clear = metrics.clear_mot(truth, result)
    assert (clear.matches, clear.misses, clear.false_positives) == (2, 0, 0)


def test_overlap_by_hand_and_just_below_the_threshold() -> None:
    assert metrics.overlaps([(0, 0, 10, 10)], [(5, 0, 15, 10), (20, 0, 30, 10)]).tolist() == [[1 / 3, 0]]
    clear = metrics.clear_mot([[(1, (0, 0, 10, 10))]], [[(1, (5, 0, 15, 10))]])
    assert (clear.misses, clear.false_positives, clear.mota) == (1, 1, -1)
    assert metrics.clear_mot([[(1, (0, 0, 10, 10))]], [[(1, (5, 0, 15, 10))]], iou=0.3).matches == 1


def test_nothing_to_measure_is_no_number() -> None:
    clear, who = metrics.clear_mot([[]], [[]]), metrics.identity([[]], [[]])
    assert math.isnan(clear.mota)
    assert math.isnan(who.idf1)
    alarms = metrics.clear_mot([[]], [[(1, LEFT)]])
    assert (alarms.false_positives, alarms.matches) == (1, 0)
    assert math.isnan(alarms.mota)


def test_boxes_on_ignored_persons_are_neither_right_nor_wrong() -> None:
    hidden = (50.0, 0.0, 60.0, 20.0)
    result: Frames = [[(7, LEFT), (8, RIGHT), (9, hidden)]]
    assert metrics.without_ignored(_two(1), result, [[hidden]]) == [[(7, LEFT), (8, RIGHT)]]
    # a box that fits a person of the truth stays, however well it fits an ignored one, too
    beside = (1.0, 0.0, 11.0, 20.0)
    assert metrics.without_ignored([[(1, LEFT)]], [[(7, beside), (8, LEFT)]], [[beside]]) == [[(8, LEFT)]]


def test_wrong_frames_are_refused() -> None:
    with pytest.raises(ValueError, match="1 frames of truth, 2 of result"):
        metrics.clear_mot(_two(1), _two(2))
    with pytest.raises(ValueError, match="twice in frame 0 of the result"):
        metrics.identity(_two(1), [[(7, LEFT), (7, RIGHT)]])
