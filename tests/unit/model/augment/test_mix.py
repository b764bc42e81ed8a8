"""Mixing batches: the algebra of shares, rectangles and targets."""

import math

import pytest
import torch
from scipy.stats import beta as beta_law
from scipy.stats import kstest
from torchvision.transforms import v2

from vidbench.model.augment.mix import Mix, beta, blend, blend_targets, cut_box, draw_mix, smooth
from vidbench.model.augment.pipeline import BatchMix
from vidbench.model.augment.settings import AugmentSettings


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def batch(count: int = 4) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.rand(count, 3, 2, 12, 20, generator=seeded(9)), torch.arange(count) % 3


def test_off_is_one_hot_and_the_very_clips() -> None:
    clips, labels = batch()
    mixed, targets = BatchMix(AugmentSettings(), 3)(clips, labels, seeded())
    assert torch.equal(mixed, clips)
    assert torch.equal(targets, torch.nn.functional.one_hot(labels, 3).float())


def test_smoothing_alone_is_that_of_cross_entropy() -> None:
    clips, labels = batch()
    _, targets = BatchMix(AugmentSettings(smoothing=0.1), 3)(clips, labels, seeded())
    logits = torch.randn(4, 3, generator=seeded(1))
    expected = torch.nn.functional.cross_entropy(logits, labels, label_smoothing=0.1)
    assert torch.nn.functional.cross_entropy(logits, targets) == pytest.approx(float(expected), abs=1e-6)


@pytest.mark.parametrize("settings", [{"mixup": 0.8}, {"cutmix": 1.0}, {"mixup": 0.8, "cutmix": 1.0, "smoothing": 0.1}])
def test_targets_sum_to_one_and_values_stay_in_range(settings: dict[str, float]) -> None:
    mix = BatchMix(AugmentSettings.model_validate(settings), 7)
    clips, labels = batch(5)
    for seed in range(20):
        mixed, targets = mix(clips, labels, seeded(seed))
        assert mixed.shape == clips.shape
        assert 0 <= mixed.min() <= mixed.max() <= 1
        assert torch.allclose(targets.sum(1), torch.ones(5), atol=1e-6)
        assert targets.dtype == torch.float32


def test_mixup_is_the_weighted_mean_with_the_clip_before() -> None:
    clips, labels = batch()
    settings = AugmentSettings(mixup=0.8)
    mix = draw_mix(settings, 12, 20, seeded(3))
    assert mix.box is None
    assert 0 < mix.share < 1
    mixed, targets = BatchMix(settings, 3)(clips, labels, seeded(3))
    for row in range(4):
        expected = mix.share * clips[row] + (1 - mix.share) * clips[row - 1]
        assert torch.allclose(mixed[row], expected, atol=1e-6)
        assert targets[row, labels[row]] >= mix.share - 1e-6
        assert targets[row, labels[row - 1]] >= 1 - mix.share - 1e-6


def test_cutmix_weighs_by_the_area_that_is_left() -> None:
    clips = torch.stack([torch.full((3, 2, 12, 20), float(row)) for row in range(3)])
    labels = torch.arange(3)
    touched = 0
    for seed in range(40):
        mixed, targets = BatchMix(AugmentSettings(cutmix=1.0), 3)(clips, labels, seeded(seed))
        for row in range(3):
            own = (mixed[row] == row).float().mean()
            assert targets[row, row] == pytest.approx(float(own), abs=1e-6)
            assert targets[row, row - 1] == pytest.approx(1 - float(own), abs=1e-6)
            assert torch.equal(mixed[row, :, 0], mixed[row, :, 1]), "the rectangle goes through all frames"
            touched += own < 1
    assert touched > 100


def test_a_box_is_cut_off_at_the_frame() -> None:
    boxes = [cut_box(0.5, 12, 20, seeded(seed)) for seed in range(200)]
    for left, top, right, bottom in boxes:
        assert 0 <= left <= right <= 20
        assert 0 <= top <= bottom <= 12
    whole = 2 * int(0.5 * math.sqrt(0.5) * 12) * 2 * int(0.5 * math.sqrt(0.5) * 20)
    areas = {(right - left) * (bottom - top) for left, top, right, bottom in boxes}
    assert max(areas) == whole
    assert min(areas) < whole


@pytest.mark.parametrize("alpha", [0.2, 0.8, 1.0, 3.0])
def test_shares_follow_the_beta_law(alpha: float) -> None:
    generator = seeded(5)
    shares = [beta(alpha, generator) for _ in range(500)]
    assert kstest(shares, beta_law(alpha, alpha).cdf).pvalue > 0.01


def test_switch_and_probability() -> None:
    generator = seeded(1)
    settings = AugmentSettings(mixup=0.8, cutmix=1.0, mix_probability=0.7, mix_switch=0.25)
    draws = [draw_mix(settings, 12, 20, generator) for _ in range(2000)]
    cut = sum(mix.box is not None for mix in draws) / 2000
    plain = sum(mix == Mix(1.0) for mix in draws) / 2000
    assert cut == pytest.approx(0.7 * 0.25, abs=0.03)
    assert plain == pytest.approx(0.3, abs=0.04)


@pytest.mark.parametrize("kind", ["mixup", "cutmix"])
def test_same_as_torchvision_given_its_draw(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    clips, labels = batch()
    images = clips.flatten(1, 2)
    made = v2.MixUp(alpha=0.8, num_classes=3) if kind == "mixup" else v2.CutMix(alpha=1.0, num_classes=3)
    torch.manual_seed(2)
    params = made.make_params([images])
    monkeypatch.setattr(made, "make_params", lambda _: params)
    expected, wanted = made(images, labels)
    mix = Mix(params["lam"]) if kind == "mixup" else Mix(params["lam_adjusted"], params["box"])
    assert torch.allclose(blend(clips, mix).flatten(1, 2), expected, atol=1e-6)
    assert torch.allclose(blend_targets(smooth(labels, 3, 0.0), mix), wanted, atol=1e-6)


def test_a_batch_of_one_keeps_its_clip_and_label() -> None:
    clips, labels = batch(1)
    for seed in range(10):
        mixed, targets = BatchMix(AugmentSettings(mixup=0.8, cutmix=1.0), 3)(clips, labels, seeded(seed))
        assert torch.allclose(mixed, clips, atol=1e-6)
        assert torch.allclose(targets, smooth(labels, 3, 0.0), atol=1e-6)


def test_determined_by_the_generator_alone() -> None:
    clips, labels = batch()
    mix = BatchMix(AugmentSettings(mixup=0.8, cutmix=1.0, smoothing=0.1), 3)
    before = torch.get_rng_state()
    first = mix(clips, labels, seeded(4))
    second = mix(clips, labels, seeded(4))
    assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(one, two) for one, two in zip(first, second, strict=True))
    assert not torch.equal(mix(clips, labels, seeded(6))[0], first[0])


@pytest.mark.parametrize("labels", [[0, 3], [-1, 0]], ids=["above", "below"])
def test_labels_out_of_range(labels: list[int]) -> None:
    with pytest.raises(ValueError, match="with 3 classes"):
        BatchMix(AugmentSettings(), 3)(batch(2)[0], torch.tensor(labels), seeded())


def test_no_batch() -> None:
    clips, labels = batch(2)
    for wrong in ((clips[0], labels), (clips, labels[:1])):
        with pytest.raises(ValueError, match="are no batch"):
            BatchMix(AugmentSettings(), 3)(*wrong, seeded())


def test_several_labels_blend_row_by_row() -> None:
    clips, _ = batch(3)
    labels = torch.tensor([[1.0, 1, 0], [0, 0, 0], [0, 1, 1]])
    mixed, targets = BatchMix(AugmentSettings(mixup=0.8), 3)(clips, labels, seeded(3))
    share = draw_mix(AugmentSettings(mixup=0.8), clips.shape[3], clips.shape[4], seeded(3)).share
    assert 0 < share < 1
    assert torch.allclose(targets, share * labels + (1 - share) * labels.roll(1, 0))
    assert torch.equal(mixed, BatchMix(AugmentSettings(mixup=0.8), 3)(clips, torch.tensor([0, 1, 2]), seeded(3))[0])
    # a row of three clips and three classes is no row of labels
    assert torch.equal(BatchMix(AugmentSettings(), 3)(clips, labels, seeded())[1], labels)


def test_several_labels_are_smoothed_as_the_loss_does_it() -> None:
    from vidbench.model.train.objective import SeveralClasses

    clips, _ = batch(2)
    labels = torch.tensor([[1.0, 0, 1], [0, 0, 0]])
    settings = AugmentSettings(cutmix=1.0, smoothing=0.2)
    _, targets = BatchMix(settings, 3)(clips, labels, seeded(3))
    _, plain = BatchMix(settings.model_copy(update={"smoothing": 0.0}), 3)(clips, labels, seeded(3))
    assert torch.allclose(targets, plain * 0.8 + 0.1)
    logits = torch.randn(2, 3, generator=seeded(1))
    loss = SeveralClasses().loss
    assert torch.allclose(loss(logits, targets), loss(logits, plain, 0.2))
