"""The part on evaluations of action detection: mean average precision, classes, curves, worst misses."""

from __future__ import annotations

from collections.abc import Sequence

from vidbench.report.detect_summary import RECALLS, ClassPrecision, DetectSummary
from vidbench.report.evaluation import Strips, failures, film
from vidbench.report.folders import Image, Run
from vidbench.report.markup import Html, count, join, percent, plural, table, tag
from vidbench.report.plots import Point, Series, bar, key, line_plot, percent_axis

_OPEN = 20
_EVERY = 10
SCORERS = {"activitynet": "ActivityNet", "pyslowfast": "PySlowFast", "mmaction2": "MMAction2"}


def detect_labels(runs: Sequence[Run]) -> list[tuple[str, Run, DetectSummary]]:
    """Finished evaluations of detection, each with the shortest label that tells it from the others."""
    found = [(run, run.summary) for run in runs if isinstance(run.summary, DetectSummary)]
    models = [summary.short for _, summary in found]
    return [
        (summary.short if models.count(summary.short) == 1 else f"{summary.short} ({run.name})", run, summary)
        for run, summary in found
    ]


def detection_section(runs: Sequence[Run], images: Sequence[Strips]) -> Html | None:
    """Every evaluation of action detection; None where there is none.

    Args:
        runs: All runs of the page.
        images: Their pictures and remarks.
    """
    found = detect_labels(runs)
    if not found:
        return None
    pictures = {run.folder: (shown, remarks) for run, shown, remarks in images}
    parts: list[Html | None] = [_figures(found), _cautions(found)]
    for label, run, summary in found:
        suffix = f": {label}" if len(found) > 1 else ""
        shown, remarks = pictures.get(run.folder, ((), ()))
        parts += [
            _groups(summary, suffix),
            _classes(summary, suffix),
            _curves(summary, suffix),
            _misses(summary, suffix, shown, remarks),
            failures(summary.failures, summary.failed, "keyframe"),
        ]
    return join(parts)


def _figures(found: Sequence[tuple[str, Run, DetectSummary]]) -> Html:
    rows = [
        (
            summary.full,
            run.name,
            f"{count(summary.evaluated)} / {count(summary.listed)}",
            count(summary.failed),
            _boxes(summary),
            _input(summary),
            scorer_name(summary),
            percent(summary.mean_ap),
        )
        for _, run, summary in found
    ]
    columns = ("Model", "Run", "Evaluated / listed", "Failed", "Boxes", "Input", "Scorer", "mAP at IoU 0.5")
    return table(columns, rows, numeric=(2, 3, 7), caption="Mean average precision of actions in boxes, by keyframe")


def scorer_name(summary: DetectSummary) -> str:
    """Whose rules counted."""
    return SCORERS.get(summary.scorer, summary.scorer)


def _boxes(summary: DetectSummary) -> Html:
    if summary.boxes_from == "truth":
        below = "those of the ground truth"
    else:
        least = "" if summary.min_score is None else f", score {summary.min_score:g} or more"
        below = f"of a detector{least}"
    return join([count(summary.boxes), tag("span", below, class_="under")])


def _input(summary: DetectSummary) -> Html:
    size = f"{summary.frames} \u00d7 {summary.stride}"
    below = f"whole frame, short side {summary.short_side}" + (f", {summary.precision}" if summary.precision else "")
    return join([size, tag("span", below, class_="under")])


def _cautions(found: Sequence[tuple[str, Run, DetectSummary]]) -> Html | None:
    notes = [tag("p", f"{run.name}: {remark}", class_="notice") for _, run, one in found for remark in one.remarks]
    if len({one.scorer for _, _, one in found}) > 1:
        said = "These runs were counted by different scorers: their figures are not directly comparable."
        notes.append(tag("p", said, class_="notice"))
    if any(one.boxes_from == "truth" for _, _, one in found):
        said = "Boxes of the ground truth make the task easier: published figures use those of a person detector."
        notes.append(tag("p", said, class_="note"))
    return join(notes) if notes else None


def _groups(summary: DetectSummary, suffix: str) -> Html | None:
    if not summary.groups:
        return None
    rows = [
        (one.name, f"{one.first} to {one.last}", count(one.classes), percent(one.mean_ap)) for one in summary.groups
    ]
    columns = ("Group", "Classes by number", "In the mean", "mAP")
    grid = table(columns, rows, numeric=(2, 3), caption="Means over groups of classes", seen=False)
    return join([tag("h3", f"Groups{suffix}"), grid])


def _classes(summary: DetectSummary, suffix: str) -> Html | None:
    if not summary.per_class:
        return None
    filled = [one for one in summary.per_class if one.average_precision is not None]
    filled.sort(key=lambda one: (-(one.average_precision or 0.0), one.id))
    empty = [one for one in summary.per_class if one.average_precision is None]
    parts = [tag("h3", f"Average precision per class{suffix}")]
    if len(filled) <= 2 * _OPEN:
        parts.append(_bars(filled, "Highest first"))
    else:
        # of many classes both ends are what is looked for
        parts.append(_bars(filled[:_OPEN], f"The {_OPEN} classes of highest average precision"))
        middle = filled[_OPEN:-_OPEN]
        if middle:
            rest = _bars(middle, "The classes between")
            parts.append(tag("details", tag("summary", f"Show the {plural(len(middle), 'class')} between"), rest))
        parts.append(_bars(filled[-_OPEN:], f"The {_OPEN} classes of lowest average precision"))
    if empty:
        without = ", ".join(f"{one.name} ({plural(one.positives, 'box')})" for one in empty)
        said = f"{plural(len(empty), 'class')} not in the mean: {without}."
        parts.append(tag("details", tag("summary", f"{plural(len(empty), 'class')} without a figure"), tag("p", said)))
    return join(parts)


def _bars(classes: Sequence[ClassPrecision], caption: str) -> Html:
    rows = [
        (
            f"{one.id} {one.name}",
            bar(one.average_precision or 0.0, f"{one.name}: {percent(one.average_precision)}"),
            count(one.positives),
            percent(one.average_precision),
        )
        for one in classes
    ]
    columns = ("Class", "", "Positives", "AP")
    return tag("div", table(columns, rows, numeric=(2, 3), caption=caption), class_="bars")


def _curves(summary: DetectSummary, suffix: str) -> Html | None:
    if not summary.curves:
        return None
    series = [
        Series(one.name, tuple(_point(one.name, place, value) for place, value in enumerate(one.precision)))
        for one in summary.curves
    ]
    x, y = percent_axis("Recall"), percent_axis("Precision")
    told = "; ".join(f"{one.name}: average precision {percent(one.average_precision)}" for one in summary.curves)
    plots = [
        line_plot(told, series, x, y, width=wide, height=360, labels=False, variant=variant, mark_every=_EVERY)
        for wide, variant in ((760, "wide"), (420, "narrow"))
    ]
    legend = tag(
        "ul",
        *(
            tag(
                "li",
                key(index),
                f"{one.name} ({percent(one.average_precision)}, {plural(one.positives, 'positive')})",
            )
            for index, one in enumerate(summary.curves)
        ),
        class_="legend",
    )
    caption = tag(
        "figcaption",
        "The best precision at each recall or more. All classes together are ranked by score alone, which also asks"
        " whether scores of different classes mean the same.",
    )
    return join([tag("h3", f"Precision over recall{suffix}"), tag("figure", legend, *plots, caption)])


def _point(name: str, place: int, precision: float) -> Point:
    recall = place / (RECALLS - 1)
    return Point(recall, precision, title=f"{name}: precision {percent(precision)} at recall {percent(recall)}")


def _misses(summary: DetectSummary, suffix: str, shown: Sequence[Image], remarks: Sequence[str]) -> Html | None:
    if not shown and not remarks:
        return None
    wrong = [one for one in shown if one.kind == "wrong"]
    missed = [one for one in shown if one.kind != "wrong"]
    note = "The true box is blue, the detected one vermilion; where both are nearly the same, the true one is larger."
    left_out = tag("ul", *(tag("li", remark) for remark in remarks), class_="note") if remarks else None
    return join(
        [
            tag("h3", f"Worst misses{suffix}"),
            tag("p", note, class_="note") if shown else None,
            _gallery("Wrong detections of the highest scores", wrong),
            _gallery("Actions found at the lowest scores, or not at all", missed),
            left_out,
        ]
    )


def _gallery(title: str, shown: Sequence[Image]) -> Html | None:
    if not shown:
        return None
    return join([tag("h4", title), tag("div", *map(film, shown), class_="gallery")])
