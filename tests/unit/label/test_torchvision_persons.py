import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from vidbench.errors import InputError, MissingError, UsageError
from vidbench.label.detectors import DETECTORS, DetectorSettings, VideoFacts
from vidbench.label.seen import Picture
from vidbench.label.torchvision_persons import build
from vidbench.model.persons import PERSON, load_persons

VIDEO = VideoFacts(Path("walk.mp4"), "walk", 96, 64, 30.0)
SMALL = "ssdlite320_mobilenet_v3_large"


def write_network(path: Path, bias: float = 2.0) -> Path:
    """An untrained network that takes all things for persons, or with a negative bias none; returns its file."""
    net = load_persons(SMALL, weights="random").net
    with torch.no_grad():
        for part in net.head.classification_head.module_list:
            part[-1].bias.view(-1, 91)[:, PERSON] += bias
    torch.save(net.state_dict(), path)
    return path


@pytest.fixture(scope="module")
def easy(tmp_path_factory: pytest.TempPathFactory) -> DetectorSettings:
    path = write_network(tmp_path_factory.mktemp("persons") / "net.pt")
    return DetectorSettings(weights=f"{SMALL}:{path}", conf=0.01, device="cpu")


def pictures(count: int) -> list[Picture]:
    rng = np.random.default_rng(0)
    return [Picture(number, rng.integers(0, 256, (64, 96, 3), dtype=np.uint8)) for number in range(count)]


def test_boxes_lie_within_the_picture_surest_first(easy: DetectorSettings) -> None:
    found = DETECTORS.get("torchvision")(easy, VIDEO)(pictures(2))
    assert len(found) == 2
    for one in found:
        assert 0 < len(one.scores) <= 300
        assert one.boxes.dtype == one.scores.dtype == np.float64
        assert (one.boxes >= 0).all()
        assert (one.boxes <= (96, 64, 96, 64)).all()
        assert (one.boxes[:, 2:] - one.boxes[:, :2] >= 8).all()
        assert (np.diff(one.scores) <= 0).all()


def test_a_picture_that_may_not_be_written_to_is_taken(easy: DetectorSettings) -> None:
    (picture,) = pictures(1)
    detector = build(easy, VIDEO)
    (free,) = detector([picture])
    turned = np.rot90(np.rot90(picture.image, k=-1).copy())
    turned.flags.writeable = False
    (held,) = detector([Picture(0, turned)])
    np.testing.assert_array_equal(free.boxes, held.boxes)
    assert detector([]) == []


def test_settings_count(easy: DetectorSettings) -> None:
    def found(**settings: Any) -> np.ndarray[Any, Any]:
        boxes: np.ndarray[Any, Any] = build(replace(easy, **settings), VIDEO)(pictures(1))[0].boxes
        return boxes

    everything = found()
    assert len(everything) > 1
    assert len(found(max_persons=1)) == 1
    assert len(found(conf=None)) == 0
    assert len(found(iou=0.01)) < len(everything)
    assert len(found(min_size=65)) == 0
    np.testing.assert_array_equal(found(), everything)


def test_a_crowd_is_not_cut_and_pictures_are_scaled_by_the_longer_side() -> None:
    detector = build(
        DetectorSettings(weights="fasterrcnn_resnet50_fpn:random", image_size=64, iou=0.6, device="cpu"), VIDEO
    )
    net = detector._loaded.net
    assert net.roi_heads.detections_per_img == 300
    assert net.roi_heads.nms_thresh == 0.6
    seen: list[tuple[int, ...]] = []
    net.backbone.register_forward_pre_hook(lambda _, inputs: seen.append(tuple(inputs[0].shape[-2:])))
    detector(pictures(1))
    # 64 x 43 of 96 x 64, padded to multiples of 32
    assert seen == [(64, 64)]


def test_values_that_are_not_finite_are_an_error(tmp_path: Path) -> None:
    detector = build(DetectorSettings(weights=f"{SMALL}:{write_network(tmp_path / 'net.pt')}", device="cpu"), VIDEO)
    with torch.no_grad():
        detector._loaded.net.head.classification_head.module_list[0][-1].bias.fill_(float("nan"))
    with pytest.raises(ValueError, match="not finite"):
        detector(pictures(1))


def test_another_file_under_a_name_is_loaded_anew_and_told(tmp_path: Path) -> None:
    def found() -> tuple[int, str]:
        detector = build(DetectorSettings(weights=f"{SMALL}:{path}", conf=0.01, device="cpu"), VIDEO)
        assert detector.told["model"] == SMALL
        return len(detector(pictures(1))[0].scores), detector.told["weights_sha256"]

    path = write_network(tmp_path / "net.pt")
    first, first_sha256 = found()
    os.utime(write_network(path, bias=-9), ns=(1, 1))
    second, second_sha256 = found()
    assert first > 0
    assert second == 0
    assert first_sha256 != second_sha256


def test_random_weights_have_a_seed() -> None:
    told = [
        build(DetectorSettings(weights=f"{SMALL}:random", seed=seed, device="cpu"), VIDEO).told["weights_sha256"]
        for seed in (0, 7)
    ]
    assert told == ["random:0", "random:7"]


def test_published_weights_that_are_not_here_are_named() -> None:
    with pytest.raises(MissingError) as caught:
        build(DetectorSettings(device="cpu"), VIDEO)
    assert "vidbench weights pull fasterrcnn_resnet50_fpn_v2" in caught.value.remedy
    with pytest.raises(MissingError, match=SMALL):
        build(DetectorSettings(weights=SMALL, device="cpu"), VIDEO)


@pytest.mark.parametrize("weights", ["fasterrcnn", "x3d_s", "absent.pt", f"{SMALL}:absent.pt"])
def test_other_names_are_an_input_error(weights: str) -> None:
    with pytest.raises(InputError, match="neither a weights file nor a person detector") as caught:
        build(DetectorSettings(weights=weights, device="cpu"), VIDEO)
    assert SMALL in caught.value.remedy


def test_a_device_that_is_no_device_is_a_usage_error() -> None:
    with pytest.raises(UsageError, match="unknown device"):
        build(DetectorSettings(weights=f"{SMALL}:random", device="tpu"), VIDEO)
