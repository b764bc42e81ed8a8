"""The section on verifications: whether a robust accuracy can be believed, and the best known one."""

from __future__ import annotations

from collections.abc import Sequence

from vidbench.attack.judge import MEANING
from vidbench.report.evaluation import coverage, failures, state_notice
from vidbench.report.folders import Run
from vidbench.report.markup import MISSING, Html, count, join, percent, plural, table, tag
from vidbench.report.summaries import VerifyFlag, VerifySummary, budget, norm_name

_KINDS = {"VALID_UPPER_BOUND": "good", "SUSPECT": "bad", "INVALID": "invalid"}
_WORDS = {"VALID_UPPER_BOUND": "Valid upper bound", "SUSPECT": "Suspect", "INVALID": "Invalid"}
_SEVERITIES = {"E": "Error", "W": "Warning", "I": "Note", "pass": "Passed"}
Verified = tuple[str, Run, VerifySummary]


def verify_labels(runs: Sequence[Run]) -> list[Verified]:
    """Finished verifications, each with the shortest name of its subject that tells it from the others."""
    found = [(run, run.summary) for run in runs if isinstance(run.summary, VerifySummary)]
    labels = [one.short + (f" behind {one.defence}" if one.defence else "") for _, one in found]
    return [
        (label if labels.count(label) == 1 else f"{label} ({run.name})", run, one)
        for label, (run, one) in zip(labels, found, strict=True)
    ]


def status_words(summary: VerifySummary) -> str:
    """The verdict in words: `Valid upper bound`."""
    return _WORDS[summary.status]


def best_known(summary: VerifySummary) -> tuple[str, float] | None:
    """The largest budget with the best known figure there, in [0, 1]; None without one."""
    values = {row.eps: row.eps_value for row in summary.attacks}
    found = sorted(summary.best_known_ra.items(), key=lambda one: values.get(one[0], 0.0))
    return found[-1] if found else None


def verify_section(runs: Sequence[Run]) -> Html:
    """Every verification: a panel with its verdict and figures, its flags, its attacks."""
    found = verify_labels(runs)
    parts: list[Html | None] = [state_notice(run) for run in runs if run.kind == "verify" and run.summary is None]
    for label, run, summary in found:
        suffix = f": {label}" if len(found) > 1 else ""
        parts += [
            tag("h3", f"Verdict{suffix}"),
            _panel(run, summary),
            _flags(summary, suffix),
            _attacks(summary, suffix),
            failures(summary.failures, summary.failed),
        ]
    return join(parts)


def _panel(run: Run, summary: VerifySummary) -> Html:
    verdict = tag("p", tag("strong", _WORDS[summary.status], "."), " ", MEANING[summary.status], class_="judgement")
    facts = [
        ("Subject", summary.full),
        ("Defence", summary.defence),
        ("Run under judgement", summary.run),
        ("Verification", run.name),
        ("Clips", coverage(summary.evaluated, summary.listed)),
        ("Clean accuracy", None if summary.clean_accuracy is None else percent(summary.clean_accuracy)),
        ("Steps, queries", f"{count(summary.steps)}, {count(summary.queries)}"),
        ("Draws per gradient", count(summary.draws) if summary.draws > 1 else None),
    ]
    listed = tag("dl", *(join([tag("dt", n), tag("dd", v)]) for n, v in facts if v), class_="facts")
    reported = "Reported" if summary.run else "By its own gradients"
    rows = [
        (
            budget(summary.norm, eps),
            percent(summary.reported_ra.get(eps)),
            tag("strong", percent(best)),
            summary.strongest.get(eps) or MISSING,
        )
        for eps, best in summary.best_known_ra.items()
    ]
    what = "Robust accuracy" if summary.reference == "labels" else "Unchanged predictions"
    grid = table(
        ("Budget", reported, "Best known", "Strongest attack"), rows, numeric=(1, 2), caption=f"{what} by budget"
    )
    return tag("div", verdict, grid, listed, class_=f"verdict {_KINDS[summary.status]}")


def _flags(summary: VerifySummary, suffix: str) -> Html:
    passed = None
    if summary.passed:
        entries = (tag("li", tag("strong", f"{one.id} {one.title}: "), one.evidence) for one in summary.passed)
        passed = tag("details", tag("summary", f"{plural(len(summary.passed), 'check')} passed"), tag("ul", *entries))
    if not summary.flags:
        body = tag("p", "No check found anything.", class_="note")
    else:
        rows = [(one.id, _severity(one), one.title, one.evidence, one.remedy or MISSING) for one in summary.flags]
        columns = ("Check", "Weight", "What was looked at", "Evidence", "What to do")
        body = tag("div", table(columns, rows, caption="Flags by weight", seen=False), class_="flags")
    return join([tag("h3", f"What the checks found{suffix}"), body, passed])


def _severity(flag: VerifyFlag) -> Html:
    return tag("span", _SEVERITIES[flag.severity], class_=f"weight {_SEVERITIES[flag.severity].lower()}")


def _attacks(summary: VerifySummary, suffix: str) -> Html | None:
    if not summary.attacks:
        return None
    rows = [
        (
            budget(summary.norm, one.eps),
            one.name,
            percent(one.robust_accuracy),
            f"{count(one.robust)} / {count(one.clips)}",
            count(one.unconfirmed),
            count(one.forwards),
            count(one.backwards),
        )
        for one in summary.attacks
    ]
    right = "Right" if summary.reference == "labels" else "Unchanged"
    columns = ("Budget", "Attack", f"{right}, share", right, "Unconfirmed", "Forwards", "Backwards")
    note = (
        "A success is unconfirmed where the attack saw it and the model, judged afresh, does not. Forwards and"
        " backwards are passes over all clips."
    )
    grid = table(
        columns,
        rows,
        numeric=range(2, 7),
        caption=f"Attacks in {norm_name(summary.norm)}",
        seen=False,
        grouped=True,
    )
    return join([tag("h3", f"Attacks of the verification{suffix}"), grid, tag("p", note, class_="note")])
