"""One optimizer step, however it is computed."""

import copy

import pytest
import torch
from torch import Tensor

from vidbench.errors import InputError
from vidbench.model.classifier import Classifier
from vidbench.model.layout import training_layout
from vidbench.model.resolve import build
from vidbench.model.train.batch import Batch
from vidbench.model.train.objective import OneClass
from vidbench.model.train.optimizers import train_mode
from vidbench.model.train.recompute import recompute_blocks
from vidbench.model.train.rule import Plain
from vidbench.model.train.settings import TrainSettings
from vidbench.model.train.update import Outcome, Updater
from vidbench.model.zoo import MODELS


@pytest.fixture(scope="module")
def classifier() -> Classifier:
    torch.set_num_threads(1)
    return training_layout(build(MODELS.get("x3d_tiny"), 4, (), seed=0))


@pytest.fixture(scope="module")
def batch() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    return torch.rand(6, 3, 8, 64, 64, generator=generator), torch.tensor([0, 1, 2, 3, 0, 1])


def updater(classifier: Classifier, **settings: object) -> Updater:
    asked = TrainSettings.model_validate({"optimizer": "sgd", **settings})
    model = copy.deepcopy(classifier)
    train_mode(model, asked.freeze_bn)
    return Updater(model, asked, 0.1, "blocks.5.proj.", OneClass(), Plain())


def take(one: Updater, clips: Tensor, labels: Tensor, targets: Tensor | None = None) -> Outcome:
    batch = Batch(clips, labels if targets is None else targets)
    return one.take(batch, labels, 0.0, torch.Generator())


def step(one: Updater, batch: tuple[Tensor, Tensor], sizes: list[int], planned: int = 0) -> float:
    one.begin(planned or sum(sizes))
    total = 0.0
    for clips, labels in zip(*(part[: sum(sizes)].split(sizes) for part in batch), strict=True):
        total += take(one, clips, labels).loss * len(clips)
    assert one.apply(0.1)
    return total / sum(sizes)


def difference(one: Updater, two: Updater) -> float:
    pairs = zip(one.model.net.state_dict().values(), two.model.net.state_dict().values(), strict=True)
    return max(float((a.double() - b.double()).abs().max()) for a, b in pairs)


@pytest.mark.parametrize("sizes", [[3, 3], [4, 2], [1, 1, 1, 1, 1, 1]], ids=str)
def test_accumulated_batches_make_the_step_of_the_large_batch(classifier, batch, sizes) -> None:
    large, small = (updater(classifier, freeze_bn=True) for _ in range(2))
    assert step(large, batch, [6]) == pytest.approx(step(small, batch, sizes), abs=1e-6)
    assert difference(large, small) < 1e-6
    assert difference(large, updater(classifier)) > 1e-4


def test_clips_that_cannot_be_read_do_not_shrink_the_step(classifier, batch) -> None:
    asked, read = (updater(classifier, freeze_bn=True) for _ in range(2))
    step(asked, batch, [2, 1], planned=6)
    step(read, batch, [3])
    assert difference(asked, read) < 1e-6


def test_clipping(classifier, batch) -> None:
    norms = []
    for limit in (0.0, 1e-3):
        one = updater(classifier, clip_norm=limit, freeze_bn=True)
        step(one, batch, [6])
        norms.append(float(torch.stack([p.grad.norm() for p in one.trained if p.grad is not None]).norm()))
    assert norms[0] > 0.01
    assert norms[1] == pytest.approx(1e-3, rel=1e-3)


def test_recomputed_blocks_give_the_same_step_to_the_last_bit(classifier, batch) -> None:
    plain, saving = updater(classifier), updater(classifier)
    assert recompute_blocks(saving.model.net) == 7
    for _ in range(2):
        assert step(plain, batch, [6]) == step(saving, batch, [6])
    assert difference(plain, saving) == 0


def test_recomputing_keeps_less(classifier, batch) -> None:
    kept = []
    for recompute in (False, True):
        one = updater(classifier)
        if recompute:
            recompute_blocks(one.model.net)
        sizes: list[int] = []
        with torch.autograd.graph.saved_tensors_hooks(lambda t, s=sizes: (s.append(t.nbytes), t)[1], lambda t: t):
            one.model(batch[0])
        kept.append(sum(sizes))
    assert kept[1] < 0.5 * kept[0]


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_low_precision_goes_the_same_way(classifier, batch, precision) -> None:
    full, low = updater(classifier), updater(classifier, precision=precision)
    losses = [step(one, batch, [6]) for one in (full, low)]
    assert losses[0] != losses[1]
    assert losses[0] == pytest.approx(losses[1], abs=0.02)
    start = classifier.state_dict()
    moves = [
        torch.cat([(p.detach() - start[name]).flatten() for name, p in one.model.named_parameters()])
        for one in (full, low)
    ]
    assert float(torch.cosine_similarity(*moves, dim=0)) > 0.9
    assert all(parameter.dtype == torch.float32 for parameter in low.trained)


def test_an_overflow_of_float16_leaves_the_weights_and_lowers_the_scale(classifier, batch) -> None:
    one = updater(classifier, precision="fp16", ema=0.9)
    assert one.precision.scaler is not None
    one.begin(6)
    take(one, *batch)
    one.trained[0].grad.fill_(float("inf"))
    scale = one.precision.scaler.get_scale()
    before = [parameter.detach().clone() for parameter in one.trained]
    assert not one.apply(0.1)
    assert all(torch.equal(a, b) for a, b in zip(before, one.trained, strict=True))
    assert one.precision.scaler.get_scale() < scale
    assert one.ema is not None
    assert one.ema.updates == 0


def test_an_infinite_loss_leaves_no_gradient(classifier, batch) -> None:
    one = updater(classifier)
    one.begin(6)
    outcome = take(one, batch[0] * float("nan"), batch[1])
    assert outcome.loss != outcome.loss
    assert all(parameter.grad is None for parameter in one.trained)


def test_one_value_per_channel_is_said(classifier) -> None:
    from torch import nn

    net = nn.Sequential(nn.AdaptiveAvgPool3d(1), nn.BatchNorm3d(3), nn.Flatten(), nn.Linear(3, 2))
    model = Classifier(net, classifier.preprocess, 2).train()
    one = Updater(model, TrainSettings.model_validate({}), 0.1, "", OneClass(), Plain())
    one.begin(1)
    with pytest.raises(InputError, match="a batch of 1 is too small"):
        take(one, torch.rand(1, 3, 2, 4, 4), torch.tensor([0]))


def test_soft_targets_of_one_class_are_that_class(classifier, batch) -> None:
    one = updater(classifier)
    one.begin(6)
    hard = take(one, *batch).loss
    one = updater(classifier)
    one.begin(6)
    assert take(one, *batch, torch.eye(4)[batch[1]]).loss == pytest.approx(hard, abs=1e-6)
