"""Detectors on the catalogue's classifiers: what they answer, how they train, and how they are kept."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torchvision.ops import RoIAlign  # type: ignore[import-untyped]

from vidbench.errors import InputError
from vidbench.model.checkpoint import ModelInfo, save_model
from vidbench.model.detection import HEAD, ActionDetector, RoIHead, build_detector_on, load_detector
from vidbench.model.layout import fast_layout, training_layout
from vidbench.model.resolve import load_model, task_of
from vidbench.model.roi import PUBLISHED, RoISettings, roi_of
from vidbench.model.train.layers import depths
from vidbench.model.train.optimizers import freeze, parameter_groups
from vidbench.model.train.recompute import recompute_blocks
from vidbench.model.variant import Variant
from vidbench.model.zoo import MODELS, TINY

NAMES = ("sit", "stand", "wave")
# index of the clip, x1, y1, x2, y2: one box of the first clip, two of the second
BOXES = torch.tensor([[0, 5.0, 4.0, 60.0, 60.0], [1, 0.0, 0.0, 95.0, 63.0], [1, 30.0, 10.0, 50.0, 40.0]])


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """On small clips threads win little, and on a busy machine they wait for each other."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def tiny(seed: int = 0, **roi: object) -> ActionDetector:
    return build_detector_on(TINY, 3, NAMES, seed, roi=RoISettings(**roi))  # type: ignore[arg-type]


def clips(seed: int = 0, frames: int = 8, height: int = 64, width: int = 96) -> Tensor:
    return torch.rand(2, 3, frames, height, width, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize(
    ("name", "frames"),
    [
        ("x3d_tiny", 8),
        ("efficient_x3d_xs", 4),
        ("slowfast_r50", 8),
        pytest.param("r3d_18", 4, marks=pytest.mark.slow),
        pytest.param("s3d", 16, marks=pytest.mark.slow),
        pytest.param("swin3d_t", 4, marks=pytest.mark.slow),
    ],
)
def test_boxes_of_oblong_clips_get_logits_and_train_all_of_the_network(name: str, frames: int) -> None:
    card = MODELS.get(name)
    size = replace(card.preprocess, frames=frames)
    detector = build_detector_on(card, 3, NAMES, 0, size)
    detector.net.detection_head.dropout.p = 0.0

    logits = detector(clips(frames=frames), BOXES)
    logits.square().sum().backward()

    assert logits.shape == (3, 3)
    assert detector.preprocess == replace(size, fixed=None)
    without = [one for one, value in detector.net.named_parameters() if value.grad is None]
    assert without == []
    first = next(detector.net.model.parameters())
    assert first.grad is not None
    assert first.grad.abs().max() > 0


def test_a_box_on_something_gets_other_logits_than_one_beside_it() -> None:
    detector = tiny(dilated=True).eval()
    shown = torch.full((1, 3, 8, 128, 192), 0.5)
    shown[:, :, ::2, 48:80, 16:48] = 1.0
    boxes = torch.tensor([[0, 16.0, 48, 48, 80], [0, 144.0, 48, 176, 80]])
    with torch.no_grad():
        there, beside = detector(shown, boxes)
        mirrored = detector(shown.flip(4), boxes)

    assert (there - beside).abs().max() > 0.01
    # the box whose place the patch has moved to now stands out from what it was
    assert (mirrored[1] - beside).abs().max() > 0.01


@pytest.mark.parametrize(("stride", "region", "aligned"), [(32, 7, True), (16, 5, False), (32, 3, False)])
def test_regions_are_taken_at_the_resolution_of_the_features(stride: int, region: int, aligned: bool) -> None:
    torch.manual_seed(0)
    head = RoIHead(6, 4, aligned=aligned, scale=1 / stride, region=region).eval()
    features = torch.randn(2, 6, 3, 8, 10)
    boxes = torch.tensor([[0, 3.0, 9, 70, 100], [1, 40.0, 0, 159, 127]])
    with torch.no_grad():
        regions = RoIAlign((region, region), 1 / stride, 0, aligned=aligned)(features.mean(2), boxes)
        expected = nn.functional.linear(regions.amax((2, 3)), head.proj.weight, head.proj.bias)
        assert torch.allclose(head(features, boxes), expected, atol=1e-6)


@pytest.mark.parametrize("low", [torch.bfloat16, torch.float16])
def test_boxes_keep_their_places_in_low_precision(low: torch.dtype) -> None:
    """Features that are their column's number from the middle, and a box that bfloat16 would move to the right."""
    head = RoIHead(1, 1, scale=1.0, region=1).eval()
    with torch.no_grad():
        head.proj.weight.fill_(1.0)
        head.proj.bias.zero_()
        columns = (torch.arange(256.0) - 128).expand(1, 1, 2, 4, 256)
        box = torch.tensor([[0, 128.6, 0.0, 130.7, 3.0]])
        moved = head(columns, box.bfloat16().float())
        exact = head(columns, box)
        low_answer = head.to(low)(columns.to(low), box)
    assert float(moved - exact) > 0.2
    assert float(low_answer) == pytest.approx(float(exact), abs=0.03)
    assert low_answer.dtype == low


def test_settings_of_regions_reach_the_head() -> None:
    head = tiny(region=5, aligned=False, dropout=0.25).net.detection_head
    assert (head.region, head.aligned, head.dropout.p, head.scale) == (5, False, 0.25, 1 / 32)
    assert tiny(dilated=True).net.detection_head.scale == 1 / 16
    assert roi_of(MODELS.get("slow_r50_detection")) == PUBLISHED
    assert roi_of(TINY) == RoISettings(7, True, 0.5, False)


def test_weights_are_drawn_from_the_seed_and_the_sequence_of_others_goes_on() -> None:
    torch.manual_seed(5)
    first, again, other = tiny(1), tiny(1), tiny(2)
    after = torch.rand(1)
    torch.manual_seed(5)

    states = [one.net.state_dict() for one in (first, again, other)]
    assert all(torch.equal(value, states[1][name]) for name, value in states[0].items())
    assert not torch.equal(states[0]["detection_head.proj.weight"], states[2]["detection_head.proj.weight"])
    assert torch.equal(after, torch.rand(1))


def test_published_network_with_another_number_of_classes_keeps_its_ways() -> None:
    card = MODELS.get("slow_r50_detection")
    with torch.device("meta"):
        detector = build_detector_on(card, 3, NAMES, 0)
    head = detector.net.detection_head
    assert (head.aligned, head.scale, head.region, tuple(head.proj.weight.shape)) == (False, 1 / 16, 7, (3, 2048))
    with pytest.raises(InputError, match="slow_r50_detection has a dilated last stage"):
        build_detector_on(card, 3, NAMES, 0, roi=RoISettings())


def test_longer_features_of_changed_layers_are_averaged() -> None:
    card = MODELS.get("r2plus1d_18")
    with torch.device("meta"):
        detector = build_detector_on(card, 3, NAMES, 0, variant=Variant(1e-3, "tclr"))
    assert detector.net.model.get_submodule("layer4.0.conv1.0").dilation == (2, 1, 1)
    assert detector.net.model.get_submodule("layer1.0.conv1.1").eps == 1e-3
    assert detector.net.detection_head.scale == 1 / 16
    assert (detector.preprocess.fixed, card.preprocess.fixed) == (None, (171, 128))


def test_networks_without_boxes_or_time_are_refused() -> None:
    with pytest.raises(InputError, match="it finds persons in images"):
        build_detector_on(MODELS.get("fasterrcnn_resnet50_fpn_v2"), 3, NAMES, 0)


# --- training ------------------------------------------------------------------------------------------------


def test_arranged_for_training_it_answers_and_learns_as_before() -> None:
    plain, fast = tiny(dropout=0.0, dilated=True), training_layout(tiny(dropout=0.0, dilated=True))
    assert recompute_blocks(fast.net) == 7
    results = []
    for detector in (plain, fast):
        detector.train()
        logits = detector(clips(), BOXES)
        logits.square().sum().backward()
        gradients = [value.grad for value in detector.net.parameters() if value.grad is not None]
        results.append((logits.detach(), gradients))

    assert torch.allclose(results[0][0], results[1][0], atol=1e-5)
    for left, right in zip(results[0][1], results[1][1], strict=True):
        assert torch.allclose(left, right, atol=1e-4 * float(left.abs().max()) + 1e-6)
    with torch.no_grad():
        expected = plain.eval()(clips(), BOXES)
        assert torch.allclose(fast_layout(plain)(clips(), BOXES), expected, atol=1e-4)


@pytest.mark.parametrize(("name", "stages"), [("x3d_tiny", 6), ("efficient_x3d_xs", 5), ("r3d_18", 4)])
def test_layers_are_counted_and_frozen_as_those_of_the_classifier(name: str, stages: int) -> None:
    card = MODELS.get(name)
    with torch.device("meta"):
        net = build_detector_on(card, 3, NAMES, 0).net
    depth = depths(net, HEAD)
    # the stages from the first numbered one on, and the head above them
    assert depth["detection_head.proj.weight"] == max(depth.values()) == stages + 1
    groups = parameter_groups(net, 1e-4, 0.5, HEAD)
    assert {group["lr_scale"] for group in groups} >= {1.0, 0.5, 0.5**stages}
    frozen = freeze(net, ("backbone",), HEAD)
    assert set(frozen) == {one for one, _ in net.named_parameters() if one.startswith("model.")}
    assert [one for one, value in net.named_parameters() if value.requires_grad] == [
        "detection_head.proj.weight",
        "detection_head.proj.bias",
    ]


# --- keeping -------------------------------------------------------------------------------------------------


def keep(folder: Path, detector: ActionDetector, **more: object) -> Path:
    known: dict[str, object] = {"task": "detect", "roi": RoISettings(region=5, dilated=True)}
    info = ModelInfo(
        architecture="x3d_tiny",
        classes=NAMES,
        preprocess=detector.preprocess,
        init="scratch",
        **(known | more),  # type: ignore[arg-type]
    )
    save_model(folder, detector.net.state_dict(), info)
    return folder


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, ActionDetector]:
    """A folder as training leaves one, and what it holds."""
    size = replace(TINY.preprocess, short_side=80)
    detector = build_detector_on(TINY, 3, NAMES, 4, size, roi=RoISettings(region=5, dilated=True)).eval()
    return keep(tmp_path_factory.mktemp("kept"), detector), detector


@pytest.mark.parametrize("part", ["", "model.json", "model.safetensors"])
def test_a_detector_of_ours_is_loaded_as_it_was(part: str, kept: tuple[Path, ActionDetector]) -> None:
    folder, detector = kept
    loaded = load_detector(str(folder / part))
    with torch.no_grad():
        assert torch.equal(loaded.detector(clips(), BOXES), detector(clips(), BOXES))
    assert (loaded.architecture, loaded.detector.classes, loaded.card.name) == ("x3d_tiny", NAMES, "x3d_tiny")
    assert loaded.detector.preprocess.short_side == 80
    assert not loaded.detector.training
    assert loaded.weights == str(folder / "model.safetensors")
    assert task_of(str(folder / part)) == "detect"


def test_a_folder_says_how_regions_are_taken(kept: tuple[Path, ActionDetector]) -> None:
    document = json.loads((kept[0] / "model.json").read_text())
    assert document["roi"] == {"region": 5, "aligned": True, "dropout": 0.5, "dilated": True}


def test_classifiers_and_detectors_are_told_apart(kept: tuple[Path, ActionDetector], small_model: Path) -> None:
    with pytest.raises(InputError, match="is no action detector: it finds the class of a clip") as caught:
        load_detector(str(small_model))
    assert "--task detect" in str(caught.value.remedy)
    with pytest.raises(InputError, match="is no classifier of clips: it finds actions of persons in boxes"):
        load_model(str(kept[0]))
    with pytest.raises(InputError, match="--weights goes with a catalogue name"):
        load_detector(str(kept[0]), weights="random")
    with pytest.raises(InputError, match="no such model file or run folder"):
        load_detector("nowhere/run")
    assert task_of(str(small_model)) == "classify"
    assert (task_of("slow_r50_detection"), task_of("nowhere/run")) == ("detect", "classify")


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"roi": None}, "roi: Field required, as this is a detector"),
        ({"task": ""}, "roi: there are no boxes"),
        ({"roi": RoISettings(region=0)}, r"roi\.region: Input should be greater than or equal to 1"),
        ({"roi": RoISettings(dropout=1.0)}, r"roi\.dropout: Input should be less than 1"),
    ],
)
def test_a_folder_that_could_not_be_read_is_not_written(
    more: dict[str, object], message: str, tmp_path: Path, kept: tuple[Path, ActionDetector]
) -> None:
    with pytest.raises(InputError, match=message):
        keep(tmp_path / "run", kept[1], **more)
    assert not (tmp_path / "run").exists()


def test_a_folder_without_one_of_the_settings_is_refused(tmp_path: Path, kept: tuple[Path, ActionDetector]) -> None:
    folder = keep(tmp_path, kept[1])
    document = json.loads((folder / "model.json").read_text())
    del document["roi"]["aligned"]
    (folder / "model.json").write_text(json.dumps(document))
    with pytest.raises(InputError, match=r"roi\.aligned: Field required"):
        load_detector(str(folder))
