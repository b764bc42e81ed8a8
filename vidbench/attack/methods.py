"""The catalogue of attacks, and their settings as typed."""

from __future__ import annotations

from functools import partial
from importlib import import_module

from pydantic import ValidationError

from vidbench.attack.art.table import ART_ATTACKS
from vidbench.attack.method import Method, Settings
from vidbench.attack.threat import Eps
from vidbench.catalogue import Catalogue, Entry
from vidbench.errors import UsageError

_TABLE = (
    ("fgsm", "one gradient step of size eps", "pgd:Fgsm"),
    ("r-fgsm", "one gradient step from a random start", "pgd:RandomFgsm"),
    ("pgd", "projected gradient steps from random starts, the first success kept", "pgd:Pgd"),
    ("pgd-l1-dense", "PGD in L1 with steps along the whole gradient, as RobustART's table", "pgd:PgdL1Dense"),
    ("pgd-l1-argmax", "PGD in L1 with steps of one value, as the Adversarial Robustness Toolbox 1.18 and later",
     "pgd:PgdL1Argmax"),
    ("mi-fgsm", "PGD with momentum", "pgd:MomentumFgsm"),
    ("noise", "random signs or directions of size eps: the baseline that an attack has to beat", "pgd:Noise"),
    ("apgd-ce", "Auto-PGD on the cross entropy: step sizes that adapt", "apgd:ApgdCe"),
    ("apgd-dlr", "Auto-PGD on the difference of logits ratio", "apgd:ApgdDlr"),
    ("apgd-t", "Auto-PGD on the targeted difference of logits ratio, class after class", "apgd:ApgdTargeted"),
    ("fab", "the nearest decision boundary, by projections", "fab:Fab"),
    ("fab-t", "the same, class after class", "fab:FabTargeted"),
    ("square", "random squares, by scores alone: no gradient", "square:Square"),
    ("autoattack", "APGD-CE, APGD-T, FAB-T and Square, each on what the earlier ones left", "cascade:AutoAttack"),
    ("cw", "Carlini and Wagner's smallest L2 perturbation", "cw:CarliniWagner"),
    ("ddn", "the smallest L2 perturbation by decoupled direction and norm", "ddn:Ddn"),
    ("fmn", "the smallest perturbation, in a ball whose radius follows the boundary", "fmn:Fmn"),
    ("deepfool", "steps to the nearest linearised boundary", "deepfool:DeepFool"),
    ("one-frame", "PGD in the one frame of each clip that serves best", "sparse:OneFrame"),
    ("sparse", "few perturbed frames, by the sum of the frames' norms", "sparse:Sparse"),
    ("flicker", "one colour offset per frame, little and smooth over time", "flicker:Flicker"),
    ("flicker-universal", "one flicker for all clips, at whatever moment it begins", "flicker:UniversalFlicker"),
    ("universal", "one perturbation for all clips", "universal:Universal"),
    ("patch", "a patch that stays in its place over all frames", "patch:Patch"),
    ("patch-universal", "one patch for all clips", "patch:UniversalPatch"),
    ("border", "a border around all frames", "patch:Border"),
)  # fmt: skip


def _load(where: str) -> Method:
    module, _, name = where.partition(":")
    method: Method = getattr(import_module(f"vidbench.attack.algorithms.{module}"), name)()
    return method


ATTACKS: Catalogue[Method] = Catalogue(
    "attack",
    (Entry(name, summary, partial(_load, where)) for name, summary, where in _TABLE),
    group="vidbench.attacks",
    listing="vidbench attack list",
)


def parse_settings(method: Method, given: dict[str, str]) -> Settings:
    """The attack's settings from `name=value` texts.

    Raises:
        UsageError: A setting that the attack does not have, or a value out of its range.
    """
    known = method.settings.model_fields
    for name in given:
        if name not in known:
            has = f"it has {', '.join(known)}" if known else "it has none"
            raise UsageError(f"{method.name} has no setting {name!r}", f"{has[0].upper()}{has[1:]}.")
    try:
        settings = method.settings.model_validate(given)
    except ValidationError as error:
        first = error.errors()[0]
        where = "".join(f"{name}: " for name in first["loc"])
        raise UsageError(f"{method.name}: {where}{first['msg'].removeprefix('Value error, ')}") from error
    step = getattr(settings, "step", None)
    if step is not None and Eps.parse(step, "l2").exact == 0:
        raise UsageError(f"{method.name}: a step of 0 goes nowhere")
    return settings


def describe_all() -> list[dict[str, object]]:
    """What `attack list` shows: name, summary, norms, settings with defaults, engines, source."""
    rows: list[dict[str, object]] = []
    for entry in ATTACKS:
        method = entry.load()
        defaults = method.settings().model_dump(mode="json")
        rows.append(
            {
                "attack": entry.name,
                "summary": entry.summary,
                "norms": ", ".join(method.norms),
                "settings": ", ".join(
                    f"{name}={'eps/4' if value is None and name == 'step' else value}"
                    for name, value in defaults.items()
                ),
                "engines": "native, art" if entry.name in ART_ATTACKS else "native",
                "source": method.source,
            }
        )
    return rows
