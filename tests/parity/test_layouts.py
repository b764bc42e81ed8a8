"""The networks of the catalogue have exactly the tensors that the published files hold."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from vidbench.model.card import ModelCard
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
    assert {name for name in MODELS.names() if MODELS.get(name).published} == set(FILES)


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


@pytest.mark.parametrize("name", X3D)
def test_installed_pytorchvideo_has_the_published_layout(name: str) -> None:
    from pytorchvideo.models import hub

    net = getattr(hub, name)(pretrained=False)

    held = [(key, list(tensor.shape)) for key, tensor in net.state_dict().items()]

    assert held == list(layout(name)["keys"].items())
