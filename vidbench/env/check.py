"""Judge the facts about this machine: one finding per check, with the command that mends it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from vidbench.env import LOADING
from vidbench.env.checks import decoders, deep, detectron2, gpus, processes, python, system, torch, weights
from vidbench.env.facts import SLOW_PARTS, Facts, PublishedFile
from vidbench.env.findings import EVERYTHING, PURPOSES, STATUSES, Check, Finding, Outcome, number
from vidbench.env.gatherer import Gatherer
from vidbench.env.known_errors import KNOWN_ERRORS, KnownError
from vidbench.errors import UnknownNameError
from vidbench.progress import Reporter, SilentReporter

_GROUPS = (system, python, torch, gpus, decoders, weights, processes, detectron2, deep)


def _sorted(checks: Sequence[Check]) -> list[Check]:
    headings = list(dict.fromkeys(one.group for one in checks))
    return sorted(checks, key=lambda one: (headings.index(one.group), _place(one)))


def _place(one: Check) -> tuple[int, str]:
    """B10 comes after B9."""
    digits = one.id[1:].partition("-")[0]
    return int(digits), one.id


CHECKS: tuple[Check, ...] = tuple(one for group in _GROUPS for one in _sorted(group.CHECKS))


@dataclass(frozen=True)
class EnvCheckRequest:
    """What to check.

    Attributes:
        only: Identifiers of checks; empty for all.
        groups: Names of groups, in any case; empty for all.
        purpose: What vidbench is wanted for, a name of `PURPOSES`; "" for everything. A failure of what is not wanted
            is a warning.
        deep: Also run the checks that compute, decode and start processes.
        net: Also ask hosts on the network.
        published: All published files of weights, for J1.
        working: The working folder.
        limit_s: Seconds that loading one library may take.
        addresses: Addresses of weights and data sets, one of each host, for J3.
    """

    only: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    purpose: str = ""
    deep: bool = False
    net: bool = False
    published: tuple[PublishedFile, ...] = ()
    working: Path = Path()
    limit_s: float = 60.0
    addresses: tuple[str, ...] = ()


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
        UnknownNameError: `only` names no check, `groups` no group, or `purpose` is none.
    """
    wanted = purposes(request.purpose)
    chosen = select(request.only, request.groups, deep=request.deep, net=request.net)
    parts = {part for one in chosen for part in one.needs}
    if parts & SLOW_PARTS:
        reporter.info(LOADING)
    findings = []
    working = request.working.absolute()
    with Gatherer(parts, working, request.published, request.limit_s, request.addresses) as gatherer:
        for one in chosen:
            finding = judge(one, gatherer.facts(one.needs), wanted)
            each(finding)
            findings.append(finding)
        facts = gatherer.facts()
    return result(findings, facts)


def select(
    only: Sequence[str] = (), groups: Sequence[str] = (), *, deep: bool = False, net: bool = False
) -> tuple[Check, ...]:
    """The checks of these identifiers and groups in the order of the table; all for none.

    Checks that compute, decode or ask the network are taken with `deep` and `net`, and where `only` names them.

    Raises:
        UnknownNameError: No such check or group.
    """
    names = {name.upper() for name in only}
    headings = {name.casefold() for name in groups}
    for name in only:
        if name.upper() not in {one.id.upper() for one in CHECKS}:
            raise UnknownNameError("check", name, _ids(), f"Checks: {', '.join(_ids())}.")
    for name in groups:
        if name.casefold() not in {one.group.casefold() for one in CHECKS}:
            known = list(dict.fromkeys(one.group for one in CHECKS))
            raise UnknownNameError("group of checks", name, known, f"Groups: {', '.join(known)}.")
    taken = {"always", *(("deep",) if deep else ()), *(("net",) if net else ())}
    if not names and not headings:
        return tuple(one for one in CHECKS if one.when in taken)
    return tuple(
        one for one in CHECKS if one.id.upper() in names or (one.group.casefold() in headings and one.when in taken)
    )


def purposes(name: str) -> tuple[str, ...]:
    """The command groups that are wanted for a purpose; all but detectron2 for "".

    Raises:
        UnknownNameError: No such purpose.
    """
    if not name:
        return EVERYTHING
    if name not in PURPOSES:
        raise UnknownNameError("purpose", name, PURPOSES, f"Purposes: {', '.join(PURPOSES)}.")
    return PURPOSES[name]


@dataclass(frozen=True)
class Explanation:
    """What `env explain` says of a check: why it is looked at, what suffers, and the errors that point to it."""

    id: str
    title: str
    group: str
    affects: tuple[str, ...]
    why: str
    when: str
    errors: tuple[KnownError, ...]


def explain(name: str) -> Explanation:
    """A check, and the errors that point to it.

    Raises:
        UnknownNameError: No such check.
    """
    (one,) = select((name,))
    errors = tuple(error for error in KNOWN_ERRORS if error.check == one.id)
    return Explanation(one.id, one.title, one.group, one.affects, one.why, one.when, errors)


def _ids() -> list[str]:
    return [one.id for one in CHECKS]


def judge(one: Check, facts: Facts, wanted: Sequence[str] = EVERYTHING) -> Finding:
    """The finding of a check; a check that raises is a `crash`, and so is one whose facts are missing.

    A failure that stops nothing of what is `wanted` is a warning, and one of detectron2 alone, which nothing of
    vidbench needs, worth knowing.
    """
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
    status = outcome.status
    if status in ("fail", "warn") and not set(one.affects) & set(wanted):
        status = "info" if one.affects == ("detectron2",) else "warn"
    return Finding(one.id, one.title, one.group, status, outcome.message, outcome.remedy, one.affects)


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
