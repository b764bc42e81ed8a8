"""The section on attack runs: accuracy against budget and steps, figures, and what attacks did to clips."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from vidbench.report.attack_look import (
    Labelled,
    cascades_table,
    chart,
    confusions,
    course_charts,
    pictures,
    stored_table,
)
from vidbench.report.evaluation import coverage, different_lists, failures, state_notice
from vidbench.report.folders import Image, Run
from vidbench.report.markup import MISSING, Html, count, figure, interval, join, percent, plural, table, tag
from vidbench.report.plots import Point, Series, labelled_axis, percent_axis
from vidbench.report.summaries import AttackRun, AttackSummary, CurvePoint, WorstPoint, norm_name

COMMON_EPS = 8 / 255
_BANDS = 5
_SUMS = ("l1", "l21")
_WORST = "In the worst case a clip counts as broken where any of the attacks of its run breaks it."


def attack_labels(runs: Sequence[Run]) -> list[Labelled]:
    """The attacks of finished runs, each with the shortest label that tells it from the others."""
    found = [(run, one) for run in runs if isinstance(run.summary, AttackRun) for one in run.summary.attacks]
    labels = [("targeted " if one.column.targeted else "") + one.column.label for _, one in found]
    if len({one.run.model for _, one in found}) > 1:
        labels = [f"{label} on {one.run.short}" for label, (_, one) in zip(labels, found, strict=True)]
    if any(one.run.defence for _, one in found):
        labels = [f"{label} {defence_words(one.run)}" for label, (_, one) in zip(labels, found, strict=True)]
    # attacks of different norms never share a plot, and every other place names the norm
    norms = [one.norm for _, one in found]
    for extra in (
        [one.column.engine for _, one in found],
        ["" if one.column.support == "all" else one.column.support for _, one in found],
        ["" if one.column.steps is None else plural(one.column.steps, "step") for _, one in found],
        ["" if one.column.restarts is None else plural(one.column.restarts, "restart") for _, one in found],
        [run.name for run, _ in found],
    ):
        known = list(zip(labels, norms, strict=True))
        for index, part in enumerate(extra):
            alike = {extra[other] for other, one in enumerate(known) if one == known[index]}
            if len(alike) > 1 and part:
                labels[index] += f", {part}"
    return [(label, run, one) for label, (run, one) in zip(labels, found, strict=True)]


def defence_words(run: AttackRun) -> str:
    """What the attack had to get past: `behind h264:23 (BPDA)`."""
    if not run.defence:
        return "without defence"
    return f"behind {run.defence}" + (" (BPDA)" if run.bpda else "")


def headline(summary: AttackSummary) -> CurvePoint | None:
    """The point to name first: that at 8/255 of L∞ where it was measured, else the largest budget."""
    attacked = [point for point in summary.points if point.eps_value > 0]
    # stored values may be rounded to four decimals
    common = [p for p in attacked if summary.norm == "linf" and abs(p.eps_value - COMMON_EPS) < 1e-4]
    return next(iter(common or attacked[-1:]), None)


def worst_headlines(run: AttackRun) -> list[WorstPoint]:
    """Per norm the worst case to name first: at 8/255 of L∞ where there is one, else at the largest budget."""
    found = []
    for norm in dict.fromkeys(point.norm for point in run.worst):
        points = sorted((p for p in run.worst if p.norm == norm and p.eps_value > 0), key=lambda p: p.eps_value)
        common = [p for p in points if norm == "linf" and abs(p.eps_value - COMMON_EPS) < 1e-4]
        found += (common or points[-1:])[:1]
    return found


def worst_words(run: Run, point: WorstPoint, runs: Sequence[Run]) -> str:
    """The name of a worst case: `all 3 attacks`, with defence and run where these tell it from others."""
    attacked = [one.summary for one in runs if isinstance(one.summary, AttackRun)]
    name = f"all {count(len(point.attacks))} attacks"
    if isinstance(run.summary, AttackRun) and any(one.defence for one in attacked):
        name += f" {defence_words(run.summary)}"
    return f"{name} of {run.name}" if sum(bool(one.worst) for one in attacked) > 1 else name


def fooling_interval(point: CurvePoint) -> tuple[float | None, float | None]:
    """The interval of the fooling rate, where it is the complement of the share that held."""
    low, high, held, fooled = point.low, point.high, point.robust_accuracy, point.fooling_rate
    if low is None or high is None or held is None or fooled is None or abs(held + fooled - 1) > 1e-6:
        return None, None
    return 1 - high, 1 - low


def robustness_section(runs: Sequence[Run], images: Sequence[tuple[Run, tuple[Image, ...], tuple[str, ...]]]) -> Html:
    """Every attack: plots per norm, tables per kind of figure, then run by run what became of the clips."""
    found = attack_labels(runs)
    finished = [run for run in runs if isinstance(run.summary, AttackRun)]
    parts: list[Html | None] = [state_notice(run) for run in runs if run.kind == "attack" and run.summary is None]
    if found:
        parts += [_settings(found), _judged(found), different_lists(finished)]
    kinds = list(dict.fromkeys((one.reference, one.norm) for _, _, one in found))
    for reference, norm in kinds:
        members = [one for one in found if (one[2].reference, one[2].norm) == (reference, norm)]
        what = "Robust accuracy" if reference == "labels" else "Unchanged predictions"
        parts.append(_plot(members, norm, by_label=reference == "labels"))
        parts.append(course_charts(members, what, f", {norm_name(norm)}"))
    for reference in dict.fromkeys(reference for reference, _ in kinds):
        members = [one for one in found if one[2].reference == reference]
        by_label = reference == "labels"
        worst = _worst(finished, reference)
        parts.append(_label_table(members, worst) if by_label else _prediction_table(members, worst))
        parts.append(stored_table(members, "Robust accuracy (RA)" if by_label else "Unchanged"))
        parts.append(cascades_table(members))
    for run in finished:
        summary = run.summary
        assert isinstance(summary, AttackRun)
        members = [one for one in found if one[1] is run]
        suffix = f": {run.name}" if len(finished) > 1 else ""
        shown = next(((strips, remarks) for one, strips, remarks in images if one is run), ((), ()))
        parts += [
            confusions(members, suffix),
            pictures(f"Attacked clips{suffix}", *shown),
            failures(summary.failures, summary.failed),
        ]
    return join(parts)


def _settings(found: Sequence[Labelled]) -> Html:
    runs = [one.run for _, _, one in found]
    cells = [one.column for _, _, one in found]
    columns: dict[str, list[str]] = {
        "Attack": [label for label, _, _ in found],
        "Model": [one.full for one in runs],
        "Run": [run.name for _, run, _ in found],
        "Engine": [one.engine or MISSING for one in cells],
        "Norm": [norm_name(one.norm) for one in cells],
        "Goal": [_goal(one) for _, _, one in found],
    }
    if any(one.defence for one in runs):
        columns["Defence"] = [(one.defence or "none") + (" (BPDA)" if one.bpda else "") for one in runs]
    if any(one.support != "all" for one in cells):
        columns["Where"] = ["everywhere" if one.support == "all" else one.support for one in cells]
    right = len(columns)
    columns["Steps"] = [count(one.steps) for one in cells]
    columns["Restarts"] = [count(one.restarts) for one in cells]
    if any(one.draws > 1 for one in runs):
        columns["Draws (EOT)"] = [count(one.draws) for one in runs]
    columns["Clips"] = [coverage(one.clips, one.listed) for one in runs]
    columns["Failed"] = [count(one.failed) for one in runs]
    if any(one.excluded for one in cells):
        columns["Left out"] = [count(one.excluded) for one in cells]
    columns["Clean accuracy"] = [percent(one.clean_accuracy) for one in runs]
    rows = list(zip(*columns.values(), strict=True))
    grid = table(tuple(columns), rows, numeric=range(right, len(columns)), caption="Attack runs")
    return tag("div", grid, class_="attacks")


def _goal(one: AttackSummary) -> str:
    if not one.column.targeted:
        return "untargeted"
    target = one.run.target
    named = one.run.class_name(target) if isinstance(target, int) and target >= 0 else target
    return f"targeted: {named}" if named is not None else "targeted"


def _judged(found: Sequence[Labelled]) -> Html | None:
    """How answers came about that figures are made of."""
    views = list(dict.fromkeys(one.run.view for _, _, one in found if one.run.view))
    judges = list(dict.fromkeys(one.run.judged for _, _, one in found if one.run.judged))
    said = [f"Views: {'; '.join(views)}."] if views else []
    said += [f"Attacked clips are judged afresh: {'; '.join(judges)}."] if judges else []
    if any(one.run.bpda for _, _, one in found):
        said.append("BPDA: gradients pass the defences as if these were the identity.")
    return tag("p", " ".join(said), class_="note") if said else None


def _worst(runs: Sequence[Run], reference: str) -> list[tuple[str, WorstPoint]]:
    found = []
    for run in runs:
        if isinstance(run.summary, AttackRun) and run.summary.reference == reference:
            found += [(f"Worst case of {worst_words(run, point, runs)}", point) for point in run.summary.worst]
    return found


def _plot(members: Sequence[Labelled], norm: str, *, by_label: bool) -> Html:
    what = "Robust accuracy" if by_label else "Fooling rate"
    series = [Series(label, tuple(_point(point, by_label) for point in one.points)) for label, _, one in members]
    banded = sum(bool(one.points) for one in series) <= _BANDS
    if not banded:
        series = [Series(one.name, tuple(replace(p, low=None, high=None) for p in one.points)) for one in series]
    ticks = [(point.eps_value, point.eps) for _, _, one in members for point in one.points]
    x = labelled_axis(f"Budget eps ({norm_name(norm)}, in units of the pixel range)", ticks)
    bands = "Bands are 95% intervals over clips (Wilson)." if banded else "The 95% intervals are in the table below."
    note = f"{bands} Lines between the measured points are a guide only."
    title = f"{what} under {norm_name(norm)} attacks"
    return chart(title, series, x, labelled_axis("Budget eps", ticks), percent_axis(what), note)


def _point(point: CurvePoint, by_label: bool) -> Point:
    if by_label:
        value, low, high = point.robust_accuracy, point.low, point.high
    else:
        value, (low, high) = point.fooling_rate, fooling_interval(point)
    span = interval(low, high)
    title = (
        f"eps {point.eps}: {percent(value)}{f' (95% interval {span})' if span else ''}, {plural(point.clips, 'clip')}"
    )
    return Point(point.eps_value, value, low, high, title)


def _label_table(members: Sequence[Labelled], worst: Sequence[tuple[str, WorstPoint]]) -> Html:
    points: list[tuple[str, str, CurvePoint]] = [
        (label, one.norm, point) for label, _, one in members for point in one.points
    ]
    points += [(label, point.norm, _as_point(point)) for label, point in worst]
    columns = {
        "Attack": [label for label, _, _ in points],
        "Norm": [norm_name(norm) for _, norm, _ in points],
        "eps": [point.eps for _, _, point in points],
        "Robust accuracy (RA)": [percent(point.robust_accuracy) for _, _, point in points],
        "95% interval": [interval(point.low, point.high) or MISSING for _, _, point in points],
        "Right": [f"{count(point.robust)} / {count(point.clips)}" for _, _, point in points],
        "Conditional (AR)": [percent(point.conditional) for _, _, point in points],
        "Fooling rate": [percent(point.fooling_rate) for _, _, point in points],
        "Target reached": [percent(point.target_rate) for _, _, point in points],
        "Mean L∞": [_linf(point.mean_linf) for _, _, point in points],
        "Mean L2": [figure(point.mean_l2) for _, _, point in points],
        "Mean L1": [figure(point.mean_l1) for _, _, point in points],
    }
    if not any(norm in _SUMS for _, norm, _ in points):
        del columns["Mean L1"]
    if all(point.target_rate is None for _, _, point in points):
        del columns["Target reached"]
    note = (
        "RA counts clips that are right after the attack, of all clips. AR counts them of those clips alone that were"
        " right before, so it is never below RA: do not compare the RA of one paper with the AR of another."
    ) + (f" {_WORST}" if worst else "")
    rows = list(zip(*columns.values(), strict=True))
    return join(
        [
            tag("h3", "Figures by budget"),
            table(
                tuple(columns),
                rows,
                numeric=range(2, len(columns)),
                caption="Robustness by attack and budget",
                seen=False,
                grouped=True,
            ),
            tag("p", note, class_="note"),
        ]
    )


def _as_point(point: WorstPoint) -> CurvePoint:
    """A worst case with the fields of a row of figures; clips of several attacks have no common perturbation."""
    return CurvePoint(
        eps=point.eps,
        eps_value=point.eps_value,
        clips=point.clips,
        robust=point.robust,
        robust_accuracy=point.robust_accuracy,
        low=point.low,
        high=point.high,
        conditional=point.conditional,
        fooling_rate=None if point.conditional is None else 1 - point.conditional,
    )


def _prediction_table(members: Sequence[Labelled], worst: Sequence[tuple[str, WorstPoint]]) -> Html:
    points = [(label, one.norm, point) for label, _, one in members for point in one.points]
    points += [(label, point.norm, _as_point(point)) for label, point in worst]
    rows = [
        (
            label,
            norm_name(norm),
            point.eps,
            f"{count(point.robust)} / {count(point.clips)}",
            percent(point.fooling_rate),
            interval(*fooling_interval(point)) or MISSING,
            _linf(point.mean_linf),
            figure(point.mean_l2),
        )
        for label, norm, point in points
    ]
    columns = ("Attack", "Norm", "eps", "Unchanged", "Fooling rate", "95% interval", "Mean L∞", "Mean L2")
    note = (
        "These clips carry no label of the model's classes. An attack counts as a success when it changes the model's"
        " own prediction, right or wrong: a fooling rate, from which no accuracy follows."
    ) + (f" {_WORST}" if worst else "")
    return join(
        [
            tag("h3", "Changed predictions by budget"),
            table(
                columns,
                rows,
                numeric=range(2, 8),
                caption="Fooling rate by attack and budget",
                seen=False,
                grouped=True,
            ),
            tag("p", note, class_="note"),
        ]
    )


def _linf(value: float | None) -> str:
    """In steps of 8-bit pixels, as budgets are written."""
    return MISSING if value is None else f"{value * 255:.2f}/255"
