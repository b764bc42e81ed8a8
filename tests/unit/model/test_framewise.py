"""Frame-wise networks are timm's image networks, and their cards say what timm says."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional

from vidbench.errors import InputError, MissingError
from vidbench.model.cards.framewise import BACKBONES, FRAMEWISE, Backbone
from vidbench.model.checkpoint import load_strict, read_state
from vidbench.model.classifier import Classifier
from vidbench.model.framewise import (
    ATTENTION,
    BACKBONE,
    FrameWise,
    TemporalAttention,
    build_framewise,
    from_timm,
    image_network,
    to_timm,
)
from vidbench.model.layout import fast_layout, training_layout
from vidbench.model.zoo import MODELS

timm = pytest.importorskip("timm")

CLASSES = 7
# large ones; a small vision transformer stands for its kind in the quick run
LARGE = ("wide_resnet50_2", "vit_base_patch16_224", "swin_small_patch4_window7_224")
NETWORKS = [
    *(
        pytest.param(one.timm, marks=pytest.mark.slow) if one.timm in LARGE else pytest.param(one.timm)
        for one in BACKBONES
    ),
    pytest.param("vit_tiny_patch16_224"),
]


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def awake(network: nn.Module, side: int) -> nn.Module:
    """As after training: fresh normalisations and layer scales begin at nearly zero, which hides what they scale."""
    generator = torch.Generator().manual_seed(0)
    for name, value in network.state_dict().items():
        if value.ndim == 1 and value.is_floating_point() and "running" not in name:
            low, high = (-0.2, 0.2) if name.endswith("bias") else (0.5, 1.0)
            value.copy_(low + (high - low) * torch.rand(value.shape, generator=generator))
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    for norm in norms:
        # the statistics of the first batch, whole
        norm.momentum = 1.0
    if norms:
        with torch.no_grad():
            network.train()(torch.randn(4, 3, side, side, generator=generator))
    return network.eval()


def made(name: str) -> nn.Module:
    torch.manual_seed(0)
    return awake(image_network(name, CLASSES), side_of(name))


def side_of(name: str) -> int:
    # transformers take the size of their name only
    return 224 if name.endswith("_224") else 64


def clips_for(name: str, count: int = 2, frames: int = 3) -> Tensor:
    side = side_of(name)
    return torch.randn(count, 3, frames, side, side, generator=torch.Generator().manual_seed(1))


@pytest.fixture(scope="module")
def small() -> nn.Module:
    return made("densenet121")


@pytest.fixture(scope="module")
def attentive(small: nn.Module) -> FrameWise:
    torch.manual_seed(2)
    return FrameWise(small, "attention").eval()


# --- the same function -------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NETWORKS)
def test_one_frame_gives_what_the_image_network_gives(name: str) -> None:
    network = made(name)
    clips = clips_for(name, frames=1)
    classifier = FrameWise(network).eval()
    with torch.no_grad():
        expected = network(clips[:, :, 0])
        found = classifier(clips)
    assert found.shape == (2, CLASSES)
    assert float(expected.std()) > 0
    assert (expected[0] - expected[1]).abs().max() > 1e-3 * expected.abs().max(), "the output ignores the image"
    assert torch.equal(found, expected)

    # random networks magnify rounding, which differs between batches
    network.double()
    still = clips[:1].double()
    with torch.no_grad():
        once, often = network(still[:, :, 0]), classifier(still.expand(-1, -1, 2, -1, -1))
    assert torch.allclose(often, once, rtol=1e-6, atol=0)


def test_mean_is_taken_before_the_classifier(small: nn.Module) -> None:
    """With a linear classifier this is the mean of the frames' logits, up to rounding."""
    clips = clips_for("densenet121")
    with torch.no_grad():
        single = torch.stack([small(clips[:, :, at]) for at in range(3)])
        found = FrameWise(small)(clips)
    assert torch.allclose(found, single.mean(0), atol=1e-5 * float(single.abs().max()))
    assert not torch.allclose(found, single[0], atol=1e-3 * float(single.abs().max()))


def test_clips_do_not_mix_and_memory_order_does_not_matter(attentive: FrameWise) -> None:
    clips = clips_for("densenet121", count=3)
    with torch.no_grad():
        whole = attentive(clips)
        apart = torch.cat([attentive(clip[None]) for clip in clips])
        last = attentive(clips.contiguous(memory_format=torch.channels_last_3d))
    tolerance = 1e-5 * float(whole.abs().max())
    assert (whole[0] - whole[1]).abs().max() > 10 * tolerance
    assert torch.allclose(whole, apart, atol=tolerance)
    assert torch.allclose(whole, last, atol=tolerance)


@pytest.mark.parametrize("pooling", ["mean", "attention"])
def test_every_frame_gets_gradients(small: nn.Module, attentive: FrameWise, pooling: str) -> None:
    network = attentive if pooling == "attention" else FrameWise(small)
    clips = clips_for("densenet121").requires_grad_(True)
    loss = functional.cross_entropy(network(clips), torch.tensor([1, 2]))
    (gradient,) = torch.autograd.grad(loss, clips)
    assert gradient.shape == clips.shape
    assert bool(torch.isfinite(gradient).all())
    assert bool((gradient.abs().amax(dim=(1, 3, 4)) > 0).all())


@pytest.mark.parametrize("name", ["resnet50", "convnext_tiny"])
def test_fast_layout_is_the_same_function(name: str) -> None:
    preprocess = MODELS.get("resnet50").preprocess
    reference = Classifier(FrameWise(made(name)), preprocess, CLASSES).eval()
    clips = clips_for(name).sigmoid()
    # random weights magnify the rounding of 50 layers; in double precision only the function is left
    for dtype, most in ((torch.float64, 1e-10), (torch.float32, 1e-4)):
        fast = fast_layout(reference.to(dtype))
        with torch.no_grad():
            expected, found = reference(clips.to(dtype)), fast(clips.to(dtype))
        assert float(expected.std()) > 0
        assert torch.allclose(found, expected, rtol=0, atol=most * float(expected.abs().max()))
    kernels = [weight for weight in fast.parameters() if weight.ndim == 4 and min(weight.shape[1:]) > 1]
    assert kernels
    assert all(kernel.is_contiguous(memory_format=torch.channels_last) for kernel in kernels)
    names = list(reference.state_dict())
    assert list(training_layout(reference).state_dict()) == names


def test_moves_and_casts_still_work() -> None:
    network = FrameWise(nn.Sequential(nn.Conv2d(3, 4, 3), nn.Linear(4, 2)))
    assert {value.dtype for value in network.to(torch.float64).parameters()} == {torch.float64}
    assert {value.device.type for value in network.to("meta").parameters()} == {"meta"}
    with pytest.raises(TypeError):
        network.to("cpu", memory_format="nonsense")


@pytest.mark.parametrize("shape", [(2, 3, 64, 64), (2, 3, 0, 64, 64)])
def test_other_shapes_are_refused(small: nn.Module, shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"expected \(N, 3, T, H, W\)"):
        FrameWise(small)(torch.zeros(shape))


def test_other_poolings_are_refused(small: nn.Module) -> None:
    with pytest.raises(ValueError, match="none of mean, attention"):
        FrameWise(small, "max")  # type: ignore[arg-type]


# --- attention ---------------------------------------------------------------------------------------------


def test_attention_is_that_of_torch_plus_the_shortcut() -> None:
    torch.manual_seed(3)
    ours = TemporalAttention(32).eval()
    theirs = nn.MultiheadAttention(32, 8, bias=False, batch_first=True).eval()
    with torch.no_grad():
        theirs.in_proj_weight.copy_(torch.cat([ours.query.weight, ours.key.weight, ours.value.weight]))
        theirs.out_proj.weight.copy_(ours.out.weight)
        features = 3 * torch.randn(4, 5, 32)
        expected = features + theirs(features, features, features)[0]
        assert torch.allclose(ours(features), expected, atol=1e-5)
        assert (ours(features) - features).abs().max() > 0.1


def test_attention_ignores_the_order_and_sees_the_content(small: nn.Module, attentive: FrameWise) -> None:
    clips = clips_for("densenet121")
    changed = clips.clone()
    changed[:, :, 1] = changed[:, :, 1].flip(3) + 0.5
    with torch.no_grad():
        whole, shuffled = attentive(clips), attentive(clips[:, :, [2, 0, 1]])
        other, mean = attentive(changed), FrameWise(small)(clips)
    tolerance = 1e-5 * float(whole.abs().max())
    assert torch.allclose(whole, shuffled, atol=tolerance)
    assert (whole - other).abs().max() > 100 * tolerance
    assert (whole - mean).abs().max() > 100 * tolerance


def test_training_drops_and_evaluation_does_not() -> None:
    module, features = TemporalAttention(32), torch.randn(2, 4, 32)
    with torch.no_grad():
        assert torch.equal(module.eval()(features), module(features))
        assert not torch.equal(module.train()(features), module(features))


def test_a_width_that_is_no_multiple_of_the_heads_is_refused() -> None:
    with pytest.raises(ValueError, match="30 features do not divide into 8 heads"):
        TemporalAttention(30)


# --- files of timm -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
def test_files_of_timm_load_strictly(small: nn.Module, tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"weights{suffix}"
    state = small.state_dict()
    if suffix == ".pth":
        torch.save(state, path)
    else:
        save_file(state, path)
    network = build_framewise("densenet121", "mean", CLASSES).eval()
    report = load_strict(network, from_timm(read_state(path).tensors), source=str(path))
    assert report.loaded == len(state)
    clips = clips_for("densenet121", count=1, frames=1)
    with torch.no_grad():
        assert torch.equal(network(clips), small(clips[:, :, 0]))


def test_names_go_there_and_back(small: nn.Module, attentive: FrameWise) -> None:
    state = small.state_dict()
    ours = from_timm(state)
    assert ours.keys() == FrameWise(small).state_dict().keys()
    assert from_timm(ours) == ours
    back = to_timm(ours)
    assert list(back) == list(state)
    assert all(back[name] is state[name] for name in state)
    with pytest.raises(InputError, match=r"has a place for attention\.query\.weight"):
        to_timm(attentive.state_dict())


def test_what_swin_computes_by_itself_is_left_out() -> None:
    with torch.device("meta"):
        network = build_framewise("swin_small_patch4_window7_224", "mean", 1000)
    older = to_timm(network.state_dict())
    # as timm's published file lists them
    older["layers.0.blocks.0.attn.relative_position_index"] = torch.zeros(49, 49, dtype=torch.int64)
    older["layers.0.blocks.1.attn_mask"] = torch.zeros(64, 49, 49)
    assert from_timm(older).keys() == network.state_dict().keys()


def test_attention_is_missing_in_files_unless_it_may_stay_fresh(small: nn.Module) -> None:
    torch.manual_seed(4)
    network = build_framewise("densenet121", "attention", CLASSES)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    state = from_timm(small.state_dict())
    with pytest.raises(InputError, match=r"missing: attention\.query\.weight, attention\.key\.weight"):
        load_strict(network, state, source="file")
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    report = load_strict(network, state, source="file", allow_replaced_head=ATTENTION)
    assert report.replaced == tuple(f"attention.{name}.weight" for name in ("query", "key", "value", "out"))
    after = network.state_dict()
    assert all(torch.equal(after[name], before[name]) for name in report.replaced)
    assert all(torch.equal(after[name], value) for name, value in state.items())


def test_attention_and_another_number_of_classes_stay_fresh_together(small: nn.Module) -> None:
    state = from_timm(small.state_dict())
    network = build_framewise("densenet121", "attention", CLASSES + 4)
    fresh = {name: value.clone() for name, value in network.state_dict().items()}
    fronts = (ATTENTION, "backbone.classifier.")
    with pytest.raises(InputError, match=r"of another shape: backbone\.classifier\.weight"):
        load_strict(network, state, source="file", allow_replaced_head=ATTENTION)
    report = load_strict(network, state, source="file", allow_replaced_head=fronts)
    assert set(report.replaced) == {name for name in fresh if name.startswith(fronts)}
    assert report.loaded == len(state) - 2
    after = network.state_dict()
    assert all(torch.equal(after[name], fresh[name]) for name in report.replaced)
    # a part that fits is loaded, whatever becomes of the other
    same = build_framewise("densenet121", "attention", CLASSES)
    assert {name.split(".")[0] for name in load_strict(same, state, "file", fronts).replaced} == {"attention"}
    with pytest.raises(ValueError, match="begins with 'nothing'"):
        load_strict(same, state, "file", (ATTENTION, "nothing"))


# --- cards -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("backbone", BACKBONES, ids=lambda one: one.name)
def test_cards_say_what_timm_says(backbone: Backbone) -> None:
    config = timm.get_pretrained_cfg(f"{backbone.timm}.{backbone.tag}")
    card, other = MODELS.get(backbone.name), MODELS.get(f"{backbone.name}_attention")
    size, published = card.preprocess, card.published
    given = timm.data.resolve_data_config(pretrained_cfg=config.to_dict(), use_test_size=True)
    resize, crop = timm.data.create_transform(**given).transforms[:2]

    assert resize.size == size.short_side
    assert tuple(crop.size) == (size.crop, size.crop) == (size.wide, size.wide)
    assert given["interpolation"] == "bicubic"
    assert given["crop_mode"] == "center"
    assert (size.mean, size.std) == (tuple(config.mean), tuple(config.std))
    assert card.num_classes == config.num_classes == 1000
    assert card.head == f"{BACKBONE}{config.classifier}."
    assert published is not None
    assert published.urls == (f"https://huggingface.co/{config.hf_hub_id}/resolve/main/model.safetensors",)
    assert published.file == f"{config.hf_hub_id.removeprefix('timm/')}.safetensors"
    assert published.licence.casefold() == config.license
    assert published.data == "imagenet1k"
    assert (other.preprocess, other.head, other.extra, card.extra) == (size, card.head, "timm", "timm")
    assert other.published is None


@pytest.mark.parametrize("card", FRAMEWISE, ids=lambda one: one.name)
def test_cards_count_parameters_and_name_the_classifier(card: object) -> None:
    found = MODELS.get(card.name)  # type: ignore[attr-defined]
    with torch.device("meta"):
        network = found.build(found.num_classes)
    assert round(sum(one.numel() for one in network.parameters()) / 1e6, 2) == found.parameters_m
    state = network.state_dict()
    assert {name for name in state if name.startswith(found.head)} == {f"{found.head}weight", f"{found.head}bias"}
    assert len(state[f"{found.head}weight"]) == 1000
    assert any(name.startswith(ATTENTION) for name in state) == found.name.endswith("_attention")


def test_without_timm_building_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(MissingError, match="'timm'") as caught:
        MODELS.get("resnet50").build(5)
    assert caught.value.remedy == "pip install 'vidbench[timm]'"


def test_the_list_needs_neither_timm_nor_torch() -> None:
    code = (
        "import sys; sys.modules['timm'] = None; sys.modules['torch'] = None\n"
        "from vidbench.cli.app import main\n"
        "sys.exit(main(['model', 'list', '--json']))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert '"vit_b16_attention"' in done.stdout
