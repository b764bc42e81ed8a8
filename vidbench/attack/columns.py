"""One attack of a run: a column of a robustness table; and the suites, which are several."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from vidbench.attack.art.table import ART_ATTACKS, ART_REFUSED, describe_art
from vidbench.attack.art_bridge import art_method
from vidbench.attack.method import Engine, Method, Settings
from vidbench.attack.methods import ATTACKS, describe_all, parse_settings
from vidbench.attack.names import SUITES
from vidbench.attack.threat import Eps, Norm, parse_sweep
from vidbench.errors import UnknownNameError, UsageError
from vidbench.model.defence_names import describe_defences
from vidbench.runs import content_hash

DEFAULT_EPS = "8/255"


@dataclass(frozen=True)
class Column:
    """An attack with everything that decides its result.

    Attributes:
        label: As tables name it, one per run.
        attack: Name in the catalogue.
        norm: Of the budget.
        sweep: Radii, ascending.
        given: The settings as typed.
        engine: Who computes it.
        support: Where the perturbation may be, as typed.
    """

    label: str
    attack: str
    norm: Norm
    sweep: tuple[Eps, ...]
    given: Mapping[str, str] = field(default_factory=dict)
    engine: Engine = "native"
    support: str = "all"

    def method(self) -> Method:
        """The attack.

        Raises:
            UsageError: The engine or the attack does not have what is asked.
            UnknownNameError: No such attack.
        """
        theirs = self.attack in ART_ATTACKS or self.attack in ART_REFUSED
        art = self.engine == "art" or (theirs and self.attack not in ATTACKS)
        method: Method = art_method(self.attack) if art else ATTACKS.get(self.attack)
        if self.norm not in method.norms:
            raise UsageError(f"{method.name} has no norm {self.norm}", f"It has {', '.join(method.norms)}.")
        return method

    def settings(self, method: Method) -> Settings:
        """The settings, validated."""
        return parse_settings(method, dict(self.given))

    def describe(self, settings: Settings) -> dict[str, Any]:
        """All of it as plain values, for manifests and keys."""
        return {
            "label": self.label,
            "attack": self.attack,
            "engine": self.engine,
            "norm": self.norm,
            "support": self.support,
            "settings": settings.model_dump(mode="json"),
        }

    def key(self, settings: Settings, clip: str, eps: Eps) -> str:
        """The key of a clip's record: the clip, the attack and the radius; the label is a name only."""
        facts = {name: value for name, value in self.describe(settings).items() if name != "label"}
        return content_hash([clip, facts, str(eps.exact)])[:16]


def single(
    attack: str, norm: Norm, eps: str | None, given: Mapping[str, str], engine: Engine, support: str
) -> tuple[Column, ...]:
    """The one column of a run of one attack.

    Raises:
        UsageError: No radius where there is no usual one, or one out of range.
    """
    if eps is None and norm != "linf":
        raise UsageError(
            f"--norm {norm} needs --eps",
            f"8/255 is a radius per value; an {norm} radius is over the whole clip and grows with its size.",
        )
    return (Column(attack, attack, norm, parse_sweep(eps or DEFAULT_EPS, norm), dict(given), engine, support),)


def suite(name: str, norm: Norm, eps: str | None, frames: int) -> tuple[Column, ...]:
    """The columns of a suite.

    Args:
        name: Of `SUITES`.
        norm: Of quick and standard; the others have their own.
        eps: One radius or several; None for the usual one.
        frames: T of the clips: the budgets of images grow with it, L2 with its square root, L1 with itself, so that
            a frame gets as much as the image got.

    Raises:
        UsageError: No such suite, or a radius that it does not take.
    """
    if name not in SUITES:
        raise UsageError(f"--suite {name!r} is none", f"There are {', '.join(SUITES)}.")
    if name in ("quick", "standard"):
        if eps is None and norm != "linf":
            raise UsageError(f"--norm {norm} needs --eps")
        radii = parse_sweep(eps or DEFAULT_EPS, norm)
        if name == "standard":
            return (Column("autoattack", "autoattack", norm, radii),)
        return (
            *((Column("fgsm", "fgsm", norm, radii),) if norm in ("linf", "l2") else ()),
            Column("pgd-10", "pgd", norm, radii, {"steps": "10"}),
            Column("apgd-ce-20", "apgd-ce", norm, radii, {"steps": "20"}),
        )
    if norm != "linf":
        raise UsageError(f"--suite {name} has norms of its own", "Leave out --norm.")
    if name == "video":
        radii = parse_sweep(eps or DEFAULT_EPS, "linf")
        whole = parse_sweep("1", "linf")
        return (
            Column("one-frame", "one-frame", "linf", radii),
            Column("flicker", "flicker", "linf", parse_sweep("0.1", "linf")),
            Column("flicker-universal", "flicker-universal", "linf", parse_sweep("0.1", "linf")),
            Column("universal", "universal", "linf", radii),
            Column("border", "border", "linf", whole),
            Column("patch", "patch", "linf", whole),
            Column("square-tube", "square", "linf", radii, {"queries": "1000", "temporal": "tube"}),
        )
    if eps is not None:
        raise UsageError("--suite robustart has radii of its own", "Leave out --eps.")
    # RobustART's `noise/utils/add_noise_utils.py`: 20 steps of 3/40 of the radius from a random start
    l1, l2 = 1600 * frames, 8 * math.sqrt(frames)
    steps = {"steps": "20", "random_start": "true"}
    return (
        Column("FGSM Linf 8/255", "fgsm", "linf", parse_sweep("8/255", "linf")),
        Column(f"PGD L1 {l1}", "pgd-l1-dense", "l1", parse_sweep(str(l1), "l1"), {**steps, "step": f"{l1 * 3}/40"}),
        Column(f"PGD L2 {l2:g}", "pgd", "l2", parse_sweep(f"{l2:.6g}", "l2"), {**steps, "step": f"{l2 * 3 / 40:.6g}"}),
        Column("PGD Linf 8/255", "pgd", "linf", parse_sweep("8/255", "linf"), {**steps, "step": "24/10200"}),
        Column(
            f"C&W L2 {l2:g}", "cw", "l2", parse_sweep(f"{l2:.6g}", "l2"),
            {"steps": "200", "binary_steps": "4", "lr": "0.2", "init_const": "0.01", "confidence": "0"},
        ),
    )  # fmt: skip


def describe_everything() -> dict[str, list[dict[str, object]]]:
    """What `attack list` shows: attacks of both engines, suites and defences."""
    own = describe_all()
    known = {str(row["attack"]) for row in own}
    return {
        "attacks": own + [row for row in describe_art() if row["attack"] not in known],
        "suites": [{"suite": name, "summary": summary} for name, summary in SUITES.items()],
        "defences": describe_defences(),
    }


def describe_one(name: str) -> dict[str, object]:
    """What `attack show` shows of one attack.

    Raises:
        UnknownNameError: No such attack.
    """
    rows = describe_everything()["attacks"]
    found = next((row for row in rows if row["attack"] == name), None)
    if found is None:
        raise UnknownNameError("attack", name, [str(row["attack"]) for row in rows], "vidbench attack list")
    return found
