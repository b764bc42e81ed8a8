import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from vidbench.errors import UnknownNameError
from vidbench.formats.given import VideoShape
from vidbench.label.detectors import DETECTORS, DetectorSettings, VideoFacts, found_of

DEFAULTS = DetectorSettings()


def settle(boxes: list[list[float]], scores: list[float], settings: DetectorSettings = DEFAULTS, conf: float = 0.25):  # type: ignore[no-untyped-def]
    held = np.array(boxes, dtype=np.float64).reshape(-1, 4)
    return found_of(held, np.array(scores, dtype=np.float64), 100, 50, conf=conf, settings=settings)


def test_the_catalogue_has_four_and_refuses_others() -> None:
    assert DETECTORS.names() == ("yolo", "torchvision", "detectron2", "boxes")
    with pytest.raises(UnknownNameError, match="Did you mean yolo"):
        DETECTORS.get("yollo")


def test_the_catalogue_is_listed_without_heavy_packages() -> None:
    program = (
        "import sys; from vidbench.label.detectors import DETECTORS; print(len(list(DETECTORS)), "
        "*(name for name in ('torch', 'ultralytics', 'cv2', 'detectron2') if name in sys.modules))"
    )
    told = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert told.split() == ["4"]


def test_boxes_are_clipped_and_the_surest_come_first() -> None:
    found = settle([[-5, -5, 20, 20], [10, 10, 30, 40], [90, 40, 120, 60], [10, 10, 30, 41]], [0.5, 0.9, 0.7, 0.9])
    assert found.boxes.tolist() == [[10, 10, 30, 40], [10, 10, 30, 41], [90, 40, 100, 50], [0, 0, 20, 20]]
    assert found.scores.tolist() == [0.9, 0.9, 0.7, 0.5]
    assert found.boxes.dtype == found.scores.dtype == np.float64


def test_what_is_small_unsure_outside_or_flat_is_dropped() -> None:
    boxes = [[0, 0, 8, 30], [0, 0, 7.9, 30], [0, 0, 30, 30], [100, 0, 130, 30], [9, 9, 9, 30], [30, 30, 9, 9]]
    scores = [0.25, 0.9, 0.2499, 0.9, 0.9, 0.9]
    assert settle(boxes, scores).boxes.tolist() == [[0, 0, 8, 30]]
    assert settle(boxes, scores, DetectorSettings(min_size=0)).boxes.tolist() == [[0, 0, 7.9, 30], [0, 0, 8, 30]]
    assert settle([], []).boxes.shape == (0, 4)


def test_of_many_persons_the_surest_stay() -> None:
    found = settle([[0, 0, 10 + n, 20] for n in range(5)], [0.5, 0.6, 0.9, 0.7, 0.8], DetectorSettings(max_persons=2))
    assert found.scores.tolist() == [0.9, 0.8]


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize("place", ["box", "score"])
def test_values_that_are_not_finite_are_an_error(value: float, place: str) -> None:
    with pytest.raises(ValueError, match="not finite"):
        settle([[0, 0, 10, value if place == "box" else 10]], [value if place == "score" else 0.5])


@pytest.mark.parametrize(
    "wrong",
    [{"conf": 1.5}, {"conf": -0.1}, {"iou": 2.0}, {"min_size": -1}, {"max_persons": 0}, {"image_size": 16}],
    ids=lambda wrong: "".join(wrong),
)
def test_settings_out_of_range_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=r"no such detector|too small"):
        DetectorSettings(**wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize("fps", ["30", "25", "30000/1001", "24000/1001", "60000/1001", "1/2"])
def test_the_rate_of_a_video_survives_floats(fps: str) -> None:
    for rate in (Fraction(fps), float(Fraction(fps))):
        assert VideoFacts(Path("a.mp4"), "a", 64, 48, rate).shape == VideoShape("a", 64, 48, Fraction(fps))


def test_faint_boxes_are_told_apart() -> None:
    held = np.array([[0, 0, 10 + n, 20] for n in range(4)], dtype=np.float64)
    found = found_of(held, np.array([0.1, 0.2, 0.5, 0.15]), 100, 50, conf=0.25, settings=DEFAULTS, faint=0.125)
    assert found.scores.tolist() == [0.5]
    assert found.faint_scores.tolist() == [0.2, 0.15]
    assert found.faint_boxes[:, 2].tolist() == [11, 13]
    assert not len(settle([[0, 0, 10, 20]], [0.2]).faint_scores)
