"""What every model of the catalogue must do; adding an entry adds its tests."""

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from vidbench.formats.labels import table
from vidbench.model.card import ModelCard
from vidbench.model.classifier import Classifier
from vidbench.model.layout import fast_layout
from vidbench.model.protocol import RULES, Views
from vidbench.model.resolve import build
from vidbench.model.weights import files_of
from vidbench.model.zoo import MODELS

NAMES = MODELS.names()
# networks of another card with a head of another size, or with attention before it (tests/parity/test_layouts.py holds
# them to it), and those too large for a run on a CPU, which tests/parity/test_mvit.py runs without numbers
SAME = ("_ssv2", "_charades", "_k600", "_attention")
ALL_THE_SAME = ("slowfast_16x8_r50_ssv2", "resnet50_attention")
LARGE = ("mvit_v2_l",)
SLOW = (
    "mvit_v1_b24", "mvit_v2_b", "mvit_base_32x3", "mvit_base_16x4", "mvit_v1_b", "mvit_v2_s", "vit_b16", "swin3d_b",
    "swin3d_s", "slowfast_16x8_r101_50_50",
)  # fmt: skip
CLASSIFIERS = [
    pytest.param(name, marks=pytest.mark.slow) if name in SLOW else name
    for name in NAMES
    if MODELS.get(name).task in ("classify", "multilabel")
    and (not name.endswith(SAME) or name in ALL_THE_SAME)
    and name not in LARGE
]
# their position embedding, or their windows, fit one size only
FIXED = ("MViTv1", "MViTv2", "frame-wise ViT-B/16", "frame-wise Swin-S")
SIDE = 64
# of a clip for networks that look at each frame by itself: any number will do
FEW = 2


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """On small clips threads win little, and on a busy machine they wait for each other."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module", params=CLASSIFIERS)
def built(request: pytest.FixtureRequest) -> tuple[ModelCard, Classifier]:
    """Each network once, with 11 classes."""
    card = MODELS.get(request.param)
    return card, build(card, 11, (), seed=0).eval()


@pytest.mark.parametrize("name", NAMES)
def test_card_is_consistent(name: str) -> None:
    card = MODELS.get(name)
    assert card.name == name
    size = card.preprocess
    assert size.frames >= 1
    assert size.stride >= 1
    assert size.crop <= size.short_side
    assert size.crop <= size.wide
    assert min(size.std) > 0
    assert not card.labels or len(table(card.labels)) == card.num_classes
    for file in files_of(card):
        assert all(url.startswith("https://") for url in file.urls)
        if card.extra == "timm":
            assert all(url.endswith("/model.safetensors") for url in file.urls)
            assert file.file.endswith(".safetensors")
        figures = [figure for figure in (file.top1, file.top5, file.mean_ap) if figure is not None]
        assert figures
        assert all(0 < figure <= 100 for figure in figures)
        assert file.top1 is None or file.top5 is None or file.top1 < file.top5
        assert file.protocol in RULES
        if card.task in ("classify", "multilabel"):
            assert Views.parse(file.views)


def test_no_two_models_share_a_file() -> None:
    files = [card.published.file for card in map(MODELS.get, NAMES) if card.published]
    assert len(set(files)) == len(files)


def test_same_seed_same_network_and_the_heads_are_named(built: tuple[ModelCard, Classifier]) -> None:
    card, classifier = built
    ours, again = classifier.net.state_dict(), build(card, 11, (), seed=0).net.state_dict()
    assert all(torch.equal(ours[key], again[key]) for key in ours)
    other = unfilled(card, 5).state_dict()
    differ = {key for key in ours if ours[key].shape != other[key].shape}
    assert differ == {f"{card.head}weight", f"{card.head}bias"}
    assert {key for key in ours if key.startswith(card.head)} == differ


def unfilled(card: ModelCard, num_classes: int) -> nn.Module:
    """The network without numbers in its tensors, which takes much less time."""
    with torch.device("cpu" if card.name.startswith("mvit_base") else "meta"):
        return card.build(num_classes)


@pytest.mark.parametrize("name", ["x3d_tiny", "slow_r50", "mvit_v2_s", "resnet50_attention"])
def test_another_seed_is_another_network(name: str) -> None:
    first, second = (build(MODELS.get(name), 3, (), seed=seed).net.state_dict() for seed in (0, 1))
    assert sum(not torch.equal(first[key], second[key]) for key in first) > 10


def test_has_the_stated_number_of_parameters(built: tuple[ModelCard, Classifier]) -> None:
    card, classifier = built
    state = classifier.net.state_dict()
    per_class = state[f"{card.head}weight"][0].numel() + 1
    parameters = sum(parameter.numel() for parameter in classifier.net.parameters())
    whole = parameters + per_class * (card.num_classes - 11)
    assert whole / 1e6 == pytest.approx(card.parameters_m, abs=0.0051)


def test_gives_logits_and_gradients_in_both_layouts(built: tuple[ModelCard, Classifier]) -> None:
    """Last of those with `built`: it changes the network."""
    card, classifier = built
    classifier.requires_grad_(False)
    frames = FEW if card.family.startswith("frame-wise") else card.preprocess.frames
    clips = torch.rand(1, 3, frames, *small(card, classifier))
    _awake(classifier)
    fast = fast_layout(classifier)
    point = clips.clone().requires_grad_(True)
    logits = fast(point)

    assert logits.shape == (1, 11)
    assert float(logits.detach().std()) > 0
    assert not torch.allclose(logits.exp().sum(), torch.ones(()), atol=1e-3), "probabilities instead of logits?"
    # this one has the blocks of mvit_v2_s
    if card.name != "mvit_v1_b":
        expected = classifier(clips)
        largest = max(float(expected.abs().max()), 1e-3)
        assert torch.allclose(logits, expected, rtol=0, atol=1e-5 * largest)
    (gradient,) = torch.autograd.grad(logits[0, 3], point)
    assert bool(torch.isfinite(gradient).all())
    # every frame must matter, or the clip is sampled wrongly inside
    assert bool((gradient.abs().amax(dim=(0, 1, 3, 4)) > 0).all())


def small(card: ModelCard, classifier: Classifier) -> tuple[int, int]:
    """The smallest crop, once heads that pool a grid of fixed size pool one of 2 x 2."""
    if card.family in FIXED:
        return card.preprocess.crop, card.preprocess.crop
    for module in classifier.net.modules():
        if isinstance(module, nn.AvgPool3d) and isinstance(module.kernel_size, tuple) and module.kernel_size[1] > 2:
            module.kernel_size = (module.kernel_size[0], 2, 2)
    return SIDE, SIDE


def _awake(classifier: Classifier) -> None:
    """Normalisations as after training: fresh ones may begin at zero, or be an identity that hides a wrong fold."""
    generator = torch.Generator().manual_seed(0)

    def draw(like: Tensor, low: float, high: float) -> Tensor:
        return low + (high - low) * torch.rand(like.shape, generator=generator)

    for module in classifier.net.modules():
        if isinstance(module, nn.BatchNorm2d | nn.BatchNorm3d):
            state: Any = module
            state.weight.copy_(draw(state.weight, 0.5, 1.0))
            state.bias.copy_(draw(state.bias, -0.1, 0.1))
            state.running_mean.copy_(draw(state.running_mean, -0.1, 0.1))
            state.running_var.copy_(draw(state.running_var, 0.5, 1.5))


TORCHVISION = {
    "r3d_18": "R3D_18_Weights",
    "mc3_18": "MC3_18_Weights",
    "r2plus1d_18": "R2Plus1D_18_Weights",
    "s3d": "S3D_Weights",
    "mvit_v1_b": "MViT_V1_B_Weights",
    "mvit_v2_s": "MViT_V2_S_Weights",
    "swin3d_t": "Swin3D_T_Weights",
    "swin3d_s": "Swin3D_S_Weights",
    "swin3d_b": "Swin3D_B_Weights",
}


@pytest.mark.parametrize("name", TORCHVISION)
def test_torchvision_cards_say_what_torchvision_says(name: str) -> None:
    from torchvision.models import video

    weights = getattr(video, TORCHVISION[name]).KINETICS400_V1
    card, transforms = MODELS.get(name), weights.transforms()
    assert card.published is not None
    assert card.published.urls == (weights.url,)
    metrics = weights.meta["_metrics"]["Kinetics-400"]
    assert (card.published.top1, card.published.top5) == (metrics["acc@1"], metrics["acc@5"])
    assert weights.meta["num_params"] / 1e6 == pytest.approx(card.parameters_m, abs=0.0051)
    assert [card.preprocess.crop] * 2 == transforms.crop_size * (2 // len(transforms.crop_size))
    assert card.preprocess.short_side == transforms.resize_size[0]
    assert card.preprocess.mean == tuple(transforms.mean)
    assert card.preprocess.std == tuple(transforms.std)
    assert tuple(weights.meta["categories"]) == table(card.labels).names
