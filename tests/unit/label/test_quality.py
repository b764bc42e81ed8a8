"""The whole way from a rendered video to persons, by the real YOLO and DeepSORT, beside the truth of the scene."""

from fractions import Fraction
from pathlib import Path

import pytest

from tests.figures import tracking_metrics as metrics
from tests.figures.measure import WEIGHTS
from tests.figures.scenes import Scene, scene
from vidbench.label.detect_track import DetectTrackRequest, detect_track
from vidbench.label.store import LabelSet
from vidbench.video.encode import encode

WIDTH, HEIGHT = 320, 240
VISIBLE = 0.5


def track(tmp_path: Path, drawn: Scene, name: str = "set", **more: object) -> LabelSet:
    path = tmp_path / "drawn.mp4"
    if not path.exists():
        encode(path, drawn.frames(), Fraction(30))
    request = {
        "sources": (path,),
        "out": tmp_path / name,
        "weights": str(WEIGHTS),
        "image_size": 320,
        "iou": 0.5,
        "jobs": 1,
    }
    detect_track(DetectTrackRequest.model_validate(request | {"device": "cpu"} | more))
    return LabelSet.open(tmp_path / name)


def compared(labels: LabelSet, drawn: Scene) -> tuple[metrics.Identity, metrics.ClearMot]:
    """At the keyframes; persons mostly hidden are neither asked for nor wrong."""
    video = labels.load().videos[0]
    rows = labels.rows(video.id)
    truth, hidden, result = [], [], []
    for second in video.keyframes:
        there = drawn.truth[second * 30]
        truth.append([(one.person, one.box) for one in there if one.visible >= VISIBLE])
        hidden.append([one.box for one in there if one.visible < VISIBLE])
        result.append([(row.person, _pixels(row.box)) for row in rows if row.second == second])
    kept = metrics.without_ignored(truth, result, hidden)
    return metrics.identity(truth, kept), metrics.clear_mot(truth, kept)


def _pixels(box: tuple[float, float, float, float]) -> metrics.Box:
    return box[0] * WIDTH, box[1] * HEIGHT, box[2] * WIDTH, box[3] * HEIGHT


@pytest.mark.parametrize(
    ("kind", "seed"),
    [
        pytest.param("walk", 900, marks=pytest.mark.slow),
        ("occlusion", 901),
        pytest.param("fast", 902, marks=pytest.mark.slow),
    ],
)
def test_persons_keep_their_numbers(tmp_path: Path, kind: str, seed: int) -> None:
    drawn = scene(kind, seed, world="test", size=(WIDTH, HEIGHT), seconds=8, fps=30, identical=seed % 2 == 1)
    who, clear = compared(track(tmp_path, drawn), drawn)
    assert clear.truths >= 3
    assert who.idf1 >= 0.9
    assert clear.switches == 0
    assert clear.misses <= 0.05 * clear.truths
    assert clear.motp >= 0.7


def test_a_cut_ends_all_tracks(tmp_path: Path) -> None:
    drawn = scene("cut", 903, world="test", size=(WIDTH, HEIGHT), seconds=10, fps=30)
    [cut] = drawn.cuts
    labels = track(tmp_path, drawn)
    before = {row.person for row in labels.rows("drawn") if row.second * 30 < cut}
    after = {row.person for row in labels.rows("drawn") if row.second * 30 >= cut}
    assert before
    assert after
    assert before.isdisjoint(after)


def test_nobody_is_found_where_nobody_is(tmp_path: Path) -> None:
    drawn = scene("empty", 905, world="test", size=(WIDTH, HEIGHT), seconds=6, fps=30)
    assert track(tmp_path, drawn).rows("drawn") == ()


@pytest.mark.slow
def test_one_picture_a_second_loses_a_fast_walker(tmp_path: Path) -> None:
    """What guides do: the same detector, the same scene."""
    drawn = scene("fast", 906, world="test", size=(WIDTH, HEIGHT), seconds=10, fps=30)
    ten, _ = compared(track(tmp_path, drawn, "ten"), drawn)
    one, _ = compared(track(tmp_path, drawn, "one", rate=1), drawn)
    assert ten.idf1 > one.idf1
