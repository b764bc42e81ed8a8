"""A verdict for people, as Markdown."""

from __future__ import annotations

from typing import Any

from vidbench.attack.judge import MEANING

Json = dict[str, Any]


def verdict_text(summary: Json) -> str:
    """The verdict, the figures, the attacks and the flags of a `summary.json` of kind "verify"."""
    lines = [f"# {summary['status']}", "", MEANING[summary["status"]], ""]
    lines += [
        f"{summary['subject']}, {summary['evaluated']} clips, {summary['norm']}, clean accuracy "
        f"{_percent(summary['clean_accuracy'])}",
        "",
        "| eps | reported | best known | broken most by |",
        "|---|---|---|---|",
    ]
    for eps, best in summary["best_known_ra"].items():
        reported = summary["reported_ra"][eps]
        shown = "-" if reported is None else _percent(reported)
        lines.append(f"| {eps} | {shown} | {_percent(best)} | {summary['strongest'][eps] or '-'} |")
    lines += ["", "## Flags", ""]
    for flag in summary["flags"]:
        lines.append(f"* {flag['severity']} {flag['id']} {flag['title']}: {flag['evidence']} {flag['remedy']}".rstrip())
    if summary["passed"]:
        lines += ["", f"Passed: {', '.join(flag['id'] for flag in summary['passed'])}."]
    lines += ["", "## Attacks", "", "| eps | attack | right after it | of |", "|---|---|---|---|"]
    lines += [f"| {row['eps']} | {row['name']} | {row['robust']} | {row['clips']} |" for row in summary["attacks"]]
    for failure in summary["failures"]:
        lines.append(f"\nNot read: {failure['path']}: {failure['reason']}")
    return "\n".join(lines) + "\n"


def _percent(share: float | None) -> str:
    return "unknown" if share is None else f"{100 * share:.1f} %"
