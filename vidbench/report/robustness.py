"""The section on attack runs: accuracy against budget, figures, film strips."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from vidbench.report.evaluation import coverage, different_lists, failures, film, state_notice
from vidbench.report.folders import Image, Run
from vidbench.report.markup import MISSING, Html, count, figure, interval, join, percent, plural, table, tag
from vidbench.report.plots import Point, Series, key, labelled_axis, line_plot, percent_axis
from vidbench.report.summaries import AttackSummary, CurvePoint

COMMON_EPS = 8 / 255
_BANDS = 5
_NORMS = {"linf": "L∞", "l2": "L2"}
Labelled = tuple[str, Run, AttackSummary]


def attack_labels(runs: Sequence[Run]) -> list[Labelled]:
    """Finished attacks, each with the shortest label that tells it from the others."""
    found = [(run, run.summary) for run in runs if isinstance(run.summary, AttackSummary)]
    labels = [("targeted " if one.targeted else "") + one.attack for _, one in found]
    if len({one.model for _, one in found}) > 1:
        labels = [f"{label} on {one.short}" for label, (_, one) in zip(labels, found, strict=True)]
    # runs of different norms never share a plot, and every other place names the norm
    norms = [one.norm for _, one in found]
    for extra in (
        [one.engine for _, one in found],
        ["" if one.steps is None else plural(one.steps, "step") for _, one in found],
        ["" if one.restarts is None else plural(one.restarts, "restart") for _, one in found],
        [run.name for run, _ in found],
    ):
        known = list(zip(labels, norms, strict=True))
        for index, part in enumerate(extra):
            alike = {extra[other] for other, one in enumerate(known) if one == known[index]}
            if len(alike) > 1 and part:
                labels[index] += f", {part}"
    return [(label, run, one) for label, (run, one) in zip(labels, found, strict=True)]


def norm_name(norm: str) -> str:
    """The norm as it is written in papers."""
    return _NORMS.get(norm, norm)


def budget(norm: str, point: CurvePoint) -> str:
    """A budget with its norm: `L∞ ≤ 8/255`."""
    return f"{norm_name(norm)}\u00a0≤\u00a0{point.eps}"


def headline(summary: AttackSummary) -> CurvePoint | None:
    """The point to name first: that at 8/255 of L∞ where it was measured, else the largest budget."""
    attacked = [point for point in summary.points if point.eps_value > 0]
    # stored values may be rounded to four decimals
    common = [p for p in attacked if summary.norm == "linf" and abs(p.eps_value - COMMON_EPS) < 1e-4]
    return next(iter(common or attacked[-1:]), None)


def fooling_interval(point: CurvePoint) -> tuple[float | None, float | None]:
    """The interval of the fooling rate, where it is the complement of the share that held."""
    low, high, held, fooled = point.low, point.high, point.robust_accuracy, point.fooling_rate
    if low is None or high is None or held is None or fooled is None or abs(held + fooled - 1) > 1e-6:
        return None, None
    return 1 - high, 1 - low


def robustness_section(runs: Sequence[Run], images: Sequence[tuple[Run, tuple[Image, ...], tuple[str, ...]]]) -> Html:
    """Every attack: one plot and one table per kind of figure, then the film strips."""
    found = attack_labels(runs)
    parts: list[Html | None] = [state_notice(run) for run in runs if run.kind == "attack" and run.summary is None]
    if found:
        parts += [_settings(found), different_lists([run for _, run, _ in found])]
    kinds = list(dict.fromkeys((one.reference, one.norm) for _, _, one in found))
    for reference, norm in kinds:
        members = [one for one in found if (one[2].reference, one[2].norm) == (reference, norm)]
        parts.append(_plot(members, norm, by_label=reference == "labels"))
    for reference in dict.fromkeys(reference for reference, _ in kinds):
        members = [one for one in found if one[2].reference == reference]
        parts.append(_label_table(members) if reference == "labels" else _prediction_table(members))
    for label, run, summary in found:
        shown = next(((strips, remarks) for one, strips, remarks in images if one is run), ((), ()))
        parts += [_strips(f"{label} ({norm_name(summary.norm)})", *shown), failures(summary.failures, summary.failed)]
    return join(parts)


def _settings(found: Sequence[Labelled]) -> Html:
    rows = [
        (
            label,
            one.full,
            run.name,
            one.engine or MISSING,
            norm_name(one.norm),
            "targeted" if one.targeted else "untargeted",
            count(one.steps),
            count(one.restarts),
            coverage(one.clips, one.listed),
            count(one.failed),
            percent(one.clean_accuracy),
        )
        for label, run, one in found
    ]
    columns = (
        "Attack", "Model", "Run", "Engine", "Norm", "Goal", "Steps", "Restarts", "Clips", "Failed", "Clean accuracy",
    )  # fmt: skip
    return table(columns, rows, numeric=range(6, 11), caption="Attack runs")


def _plot(members: Sequence[Labelled], norm: str, *, by_label: bool) -> Html:
    what = "Robust accuracy" if by_label else "Fooling rate"
    title = f"{what} under {norm_name(norm)} attacks"
    series = [Series(label, tuple(_point(point, by_label) for point in one.points)) for label, _, one in members]
    series = [one for one in series if one.points]
    banded = len(series) <= _BANDS
    if not banded:
        series = [Series(one.name, tuple(replace(p, low=None, high=None) for p in one.points)) for one in series]
    ticks = [(point.eps_value, point.eps) for _, _, one in members for point in one.points]
    x = labelled_axis(f"Budget eps ({norm_name(norm)}, in units of the pixel range)", ticks)
    y = percent_axis(what)
    legend = tag("ul", *(tag("li", key(i), one.name) for i, one in enumerate(series)), class_="legend")
    bands = "Bands are 95% intervals over clips (Wilson)." if banded else "The 95% intervals are in the table below."
    note = f"{bands} Lines between the measured points are a guide only."
    narrow = labelled_axis("Budget eps", ticks)
    return tag(
        "figure",
        tag("h3", title),
        legend,
        line_plot(title, series, x, y, width=1000, height=400, labels=True, variant="wide"),
        line_plot(title, series, narrow, y, width=360, height=290, labels=False, variant="narrow"),
        tag("figcaption", note),
    )


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


def _label_table(members: Sequence[Labelled]) -> Html:
    points = [(label, norm_name(one.norm), point) for label, _, one in members for point in one.points]
    columns = {
        "Attack": [label for label, _, _ in points],
        "Norm": [norm for _, norm, _ in points],
        "eps": [point.eps for _, _, point in points],
        "Robust accuracy (RA)": [percent(point.robust_accuracy) for _, _, point in points],
        "95% interval": [interval(point.low, point.high) or MISSING for _, _, point in points],
        "Right": [f"{count(point.robust)} / {count(point.clips)}" for _, _, point in points],
        "Conditional (AR)": [percent(point.conditional) for _, _, point in points],
        "Fooling rate": [percent(point.fooling_rate) for _, _, point in points],
        "Target reached": [percent(point.target_rate) for _, _, point in points],
        "Mean L∞": [_linf(point.mean_linf) for _, _, point in points],
        "Mean L2": [figure(point.mean_l2) for _, _, point in points],
    }
    if all(point.target_rate is None for _, _, point in points):
        del columns["Target reached"]
    note = (
        "RA counts clips that are right after the attack, of all clips. AR counts them of those clips alone that were"
        " right before, so it is never below RA: do not compare the RA of one paper with the AR of another."
    )
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


def _prediction_table(members: Sequence[Labelled]) -> Html:
    rows = [
        (
            label,
            norm_name(one.norm),
            point.eps,
            f"{count(point.robust)} / {count(point.clips)}",
            percent(point.fooling_rate),
            interval(*fooling_interval(point)) or MISSING,
            _linf(point.mean_linf),
            figure(point.mean_l2),
        )
        for label, _, one in members
        for point in one.points
    ]
    columns = ("Attack", "Norm", "eps", "Unchanged", "Fooling rate", "95% interval", "Mean L∞", "Mean L2")
    note = (
        "These clips carry no label of the model's classes. An attack counts as a success when it changes the model's"
        " own prediction, right or wrong: a fooling rate, from which no accuracy follows."
    )
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


def _strips(label: str, strips: Sequence[Image], remarks: Sequence[str]) -> Html | None:
    if not strips and not remarks:
        return None
    figures = [film(image) for image in strips]
    note = "Rows: the clean clip, the perturbation (amplified), the attacked clip. Time runs to the right."
    left_out = tag("ul", *(tag("li", remark) for remark in remarks), class_="note") if remarks else None
    return join(
        [tag("h3", f"Attacked clips: {label}"), tag("p", note, class_="note") if strips else None, *figures, left_out]
    )
