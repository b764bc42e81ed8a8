"""The Adversarial Robustness Toolbox as a second engine: the one file that imports it."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Mapping
from contextlib import nullcontext
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from vidbench.attack.art.network import Network, from_layout, to_layout, to_numpy
from vidbench.attack.art.settings import OURS, ArtSettings, parameters_of, settings_model
from vidbench.attack.art.surroundings import home_elsewhere, quiet, seeded
from vidbench.attack.art.table import ART_ATTACKS, ART_REFUSED, ArtAttack, Layout, describe_art
from vidbench.attack.method import Batch, Outcome, Settings
from vidbench.attack.target import Target
from vidbench.attack.threat import SLACK, Budget, Eps, Norm
from vidbench.errors import MissingError, UnknownNameError, UsageError
from vidbench.model.classifier import Classifier
from vidbench.seeds import seed_for

__all__ = ["ART_ATTACKS", "ART_REFUSED", "ArtMethod", "art_method", "describe_art", "import_art", "wrap"]


def import_art() -> tuple[Any, Any]:
    """The toolbox's modules of estimators and of evasion attacks, imported without its traces in the home folder.

    Raises:
        MissingError: The toolbox, or a package that it needs and does not declare, is not installed.
    """
    with home_elsewhere(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            import art.attacks.evasion as evasion
            import art.estimators.classification as estimators
        except ImportError as error:
            raise MissingError(
                f"--engine art needs the package {str(error.name).partition('.')[0]!r}",
                "pip install adversarial-robustness-toolbox packaging",
            ) from error
    return estimators, evasion


def wrap(
    target: Target | Classifier,
    clip_shape: tuple[int, ...],
    *,
    device: torch.device | None = None,
    width: int = 4,
    layout: Layout = "NCTHW",
    probabilities: bool = False,
) -> Any:
    """`art.estimators.classification.PyTorchClassifier` around a model, for clips in [0, 1].

    Weights are frozen (the toolbox would compute their gradients too; a target's are frozen already), logits are
    given, the box is [0, 1], and no pass is larger than `width`, though the toolbox predicts 128 clips at a time.

    Args:
        target: A target, or a classifier, which is put into evaluation mode.
        clip_shape: `(3, T, H, W)`.
        device: Where the target is, by default the CPU; a classifier knows.
        width: Clips per pass through the network.
        layout: How the attack wants clips.
        probabilities: Give softmax probabilities in place of logits.
    """
    estimators = import_art()[0]
    if isinstance(target, Classifier):
        target.eval().requires_grad_(False)
        device = target.device
    device = device or torch.device("cpu")
    network = Network(target.logits, clip_shape, device, width, layout, probabilities)
    shape = tuple(to_layout(torch.empty(1, *clip_shape, device="meta"), layout).shape[1:])

    class Bounded(estimators.PyTorchClassifier):  # type: ignore[misc, name-defined]
        """Predicts no more clips at a time than go through the network at once."""

        def predict(self, x: Any, batch_size: int = 128, training_mode: bool = False, **kwargs: Any) -> Any:
            return super().predict(x, min(batch_size, width), training_mode, **kwargs)

    with torch.cuda.device(device) if device.type == "cuda" else nullcontext():
        return Bounded(
            network,
            torch.nn.CrossEntropyLoss(),
            shape,
            target.num_classes,
            clip_values=(0.0, 1.0),
            channels_first=layout != "NFHWC",
            device_type="gpu" if device.type == "cuda" else "cpu",
        )


_THE_SAME = (("keep", "last"), ("loss", "ce"), ("rng", "own"), ("rng", "art"), ("random_start", False))
"""Settings of our own attacks that say what the toolbox does anyway."""


class ArtMethod:
    """One attack of the toolbox, as a method of ours.

    The toolbox's semantics stay: which iterate is returned, how restarts are chosen, when it stops. Labels and
    targets are always given, step sizes too. What it returns outside the box, or outside the budget of an attack that
    has one, by more than float32 rounding, is pulled back, and the goal is judged afterwards by the target.

    Attributes:
        aims: "either", or whether it can only leave a class ("away") or reach one ("towards").
        attack: Its row of the table.
    """

    def __init__(self, name: str, attack: ArtAttack) -> None:
        self._class = _class_of(attack.cls)
        inner = () if attack.inner is None else (_only(attack.inner),)
        self.attack = attack
        self.aims = attack.aims
        self.name = name
        self.summary = attack.summary
        self.source = attack.source
        self.norms: tuple[Norm, ...] = attack.norms
        self.minimal = attack.minimal
        self.settings: type[Settings] = settings_model(name, attack, (parameters_of(self._class), *inner))

    def run(self, target: Target, batch: Batch, budget: Budget, settings: Settings) -> Outcome:
        """Attack a batch, in the pieces that the attack works in.

        Random numbers of numpy, Python and torch are seeded for each piece from its keys, and put back; with the
        setting `rng=art` once, from the seed itself, as whoever uses the toolbox alone does.

        Forward and backward passes are counted at the network; of clips that share a call each gets the mean,
        rounded up. The toolbox does not say when a goal was reached: `steps` is its number of iterations.

        Raises:
            UsageError: A goal, a support or a setting that the attack cannot have.
        """
        self._check(batch, budget)
        given = self._given(settings)
        size = {"clip": 1, "chunk": batch.width, "batch": max(len(batch), 1)}[self.attack.scope]
        clips, reached = batch.clips.clone(), torch.zeros(len(batch), dtype=torch.bool, device=batch.clips.device)
        counts = torch.zeros(len(batch), 2, dtype=torch.long)
        once = getattr(settings, "rng", "own") == "art"
        with seeded(batch.seed, batch.clips.device):
            for start in range(0, len(batch), size):
                chosen = torch.arange(start, min(start + size, len(batch)), device=batch.clips.device)
                seed = seed_for(batch.seed, *batch.of(chosen).keys, "start")
                with nullcontext() if once else seeded(seed, batch.clips.device):
                    clips[chosen], counts[chosen.cpu()] = self._piece(target, batch, chosen, budget.of(chosen), given)
        for chosen, part in batch.parts():
            reached[chosen] = part.goal.reached(target(clips[chosen]))
        when = torch.where(reached.cpu(), int(given.get("max_iter", 1)), -1)
        return Outcome(clips, reached, counts[:, 0] + 1, counts[:, 1], torch.zeros(len(batch), dtype=torch.long), when)

    def _piece(
        self, target: Target, batch: Batch, chosen: Tensor, budget: Budget, given: Mapping[str, Any]
    ) -> tuple[Tensor, Tensor]:
        """The attacked clips of one call, and the forward and backward passes of each."""
        part = batch.of(chosen)
        attack, shape = self.attack, tuple(part.clips.shape[1:])
        wrapped = wrap(
            target, shape, device=part.clips.device, width=batch.width, layout=attack.layout,
            probabilities=attack.probabilities,
        )  # fmt: skip
        with quiet():
            made = self._make(wrapped, part, budget, given)
            inputs = to_numpy(part.clips, attack.layout)
            keywords: dict[str, Any] = {}
            if budget.support is not None and attack.masked:
                keywords["mask"] = to_numpy(budget.support.mask.expand(len(part), *shape), attack.layout)
            if attack.drawn:
                keywords.update(_first(wrapped, part, made.init_size, keywords.get("mask", 1.0)))
                made.init_size = 0
            found = made.generate(inputs, self._labels(target, batch, chosen), **keywords)
            if attack.cls == "AdversarialPatchPyTorch":
                found = made.apply_patch(inputs, made.scale_max)
        values = torch.from_numpy(np.ascontiguousarray(found, dtype=np.float32))
        attacked = from_layout(values, attack.layout, shape).to(part.clips.device)
        if "mask" in keywords and budget.support is not None:
            # blends of two clips round outside the mask too
            attacked = torch.where(budget.support.mask > 0, attacked, part.clips)
        network = wrapped.model
        passes = [-(-count // len(part)) for count in (network.forwards, network.backwards)]
        radius = None if attack.minimal else budget
        return _pulled_back(part.clips, attacked, radius), torch.tensor(passes).expand(len(part), 2)

    def _check(self, batch: Batch, budget: Budget) -> None:
        aims, support = self.attack.aims, budget.support
        if budget.norm not in self.norms:
            raise UsageError(f"{self.name} has no norm {budget.norm}", f"It has {', '.join(self.norms)}.")
        if batch.goal.targeted and aims == "away":
            raise UsageError(f"{self.name} of the toolbox cannot be targeted")
        if not batch.goal.targeted and aims == "towards":
            raise UsageError(f"{self.name} of the toolbox needs a target", "Give one with --target.")
        follows = support is None or (self.attack.layout == "NFHWC" if support.flicker else self.attack.masked)
        if support is not None and not follows:
            raise UsageError(f"{self.name} of the toolbox has no support {support.text}", "--engine native has.")

    def _given(self, settings: Settings) -> dict[str, Any]:
        """What is said of the class's parameters, in its own names; None says nothing."""
        known = {**parameters_of(self._class), **(_only(self.attack.inner) if self.attack.inner else {})}
        said = settings.model_dump()
        if not isinstance(settings, ArtSettings):
            # settings of our own attack of the same name; what only ours has must not be asked for
            said = {key: value for key, value in said.items() if key in self.attack.ours or key in known}
            lost = settings.model_fields_set - set(said)
            lost -= {key for key in lost if (key, getattr(settings, key)) in _THE_SAME}
            if lost:
                raise UsageError(f"{self.name} of the toolbox has no setting {', '.join(sorted(lost))}")
        found = {key: value for key, value in said.items() if key in known}
        for ours, names in OURS.items():
            for name in names:
                if ours in said and name in known and found.get(name) is None:
                    found[name] = said[ours]
        if said.get("random_start") is False:
            found.update({name: 0 for name in OURS["restarts"] if name in known})
        return {key: value for key, value in found.items() if value is not None}

    def _make(self, wrapped: Any, part: Batch, budget: Budget, given: Mapping[str, Any]) -> Any:
        """The toolbox's object, complaints of its constructor as usage errors."""
        attack, known = self.attack, parameters_of(self._class)
        try:
            if attack.inner is not None:
                inner = _class_of(attack.inner[0])
                found = self._arguments(parameters_of(inner), part, budget, given)
                keep = {key: value for key, value in given.items() if key in known}
                arguments = self._arguments(known, part, budget, keep)
                return self._class(wrapped, inner(wrapped, **found), **arguments)
            arguments = self._arguments(known, part, budget, given)
            if "attacker_params" in known:
                arguments["attacker_params"] = self._within(arguments, part, budget)
            if "patch_shape" in known and "patch_shape" not in given:
                side = max(min(part.clips.shape[-2:]) // 3, 1)
                arguments["patch_shape"] = (part.clips.shape[1], side, side)
            return self._class(wrapped, **arguments)
        except (TypeError, ValueError) as error:
            raise UsageError(f"{self.name}: {error}") from error

    def _arguments(
        self, known: Mapping[str, Any], part: Batch, budget: Budget, given: Mapping[str, Any]
    ) -> dict[str, Any]:
        """The parameters of a class: what was set, and what the budget, the goal and the batch decide."""
        step = {"eps/4": budget.eps / 4, "2*eps": 2 * budget.eps}[self.attack.step]
        found: dict[str, Any] = {
            self.attack.eps: float(budget.eps), "eps_step": step, "step_size": step,
            "norm": {"linf": np.inf, "l2": 2, "l1": 1}.get(budget.norm),
            "decision_rule": {"l1": "L1", "l2": "L2"}.get(budget.norm),
            "targeted": part.goal.targeted,
            "batch_size": min(len(part), part.width), "verbose": False, **given,
        }  # fmt: skip
        for name in ("eps_step", "step_size"):
            if isinstance(found[name], str):
                found[name] = Eps.parse(found[name], "l2").value
        return {key: value for key, value in found.items() if key in known and value is not None}

    def _within(self, arguments: Mapping[str, Any], part: Batch, budget: Budget) -> dict[str, Any]:
        """The parameters of the attack that a universal one uses: within the same budget, with the same goal."""
        inner = self._class.attacks_dict.get(arguments.get("attacker", inspect.Parameter.empty))
        name = (inner or self._class.attacks_dict[parameters_of(self._class)["attacker"]]).rpartition(".")[2]
        cls = _class_of(name)
        found = self._arguments(parameters_of(cls), part, budget, {})
        found["batch_size"] = 1
        if name == "DeepFool":
            found["epsilon"] = 0.02
        found.update(arguments.get("attacker_params") or {})
        return {key: value for key, value in found.items() if key in cls.attack_params}

    def _labels(self, target: Target, batch: Batch, chosen: Tensor) -> Any:
        goal = batch.goal.of(chosen)
        if self.attack.labels == "guide":
            return to_numpy(torch.stack([_guide(batch, row) for row in chosen.tolist()]), self.attack.layout)
        if self.attack.labels == "target" and not goal.targeted:
            return None
        return nn.functional.one_hot(goal.labels, target.num_classes).cpu().numpy().astype(np.float32)


def art_method(name: str) -> ArtMethod:
    """The toolbox's attack of that name, or its version of ours.

    Raises:
        UsageError: An attack of the toolbox that does not work on clips, with the reason.
        UnknownNameError: No such attack.
        MissingError: The toolbox is not installed.
    """
    if name in ART_REFUSED:
        raise UsageError(f"{name} does not attack clips: {ART_REFUSED[name]}", "vidbench attack list")
    if name not in ART_ATTACKS:
        raise UnknownNameError("attack of the toolbox", name, ART_ATTACKS, "See vidbench attack list.")
    return ArtMethod(name, ART_ATTACKS[name])


def _class_of(name: str) -> Any:
    return getattr(import_art()[1], name)


def _only(inner: tuple[str, tuple[str, ...]]) -> dict[str, Any]:
    name, chosen = inner
    return {key: value for key, value in parameters_of(_class_of(name)).items() if key in chosen}


def _first(wrapped: Any, part: Batch, tries: int, mask: Any) -> dict[str, Any]:
    """A random clip that reaches the goal of one clip, to begin at; nothing where no try does.

    The toolbox would draw it from a generator that nobody can seed.
    """
    clean = to_numpy(part.clips, "NCTHW")
    for number in range(tries):
        drawn = torch.rand(part.clips.shape, generator=part.generator(0, "first", number)).numpy()
        drawn = (drawn * mask + clean * (1 - mask)).astype(np.float32)
        if bool(part.goal.reached(torch.from_numpy(wrapped.predict(drawn)).to(part.clips.device))):
            return {"x_adv_init": drawn}
    return {}


def _guide(batch: Batch, row: int) -> Tensor:
    """The batch's next clip of another class; the clip's negative where all are of one class."""
    for step in range(1, len(batch)):
        other = (row + step) % len(batch)
        if batch.goal.labels[other] != batch.goal.labels[row]:
            return batch.clips[other]
    return 1 - batch.clips[row]


def _pulled_back(clean: Tensor, attacked: Tensor, budget: Budget | None) -> Tensor:
    """Clips that left the box or the budget by more than rounding are moved back; others stay as they are."""
    attacked = torch.where(torch.isfinite(attacked), attacked, clean)
    if float(attacked.min()) < -SLACK or float(attacked.max()) > 1 + SLACK:
        attacked = attacked.clamp(0.0, 1.0)
    if budget is None:
        return attacked
    far = ~budget.within(attacked.double() - clean.double())
    if bool(far.any()):
        attacked[far] = (clean[far] + budget.project(attacked[far] - clean[far])).clamp(0.0, 1.0)
    return attacked
