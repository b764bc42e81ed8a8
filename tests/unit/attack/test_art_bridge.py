"""The toolbox as an engine: every attack runs on clips, stays in its budget, and leaves nothing behind."""

import random
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from vidbench.attack.algorithms.pgd import PgdSettings
from vidbench.attack.art.network import from_layout, to_layout, to_numpy
from vidbench.attack.art_bridge import ART_ATTACKS, ART_REFUSED, ArtMethod, art_method, describe_art, import_art, wrap
from vidbench.attack.goal import Goal
from vidbench.attack.method import Batch, Outcome
from vidbench.attack.methods import parse_settings
from vidbench.attack.support import Support
from vidbench.attack.target import Target
from vidbench.attack.threat import SLACK, Budget, norms_of
from vidbench.errors import UnknownNameError, UsageError
from vidbench.model.classifier import Classifier
from vidbench.model.zoo import MODELS

SHAPE = (3, 4, 8, 8)
RADII = {"linf": 16 / 255, "l2": 1.0, "l1": 8.0}
CHEAP = {
    "max_iter": "2", "steps": "2", "max_eval": "20", "init_eval": "5", "init_size": "5", "query_limit": "30",
    "num_trial": "3", "k": "3", "binary_search_steps": "2", "nb_parallel": "4", "sample_size": "3",
}  # fmt: skip
CHEAPER = {
    "art-jsma": {"theta": "0.5", "gamma": "0.02"},
    "art-virtual-adversarial": {"max_iter": "1"},
    "art-carlini-linf": {"initial_const": "1", "largest_const": "2"},
    "art-sign-opt": {"max_iter": "1", "epsilon": "0.1"},
    "universal": {"attacker": "fgsm"},
}


class Watched:
    """A target that remembers how many clips each pass had."""

    def __init__(self, net: Callable[[Tensor], Tensor]) -> None:
        self.sizes: list[int] = []
        self._net = net
        self.target = Target(self._logits, 5)

    def _logits(self, clips: Tensor) -> Tensor:
        assert clips.shape[1:] == SHAPE
        self.sizes.append(len(clips))
        return self._net(clips)


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Iterator[None]:
    """Networks this small are slower on several threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def tiny() -> nn.Module:
    generator = torch.Generator().manual_seed(0)
    net = nn.Sequential(nn.Conv3d(3, 4, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(1024, 5))
    for parameter in net.parameters():
        parameter.data.copy_(torch.randn(parameter.shape, generator=generator) * 0.2)
    return net.eval().requires_grad_(False)


@pytest.fixture(scope="module")
def clips() -> Tensor:
    return torch.rand(4, *SHAPE, generator=torch.Generator().manual_seed(1))


def cheap(method: ArtMethod) -> dict[str, str]:
    fields = method.settings.model_fields
    given = {
        key: value for key, value in CHEAP.items() if key in fields and (key, "steps" in fields) != ("max_iter", 1)
    }
    return {**given, **CHEAPER.get(method.name, {})}


def attack(
    net: nn.Module, clips: Tensor, name: str, given: dict[str, str] | None = None, *, norm: str = "", width: int = 3,
    support: Support | None = None, eps: float = 0, targeted: bool | None = None,
) -> tuple[Outcome, Watched, Budget, Goal]:  # fmt: skip
    method = art_method(name)
    norm = norm or method.norms[0]
    budget = Budget(norm, eps or RADII[norm], support)
    aim = method.aims == "towards" if targeted is None else targeted
    labels = net(clips).argmax(1)
    goal = Goal((labels + 1) % 5, True) if aim else Goal(labels)
    watched = Watched(net)
    keys = [str(float(clip.sum())) for clip in clips]
    batch = Batch(clips, goal, keys, 0, width)
    settings = parse_settings(method, cheap(method) if given is None else given)
    return method.run(watched.target, batch, budget, settings), watched, budget, goal


@pytest.mark.parametrize("name", ART_ATTACKS)
def test_every_attack_runs_on_clips(tiny: nn.Module, clips: Tensor, name: str) -> None:
    before = clips.clone()
    outcome, watched, budget, goal = attack(tiny, clips, name)
    assert torch.equal(clips, before)
    assert outcome.clips.dtype == torch.float32
    assert outcome.clips.shape == clips.shape
    assert bool(torch.isfinite(outcome.clips).all())
    assert float(outcome.clips.min()) >= -SLACK
    assert float(outcome.clips.max()) <= 1 + SLACK
    if not art_method(name).minimal:
        budget.audit(clips, outcome.clips)
    # in the same passes: a walk along the boundary may end at two equal logits, which another batch size rounds anew
    logits = torch.cat([tiny(part) for part in outcome.clips.split(3)])
    assert torch.equal(outcome.reached, goal.reached(logits))
    assert torch.equal(outcome.steps >= 0, outcome.reached)
    # the toolbox predicts 128 clips at a time; every pass is counted
    assert max(watched.sizes) <= 3
    assert sum(watched.sizes) <= int(outcome.forwards.sum()) < sum(watched.sizes) + len(clips)


@pytest.mark.parametrize(
    "name", [name for name in ART_ATTACKS if ART_ATTACKS[name].aims == "either" and name != "art-virtual-adversarial"]
)
def test_attacks_that_can_be_targeted_run_so(tiny: nn.Module, clips: Tensor, name: str) -> None:
    outcome, _, _, goal = attack(tiny, clips, name, targeted=True)
    assert torch.equal(outcome.reached, goal.reached(torch.cat([tiny(part) for part in outcome.clips.split(3)])))


@pytest.mark.parametrize(
    ("name", "given", "targeted"),
    [("fgsm", {}, True), ("pgd", {}, True), ("mi-fgsm", {}, True), ("art-bim", {}, True), ("apgd-ce", {}, True),
     ("apgd-dlr", {}, False), ("art-auto-conjugate-gradient", {}, True), ("art-feature-adversaries", {}, False),
     ("art-rescaling-auto-conjugate-gradient", {}, True), ("deepfool", {}, False), ("cw", {}, True),
     ("art-frame-saliency", {"max_iter": "10"}, True), ("art-newtonfool", {}, False),
     ("universal", {"attacker": "pgd", "attacker_params": "{'max_iter': 5}"}, False),
     ("art-targeted-universal", {"attacker_params": "{'eps': 0.2}"}, True),
     ("art-hopskipjump", {"max_iter": "2", "max_eval": "100"}, False),
     ("art-boundary", {"max_iter": "5"}, False)],
)  # fmt: skip
def test_attacks_succeed(tiny: nn.Module, clips: Tensor, name: str, given: dict[str, str], targeted: bool) -> None:
    norm = ART_ATTACKS[name].norms[0]
    outcome, *_ = attack(tiny, clips, name, given, targeted=targeted, eps=3 * RADII[norm])
    assert bool(outcome.reached.any())
    assert bool((norms_of(outcome.clips - clips, "linf")[outcome.reached] > 0).all())


def test_the_home_folder_stays_empty(tmp_path: Path) -> None:
    code = "from vidbench.attack.art_bridge import import_art\nimport_art()"
    env = {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path)}
    subprocess.run([sys.executable, "-c", code], check=True, cwd=tmp_path, env=env)
    assert list(tmp_path.iterdir()) == []


def test_without_the_toolbox_it_is_named_and_the_list_still_works(tmp_path: Path) -> None:
    code = """
import sys
from vidbench.attack.art_bridge import art_method, describe_art
from vidbench.errors import MissingError
assert len(describe_art()) > 25
assert "art" not in sys.modules
sys.modules["packaging"] = None
try:
    art_method("pgd")
except MissingError as error:
    print(error)
"""
    env = {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", code], check=True, env=env, capture_output=True, text=True)
    assert "'packaging'" in done.stdout
    assert "pip install adversarial-robustness-toolbox packaging" in done.stdout


def test_attacks_that_do_not_take_clips_say_why() -> None:
    for name, reason in ART_REFUSED.items():
        with pytest.raises(UsageError, match="does not attack clips") as caught:
            art_method(name)
        assert reason in caught.value.message
    assert not set(ART_REFUSED) & set(ART_ATTACKS)
    with pytest.raises(UnknownNameError, match="art-zooo"):
        art_method("art-zooo")


@pytest.mark.parametrize("cls", ["SquareAttack", "CarliniL0Method", "GeoDA", "PixelAttack", "SpatialTransformation"])
def test_what_is_refused_fails_in_the_toolbox(tiny: nn.Module, clips: Tensor, cls: str) -> None:
    wrapped = wrap(Target(tiny, 5), SHAPE)
    made = getattr(import_art()[1], cls)(wrapped, verbose=False)
    labels = np.eye(5, dtype=np.float32)[tiny(clips).argmax(1).numpy()]
    with pytest.raises((ValueError, IndexError, RuntimeError)):
        made.generate(to_numpy(clips, "NCTHW"), labels)


def test_every_attack_of_the_toolbox_is_in_one_table() -> None:
    _, evasion = import_art()
    classes = {row.cls for row in ART_ATTACKS.values()}
    assert all(hasattr(evasion, cls) for cls in classes)
    rows = describe_art()
    assert [row["attack"] for row in rows] == list(ART_ATTACKS)
    assert all(row["engines"] == "art" and row["summary"] and row["source"] for row in rows)


@pytest.mark.parametrize("layout", ["NCTHW", "NFHWC", "NFCHW", "N(CT)HW"])
def test_layouts_come_back_and_give_the_same_logits(tiny: nn.Module, clips: Tensor, layout: str) -> None:
    # as many clips and frames as channels: shapes alone would not show a wrong axis
    square = torch.rand(3, 3, 3, 8, 8)
    assert torch.equal(from_layout(to_layout(square, layout), layout, (3, 3, 8, 8)), square)
    wrapped = wrap(Target(tiny, 5), SHAPE, layout=layout)
    values = to_numpy(clips, layout)
    assert wrapped.input_shape == values.shape[1:]
    assert np.array_equal(wrapped.predict(values), tiny(clips).numpy())


def test_passes_are_bounded_and_counted(tiny: nn.Module) -> None:
    watched = Watched(tiny)
    wrapped = wrap(watched.target, SHAPE, width=2)
    values = np.random.default_rng(0).random((9, *SHAPE), dtype=np.float32)
    wrapped.predict(values)
    assert watched.sizes == [2, 2, 2, 2, 1]
    wrapped.loss_gradient(values, np.eye(5, dtype=np.float32)[np.zeros(9, int)])
    assert max(watched.sizes) == 2
    assert (wrapped.model.forwards, wrapped.model.backwards) == (18, 9)


def test_the_toolbox_gets_no_weights_and_no_sequential() -> None:
    net = nn.Sequential(nn.Flatten(), nn.Dropout(), nn.Linear(768, 5))
    classifier = Classifier(net, MODELS.get("x3d_tiny").preprocess, 5).train()
    wrapped = wrap(classifier, SHAPE)
    assert not isinstance(wrapped.model, nn.Sequential)
    assert list(wrapped.model.parameters()) == []
    assert not classifier.training
    assert not any(parameter.requires_grad for parameter in classifier.parameters())
    values = np.full((2, *SHAPE), 0.25, dtype=np.float32)
    assert np.allclose(wrapped.predict(values), classifier(torch.from_numpy(values)).detach().numpy())
    assert wrapped.clip_values[0] == 0.0
    assert wrapped.clip_values[1] == 1.0


def test_probabilities_where_they_are_wanted(tiny: nn.Module, clips: Tensor) -> None:
    answer = wrap(Target(tiny, 5), SHAPE, probabilities=True).predict(to_numpy(clips, "NCTHW"))
    assert np.allclose(answer, torch.softmax(tiny(clips), 1).numpy())


def made(tiny: nn.Module, clips: Tensor, name: str, given: dict[str, str] | None = None) -> object:
    method = art_method(name)
    norm = method.norms[0]
    part = Batch(clips, Goal(torch.zeros(4, dtype=torch.long)), list("abcd"))
    settings = parse_settings(method, given or {})
    wrapped = wrap(Target(tiny, 5), SHAPE, layout=method.attack.layout)
    return method._make(wrapped, part, Budget(norm, 0.04), method._given(settings))


def test_what_the_toolbox_leaves_to_chance_is_always_said(tiny: nn.Module, clips: Tensor) -> None:
    assert made(tiny, clips, "deepfool").epsilon == 0.02
    assert made(tiny, clips, "apgd-ce").eps_step == pytest.approx(0.08)
    assert made(tiny, clips, "art-auto-conjugate-gradient").eps_step == pytest.approx(0.08)
    pgd = made(tiny, clips, "pgd")
    assert (pgd.eps, pgd.eps_step, pgd.max_iter, pgd.num_random_init) == (0.04, 0.01, 10, 1)
    assert made(tiny, clips, "pgd", {"random_start": "false"}).num_random_init == 0
    assert made(tiny, clips, "pgd", {"num_random_init": "3", "max_iter": "7"}).max_iter == 7
    assert made(tiny, clips, "pgd", {"step": "2/255"}).eps_step == pytest.approx(2 / 255)
    assert made(tiny, clips, "art-boundary").targeted is False
    assert made(tiny, clips, "art-square").batch_size == 4
    assert made(tiny, clips, "universal").attacker_params["epsilon"] == 0.02
    inner = made(tiny, clips, "art-frame-saliency", {"max_iter": "3", "method": "one_shot"})
    assert (inner.method, inner.frame_index, inner.attacker.max_iter, inner.attacker.eps) == ("one_shot", 2, 3, 0.04)
    assert made(tiny, clips, "art-adversarial-patch", {"patch_shape": "(3, 4, 4)"}).patch_shape == (3, 4, 4)
    assert made(tiny, clips, "cw", {"confidence": "1/2"}).confidence == 0.5


@pytest.mark.parametrize(
    ("name", "given", "message"),
    [("pgd", {"steps": "3", "max_iter": "4"}, "the same setting"),
     ("pgd", {"stepps": "3"}, "has no setting"),
     ("pgd", {"eps": "0.1"}, "has no setting"),
     ("pgd", {"restarts": "2", "random_start": "false"}, "random start"),
     ("cw", {"confidence": "much"}, "confidence"),
     ("pgd", {"rng": "numpy"}, "rng is own or art"),
     ("art-zoo", {"use_resize": "maybe"}, "use_resize")],
)  # fmt: skip
def test_settings_are_checked(name: str, given: dict[str, str], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        parse_settings(art_method(name), given)


def test_the_toolbox_s_own_complaints_are_usage_errors(tiny: nn.Module, clips: Tensor) -> None:
    with pytest.raises(UsageError, match="art-bim"):
        attack(tiny, clips, "art-bim", {"max_iter": "-1"})


def test_our_own_settings_mean_the_same(tiny: nn.Module, clips: Tensor) -> None:
    method, batch = art_method("pgd"), Batch(clips, Goal(tiny(clips).argmax(1)), list("abcd"))
    budget = Budget("linf", 8 / 255)
    ours = PgdSettings(steps=3, step="2/255", random_start=False)
    theirs = parse_settings(method, {"max_iter": "3", "eps_step": "2/255", "num_random_init": "0"})
    first, second = (method.run(Target(tiny, 5), batch, budget, settings) for settings in (ours, theirs))
    assert torch.equal(first.clips, second.clips)
    # one pass before, one for the toolbox's remark on its success and one for ours
    assert first.forwards.tolist() == [6] * 4
    assert first.backwards.tolist() == [3] * 4


def test_random_numbers_come_from_the_keys_and_are_put_back(tiny: nn.Module, clips: Tensor) -> None:
    np.random.seed(5)
    random.seed(5)
    torch.manual_seed(5)
    before = (np.random.get_state()[1].copy(), random.getstate(), torch.get_rng_state())
    first = attack(tiny, clips, "pgd")[0].clips
    attack(tiny, clips, "art-adversarial-patch")
    assert np.array_equal(before[0], np.random.get_state()[1])
    assert before[1] == random.getstate()
    assert torch.equal(before[2], torch.get_rng_state())
    np.random.seed(6)
    assert torch.equal(first, attack(tiny, clips, "pgd")[0].clips)


@pytest.mark.parametrize("name", [name for name, row in ART_ATTACKS.items() if row.scope == "clip"])
def test_clip_by_clip_attacks_do_not_depend_on_the_batch(tiny: nn.Module, clips: Tensor, name: str) -> None:
    whole = attack(tiny, clips, name)[0]
    half = attack(tiny, clips[2:], name)[0]
    assert torch.equal(whole.clips[2:], half.clips)
    assert torch.equal(whole.forwards[2:], half.forwards)


@pytest.mark.parametrize("name", ["fgsm", "pgd", "mi-fgsm", "art-bim", "art-hopskipjump"])
def test_supports_are_masks(tiny: nn.Module, clips: Tensor, name: str) -> None:
    support = Support.parse("frames:1", SHAPE)
    assert support is not None
    outcome, *_ = attack(tiny, clips, name, support=support)
    assert support.holds(outcome.clips - clips)
    if name != "art-hopskipjump":
        assert bool((outcome.clips[:, :, 1] != clips[:, :, 1]).any())


def test_flicker_is_one_offset_per_frame_within_the_radius(tiny: nn.Module, clips: Tensor) -> None:
    support = Support.parse("flicker", SHAPE)
    outcome, *_ = attack(tiny, clips * 0.5 + 0.25, "flicker", {"steps": "30"}, support=support, eps=4 / 255)
    moved = outcome.clips - (clips * 0.5 + 0.25)
    assert float(moved.abs().max()) == pytest.approx(4 / 255, abs=1e-6)
    assert float((moved.amax((3, 4)) - moved.amin((3, 4))).max()) < 1e-6


def test_what_the_toolbox_cannot_do_is_refused(tiny: nn.Module, clips: Tensor) -> None:
    patch = Support.parse("patch:2x2+1+1", SHAPE)
    flicker = Support.parse("flicker", SHAPE)
    for name, arguments, message in (
        ("deepfool", {"targeted": True}, "cannot be targeted"),
        ("art-targeted-universal", {"targeted": False}, "needs a target"),
        ("deepfool", {"support": patch}, "no support patch"),
        ("pgd", {"support": flicker}, "no support flicker"),
        ("deepfool", {"norm": "linf"}, "no norm linf"),
    ):
        with pytest.raises(UsageError, match=message):
            attack(tiny, clips, name, **arguments)
