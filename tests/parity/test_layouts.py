"""The networks of the catalogue have exactly the tensors that the published files hold."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from vidbench.model.card import ModelCard
from vidbench.model.remap import from_vidbench, own_dialect, to_vidbench
from vidbench.model.zoo import MODELS

LAYOUTS = Path(__file__).parent / "layouts"
BUILDERS = ("pytorchvideo", "pytorchvideo015", "torchvision")
# the folder also holds layouts of the same networks in other programs' names
FILES = {
    name: path
    for path in sorted(LAYOUTS.glob("*.json"))
    for source, _, name in [path.stem.partition("__")]
    if source in BUILDERS and name in MODELS
}
# networks that PySlowFast alone has published: its layout, whose names are mapped
MAPPED = {
    "c2d_nopool_r50": "c2d_nopool_8x8_r50",
    "i3d_nln_r50": "i3d_nln_8x8_r50",
    "mvit_v1_b24": "mvit_b24_32x3",
    "mvit_v2_b": "mvitv2_b_32x3",
    "mvit_v2_l": "mvitv2_l_40x3",
    "slowfast_16x8_r50_ssv2": "ssv2_slowfast_16x8_r50",
    "slowfast_16x8_r50_charades": "charades_slowfast_16x8_r50",
    # both sizes of clip, and the one trained on AVA 2.1, have the same tensors
    "slowfast_32x2_r101_50_50_ava": "ava_slowfast_64x2_r101_50_50",
    "slowfast_64x2_r101_50_50_ava": "ava_slowfast_64x2_r101_50_50",
}
# the network of another model with as many outputs as its own set has classes
OTHER_HEADS = {
    "mvit_v1_b24_k600": "mvit_v1_b24",
    "mvit_v2_s_ssv2": "mvit_v2_s",
    "mvit_v2_b_ssv2": "mvit_v2_b",
    "mvit_v2_l_ssv2": "mvit_v2_l",
    "slow_r50_ssv2": "slow_r50",
    "slow_r50_charades": "slow_r50",
    "slowfast_r50_ssv2": "slowfast_r50",
    "slowfast_r50_charades": "slowfast_r50",
}
# the tensors of MViT that torchvision keeps without their leading dimensions of size one
TOKENS = ("cls_token", "pos_embed_spatial", "pos_embed_temporal", "pos_embed_class")
X3D = ("x3d_xs", "x3d_s", "x3d_m", "x3d_l")


def layout(name: str) -> dict[str, Any]:
    return json.loads(FILES[name].read_text())


def unfilled(card: ModelCard, num_classes: int) -> nn.Module:
    """The network without numbers in its tensors, which takes much less time."""
    if card.name.startswith("mvit_base"):
        # reads numbers of a tensor while it is built
        return card.build(num_classes)
    with torch.device("meta"):
        return card.build(num_classes)


def test_every_model_with_weights_has_a_layout() -> None:
    # networks of images come whole from libraries, which name their tensors
    cards = [MODELS.get(name) for name in MODELS.names()]
    published = {card.name for card in cards if card.published and card.published.data not in ("imagenet1k", "coco")}
    assert published == set(FILES) | set(MAPPED) | set(OTHER_HEADS)


@pytest.mark.parametrize("name", FILES)
def test_catalogue_network_has_the_published_layout(name: str) -> None:
    expected = layout(name)
    card = MODELS.get(name)
    net = unfilled(card, expected["num_classes"])

    held = [(key, list(tensor.shape)) for key, tensor in net.state_dict().items()]

    assert held == list(expected["keys"].items())
    assert len(held) == expected["num_keys"]
    parameters = sum(parameter.numel() for parameter in net.parameters())
    assert parameters == expected["params"]
    assert card.parameters_m == pytest.approx(parameters / 1e6, abs=0.0051)


@pytest.mark.parametrize("name", MAPPED)
def test_catalogue_network_has_pyslowfasts_layout(name: str) -> None:
    expected = json.loads((LAYOUTS / f"pyslowfast__{MAPPED[name]}.json").read_text())
    card = MODELS.get(name)
    net = unfilled(card, expected["num_classes"])
    theirs = {key: torch.empty(shape, device="meta") for key, shape in expected["keys"].items()}

    mapped = to_vidbench(theirs, name)
    back = from_vidbench(mapped, name, "pyslowfast")

    assert {key: value.shape for key, value in mapped.items()} == {
        key: value.shape for key, value in net.state_dict().items()
    }
    assert list(back) == list(theirs)
    assert all(back[key] is theirs[key] for key in theirs if key not in TOKENS)
    assert all(back[key].shape == theirs[key].shape for key in theirs)
    parameters = sum(parameter.numel() for parameter in net.parameters())
    assert parameters == expected["params"]
    assert card.parameters_m == pytest.approx(parameters / 1e6, abs=0.0051)


@pytest.mark.parametrize("name", OTHER_HEADS)
def test_another_head_changes_nothing_else(name: str) -> None:
    card, first = MODELS.get(name), MODELS.get(OTHER_HEADS[name])
    assert card.head == first.head
    assert own_dialect(name) == own_dialect(first.name)
    ours, theirs = (unfilled(one, one.num_classes) for one in (card, first))

    shapes = [{key: tuple(value.shape) for key, value in net.state_dict().items()} for net in (ours, theirs)]

    differ = {key for key, _ in shapes[0].items() ^ shapes[1].items()}
    assert differ == {f"{card.head}weight", f"{card.head}bias"}
    assert shapes[0][f"{card.head}bias"] == (card.num_classes,)
    parameters = sum(parameter.numel() for parameter in ours.parameters())
    assert card.parameters_m == pytest.approx(parameters / 1e6, abs=0.0051)


@pytest.mark.parametrize("name", [name for name in MODELS.names() if name.endswith("_attention")])
def test_attention_over_time_adds_its_tensors_alone(name: str) -> None:
    card, first = MODELS.get(name), MODELS.get(name.removesuffix("_attention"))
    ours, theirs = (unfilled(one, one.num_classes) for one in (card, first))
    shapes = [{key: tuple(value.shape) for key, value in net.state_dict().items()} for net in (ours, theirs)]

    added = shapes[0].keys() - shapes[1].keys()

    assert added == {f"attention.{part}.weight" for part in ("query", "key", "value", "out")}
    assert {key: shape for key, shape in shapes[0].items() if key not in added} == shapes[1]
    assert (card.head, card.preprocess) == (first.head, first.preprocess)
    parameters = sum(parameter.numel() for parameter in ours.parameters())
    assert card.parameters_m == pytest.approx(parameters / 1e6, abs=0.0051)


@pytest.mark.parametrize("name", X3D)
def test_installed_pytorchvideo_has_the_published_layout(name: str) -> None:
    from pytorchvideo.models import hub

    net = getattr(hub, name)(pretrained=False)

    held = [(key, list(tensor.shape)) for key, tensor in net.state_dict().items()]

    assert held == list(layout(name)["keys"].items())
