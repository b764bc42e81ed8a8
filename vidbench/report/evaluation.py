"""The section on evaluation runs: accuracies, classes, confusions, failed clips."""

from __future__ import annotations

from collections.abc import Sequence

from vidbench.report.folders import EvalSummary, Failure, PerClass, Run
from vidbench.report.markup import MISSING, Html, count, interval, join, percent, plural, scroll_box, table, tag
from vidbench.report.plots import bar, confusion_matrix, scale

MATRIX_CLASSES = 50
_BARS = 30
_WORST = 20
_FAILURES = 200
_PAIRS = 8


def eval_labels(runs: Sequence[Run]) -> list[tuple[str, Run, EvalSummary]]:
    """Finished evaluations, each with the shortest label that tells it from the others."""
    found = [(run, run.summary) for run in runs if isinstance(run.summary, EvalSummary)]
    models = [summary.short for _, summary in found]
    return [
        (summary.short if models.count(summary.short) == 1 else f"{summary.short} ({run.name})", run, summary)
        for run, summary in found
    ]


def state_notice(run: Run) -> Html:
    """What is known of a run that has no figures yet."""
    status = run.manifest.status
    said = "it is marked as done, but holds no summary" if status == "done" else f"its status is “{status}”"
    unit = "epoch" if run.kind == "finetune" else "record"
    counts = f"{plural(run.records, unit)} so far" + (f", {count(run.failed)} of them failed" if run.failed else "")
    text = f" is not finished: {said}, with {counts}. Its figures are left out; the same command resumes it."
    return tag("p", tag("strong", run.name), text, class_="notice")


def failures(found: Sequence[Failure], failed: int) -> Html | None:
    """The clips that could not be used, with the reasons; nothing where there are none."""
    if not failed and not found:
        return None
    shown = found[:_FAILURES]
    title = f"{plural(failed, 'clip')} failed"
    grid = table(
        ("Clip", "Reason"), [(one.path, one.reason or MISSING) for one in shown], caption="Failed clips", seen=False
    )
    missing = max(failed, len(found)) - len(shown)
    more = tag("p", f"{count(missing)} more: see the records of the run.", class_="note") if missing else None
    body = tag("div", grid, more, class_="paths")
    if len(shown) <= 10:
        return join([tag("h3", title), body])
    return join([tag("h3", title), tag("details", tag("summary", "Show the list"), body)])


def evaluation_section(runs: Sequence[Run]) -> Html:
    """Every evaluation: a row of figures, then its classes, confusions and failed clips."""
    found = eval_labels(runs)
    parts: list[Html | None] = [state_notice(run) for run in runs if run.kind == "eval" and run.summary is None]
    if found:
        columns = (
            "Model", "Run", "Clips", "Evaluated", "Failed", "Views", "Top-1", "95% interval", "Top-5",
            "Mean class accuracy",
        )  # fmt: skip
        rows = [_row(run, summary) for _, run, summary in found]
        parts.append(
            table(columns, rows, numeric=(2, 3, 4, 5, 6, 7, 8, 9), caption="Accuracy on the clips as they are")
        )
        parts.append(different_lists([run for _, run, _ in found]))
    for label, _, summary in found:
        suffix = f": {label}" if len(found) > 1 else ""
        parts += [
            _classes(summary, suffix),
            _confusions(summary, suffix),
            failures(summary.failures, summary.failed),
        ]
    return join(parts)


def different_lists(runs: Sequence[Run]) -> Html | None:
    """A caution where runs side by side do not measure the same clips."""
    lists = {repr(run.manifest.resolved.get("list_sha256")) for run in runs}
    if len(lists) <= 1:
        return None
    return tag(
        "p", "These runs do not use the same list of clips: their figures are not directly comparable.", class_="notice"
    )


def coverage(clips: int, listed: int | None) -> str:
    """How many clips a run took, and of how many, where a limit or a manifest left some out."""
    return count(clips) if listed in (None, clips) else f"{count(clips)} of {count(listed)} listed"


def _row(run: Run, summary: EvalSummary) -> tuple[str, ...]:
    views = summary.views
    return (
        summary.full,
        run.name,
        coverage(summary.clips, summary.listed),
        count(summary.evaluated),
        count(summary.failed),
        f"{views.temporal} \u00d7 {views.spatial}" if views else MISSING,
        percent(summary.top1),
        interval(summary.top1_low, summary.top1_high) or MISSING,
        percent(summary.top5),
        percent(summary.mean_class_accuracy),
    )


def _classes(summary: EvalSummary, suffix: str) -> Html | None:
    filled = [one for one in summary.per_class if one.clips]
    if not filled:
        return None
    filled.sort(key=lambda one: (one.correct / one.clips, one.label))
    many = len(filled) > _BARS
    empty = summary.num_classes - len(filled)
    without = (
        f" {plural(empty, 'class')} of {count(summary.num_classes)} {'has' if empty == 1 else 'have'} no clip here."
    )
    order = "Lowest first." + (without if empty > 0 else "")
    parts = [tag("h3", f"Accuracy per class{suffix}")]
    if not many:
        parts.append(_bars(filled, order))
        return join(parts)
    parts.append(_bars(filled[:_WORST], f"The {_WORST} classes of lowest accuracy.{without if empty > 0 else ''}"))
    rest = _bars(filled[_WORST:], "The other classes")
    parts.append(tag("details", tag("summary", f"Show the other {plural(len(filled) - _WORST, 'class')}"), rest))
    return join(parts)


def _bars(classes: Sequence[PerClass], caption: str) -> Html:
    rows = []
    for one in classes:
        share = min(one.correct / one.clips, 1.0)
        right = f"{count(one.correct)} / {count(one.clips)}"
        rows.append((one.name, bar(share, f"{one.name}: {right} right"), right, percent(share)))
    columns = ("Class", "", "Right", "Accuracy")
    return tag("div", table(columns, rows, numeric=(2, 3), caption=caption), class_="bars")


def _confusions(summary: EvalSummary, suffix: str) -> Html | None:
    counts = summary.confusion
    if counts is None or not counts:
        if summary.num_classes > MATRIX_CLASSES:
            size = count(summary.num_classes)
            text = f"No confusion matrix: it is drawn for up to {MATRIX_CLASSES} classes, and there are {size}."
            return tag("p", text, class_="note")
        return None
    if len(counts) > MATRIX_CLASSES:
        return None
    names = [summary.class_name(label) for label in range(summary.num_classes)]
    caption = tag(
        "figcaption",
        "Rows are true classes, columns predicted ones. The shade is the share of the row: ",
        tag("span", "none", scale(), "all", class_="whole"),
        ". Point at a field for its figures.",
    )
    box = scroll_box(confusion_matrix(names, counts), "Confusion matrix")
    return join([tag("h3", f"Confusions{suffix}"), tag("figure", box, caption), _pairs(names, counts)])


def _pairs(names: Sequence[str], counts: Sequence[Sequence[int]]) -> Html | None:
    wrong = [
        (amount, row, column)
        for row, line in enumerate(counts)
        for column, amount in enumerate(line)
        if amount and row != column
    ]
    if not wrong:
        return tag("p", "No class is taken for another one.", class_="note")
    wrong.sort(key=lambda one: (-one[0], one[1], one[2]))
    rows = [
        (names[row], names[column], count(amount), count(sum(counts[row])), percent(amount / sum(counts[row])))
        for amount, row, column in wrong[:_PAIRS]
    ]
    columns = ("True class", "Predicted class", "Clips", "of", "Share")
    return tag("div", table(columns, rows, numeric=(2, 3, 4), caption="Largest confusions"), class_="paths")
