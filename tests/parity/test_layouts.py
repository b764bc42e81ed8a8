"""The networks of the catalogue have exactly the tensors that the published files hold."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from vidbench.model.zoo import MODELS

LAYOUTS = Path(__file__).parent / "layouts"
NAMES = ("x3d_xs", "x3d_s", "x3d_m", "x3d_l")


def layout(name: str) -> dict[str, Any]:
    return json.loads((LAYOUTS / f"pytorchvideo__{name}.json").read_text())


@pytest.mark.parametrize("name", NAMES)
def test_catalogue_network_has_the_published_layout(name: str) -> None:
    expected = layout(name)
    card = MODELS.get(name)
    net = card.build(expected["num_classes"])

    held = [(key, list(tensor.shape)) for key, tensor in net.state_dict().items()]

    assert held == list(expected["keys"].items())
    assert len(held) == expected["num_keys"]
    parameters = sum(parameter.numel() for parameter in net.parameters())
    assert parameters == expected["params"]
    assert card.parameters_m == pytest.approx(parameters / 1e6, abs=0.005)


@pytest.mark.parametrize("name", NAMES)
def test_installed_pytorchvideo_has_the_published_layout(name: str) -> None:
    from pytorchvideo.models import hub

    net = getattr(hub, name)(pretrained=False)

    held = [(key, list(tensor.shape)) for key, tensor in net.state_dict().items()]

    assert held == list(layout(name)["keys"].items())
