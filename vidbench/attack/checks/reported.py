"""A run of `attack run` whose figure is to be judged: what it was asked, and what its records say."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vidbench.attack.threat import Eps, Norm
from vidbench.errors import InputError, UsageError
from vidbench.records import read_records
from vidbench.runs import MANIFEST, RECORDS, read_json

Json = dict[str, Any]
NORMS: tuple[Norm, ...] = ("linf", "l2")
SLACK: dict[Norm, float] = {"linf": 1e-7, "l2": 2e-4}
"""What float32 adds to a norm: half a unit in the last place of each value, of up to ten million in L2."""


@dataclass(frozen=True)
class Reported:
    """A run folder.

    Attributes:
        path: Where.
        request: As in its manifest.
        settings: As in its manifest.
        norm: Whose figures are judged.
        sweep: Their radii above 0, ascending.
        records: Of that norm, at all radii, with the whole clip as support.
    """

    path: Path
    request: Json
    settings: Json
    norm: Norm
    sweep: tuple[Eps, ...]
    records: tuple[Json, ...]

    @classmethod
    def read(cls, path: Path) -> Reported:
        """Read it.

        Raises:
            InputError: No run of `attack run`, or one without results.
            UsageError: Its figure is no robust accuracy in Linf or L2 over the whole clip.
        """
        manifest = read_json(path / MANIFEST)
        if manifest.get("command") != "attack run":
            raise InputError(
                f"{path} holds a run of {manifest.get('command')!r}", "Give a folder of vidbench attack run."
            )
        request: Json = manifest["request"]
        if request.get("target") is not None:
            raise UsageError(f"{path}: a targeted attack's figure is no robust accuracy", "Attack without --target.")
        if request.get("support", "all") != "all":
            raise UsageError(f"{path}: its perturbations are confined to {request['support']}")
        found = [record for record in read_records(path / RECORDS)[0] if record.get("status") == "ok"]
        for norm in NORMS:
            here = [record for record in found if record.get("norm", request.get("norm", "linf")) == norm]
            # a later line of a key replaces an earlier one
            records = tuple({record["key"]: record for record in here}.values())
            texts = {record["eps"] for record in records if record["eps_value"] > 0}
            sweep = tuple(sorted((Eps.parse(text, norm) for text in texts), key=lambda eps: eps.exact))
            if sweep:
                return cls(path, request, manifest["settings"], norm, sweep, records)
        raise InputError(f"{path} holds no result in Linf or L2 above eps 0")

    @property
    def draws(self) -> int:
        """Passes that its attacks averaged over."""
        return int(self.request.get("draws", 1))

    def robust(self, eps: Eps, clips: Collection[str]) -> int | None:
        """How many of these clips withstood all its attacks at a radius; None unless it attacked all of them."""
        here = [record for record in self.records if record["clip"] in clips and record["eps"] == eps.text]
        if {record["clip"] for record in here} != set(clips):
            return None
        return len(clips) - len({record["clip"] for record in here if not record["robust"]})

    def predictions(self) -> dict[str, int]:
        """The class of each clean clip, as the run saw it."""
        return {record["clip"]: record["clean_pred"] for record in self.records}

    def outside(self) -> list[str]:
        """Records whose perturbation is larger than they may be, in words."""
        found = []
        for record in self.records:
            size = record.get(self.norm)
            if size is not None and size > record["eps_value"] * (1 + 1e-5) + SLACK[self.norm]:
                found.append(f"{record['path']} with {self.norm} {size:.6g} at eps {record['eps']}")
        return found
