"""What every model of the catalogue must do; adding an entry adds its tests."""

import pytest
import torch

from vidbench.model.layout import fast_layout
from vidbench.model.resolve import build
from vidbench.model.views import Views
from vidbench.model.zoo import MODELS

NAMES = MODELS.names()


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
    if card.published:
        assert all(url.startswith("https://") and url.endswith(card.published.file) for url in card.published.urls)
        assert 0 < card.published.top1 < card.published.top5 <= 100
        assert Views.parse(card.published.views)


@pytest.mark.parametrize("name", NAMES)
def test_builds_with_any_head_and_gives_logits_and_gradients(name: str) -> None:
    card = MODELS.get(name)
    classifier = build(card, 11, (), seed=0).eval()
    if card.parameters_m:
        whole = sum(parameter.numel() for parameter in card.build(card.num_classes).parameters())
        assert whole / 1e6 == pytest.approx(card.parameters_m, abs=0.01)
    # the smallest clip that the head's pooling admits: its training crop, one clip
    clips = torch.rand(1, 3, card.preprocess.frames, card.preprocess.crop, card.preprocess.crop)
    model = fast_layout(classifier) if card.preprocess.crop > 200 else classifier
    point = clips.requires_grad_(True)
    logits = model(point)
    assert logits.shape == (1, 11)
    assert not torch.allclose(logits.exp().sum(), torch.ones(())), "probabilities instead of logits?"
    (gradient,) = torch.autograd.grad(logits[0, 3], point)
    assert bool(torch.isfinite(gradient).all())
    # every frame must matter, or the clip is sampled wrongly inside
    assert bool((gradient.abs().amax(dim=(0, 1, 3, 4)) > 0).all())


@pytest.mark.parametrize("name", NAMES)
def test_the_same_seed_gives_the_same_network(name: str) -> None:
    one, two, other = (build(MODELS.get(name), 3, (), seed=seed).net.state_dict() for seed in (5, 5, 6))
    assert all(torch.equal(one[key], two[key]) for key in one)
    assert any(not torch.equal(one[key], other[key]) for key in one)
