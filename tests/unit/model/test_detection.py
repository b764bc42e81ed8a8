"""Action detectors: what goes in and out, boxes, weights, and what is refused."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import nn
from torchvision.ops import RoIAlign

from vidbench.errors import InputError, MissingError, UnknownNameError
from vidbench.model.detection import (
    ActionDetector,
    BoxNet,
    RoIHead,
    build_detector,
    class_names,
    detectors,
    load_detector,
)
from vidbench.model.layout import fast_layout
from vidbench.model.remap import from_vidbench
from vidbench.model.zoo import MODELS

NAME = "slow_r50_detection"


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """On small clips threads win little, and on a busy machine they wait for each other."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def detector() -> ActionDetector:
    """Slow R50 with normalisations that do something."""
    found = load_detector(NAME, weights="random", seed=3).detector
    generator = torch.Generator().manual_seed(0)
    for part in found.modules():
        if isinstance(part, nn.BatchNorm3d):
            with torch.no_grad():
                part.weight.uniform_(0.5, 1.0, generator=generator)
                part.bias.uniform_(-0.2, 0.2, generator=generator)
                part.running_var.uniform_(0.5, 1.5, generator=generator)
    return found.requires_grad_(False)


class Stub(nn.Module):
    """A trunk that gives the clips themselves."""

    def forward(self, clips: torch.Tensor) -> torch.Tensor:
        return clips


def clips(count: int = 2, seed: int = 0) -> torch.Tensor:
    return torch.rand(count, 3, 4, 64, 96, generator=torch.Generator().manual_seed(seed))


BOXES = torch.tensor([[0, 5.0, 4.0, 60.0, 60.0], [1, 0.0, 0.0, 95.0, 63.0], [1, 30.0, 10.0, 50.0, 40.0]])


def test_every_box_gets_logits_of_its_own_clip(detector: ActionDetector) -> None:
    both = clips()
    with torch.no_grad():
        logits = detector(both, BOXES)
        other = detector(torch.cat([clips(1, seed=9), both[1:]]), BOXES)
        turned = detector(both, BOXES[[2, 0, 1]])

    assert logits.shape == (3, 80)
    assert logits.min() < 0
    assert (logits[1] - logits[2]).abs().max() > 1e-3
    assert torch.allclose(other[1:], logits[1:], atol=1e-6)
    assert (other[0] - logits[0]).abs().max() > 1e-3
    assert torch.allclose(turned, logits[[2, 0, 1]], atol=1e-6)


def test_no_boxes_give_no_logits(detector: ActionDetector) -> None:
    with torch.no_grad():
        assert detector(clips(1), torch.zeros(0, 5)).shape == (0, 80)


def test_clips_are_normalised_inside(detector: ActionDetector) -> None:
    both = clips()
    with torch.no_grad():
        assert torch.allclose(detector(both, BOXES), detector.net((both - 0.45) / 0.225, BOXES), atol=1e-5)


def test_fast_layout_agrees_and_gradients_reach_the_clips(detector: ActionDetector) -> None:
    fast = fast_layout(detector)  # type: ignore[type-var,arg-type]
    point = clips().requires_grad_(True)
    logits = fast(point, BOXES)
    logits[0].sum().backward()

    with torch.no_grad():
        assert torch.allclose(logits, detector(clips(), BOXES), atol=1e-4)
    assert point.grad is not None
    assert point.grad[0].abs().max() > 0
    assert point.grad[1].abs().max() == 0


@pytest.mark.parametrize(
    ("wrong", "boxes", "message"),
    [
        (torch.zeros(1, 3, 8, 64, 64), torch.zeros(1, 5), r"\(N, 3, 4, H, W\)"),
        (torch.zeros(3, 4, 64, 64), torch.zeros(1, 5), r"\(N, 3, 4, H, W\)"),
        (torch.zeros(1, 3, 4, 64, 64), torch.zeros(1, 4), r"\(M, 5\) float"),
        (torch.zeros(1, 3, 4, 64, 64), torch.zeros(1, 5, dtype=torch.long), r"\(M, 5\) float"),
        (torch.zeros(1, 3, 4, 64, 64), torch.tensor([[1.0, 0, 0, 9, 9]]), "outside the batch of 1"),
        (torch.zeros(1, 3, 4, 64, 64), torch.tensor([[-1.0, 0, 0, 9, 9]]), "outside the batch of 1"),
        (torch.zeros(1, 3, 4, 64, 64), torch.tensor([[0.0, 0, float("nan"), 9, 9]]), "not finite"),
    ],
)
def test_wrong_input_is_refused(
    detector: ActionDetector, wrong: torch.Tensor, boxes: torch.Tensor, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        detector(wrong, boxes)


@pytest.mark.parametrize("aligned", [False, True])
def test_head_is_mean_over_time_roi_align_and_the_largest(aligned: bool) -> None:
    torch.manual_seed(0)
    head = RoIHead(6, 4, aligned=aligned).eval()
    features, boxes = torch.randn(2, 6, 3, 8, 10), torch.tensor([[0, 3.0, 9, 70, 100], [1, 40.0, 0, 159, 127]])

    with torch.no_grad():
        given = BoxNet(Stub(), head)(features, boxes)
        regions = RoIAlign((7, 7), 1 / 16, 0, aligned=aligned)(features.mean(2), boxes)
        expected = nn.functional.linear(nn.MaxPool2d(7)(regions).flatten(1), head.proj.weight, head.proj.bias)

    assert torch.allclose(given, expected, atol=1e-6)


def test_number_and_names_of_classes_go_together() -> None:
    net = BoxNet(Stub(), RoIHead(3, 2))
    preprocess = MODELS.get(NAME).preprocess

    assert ActionDetector(net, preprocess, 2, ("sit", "stand")).classes == ("sit", "stand")
    with pytest.raises(ValueError, match="2 outputs"):
        ActionDetector(net, preprocess, 2, ("sit",))


# --- loading -----------------------------------------------------------------------------------------------


def test_random_weights_are_drawn_from_the_seed() -> None:
    first, again = (load_detector(NAME, weights="random", seed=seed) for seed in (1, 1))
    other = load_detector(NAME, weights="random", seed=2)

    heads = [loaded.detector.net.detection_head.proj.weight for loaded in (first, again, other)]
    assert torch.equal(heads[0], heads[1])
    assert not torch.equal(heads[0], heads[2])
    assert (first.weights_sha256, first.weights, first.architecture) == ("random:1", "random", NAME)
    assert not first.detector.training
    assert first.detector.classes[0] == "bend/bow (at the waist)"
    assert len(first.detector.classes) == 80


@pytest.mark.parametrize("dialect", ["pytorchvideo", "pyslowfast"])
def test_a_file_in_anothers_names_is_loaded_whole(dialect: str, detector: ActionDetector, tmp_path: Path) -> None:
    state = from_vidbench(detector.net.state_dict(), NAME, dialect)  # type: ignore[arg-type]
    torch.save({"model_state": state, "epoch": 3}, tmp_path / "ava.pyth")

    loaded = load_detector(NAME, weights=str(tmp_path / "ava.pyth"))

    ours = detector.net.state_dict()
    assert all(torch.equal(value, ours[name]) for name, value in loaded.detector.net.state_dict().items())
    assert len(loaded.weights_sha256) == 64
    assert loaded.weights == str(tmp_path / "ava.pyth")


def test_a_file_that_lacks_a_tensor_is_refused(detector: ActionDetector, tmp_path: Path) -> None:
    state = from_vidbench(detector.net.state_dict(), NAME, "pyslowfast")
    del state["s4.pathway0_res2.branch2.b.weight"]
    torch.save({"model_state": state}, tmp_path / "ava.pyth")

    with pytest.raises(InputError, match=r"missing: model\.blocks\.3\.res_blocks\.2\.branch2\.conv_b\.weight"):
        load_detector(NAME, weights=str(tmp_path / "ava.pyth"))


def test_what_is_no_detector_is_refused() -> None:
    with pytest.raises(InputError, match="x3d_m is no action detector") as caught:
        load_detector("x3d_m")
    assert NAME in str(caught.value.remedy)
    with pytest.raises(UnknownNameError, match="slow_r50_detector"):
        load_detector("slow_r50_detector")


def test_weights_that_are_not_here_are_named_before_anything_is_built() -> None:
    with pytest.raises(MissingError, match=r"SLOW_4x16_R50_DETECTION\.pyth"):
        load_detector(NAME)
    with pytest.raises(MissingError, match=r"SLOWFAST_32x2_R101_50_50_v2\.1\.pkl"):
        load_detector("slowfast_32x2_r101_50_50_ava", weights="ava2.1")
    with pytest.raises(InputError, match=r"nowhere\.pyth: no such weights file") as caught:
        load_detector(NAME, weights="nowhere.pyth")
    assert "pytorchvideo, pyslowfast, random" in str(caught.value.remedy)


# --- the catalogue -----------------------------------------------------------------------------------------


def test_catalogue_names_its_detectors() -> None:
    assert detectors() == (
        "slow_r50_detection",
        "slowfast_r50_detection",
        "slowfast_32x2_r101_50_50_ava",
        "slowfast_64x2_r101_50_50_ava",
    )


@pytest.mark.parametrize("name", detectors())
def test_card_is_consistent(name: str) -> None:
    card = MODELS.get(name)
    assert (card.task, card.num_classes, len(class_names(card))) == ("detect", 80, 80)
    assert (card.preprocess.short_side, card.preprocess.crop) == (256, 256)
    assert "no crop" in card.note
    assert card.published is not None
    for file in (card.published, *card.others):
        assert file.mean_ap is not None
        assert 0 < file.mean_ap < 100
        assert file.top1 is None
        assert file.views == "1x1"
        assert file.data == ("ava2.1" if file.tag == "ava2.1" else "ava2.2")
        assert all(url.startswith("https://") and url.endswith(file.file) for url in file.urls)


def test_large_network_takes_the_fast_clip_and_packs_the_slow_one() -> None:
    """Shapes only: no number is computed."""
    with torch.device("meta"):
        net = build_detector("slowfast_64x2_r101_50_50_ava", 80).eval()
        features = net.model(torch.rand(1, 3, 64, 64, 96))

    assert features.shape == (1, 2304, 1, 4, 6)
    assert [name for name, part in net.named_modules() if type(part).__name__ == "NonLocalBlock"] == [
        f"model.blocks.3.multipathway_blocks.0.nonlocal_blocks.{number}" for number in (6, 13, 20)
    ]
