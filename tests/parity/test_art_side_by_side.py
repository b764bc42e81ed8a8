"""Our FGSM, PGD and MI-FGSM beside the Adversarial Robustness Toolbox's, run here: the same clips."""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from vidbench.attack.algorithms.pgd import Fgsm, MomentumFgsm, Pgd, PgdL1Argmax
from vidbench.attack.art_bridge import art_method
from vidbench.attack.goal import Goal
from vidbench.attack.method import Batch, Method, Outcome
from vidbench.attack.methods import parse_settings
from vidbench.attack.support import Support
from vidbench.attack.target import Target
from vidbench.attack.threat import Budget
from vidbench.model.resolve import build
from vidbench.model.zoo import MODELS

CLIPS = np.load(Path(__file__).parent / "attacks" / "clips.npz")
LAST = {"steps": "10", "random_start": "false", "keep": "last"}
Case = tuple[Callable[[Tensor], Tensor], Tensor, Tensor]


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Iterator[None]:
    """The order of sums is the same for both."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def toy(net: nn.Module) -> Case:
    return net, torch.from_numpy(CLIPS["x"][:32]), torch.from_numpy(CLIPS["y"][:32])


@pytest.fixture(scope="module")
def x3d() -> Case:
    """A small X3D with random weights, and clips labelled by its own answers."""
    classifier = build(MODELS.get("x3d_tiny"), 5, (), seed=0).eval().requires_grad_(False)
    clips = torch.rand(16, 3, 8, 64, 64, generator=torch.Generator().manual_seed(0))
    return classifier.logits, clips, classifier.logits(clips).argmax(1)


def both(
    case: Case, method: Method, norm: str, eps: float, given: dict[str, str], *, width: int,
    targeted: bool = False, support: str = "all",
) -> tuple[Outcome, Outcome, Goal]:  # fmt: skip
    """The native outcome, the toolbox's with the same settings, and the goal."""
    logits, clips, labels = case
    goal = Goal((labels + 1) % 5, True) if targeted else Goal(labels)
    batch = Batch(clips, goal, [str(number) for number in range(len(clips))], 3, width)
    budget = Budget(norm, eps, Support.parse(support, tuple(clips.shape[1:])))
    settings = parse_settings(method, given)
    target = Target(logits, 5)
    native = method.run(target, batch, budget, settings)
    return native, art_method(method.name).run(target, batch, budget, settings), goal


CASES = {
    "fgsm linf": (Fgsm(), "linf", 8 / 255, {}, {}),
    "fgsm linf targeted": (Fgsm(), "linf", 8 / 255, {}, {"targeted": True}),
    "fgsm l2": (Fgsm(), "l2", 0.5, {}, {}),
    "pgd linf": (Pgd(), "linf", 8 / 255, {**LAST, "step": "2/255"}, {}),
    "pgd linf targeted": (Pgd(), "linf", 8 / 255, {**LAST, "step": "2/255"}, {"targeted": True}),
    "pgd linf one frame": (Pgd(), "linf", 8 / 255, {**LAST, "step": "2/255"}, {"support": "frames:1"}),
    "pgd linf random start": (
        Pgd(), "linf", 8 / 255, {"steps": "10", "step": "2/255", "keep": "last", "rng": "art"}, {},
    ),
    "pgd l2": (Pgd(), "l2", 0.5, {**LAST, "step": "0.1"}, {}),
    "pgd-l1-argmax": (PgdL1Argmax(), "l1", 8.0, {**LAST, "step": "1"}, {}),
    "mi-fgsm linf": (MomentumFgsm(), "linf", 8 / 255, {**LAST, "step": "2/255"}, {}),
}  # fmt: skip


@pytest.mark.parametrize(
    ("key", "where", "width"),
    [(key, where, width) for key in CASES for where, width in (("toy", 8), ("toy", 16), ("x3d", 8))]
    + [("pgd linf", "x3d", 16)],
)
def test_native_gives_the_toolbox_s_clips(request: pytest.FixtureRequest, key: str, where: str, width: int) -> None:
    method, norm, eps, given, extra = CASES[key]
    case: Case = request.getfixturevalue(where)
    if where == "x3d":
        case = (case[0], case[1][:width], case[2][:width])
        given = {**given, "steps": "3"} if "steps" in given else given
    native, theirs, goal = both(case, method, norm, eps, given, width=width, **extra)
    moved = native.clips - case[1]
    assert bool((moved.flatten(1).abs().amax(1) > 0).all())
    if norm == "l2":
        assert float((native.clips - theirs.clips).abs().max()) <= 1e-6
    else:
        assert torch.equal(native.clips, theirs.clips)
    assert torch.equal(native.reached, theirs.reached)
    assert torch.equal(native.reached, goal.reached(case[0](native.clips)))


def test_the_first_success_breaks_every_clip_that_the_toolbox_breaks(toy: Case) -> None:
    given = {"steps": "10", "random_start": "false", "step": "2/255"}
    logits, clips, labels = toy
    batch = Batch(clips, Goal(labels), [str(number) for number in range(len(clips))], 0, 16)
    budget, target = Budget("linf", 8 / 255), Target(logits, 5)
    native = Pgd().run(target, batch, budget, parse_settings(Pgd(), given))
    theirs = art_method("pgd").run(target, batch, budget, parse_settings(art_method("pgd"), given))
    assert bool((native.reached | ~theirs.reached).all())
    assert int(theirs.reached.sum()) >= 16
    # it goes on after a success, and looks at each clip twice more to say how it went
    assert int(native.backwards.sum()) < int(theirs.backwards.sum()) == 10 * len(clips)
    assert int(native.forwards.sum()) < int(theirs.forwards.sum())
