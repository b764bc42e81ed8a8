"""Examples near clips, and the losses that are made of them, by hand on networks of one layer."""

import copy
import math
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import replace
from itertools import pairwise

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from vidbench.errors import UsageError
from vidbench.model.card import Preprocess
from vidbench.model.classifier import Classifier
from vidbench.model.defences import defend
from vidbench.model.layout import training_layout
from vidbench.model.resolve import build
from vidbench.model.train.adversarial import OnExamples, SignRegularised, Trades, divergence, other_targets, rule_for
from vidbench.model.train.adversarial_settings import FULL, adversarial_from
from vidbench.model.train.ball import Ball, climb, gradient_of, quiet
from vidbench.model.train.batch import Batch
from vidbench.model.train.draws import Part, drawn_together
from vidbench.model.train.objective import OneClass, SeveralClasses
from vidbench.model.train.optimizers import train_mode
from vidbench.model.train.robust import RobustValidation
from vidbench.model.train.rule import Plain
from vidbench.model.train.settings import TrainSettings
from vidbench.model.train.update import Updater
from vidbench.model.zoo import MODELS

SHAPE = (3, 2, 4, 4)
PREPROCESS = Preprocess(frames=2, stride=1, short_side=4, crop=4, wide=4, mean=(0.0,) * 3, std=(1.0,) * 3)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def linear(seed: int = 0) -> Classifier:
    """Logits `W x + b` of three classes."""
    torch.manual_seed(seed)
    net = nn.Sequential(nn.Flatten(), nn.Linear(math.prod(SHAPE), 3))
    return Classifier(net, PREPROCESS, 3).train()


def some(count: int = 4, low: float = 0.3, high: float = 0.7) -> Batch:
    clips = low + (high - low) * torch.rand(count, *SHAPE, generator=generator(1))
    return Batch(clips, torch.arange(count) % 3)


def loss_of(rule: object, model: Classifier, batch: Batch, epoch: float = 9.0) -> tuple[Tensor, Tensor]:
    return rule(model, batch, OneClass(), 0.0, epoch, generator(5))  # type: ignore[operator]


def weights(model: Classifier) -> Tensor:
    return model.net[1].weight  # type: ignore[index, return-value]


def by_hand(model: Classifier, batch: Batch) -> Tensor:
    """The gradient of the summed cross-entropy: `W^T (softmax - onehot)`."""
    with torch.no_grad():
        wrong = torch.softmax(model(batch.clips), 1) - functional.one_hot(batch.targets, 3)
        return (wrong @ weights(model)).view_as(batch.clips)


def test_fgsm_is_the_sign_of_the_gradient_worked_out_by_hand() -> None:
    model, batch = linear(), some()
    expected = batch.clips + 8 / 255 * by_hand(model, batch).sign()
    loss, logits = loss_of(rule_for(adversarial_from("fgsm:start=0")), model, batch)
    assert torch.equal(logits, model(expected))
    assert loss.item() == pytest.approx(functional.cross_entropy(model(expected), batch.targets).item(), rel=1e-6)
    plain, _ = loss_of(Plain(), model, batch)
    assert loss.item() > plain.item()


def test_the_gradient_agrees_with_finite_differences() -> None:
    model, batch = linear(), some(2)
    gradient, _ = gradient_of(model, batch, batch.clips, lambda logits: functional.cross_entropy(logits, batch.targets))
    exact = copy.deepcopy(model).double()
    for place in ((0, 0, 0, 0, 0), (1, 2, 1, 3, 2), (0, 1, 1, 2, 3)):
        moved = []
        for sign in (1, -1):
            clips = batch.clips.double()
            clips[place] += sign * 1e-5
            moved.append(functional.cross_entropy(exact(clips), batch.targets).item())
        assert float(gradient[place]) == pytest.approx((moved[0] - moved[1]) / 2e-5, rel=1e-4)


def test_wong_s_step_starts_in_the_ball_and_is_projected() -> None:
    model, batch = linear(), some()
    settings = adversarial_from("fgsm:eps=4/255")
    assert settings.relative_step() == 1.25  # type: ignore[union-attr]
    ball = Ball("linf", 4 / 255)
    begin = ball.start(batch.clips, generator(5))
    gradient, _ = gradient_of(model, batch, begin, lambda logits: OneClass().loss(logits, batch.targets) * 4)
    stepped = begin - batch.clips + 5 / 255 * gradient.sign()
    expected = batch.clips + stepped.clamp(-4 / 255, 4 / 255)
    _, logits = loss_of(rule_for(settings), model, batch)
    torch.testing.assert_close(logits, model(expected), atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize("norm", ["linf", "l2"])
@pytest.mark.parametrize("eps", [0.0, 2 / 255, 0.3])
def test_examples_stay_in_the_ball_and_in_the_box(norm, eps) -> None:
    model, batch = linear(), some(low=0.0, high=1.0)
    ball = Ball(norm, eps)
    begin = ball.start(batch.clips, generator())
    made = climb(
        model, batch, ball, lambda logits: OneClass().loss(logits, batch.targets), begin=begin, steps=7, step=eps / 2
    )
    for clips in (begin, made):
        delta = (clips.double() - batch.clips.double()).flatten(1)
        size = delta.abs().amax(1) if norm == "linf" else delta.norm(dim=1)
        assert float(size.max()) <= eps + 1e-7
        assert 0.0 <= float(clips.min()) <= float(clips.max()) <= 1.0
    # the ball is used: nothing in the middle of the box keeps a linear network's examples from its edge
    middle = some()
    made = climb(model, middle, ball, lambda logits: OneClass().loss(logits, middle.targets), begin=middle.clips,
                 steps=8, step=eps / 4)  # fmt: skip
    delta = (made - middle.clips).flatten(1)
    size = delta.abs().amax(1) if norm == "linf" else delta.norm(dim=1)
    assert float(size.min()) == pytest.approx(min(eps, float(size.max())), abs=1e-6)
    assert eps == 0 or float(size.min()) > 0.9 * eps


@pytest.fixture(scope="module")
def video() -> tuple[Classifier, Batch]:
    torch.set_num_threads(1)
    model = training_layout(build(MODELS.get("x3d_tiny"), 4, (), seed=0))
    return model, Batch(torch.rand(3, 3, 8, 64, 64, generator=generator()), torch.tensor([0, 1, 2]))


@pytest.mark.parametrize("mode", ["eval", "train"])
@pytest.mark.parametrize("frozen", [False, True], ids=["bn", "frozen-bn"])
def test_making_examples_leaves_no_trace(video, mode, frozen) -> None:
    model, batch = copy.deepcopy(video[0]), video[1]
    train_mode(model, frozen)
    for parameter in model.parameters():
        parameter.grad = torch.full_like(parameter, 0.5)
    held = copy.deepcopy(model.state_dict())
    training = [module.training for module in model.modules()]
    drawn = torch.get_rng_state()
    with quiet(model, mode):
        gradient, _ = gradient_of(model, batch, batch.clips, lambda logits: logits.square().sum())
    assert float(gradient.abs().max()) > 0
    assert all(bool((parameter.grad == 0.5).all()) and parameter.requires_grad for parameter in model.parameters())
    assert all(torch.equal(held[name], tensor) for name, tensor in model.state_dict().items())
    assert [module.training for module in model.modules()] == training
    assert torch.equal(torch.get_rng_state(), drawn)


def test_the_modes_compute_with_other_statistics(video) -> None:
    model, batch = copy.deepcopy(video[0]), video[1]
    train_mode(model)
    seen = {}
    for mode in ("eval", "train"):
        with quiet(model, mode), torch.no_grad():
            seen[mode] = model(batch.clips)
    with torch.no_grad():
        assert torch.equal(seen["eval"], copy.deepcopy(model).eval()(batch.clips))
        assert not torch.allclose(seen["train"], seen["eval"], atol=1e-3)
        # x3d_tiny has no dropout: in training it computes this, and gathers statistics besides
        torch.testing.assert_close(seen["train"], copy.deepcopy(model)(batch.clips))


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize(
    "word", ["fgsm", "pgd:steps=2,clean=0.5", "pgd:norm=l2,eps=1,steps=2,mode=train", "trades:steps=2", "w4"]
)
def test_every_rule_trains_the_network(video, word, precision) -> None:
    asked = TrainSettings.model_validate({"adversarial": word, "precision": precision})
    model, batch = copy.deepcopy(video[0]), video[1]
    train_mode(model)
    before = copy.deepcopy(model.net.state_dict())
    one = Updater(model, asked, 0.01, "blocks.5.proj.", OneClass(), rule_for(asked.adversarial))
    one.begin(3)
    outcome = one.take(batch, batch.targets, 0.0, generator())
    assert one.apply(0.01)
    assert math.isfinite(outcome.loss)
    after = model.net.state_dict()
    moved = [name for name, _ in model.net.named_parameters() if not torch.equal(before[name], after[name])]
    assert {"blocks.0.conv.conv_t.weight", "blocks.5.proj.weight", "blocks.5.proj.bias"} <= set(moved)
    assert all(parameter.grad is not None for parameter in model.parameters())
    assert int(after["blocks.1.res_blocks.0.branch2.norm_a.num_batches_tracked"]) in (1, 2, 3)


def test_clean_share_mixes_the_losses() -> None:
    model, batch = linear(), some()
    under, _ = loss_of(rule_for(adversarial_from("fgsm:start=0")), model, batch)
    plain, _ = loss_of(Plain(), model, batch)
    mixed, _ = loss_of(rule_for(adversarial_from("fgsm:start=0,clean=0.25")), model, batch)
    assert mixed.item() == pytest.approx(0.25 * plain.item() + 0.75 * under.item(), rel=1e-6)


def test_the_radius_grows() -> None:
    rise = TrainSettings.model_validate({"adversarial": "pgd", "eps_warmup": "4"}).eps_warmup
    assert rise is not None
    assert [rise.share(at) for at in (0, 1, 2.5, 4, 9)] == [0, 0.25, 0.625, 1, 1]
    steps = TrainSettings.model_validate({"adversarial": "pgd", "eps_warmup": "0=0.25,2=0.5,4.5=1"}).eps_warmup
    assert steps is not None
    assert [steps.share(at) for at in (0, 1.9, 2, 4.4, 4.5, 30)] == [0.25, 0.25, 0.5, 0.5, 1, 1]
    assert FULL.share(0) == 1
    model, batch = linear(), some()
    rule = rule_for(adversarial_from("fgsm:start=0"), rise)
    expected = batch.clips + 2 / 255 * by_hand(model, batch).sign()
    assert loss_of(rule, model, batch, epoch=1.0)[0].item() == pytest.approx(
        functional.cross_entropy(model(expected), batch.targets).item(), rel=1e-6
    )


def test_trades_worked_out_by_hand() -> None:
    model, batch = linear(), some()
    rule = Trades(adversarial_from("trades:eps=8/255,steps=3,beta=4"), FULL)  # type: ignore[arg-type]
    loss, logits = loss_of(rule, model, batch)
    assert torch.equal(logits, model(batch.clips))
    # the examples by hand: the divergence's gradient is W^T (q - p), p being the answer to the clip
    noise = torch.stack([torch.randn(SHAPE, generator=drawing) for drawing in [generator(5)] for _ in range(4)])
    eps, step = 8 / 255, 2.5 / 3 * 8 / 255
    with torch.no_grad():
        still = torch.softmax(model(batch.clips), 1)
        at = batch.clips + (1e-3 * noise).clamp(-eps, eps)
        for _ in range(3):
            gradient = ((torch.softmax(model(at), 1) - still) @ weights(model)).view_as(at)
            at = batch.clips + (at + step * gradient.sign() - batch.clips).clamp(-eps, eps)
        moved = torch.log_softmax(model(at), 1)
        apart = (still * (still.log() - moved)).sum(1).mean()
        expected = functional.cross_entropy(model(batch.clips), batch.targets) + 4 * apart
    assert float(apart) > 1e-5
    assert loss.item() == pytest.approx(expected.item(), rel=1e-4)


def test_the_divergence_of_several_classes() -> None:
    moved, still = torch.tensor([[0.5, -2.0]]), torch.tensor([[1.0, -1.0]])
    p, q = torch.sigmoid(still.double()), torch.sigmoid(moved.double())
    expected = (p * (p / q).log() + (1 - p) * ((1 - p) / (1 - q)).log()).mean()
    assert float(divergence(moved, still, SeveralClasses())) == pytest.approx(expected.item(), rel=1e-5)
    assert float(divergence(still, still, SeveralClasses())) == 0
    assert float(divergence(still, still, OneClass())) == 0


def test_w4_worked_out_by_hand() -> None:
    model, batch = linear(), some()
    loss, _ = loss_of(SignRegularised(adversarial_from("w4:eps=0.02,weight=0.5"), FULL), model, batch)  # type: ignore[arg-type]
    drawing = generator(5)
    aims = (batch.targets + 1 + torch.randint(2, (4,), generator=drawing)) % 3
    assert not bool((aims == batch.targets).any())
    sign = by_hand(model, batch).sign()
    toward = by_hand(model, Batch(batch.clips, aims)).sign()
    both = torch.cat((batch.clips + 0.02 * sign, batch.clips - 0.02 * sign))
    expected = (
        functional.cross_entropy(model(batch.clips), batch.targets)
        + 0.5 * functional.cross_entropy(model(both), batch.targets.repeat(2))
        + 0.5 * functional.cross_entropy(model(batch.clips - 0.02 * toward), batch.targets)
    )
    assert loss.item() == pytest.approx(expected.item(), rel=1e-6)


def test_w4_draws_its_radius_from_the_published_values() -> None:
    rule = SignRegularised(adversarial_from("w4"), FULL)  # type: ignore[arg-type]
    values = torch.linspace(0.001, 0.08, 20)
    drawing = generator()
    drawn = {min(range(20), key=lambda at: abs(float(values[at]) - rule._draw(drawing))) for _ in range(400)}
    assert drawn == set(range(20))


def test_wrong_answers() -> None:
    shares = torch.tensor([[0.2, 0.8, 0.0], [0.6, 0.1, 0.3]])
    aims = torch.stack([other_targets(shares, 3, OneClass(), generator(at)) for at in range(40)])
    assert [sorted(set(column.tolist())) for column in aims.T] == [[0, 2], [1, 2]]
    labels = torch.tensor([[1.0, 0.0, 1.0], [0.0, 0.0, 0.0]])
    flipped = other_targets(labels, 3, SeveralClasses(), generator())
    assert (flipped != labels).sum(1).tolist() == [1, 1]


class Boxed(nn.Module):
    """The mean of each box's clip, times weights: enough of an action detector for rules."""

    num_classes = 2

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Linear(1, 2)
        self.device = torch.device("cpu")

    def forward(self, clips: Tensor, boxes: Tensor) -> Tensor:
        return self.net(clips.flatten(1).mean(1)[boxes[:, 0].long()][:, None])


@pytest.mark.parametrize("word", ["pgd:steps=2", "trades:steps=2", "w4"])
def test_boxes_are_asked_about_in_the_examples(word) -> None:
    torch.manual_seed(0)
    model = Boxed()
    boxes = torch.tensor([[0.0, 0, 0, 2, 2], [0, 1, 1, 3, 3], [1, 0, 0, 2, 2]])
    batch = Batch(some(2).clips, torch.tensor([[1.0, 0], [0, 0], [1, 1]]), boxes)
    loss, logits = rule_for(adversarial_from(word))(model, batch, SeveralClasses(), 0.0, 0.0, generator())  # type: ignore[arg-type]
    assert logits.shape == (3, 2)
    loss.backward()
    assert float(model.net.weight.grad.abs().sum()) > 0


def test_robust_validation_counts_what_withstands_every_iterate() -> None:
    model, batch = linear().eval(), some(4)
    with torch.no_grad():
        batch = Batch(batch.clips, model(batch.clips).argmax(1), numbers=(0, 1, 2, 3))
    attack = TrainSettings.model_validate({"robust_val": "pgd:eps=0.5,steps=5"}).validation_attack()
    assert attack is not None
    found = [
        RobustValidation(attack.model_copy(update={"eps": eps}), 3, 0).measure(model, [batch], OneClass())[
            "robust_top1"
        ]
        for eps in ("0", "0.5")
    ]
    assert found == [1.0, 0.0]
    half = replace(batch, targets=torch.where(torch.arange(4) < 1, batch.targets, (batch.targets + 1) % 3))
    measured = RobustValidation(attack.model_copy(update={"eps": "0"}), 3, 0).measure(model, [half], OneClass())
    assert measured["robust_top1"] == 0.25


RULES = ["fgsm", "pgd:norm=l2,eps=1,steps=2,clean=0.5", "trades:steps=2", "w4"]


@pytest.mark.parametrize("word", RULES)
@pytest.mark.parametrize("kind", ["clips", "defended", "boxes"])
def test_parts_of_a_batch_draw_as_the_whole(word, kind) -> None:
    """Their losses, weighed by their things, are that of the whole batch; a clip that stands in leaves draws alike."""
    torch.manual_seed(0)
    objective = SeveralClasses() if kind == "boxes" else OneClass()
    model = {"clips": linear, "defended": lambda: defend(linear(), "drop:0.5").train(), "boxes": Boxed}[kind]()
    batch = some(5)
    if kind == "boxes":
        owners = torch.tensor([0.0, 0, 1, 2, 2, 2, 3, 4])
        targets = (torch.rand(8, 2, generator=generator()) < 0.5).float()
        batch = Batch(batch.clips, targets, torch.cat((owners[:, None], torch.zeros(8, 4)), dim=1))
    rule = rule_for(adversarial_from(word))

    def asked(part: Batch, own: Sequence[Part]) -> tuple[float, list[Tensor]]:
        torch.manual_seed(7)
        drawing = generator(5)
        with drawn_together(own) if own else nullcontext():
            loss, _ = rule(model, part, objective, 0.0, 0.0, drawing)
        return float(loss.detach()), [torch.get_rng_state(), drawing.get_state()]

    whole, state = asked(batch, [])
    total, places = 0.0, (0, 3, 4, 5)
    for first, last in pairwise(places):
        part, before = stretch(batch, first, last)
        own = [Part(last - first, first, 5), Part(part.things, before, batch.things)]
        loss, left = asked(part, own)
        total += loss * part.things / batch.things
        assert all(torch.equal(one, two) for one, two in zip(left, state, strict=True))
    assert total == pytest.approx(whole, abs=1e-6)
    lent, _ = stretch(batch, 0, 1)
    _, left = asked(lent, [Part(1, 0, 5), Part(lent.things, 0, batch.things)])
    assert all(torch.equal(one, two) for one, two in zip(left, state, strict=True))


def stretch(batch: Batch, first: int, last: int) -> tuple[Batch, int]:
    """The clips from `first` to `last`, and how many things stand before theirs."""
    if batch.boxes is None:
        return Batch(batch.clips[first:last], batch.targets[first:last]), first
    owners = batch.boxes[:, 0]
    kept = (owners >= first) & (owners < last)
    boxes = batch.boxes[kept]
    boxes[:, 0] -= first
    return Batch(batch.clips[first:last], batch.targets[kept], boxes), int((owners < first).sum())


def test_validation_attacks_a_clip_alike_in_every_batch() -> None:
    """From its own start and behind its own draws of a defence, wherever its batch begins."""
    model = defend(copy.deepcopy(linear()), "drop:0.5").eval()
    clips = some(5).clips
    attack = TrainSettings.model_validate({"robust_val": "pgd:eps=4/255,steps=2"}).validation_attack()
    assert attack is not None
    seen: dict[tuple[int, ...], Tensor] = {}
    for sizes in ((5,), (2, 3), (1, 1, 1, 2)):
        kept: list[Tensor] = []
        hook = model.inner.register_forward_hook(lambda _, shown, __, kept=kept: kept.append(shown[0].detach()))
        at = 0
        for size in sizes:
            own = tuple(range(at, at + size))
            batch = Batch(clips[at : at + size], torch.zeros(size, dtype=torch.int64), numbers=own)
            before = torch.get_rng_state()
            RobustValidation(attack, 5, 3).measure(model, [batch], OneClass())
            assert torch.equal(torch.get_rng_state(), before)
            at += size
        hook.remove()
        # the clips, the start, the iterate in between and the last one
        assert len(kept) == 4 * len(sizes)
        seen[sizes] = torch.cat([torch.stack(kept[4 * part : 4 * part + 4], 1) for part in range(len(sizes))])
    whole = seen[(5,)]
    assert not torch.equal(whole[:, 0], clips)
    assert not torch.equal(whole[0, 1] - whole[0, 0], whole[1, 1] - whole[1, 0])
    for other in seen.values():
        torch.testing.assert_close(other, whole, atol=1e-6, rtol=0)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"adversarial": "pdg"}, "no adversarial training is called 'pdg'"),
        ({"adversarial": "pgd:beta=3"}, "pgd has no setting 'beta'"),
        ({"adversarial": "pgd:eps=8"}, "above 1"),
        ({"adversarial": "pgd:steps=0"}, "pgd: steps '0'"),
        ({"adversarial": "fgsm:eps"}, "is no SETTING=VALUE"),
        ({"adversarial": "trades:eps=1/0"}, "is not a number"),
        ({"adversarial": "pgd", "eps_warmup": "1=0.5"}, "neither a number of epochs"),
        ({"adversarial": "pgd", "eps_warmup": "0=0.5,2=1.5"}, "neither a number of epochs"),
        ({"robust_val": "fgsm"}, "only pgd attacks in validation"),
        ({"defence": "resize-pat"}, "resize-pat"),
    ],
    ids=lambda value: str(sorted(value)) if isinstance(value, dict) else "",
)
def test_settings_that_cannot_be(values, message) -> None:
    with pytest.raises(UsageError, match=message.replace("(", r"\(")):
        TrainSettings.model_validate(values)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"eps_warmup": "3"}, "only --adversarial"),
        ({"best": "robust"}, "nothing is attacked"),
        ({"adversarial": "pgd", "robust_val": "none", "best": "robust"}, "nothing is attacked"),
        ({"adversarial": "pgd", "eps_warmup": "-1"}, "neither a number|greater than or equal"),
    ],
    ids=lambda value: str(sorted(value)) if isinstance(value, dict) else "",
)
def test_settings_that_contradict_each_other(values, message) -> None:
    with pytest.raises((ValueError, UsageError), match=message):
        TrainSettings.model_validate(values)


def test_settings_survive_the_record_of_a_run() -> None:
    asked = TrainSettings.model_validate(
        {"adversarial": "pgd:eps=4/255,steps=3", "eps_warmup": "0=0.5,2=1", "robust_val": "pgd:eps=2/255"}
    )
    assert TrainSettings.model_validate(asked.model_dump(mode="json")) == asked
    assert isinstance(rule_for(asked.adversarial), OnExamples)
    usual = TrainSettings.model_validate({"adversarial": "trades:norm=l2,eps=3"}).validation_attack()
    assert usual is not None
    assert (usual.norm, usual.eps, usual.steps) == ("l2", "3", 10)
