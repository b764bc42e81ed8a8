"""The attacks of the Adversarial Robustness Toolbox that take clips, and why others do not; no import of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from vidbench.attack.threat import Norm

Layout = Literal["NCTHW", "NFHWC", "NFCHW", "N(CT)HW"]
Scope = Literal["chunk", "clip", "batch"]
Aims = Literal["either", "away", "towards"]
Labels = Literal["goal", "target", "guide"]
Step = Literal["eps/4", "2*eps"]


@dataclass(frozen=True)
class ArtAttack:
    """One attack of the toolbox.

    Attributes:
        summary: One line.
        cls: Its class in `art.attacks.evasion`.
        norms: What its budget may be, or, for a minimal attack, what it makes small.
        source: The paper.
        layout: How it wants clips.
        scope: What one call gets: as many clips as go through the network at once, one clip (the class goes through
            its clips one by one anyway, and results then do not depend on the batch), or the batch, for one
            perturbation that its clips share.
        aims: Whether it can leave a class, reach one, or either.
        labels: What its `y` is: the goal's classes, the same but only when targeted, or guide clips.
        minimal: Whether it looks for a small perturbation and has no radius.
        probabilities: Whether it wants softmax probabilities instead of logits.
        masked: Whether its `generate` takes a mask.
        drawn: Whether it begins at a random clip, which it would draw without a seed.
        eps: The parameter that is the radius.
        step: The default of the step size, which is always passed.
        defaults: Defaults in place of the toolbox's.
        ours: Settings by the names that our own attacks have, with their defaults.
        inner: An attack that it is given, and which of that attack's parameters are settings too.
        notes: What else there is to know.
    """

    summary: str
    cls: str
    norms: tuple[Norm, ...]
    source: str
    layout: Layout = "NCTHW"
    scope: Scope = "chunk"
    aims: Aims = "either"
    labels: Labels = "goal"
    minimal: bool = False
    probabilities: bool = False
    masked: bool = False
    drawn: bool = False
    eps: str = "eps"
    step: Step = "eps/4"
    defaults: Mapping[str, Any] = field(default_factory=dict)
    ours: Mapping[str, Any] = field(default_factory=dict)
    inner: tuple[str, tuple[str, ...]] | None = None
    notes: str = ""


_PGD = {"steps": 10, "step": None, "restarts": 1, "random_start": True, "rng": "own"}
_APGD = {"steps": 100, "restarts": 1}

ART_ATTACKS: dict[str, ArtAttack] = {
    "fgsm": ArtAttack(
        "one gradient step of size eps", "FastGradientMethod", ("linf", "l2", "l1"),
        "Goodfellow et al. 2015, arXiv:1412.6572", masked=True,
        notes="num_random_init > 1 keeps the start that is best for the whole set of clips, not for each",
    ),
    "pgd": ArtAttack(
        "projected gradient steps, the last iterate", "ProjectedGradientDescent", ("linf", "l2", "l1"),
        "Madry et al. 2018, arXiv:1706.06083", masked=True, ours=_PGD,
        notes="of several restarts a later one is kept where it changes the clean prediction, whatever the label",
    ),
    "pgd-l1-argmax": ArtAttack(
        "PGD in L1 with steps of one value", "ProjectedGradientDescent", ("l1",),
        "Madry et al. 2018, arXiv:1706.06083", masked=True, ours=_PGD,
        notes="the toolbox stepped along the whole gradient before version 1.18; L1 is projected by rescaling",
    ),
    "mi-fgsm": ArtAttack(
        "PGD with momentum, from the clean clip", "MomentumIterativeMethod", ("linf", "l2", "l1"),
        "Dong et al. 2018, arXiv:1710.06081", masked=True, ours={"steps": 10, "step": None},
    ),
    "art-bim": ArtAttack(
        "PGD from the clean clip", "BasicIterativeMethod", ("linf",),
        "Kurakin et al. 2017, arXiv:1607.02533", masked=True, defaults={"max_iter": 10},
    ),
    "apgd-ce": ArtAttack(
        "Auto-PGD on the cross entropy", "AutoProjectedGradientDescent", ("linf", "l2", "l1"),
        "Croce and Hein 2020, arXiv:2003.01690", step="2*eps", ours=_APGD,
        defaults={"loss_type": "cross_entropy"},
        notes="looks at its last iterate alone, and gives back the random start where that does not succeed",
    ),
    "apgd-dlr": ArtAttack(
        "Auto-PGD on the difference of logits ratio", "AutoProjectedGradientDescent", ("linf", "l2", "l1"),
        "Croce and Hein 2020, arXiv:2003.01690", step="2*eps", aims="away", ours=_APGD,
        defaults={"loss_type": "difference_logits_ratio"},
        notes="looks at its last iterate alone, and gives back the random start where that does not succeed",
    ),
    "art-auto-conjugate-gradient": ArtAttack(
        "Auto-PGD's step sizes along conjugate gradients", "AutoConjugateGradient", ("linf", "l2", "l1"),
        "Yamamura et al. 2022, arXiv:2206.09628", step="2*eps",
        defaults={"loss_type": "cross_entropy", "nb_random_init": 1},
    ),
    "art-rescaling-auto-conjugate-gradient": ArtAttack(
        "the same with the conjugate coefficient rescaled", "RescalingAutoConjugateGradient", ("linf", "l2", "l1"),
        "Yamamura et al. 2024, arXiv:2408.03972", step="2*eps",
        defaults={"loss_type": "cross_entropy", "nb_random_init": 1},
    ),
    "cw": ArtAttack(
        "Carlini and Wagner's smallest L2 perturbation", "CarliniL2Method", ("l2",),
        "Carlini and Wagner 2017, arXiv:1608.04644", minimal=True, ours={"steps": 10},
        notes="gradient descent with a line search, not Adam",
    ),
    "art-carlini-linf": ArtAttack(
        "Carlini and Wagner's smallest Linf perturbation", "CarliniLInfMethod", ("linf",),
        "Carlini and Wagner 2017, arXiv:1608.04644", scope="clip", minimal=True,
    ),
    "art-elastic-net": ArtAttack(
        "a small perturbation in L1 and L2", "ElasticNet", ("l1", "l2"),
        "Chen et al. 2018, arXiv:1709.04114", minimal=True, defaults={"decision_rule": None},
        notes="decision_rule is the norm's unless it is set: L1, L2 or EN",
    ),
    "deepfool": ArtAttack(
        "steps to the nearest linearised boundary", "DeepFool", ("l2",),
        "Moosavi-Dezfooli et al. 2016, arXiv:1511.04599", aims="away", minimal=True,
        defaults={"epsilon": 0.02}, ours={"steps": 100},
        notes="epsilon is the paper's overshoot of 0.02; the toolbox's 1e-6 often stops before the boundary",
    ),
    "art-newtonfool": ArtAttack(
        "gradient steps on the class's probability", "NewtonFool", ("l2",),
        "Jang et al. 2017, NewtonFool", aims="away", minimal=True, probabilities=True,
    ),
    "art-hopskipjump": ArtAttack(
        "a walk along the boundary, by decisions alone", "HopSkipJump", ("l2", "linf"),
        "Chen et al. 2020, arXiv:1904.02144", scope="clip", minimal=True, masked=True, drawn=True,
    ),
    "art-boundary": ArtAttack(
        "a random walk along the boundary, by decisions alone", "BoundaryAttack", ("l2",),
        "Brendel et al. 2018, arXiv:1712.04248", scope="clip", minimal=True, drawn=True,
    ),
    "art-sign-opt": ArtAttack(
        "the direction of the nearest boundary, by signs of decisions", "SignOPTAttack", ("l2",),
        "Cheng et al. 2020, arXiv:1909.10773", scope="clip", aims="away", minimal=True,
    ),
    "art-simba": ArtAttack(
        "one value or frequency after the other, by probabilities alone", "SimBA", ("l2",),
        "Guo et al. 2019, arXiv:1905.07121", layout="N(CT)HW", scope="clip", minimal=True, probabilities=True,
        defaults={"attack": "px"},
        notes="attack=dct needs square frames, and freq_dim and stride that fill them",
    ),
    "art-zoo": ArtAttack(
        "Carlini and Wagner's loss by finite differences of scores", "ZooAttack", ("l2",),
        "Chen et al. 2017, arXiv:1708.03999", scope="clip", minimal=True,
        defaults={"use_resize": False, "use_importance": False},
        notes="resizing and importance sampling are for images",
    ),
    "art-jsma": ArtAttack(
        "few values, by the saliency map", "SaliencyMapMethod", ("l1",),
        "Papernot et al. 2016, arXiv:1511.07528", labels="target", minimal=True,
        notes="targets a random class where the goal is to leave one; two values per backward passes: for small clips",
    ),
    "art-square": ArtAttack(
        "random squares, by scores alone", "SquareAttack", ("linf", "l2"),
        "Andriushchenko et al. 2020, arXiv:1912.00049", layout="N(CT)HW", aims="away",
        notes="frames are folded into channels; all clips of a call share each square",
    ),
    "art-virtual-adversarial": ArtAttack(
        "the direction that changes the probabilities most, by finite differences", "VirtualAdversarialMethod",
        ("l2",), "Miyato et al. 2016, arXiv:1507.00677", aims="away", probabilities=True,
        notes="one forward pass per value of the clip and iteration: for small clips",
    ),
    "art-feature-adversaries": ArtAttack(
        "towards the logits of another clip", "FeatureAdversariesPyTorch", ("linf",),
        "Sabour et al. 2016, arXiv:1511.05122", aims="away", labels="guide", eps="delta",
        notes="the guide is the batch's next clip of another class, or the clip's negative where there is none",
    ),
    "art-frame-saliency": ArtAttack(
        "the frames of a PGD clip, the most salient first", "FrameSaliencyAttack", ("linf", "l2", "l1"),
        "Inkawhich et al. 2018, arXiv:1811.11875", scope="clip", defaults={"frame_index": 2},
        inner=("ProjectedGradientDescent", ("eps_step", "max_iter", "num_random_init")),
        notes="clip by clip: in one call the refreshing method mixes the frames of all clips",
    ),
    "flicker": ArtAttack(
        "one colour offset per frame", "OverTheAirFlickeringPyTorch", ("linf",),
        "Pony et al. 2021, arXiv:2002.05123", layout="NFHWC", ours={"steps": 30, "step": "0.01"},
        notes="the class has no radius: offsets are cut to eps afterwards",
    ),
    "universal": ArtAttack(
        "one perturbation for all clips of a batch", "UniversalPerturbation", ("linf", "l2"),
        "Moosavi-Dezfooli et al. 2017, arXiv:1610.08401", scope="batch", aims="away",
        notes="attacker: deepfool, fgsm, bim, pgd, carlini, carlini_inf, ead, newtonfool, jsma, vat or simba; "
        "attacker_params: a literal dictionary",
    ),
    "art-targeted-universal": ArtAttack(
        "one perturbation for all clips of a batch towards their targets", "TargetedUniversalPerturbation",
        ("linf", "l2"), "Hirano and Takemoto 2019, arXiv:1911.06502", scope="batch", aims="towards",
        notes="attacker: fgsm or simba; attacker_params: a literal dictionary",
    ),
    "art-adversarial-patch": ArtAttack(
        "one patch for all clips of a batch, the same in all frames", "AdversarialPatchPyTorch", ("linf",),
        "Brown et al. 2017, arXiv:1712.09665", layout="NFCHW", scope="batch",
        defaults={"learning_rate": 0.05},
        notes="eps 1 leaves the patch free; turned, scaled and placed at random unless patch_location is set; "
        "patch_shape is a third of the frame unless set",
    ),
}  # fmt: skip

_NO_CLIPS = "it takes pictures, not clips"
_NO_VIDEO = "it is not for video"
_DETECTOR = "it attacks object detectors"

ART_REFUSED: dict[str, str] = {
    "art-auto-attack": "it runs the square attack on clips, which fails, and needs the package multiprocess; "
    "autoattack is our own",
    "art-carlini-l0": "it fails on clips: it counts on the dimensions of pictures",
    "art-geoda": "its cosine basis is of two dimensions and fails on clips",
    "art-pixel": _NO_CLIPS,
    "art-threshold": _NO_CLIPS,
    "art-shadow": _NO_CLIPS,
    "art-spatial-transformation": _NO_CLIPS,
    "art-wasserstein": _NO_CLIPS,
    "art-laser": _NO_CLIPS,
    "art-adversarial-patch-numpy": "it cannot be made with numpy 2; art-adversarial-patch does the same",
    "art-adversarial-texture": "it needs a tracker of objects",
    "art-composite": "it needs the package kornia and takes pictures",
    "art-brendel-bethge": "it needs the package numba",
    "art-graphite-blackbox": _NO_CLIPS,
    "art-graphite-whitebox": _NO_CLIPS,
    "art-feature-adversaries-numpy": "art-feature-adversaries does the same with gradients",
    "art-decision-tree": "it attacks decision trees",
    "art-high-confidence-low-uncertainty": "it attacks Gaussian processes",
    "art-lowprofool": _NO_VIDEO,
    "art-malware": _NO_VIDEO,
    "art-imperceptible-asr": _NO_VIDEO,
    "art-carlini-wagner-asr": _NO_VIDEO,
    "art-dpatch": _DETECTOR,
    "art-robust-dpatch": _DETECTOR,
    "art-overload": _DETECTOR,
    "art-snal": _DETECTOR,
}
"""Attacks of the toolbox that do not serve, and why."""


def describe_art() -> list[dict[str, object]]:
    """Rows for `attack list`, of the keys of our own attacks' rows: without importing the toolbox."""
    rows: list[dict[str, object]] = []
    for name, attack in ART_ATTACKS.items():
        known = {**attack.ours, **attack.defaults}
        settings = [
            f"{key}={attack.step if key == 'step' and value is None else value}" for key, value in known.items()
        ]
        rows.append(
            {
                "attack": name,
                "summary": attack.summary,
                "norms": ", ".join(attack.norms),
                "settings": ", ".join([*settings, f"any parameter of art.attacks.evasion.{attack.cls}"]),
                "engines": "art",
                "source": "; ".join(part for part in (attack.source, attack.notes) if part),
            }
        )
    return rows
