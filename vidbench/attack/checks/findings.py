"""From the records of a verification to what its checks take, and to their flags."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from vidbench.attack.checks import accounts, answers, convergence, gradients, strength
from vidbench.attack.checks.convergence import Course
from vidbench.attack.checks.counts import Counts, Radius
from vidbench.attack.checks.flag import Flag
from vidbench.attack.checks.probes import PASSES
from vidbench.attack.checks.reported import Reported
from vidbench.attack.checks.trials import RESTART_STEPS, RESTARTS, TRIALS, marks_of
from vidbench.attack.threat import Eps

Json = dict[str, Any]
OWN = tuple(trial.name for trial in TRIALS if "white-box" in trial.unions and trial.name != "fgsm")


@dataclass(frozen=True)
class Findings:
    """What the records of the clips say.

    Attributes:
        records: Of all checks, by key.
        clips: Clips that were worked on, in the order of the list.
        sweep: Radii above 0, ascending.
        classes: K.
        steps: Of PGD and APGD.
        queries: Of Square.
        draws: Passes averaged over, 1 for a model that is not random.
        sources: Whose gradients were transferred, in words.
        random: Whether the model draws random numbers.
        reported: The run under judgement.
    """

    records: Mapping[str, Json]
    clips: Sequence[str]
    sweep: Sequence[Eps]
    classes: int
    steps: int
    queries: int
    draws: int
    random: bool
    sources: Sequence[str]
    reported: Reported | None = None

    def of(self, check: str) -> list[Json]:
        """The records of a check, clip by clip."""
        return [record for clip in self.clips if (record := self.records.get(key(check, clip)))]

    def at(self, trial: str, eps: Eps) -> dict[str, Json]:
        """The records of an attack at a radius, by clip; empty where it did not run."""
        found = {clip: self.records.get(key(trial, clip, eps)) for clip in self.clips}
        return {clip: record for clip, record in found.items() if record is not None}

    @property
    def names(self) -> tuple[str, ...]:
        """The attacks that ran, in the order of their table."""
        return tuple(trial.name for trial in TRIALS if any(self.at(trial.name, eps) for eps in self.sweep))

    def withstood(self, names: Iterable[str], eps: Eps) -> int | None:
        """Clips that withstand all of several attacks at a radius; None where none of them ran."""
        found = [records for name in names if (records := self.at(name, eps))]
        if not found:
            return None
        broken = {clip for records in found for clip, record in records.items() if not record["robust"]}
        return len(self.clips) - len(broken)

    def counts(self) -> Counts:
        """All radii, all attacks, and their unions."""
        radii = []
        for eps in self.sweep:
            groups: dict[str, list[str]] = {name: [name] for name in self.names}
            for trial in TRIALS:
                for union in (*trial.unions, "best"):
                    groups.setdefault(union, []).append(trial.name)
            found = {name: self.withstood(members, eps) for name, members in groups.items()}
            robust = {name: count for name, count in found.items() if count is not None}
            robust.setdefault("best", self.clean)
            radii.append(Radius(eps.text, eps.value, robust))
        return Counts(len(self.clips), self.clean, radii)

    @property
    def clean(self) -> int:
        """Clips that are right before any attack."""
        return sum(record["correct"] for record in self.of("clean"))

    def attacks(self) -> list[Json]:
        """The table of attacks: one row per attack and radius."""
        rows = []
        for eps in self.sweep:
            for name in self.names:
                tried = [record for record in self.at(name, eps).values() if record["attacked"]]
                robust = self.withstood([name], eps)
                rows.append({
                    "name": name,
                    "eps": eps.text,
                    "eps_value": eps.value,
                    "clips": len(self.clips),
                    "robust": robust,
                    "robust_accuracy": (robust or 0) / len(self.clips) if self.clips else 0.0,
                    "unconfirmed": sum(record["claimed"] and not record["confirmed"] for record in tried),
                    "forwards": sum(record["forwards"] for record in tried),
                    "backwards": sum(record["backwards"] for record in tried),
                })  # fmt: skip
        return rows

    def flags(self) -> list[Flag]:
        """Every check on these records."""
        counts = self.counts()
        seen = [answers.Answer(**_only(record, answers.Answer)) for record in self.of("answer")]
        slopes = self.of("gradient")
        scan = self.records.get(SCAN, {})
        reason = next((record["reason"] for record in slopes if not record["connected"]), "")
        flags = [
            answers.steady(seen, PASSES, self.draws, self.reported.draws if self.reported else None),
            answers.gives_logits(seen),
            answers.joined([record["connected"] for record in slopes], reason),
            *self._of_gradients(slopes),
            *self._of_strength(counts, scan),
            convergence.enough_steps(self._courses(), counts),
            convergence.enough_restarts(self._restarts(), counts),
            convergence.losses_agree(
                counts,
                sum(r["connected"] and r["norm"] > 0 and r["cross_entropy_norm"] == 0 for r in slopes),
                len(slopes),
            ),
            convergence.falls_with_eps(counts, (*OWN, "square")),
            *self._of_accounts(counts),
            answers.differentiates_inside(scan.get("backward", 0)),
            answers.enough_classes(self.classes),
        ]
        return flags

    def _of_gradients(self, slopes: Sequence[Json]) -> list[Flag]:
        found = []
        for record in slopes:
            if record["connected"]:
                facts = _only(record, gradients.Gradient)
                facts["slopes"] = {width: gradients.Slope(**slope) for width, slope in record["slopes"].items()}
                found.append(gradients.Gradient(**facts))
        if not found:
            return []
        return [gradients.there(found), gradients.trustworthy(found), gradients.smooth(found)]

    def _of_strength(self, counts: Counts, scan: Json) -> list[Flag]:
        free = self.of("unbounded")
        grey = sum(record["grey"] for record in self.of("clean"))
        return [
            strength.unbounded(sum(record["robust"] for record in free) if free else None, counts, self.classes),
            strength.grey(grey, counts, self.classes),
            strength.iterations_pay(counts),
            strength.gradients_pay(counts, self.queries),
            strength.own_gradients_pay(counts, self.sources),
            strength.beats_noise(counts),
            strength.near_identities(scan.get("paths", []), scan.get("operations", []), counts),
        ]

    def _of_accounts(self, counts: Counts) -> list[Flag]:
        tried = [
            record for eps in self.sweep for name in self.names
            for record in self.at(name, eps).values() if record["attacked"]
        ]  # fmt: skip
        outside = [f"{record['check']}: {record['fault']}" for record in tried if record["fault"]]
        audited = len(tried)
        other = compared = 0
        if self.reported is not None:
            outside += self.reported.outside()
            audited += len(self.reported.records)
            before = self.reported.predictions()
            now = [(record["pred"], before[record["clip"]]) for record in self.of("clean") if record["clip"] in before]
            other, compared = sum(ours != theirs for ours, theirs in now), len(now)
        claimed = [record for record in tried if record["claimed"]]
        lost = sum(not record["confirmed"] for record in claimed if not record["fault"])
        flags = [
            accounts.within_budget(outside, audited),
            accounts.confirmed(lost, len(claimed), self.random, other, compared),
            accounts.sample_size(counts),
            accounts.all_rates(counts),
            accounts.one_view(),
        ]
        if self.reported is not None:
            for eps, at in zip(self.sweep, counts.radii, strict=True):
                count = self.reported.robust(eps, self.clips)
                if count is not None:
                    flags.append(accounts.reported_holds(eps.text, count, at.robust["best"], counts))
        return flags

    def _courses(self) -> list[Course]:
        found = []
        for eps in self.sweep:
            records = self.at("pgd", eps)
            tried = [record for record in records.values() if record["attacked"]]
            if not records:
                continue
            robust = {
                mark: self.clean - sum(_broken_by(record, mark) for record in tried) for mark in marks_of(self.steps)
            }
            nearly = str(self.steps - max(1, self.steps // 10))
            late = [_late(record, nearly, str(self.steps)) for record in tried if record["robust"]]
            found.append(Course(eps.text, self.steps, robust, late))
        return found

    def _restarts(self) -> list[Course]:
        steps = min(RESTART_STEPS, self.steps)
        found = []
        for eps in self.sweep:
            records = self.at("pgd-restarts", eps)
            if records:
                tried = [record for record in records.values() if record["attacked"]]
                first = sum(not record["robust"] and record["restart"] == 0 for record in tried)
                every = sum(not record["robust"] for record in tried)
                found.append(Course(eps.text, steps, {1: self.clean - first, RESTARTS: self.clean - every}, []))
        return found


SCAN = "model:scan"


def key(check: str, clip: str, eps: Eps | None = None) -> str:
    """The key of a record: the check, its radius, the clip."""
    return f"{check}@{eps.exact}:{clip}" if eps is not None else f"{check}:{clip}"


def _only(record: Json, kind: Callable[..., Any]) -> Json:
    """The fields of a record that a dataclass has."""
    return {name: record[name] for name in kind.__dataclass_fields__}  # type: ignore[attr-defined]


def _broken_by(record: Json, mark: int) -> bool:
    return not record["robust"] and 0 <= record["step"] <= mark


def _late(record: Json, nearly: str, last: str) -> float:
    """The share of a margin's ascent that fell after a mark; 0 where it never rose."""
    margins = record["margins"]
    whole = margins[last] - record["start"]
    return float((margins[last] - margins[nearly]) / whole) if whole > 0 else 0.0
