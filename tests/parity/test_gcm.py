"""Gradient concealment looks robust to attacks by its gradient, and is not: the counts of published attacks."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from vidbench.attack.algorithms.pgd import Fgsm, Pgd
from vidbench.attack.goal import Goal
from vidbench.attack.losses import cross_entropy
from vidbench.attack.method import Batch
from vidbench.attack.target import Target
from vidbench.attack.threat import Budget
from vidbench.model.card import Preprocess
from vidbench.model.classifier import Classifier
from vidbench.model.defences import Defended, defend, near_identity_modules, with_identity_backward

HERE = Path(__file__).parent / "attacks"
GOLDEN = json.loads((HERE / "gcm.json").read_text())
ROBUST = GOLDEN["robust_of_48"]
CLIPS = np.load(HERE / "clips.npz")
SIZE = Preprocess(4, 1, 16, 16, 16, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
PGD_20 = {"steps": 20, "step": "2/255", "random_start": False}


@pytest.fixture(scope="module")
def hidden(net: nn.Module) -> Defended:
    return defend(Classifier(net, SIZE, 5).eval(), "gcm")


def attacked(method: Fgsm | Pgd, by: nn.Module, eps: float = 8 / 255, **settings: object) -> Tensor:
    clips, labels = torch.from_numpy(CLIPS["x"]), torch.from_numpy(CLIPS["y"])
    batch = Batch(clips, Goal(labels), [str(row) for row in range(48)], width=16)
    budget = Budget("linf", eps)
    outcome = method.run(Target(by, 5), batch, budget, method.settings.model_validate(settings))
    budget.audit(clips, outcome.clips)
    return outcome.clips


def robust(judge: nn.Module, clips: Tensor) -> int:
    with torch.no_grad():
        return int((judge(clips).argmax(1) == torch.from_numpy(CLIPS["y"])).sum())


def test_clean_clips_are_as_without(hidden: Defended) -> None:
    clips = torch.from_numpy(CLIPS["x"])
    with torch.no_grad():
        change = (hidden(clips) - hidden.undefended(clips)).abs().max()
    assert robust(hidden, clips) == robust(hidden.undefended, clips) == GOLDEN["clean"]["gcm"] == 47
    assert float(change) <= 2 * GOLDEN["clean"]["max_abs_logit_change"]
    assert float((hidden.defences[0](clips) - clips).abs().max()) <= GOLDEN["clean"]["max_abs_input_change"]


def test_the_gradient_is_useless_and_with_the_identity_backward_the_plain_one(hidden: Defended) -> None:
    clips, labels = torch.from_numpy(CLIPS["x"]), torch.from_numpy(CLIPS["y"])
    plain, through, passed = (
        Target(one, 5).ascend(clips, lambda logits: cross_entropy(logits, labels)).gradient
        for one in (hidden.undefended, hidden, hidden.identity_backward())
    )
    ratio = float(through.norm() / plain.norm())
    assert 1e11 < ratio < 1e13
    signs = float((through.sign() == plain.sign()).double().mean())
    assert signs == pytest.approx(GOLDEN["gradient"]["sign_agreement"], abs=0.05)
    # the logits differ by 4e-6, and the gradients likewise
    assert torch.allclose(passed, plain, rtol=1e-3, atol=1e-6)
    assert float((passed.sign() == plain.sign()).double().mean()) > 0.999


def test_one_step(hidden: Defended) -> None:
    assert robust(hidden, attacked(Fgsm(), hidden)) == pytest.approx(ROBUST["fgsm"]["gcm"], abs=2)
    assert robust(hidden, attacked(Fgsm(), hidden.undefended)) == ROBUST["fgsm"]["plain"] == 22


def test_twenty_steps(hidden: Defended) -> None:
    assert robust(hidden, attacked(Pgd(), hidden, **PGD_20)) == pytest.approx(ROBUST["pgd20"]["gcm"], abs=2)
    plain = attacked(Pgd(), hidden.undefended, **PGD_20)
    assert robust(hidden.undefended, plain) == ROBUST["pgd20"]["plain"] == 12
    assert robust(hidden, plain) == ROBUST["pgd20_transfer_from_plain"]["gcm"] == 12
    passed = attacked(Pgd(), hidden.identity_backward(), **PGD_20)
    assert robust(hidden, passed) == ROBUST["pgd20_identity_backward"]["gcm"] == 12
    assert float((passed == plain).double().mean()) >= 0.999


def test_any_perturbation_at_all(hidden: Defended) -> None:
    settings = {"steps": 100, "step": "0.05", "random_start": False}
    wanted = ROBUST["pgd100_unbounded"]
    assert robust(hidden, attacked(Pgd(), hidden, 1.0, **settings)) == pytest.approx(wanted["gcm"], abs=4)
    passed = attacked(Pgd(), hidden.identity_backward(), 1.0, **settings)
    assert robust(hidden, passed) == ROBUST["pgd100_unbounded_identity_backward"]["gcm"] == 0


def test_it_is_found_and_passed_without_being_known(hidden: Defended) -> None:
    clips = torch.from_numpy(CLIPS["x"])[:4]
    (found,) = near_identity_modules(hidden, clips)
    assert found.path == "defences.0"
    assert abs(found.trust) < 1e-9
    mended = with_identity_backward(hidden, [found.path])
    assert robust(hidden, attacked(Pgd(), mended, **PGD_20)) == 12
