"""Judge the facts about this machine: one finding per check, with the command that mends it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from vidbench.env.checks import decoders, python, system, torch, weights
from vidbench.env.facts import SLOW_PARTS, Facts
from vidbench.env.findings import STATUSES, Check, Finding, Outcome, number
from vidbench.env.probes import Gatherer
from vidbench.errors import UnknownNameError
from vidbench.progress import Reporter, SilentReporter

CHECKS: tuple[Check, ...] = (*system.CHECKS, *python.CHECKS, *torch.CHECKS, *decoders.CHECKS, *weights.CHECKS)


@dataclass(frozen=True)
class EnvCheckRequest:
    """What to check.

    Attributes:
        only: Identifiers of checks; empty for all.
        published: (model, file name) of all published weights, for J1.
        working: The working folder.
        limit_s: Seconds that loading one library may take.
    """

    only: tuple[str, ...] = ()
    published: tuple[tuple[str, str], ...] = ()
    working: Path = Path()
    limit_s: float = 60.0


@dataclass(frozen=True)
class EnvCheckResult:
    """The findings in the order of the table.

    Attributes:
        findings: One per check.
        facts: What they were judged by.
        counts: Findings per status; every status is there.
        verdict: One line: the counts, and what to do next.
    """

    findings: tuple[Finding, ...]
    facts: Facts
    counts: dict[str, int]
    verdict: str


def check(
    request: EnvCheckRequest,
    reporter: Reporter = SilentReporter(),
    each: Callable[[Finding], None] = lambda finding: None,
) -> EnvCheckResult:
    """Gather the facts that the checks need, and judge them.

    Args:
        request: What to check.
        reporter: Hears that loading libraries takes a while.
        each: Called with every finding as soon as it is known, in the order of the table.

    Raises:
        UnknownNameError: `only` names no check.
    """
    chosen = select(request.only)
    parts = {part for one in chosen for part in one.needs}
    if parts & SLOW_PARTS:
        reporter.info("loading torch and the decoders in processes of their own; this takes some seconds")
    findings = []
    working = request.working.absolute()
    with Gatherer(parts, working, request.published, request.limit_s) as gatherer:
        for one in chosen:
            finding = judge(one, gatherer.facts(one.needs))
            each(finding)
            findings.append(finding)
        facts = gatherer.facts()
    return result(findings, facts)


def select(only: Sequence[str] = ()) -> tuple[Check, ...]:
    """The checks of these identifiers in the order of the table; all for none."""
    wanted = {name.upper() for name in only}
    known = {one.id.upper() for one in CHECKS}
    for name in only:
        if name.upper() not in known:
            raise UnknownNameError("check", name, [one.id for one in CHECKS], f"Checks: {', '.join(_ids())}.")
    return tuple(one for one in CHECKS if not wanted or one.id.upper() in wanted)


def _ids() -> list[str]:
    return [one.id for one in CHECKS]


def judge(one: Check, facts: Facts) -> Finding:
    """The finding of a check; a check that raises is a `crash`, and so is one whose facts are missing."""
    broken = [f"{part}: {facts.problems[part]}" for part in one.needs if part in facts.problems]
    try:
        if broken:
            outcome = Outcome("crash", f"this could not be looked at: {'; '.join(broken)}")
        elif missing := [part for part in one.needs if getattr(facts, part) is None]:
            outcome = Outcome("skip", f"nothing was recorded about {', '.join(missing)}")
        else:
            outcome = one.judge(facts)
    except Exception as error:
        outcome = Outcome("crash", f"the check itself failed: {type(error).__name__}: {error}")
    return Finding(one.id, one.title, one.group, outcome.status, outcome.message, outcome.remedy, one.affects)


def result(findings: Iterable[Finding], facts: Facts) -> EnvCheckResult:
    """Count the findings and say what follows from them."""
    found = tuple(findings)
    seen = Counter(finding.status for finding in found)
    counts: dict[str, int] = {status: seen[status] for status in STATUSES}
    parts = [
        f"{counts['ok']} ok",
        f"{counts['info']} info",
        number(counts["warn"], "warning"),
        number(counts["fail"], "failure"),
    ]
    if counts["crash"]:
        parts.append(f"{counts['crash']} crashed")
    if counts["fail"]:
        then = "mend the failures first; each says how"
    elif counts["crash"]:
        then = "some checks broke; please report them"
    elif counts["warn"]:
        then = "vidbench works here; the warnings say what would go better"
    else:
        then = "vidbench works here"
    return EnvCheckResult(found, facts, counts, f"{', '.join(parts)}: {then}")
