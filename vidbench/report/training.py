"""The section on fine-tuning runs: curves over epochs and their figures."""

from __future__ import annotations

from collections.abc import Sequence

from vidbench.report.evaluation import failures, state_notice
from vidbench.report.folders import Run
from vidbench.report.markup import MISSING, Html, count, duration, figure, join, percent, table, tag
from vidbench.report.plots import Axis, Point, Series, key, line_plot, percent_axis, value_axis, whole_axis
from vidbench.report.summaries import Epoch, FinetuneSummary


def training_section(runs: Sequence[Run]) -> Html:
    """Every fine-tuning run: its settings and result, its curves, its epochs."""
    found = [run for run in runs if run.kind == "finetune"]
    rows = [_row(run, run.summary) for run in found if isinstance(run.summary, FinetuneSummary)]
    columns = (
        "Run", "Model", "Started from", "Classes", "Clips", "Epochs", "Best epoch", "Best val. top-1",
        "Final train loss", "Parameters", "Time",
    )  # fmt: skip
    overview = table(columns, rows, numeric=range(3, 11), caption="Fine-tuning runs") if rows else None
    return join([overview, *(_one(run, len(found) > 1) for run in found)])


def _row(run: Run, summary: FinetuneSummary) -> tuple[str, ...]:
    return (
        run.name,
        summary.full,
        summary.init or MISSING,
        count(len(summary.classes)),
        count(summary.clips),
        count(summary.epochs),
        count(summary.best_epoch),
        percent(summary.best_val_top1),
        figure(summary.final_train_loss),
        count(summary.parameters),
        duration(summary.seconds),
    )


def _one(run: Run, several: bool) -> Html:
    parts: list[Html | None] = [tag("h3", run.name) if several else None]
    if run.summary is None:
        parts.append(state_notice(run))
    if run.epochs:
        parts += [_curves(run.epochs), _epochs(run.epochs)]
    else:
        parts.append(tag("p", "The run folder holds no finished epochs, so there are no curves.", class_="note"))
    if isinstance(run.summary, FinetuneSummary):
        parts.append(failures(run.summary.failures, run.summary.failed))
    return join(parts)


def _curves(epochs: Sequence[Epoch]) -> Html:
    x = whole_axis("Epoch", [epoch.epoch for epoch in epochs])
    loss = [
        Series(
            "training", tuple(_point(e.epoch, e.train_loss, f"epoch {e.epoch}: {figure(e.train_loss)}") for e in epochs)
        )
    ]
    accuracy = [
        Series(name, points)
        for name, points in (
            ("training", tuple(_accuracy(e, e.train_top1) for e in epochs)),
            ("validation", tuple(_accuracy(e, e.val_top1) for e in epochs)),
        )
        if any(point.y is not None for point in points)
    ]
    losses = value_axis("Loss", [e.train_loss for e in epochs if e.train_loss is not None])
    return tag(
        "div",
        _plot("Training loss over epochs", loss, x, losses),
        _plot("Top-1 accuracy over epochs", accuracy, x, percent_axis("Top-1 accuracy")),
        class_="pair",
    )


def _point(epoch: int, value: float | None, title: str) -> Point:
    return Point(float(epoch), value, title=title)


def _accuracy(epoch: Epoch, value: float | None) -> Point:
    return _point(epoch.epoch, value, f"epoch {epoch.epoch}: {percent(value)}")


def _plot(title: str, series: Sequence[Series], x: Axis, y: Axis) -> Html:
    legend = tag("ul", *(tag("li", key(i), one.name) for i, one in enumerate(series)), class_="legend")
    return tag(
        "figure",
        tag("h3", title),
        legend,
        line_plot(title, series, x, y, width=500, height=300, labels=False, variant="wide half"),
        line_plot(title, series, x, y, width=360, height=270, labels=False, variant="narrow"),
    )


def _epochs(epochs: Sequence[Epoch]) -> Html:
    rows = [
        (
            str(e.epoch),
            figure(e.lr),
            figure(e.train_loss, 4),
            percent(e.train_top1),
            percent(e.val_top1),
            duration(e.seconds),
        )
        for e in epochs
    ]
    columns = ("Epoch", "Learning rate", "Training loss", "Training top-1", "Validation top-1", "Time")
    return tag(
        "details",
        tag("summary", "All epochs as a table"),
        table(columns, rows, numeric=range(6), caption="Epochs", seen=False),
    )
