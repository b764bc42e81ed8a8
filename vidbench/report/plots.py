"""Plots as SVG text, laid out by hand: line plots with bands, bars, confusion matrices."""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

from vidbench.report.markup import Html, count, join, number, percent, tag

COLOURS = 6
FONT_PX = 12.0
_LINE_PX = 15.0
_NAME_PX = 150.0
_MARKS = (
    "M-4,0a4,4 0 1,0 8,0a4,4 0 1,0 -8,0z",
    "M-3.6,-3.6h7.2v7.2h-7.2z",
    "M0,-4.8l4.6,8.2h-9.2z",
    "M0,-5l5,5l-5,5l-5,-5z",
    "M0,4.8l4.6,-8.2h-9.2z",
    "M-4.6,-1.6h3v-3h3.2v3h3v3.2h-3v3h-3.2v-3h-3z",
)
_DASHES = (None, "7 4", "2 3", "9 3 2 3")


@dataclass(frozen=True)
class Point:
    """A measured value; `low` and `high` bound its interval; a `y` that is not finite leaves a gap."""

    x: float
    y: float | None
    low: float | None = None
    high: float | None = None
    title: str = ""


@dataclass(frozen=True)
class Series:
    """Points by rising x, joined by a line; `stepped` keeps each value until the next point."""

    name: str
    points: tuple[Point, ...]
    stepped: bool = False


@dataclass(frozen=True)
class Axis:
    """A linear axis: its title, its two ends and the values that are marked, with their labels."""

    title: str
    low: float
    high: float
    ticks: tuple[tuple[float, str], ...]

    def share(self, value: float) -> float:
        """Where a value lies between the ends: 0 at `low`, 1 at `high`."""
        return (value - self.low) / (self.high - self.low)


def text_width(text: str, size: float = FONT_PX) -> float:
    """The width of a text in pixels, estimated on the wide side, since no font is at hand."""
    return size * sum(_advance(char) for char in text)


def _advance(char: str) -> float:
    if unicodedata.combining(char):
        return 0.0
    if unicodedata.east_asian_width(char) in "WF":
        return 1.05
    if char in "iljtfrI.,:;'|!()[] ":
        return 0.38
    if char in "mwMW@%…—":
        return 0.98
    return 0.74 if char.isupper() else 0.62


def fit(text: str, width: float, size: float = FONT_PX) -> str:
    """A text that is at most `width` pixels wide; the middle gives way, as names differ at both ends."""
    if text_width(text, size) <= width:
        return text
    kept = len(text)
    while kept > 2:
        kept -= 1
        head = math.ceil(kept * 0.62)
        short = f"{text[:head].rstrip()}…{text[len(text) - (kept - head) :].lstrip()}"
        if text_width(short, size) <= width:
            return short
    return "…"


def percent_axis(title: str) -> Axis:
    """Fractions from 0 to 1, labelled in per cent."""
    return Axis(title, 0.0, 1.0, tuple((step / 5, f"{step * 20}%") for step in range(6)))


def value_axis(title: str, values: Sequence[float]) -> Axis:
    """From zero, or below for negative values, to a round number above all values."""
    finite = [value for value in values if math.isfinite(value)]
    low, high = min([0.0, *finite]), max([0.0, *finite])
    step = _round_step((high - low) / 5 if high > low else 0.2)
    first, last = math.floor(low / step + 1e-9), max(math.ceil(high / step - 1e-9), 1)
    digits = max(0, -math.floor(math.log10(step) + 1e-9))
    ticks = tuple((k * step, _tick(k * step, digits)) for k in range(first, last + 1))
    return Axis(title, first * step, last * step, ticks)


def _tick(value: float, digits: int) -> str:
    return f"{value:.{digits}f}" if digits < 6 and abs(value) < 1e6 else f"{value:.3g}"


def _round_step(rough: float) -> float:
    scale = 10.0 ** math.floor(math.log10(rough))
    return scale * next(step for step in (1.0, 2.0, 5.0, 10.0) if rough <= step * scale * (1 + 1e-9))


def whole_axis(title: str, values: Sequence[int]) -> Axis:
    """Whole numbers from the least to the greatest, at most ten of them marked."""
    low, high = min(values, default=1), max(values, default=1)
    if low == high:
        return Axis(title, low - 0.5, low + 0.5, ((low, str(low)),))
    step = max(1, int(_round_step((high - low) / 8)))
    marked = [low, *(value for value in range(0, high, step) if value > low), high]
    return Axis(title, low, high, tuple((value, str(value)) for value in marked))


def labelled_axis(title: str, ticks: Sequence[tuple[float, str]]) -> Axis:
    """From zero to the greatest tick; ticks of one value, but for rounding, are shown once."""
    merged: list[tuple[float, str]] = []
    high = max((value for value, _ in ticks), default=0.0) or 1.0
    for value, label in sorted(ticks, key=lambda tick: tick[0]):
        if not merged or value - merged[-1][0] > 0.004 * high:
            merged.append((value, label))
    return Axis(title, 0.0, high, tuple(merged))


def mark(index: int, *, title: str = "", at: tuple[float, float] = (0.0, 0.0)) -> Html:
    """The sign of the series `index`: its own shape as well as its own colour."""
    return tag(
        "path",
        tag("title", title) if title else None,
        class_=f"mark c{index % COLOURS}",
        d=_MARKS[index % len(_MARKS)],
        transform=f"translate({number(at[0])} {number(at[1])})",
    )


def key(index: int) -> Html:
    """A short piece of the series `index`, for a legend."""
    line = tag(
        "path",
        class_=f"line c{index % COLOURS}",
        d="M1,8H27",
        stroke_dasharray=_DASHES[index // COLOURS % len(_DASHES)],
    )
    return tag(
        "svg", line, mark(index, at=(14, 8)), class_="key", viewBox="0 0 28 16", width=28, height=16, aria_hidden="true"
    )


@dataclass(frozen=True)
class _Frame:
    """The rectangle inside the axes, in pixels, and the way from values to it."""

    left: float
    right: float
    top: float
    bottom: float
    x: Axis
    y: Axis

    def at(self, x: float, y: float) -> tuple[float, float]:
        return (
            self.left + self.x.share(x) * (self.right - self.left),
            self.bottom - self.y.share(y) * (self.bottom - self.top),
        )


def line_plot(
    description: str,
    series: Sequence[Series],
    x: Axis,
    y: Axis,
    *,
    width: int,
    height: int,
    labels: bool,
    variant: str = "",
    mark_every: int = 1,
) -> Html:
    """Lines with marks at the measured points, and bands where these have intervals.

    Args:
        description: What the plot shows, for those who cannot see it.
        series: Best a few; colours and marks repeat after six, with other dashes.
        x: The horizontal axis.
        y: The vertical axis.
        width: Of the drawing, in pixels.
        height: Of the drawing, in pixels.
        labels: Name each series at its right end as well, where there is room.
        variant: Another class of the drawing, for the style sheet.
        mark_every: Of a line of many points only each so many-th has a mark.
    """
    drawn = [(index, one) for index, one in enumerate(series) if any(_runs(one.points))]
    top, bottom = 30.0, height - 46.0
    left = 12.0 + max((text_width(label) for _, label in y.ticks), default=0.0)
    overhang = text_width(x.ticks[-1][1]) / 2 if x.ticks else 0.0
    labels = labels and 0 < len(drawn) <= (bottom - top) / _LINE_PX
    room = min(200.0, max((text_width(one.name) for _, one in drawn), default=0.0)) if labels else 0.0
    frame = _Frame(left, width - max(12.0, overhang + 2, room + 32 if labels else 0.0), top, bottom, x, y)
    parts = [_axes(frame, height)]
    parts += [_band(frame, index, one) for index, one in drawn]
    parts += [_line(frame, index, one) for index, one in drawn]
    parts += [
        mark(index, title=point.title, at=frame.at(point.x, y_value))
        for index, one in drawn
        for run in _runs(one.points)
        for point, y_value in run[::mark_every]
    ]
    if labels:
        parts.append(_labels(frame, drawn, room))
    if not drawn:
        parts.append(_text((frame.left + frame.right) / 2, (top + bottom) / 2, "no figures", anchor="middle"))
    return tag(
        "svg",
        *parts,
        class_=f"plot {variant}".strip(),
        viewBox=f"0 0 {width} {height}",
        width=width,
        height=height,
        role="img",
        aria_label=description,
    )


def _runs(points: Sequence[Point]) -> list[list[tuple[Point, float]]]:
    """The stretches of points that have a finite value, each with that value."""
    runs: list[list[tuple[Point, float]]] = []
    gap = True
    for point in points:
        if point.y is None or not math.isfinite(point.y):
            gap = True
            continue
        if gap:
            runs.append([])
        runs[-1].append((point, point.y))
        gap = False
    return runs


def _text(x: float, y: float, text: str, *, anchor: str = "start", kind: str = "axis", turn: float = 0.0) -> Html:
    return tag(
        "text",
        text,
        class_=kind,
        x=x,
        y=y,
        text_anchor=anchor,
        transform=f"rotate({number(turn)} {number(x)} {number(y)})" if turn else None,
    )


def _path(*corners: tuple[float, float], closed: bool = False) -> str:
    return "M" + "L".join(f"{number(x)},{number(y)}" for x, y in corners) + ("z" if closed else "")


def _axes(frame: _Frame, height: int) -> Html:
    parts = []
    for value, label in frame.y.ticks:
        _, at = frame.at(frame.x.low, value)
        parts.append(tag("path", class_="grid", d=_path((frame.left, at), (frame.right, at))))
        parts.append(_text(frame.left - 7, at + 4, label, anchor="end"))
    free = math.inf
    # from the right, as the largest value matters most where there is no room for all labels
    for value, label in reversed(frame.x.ticks):
        at, _ = frame.at(value, frame.y.low)
        parts.append(tag("path", class_="tick", d=_path((at, frame.bottom), (at, frame.bottom + 5))))
        half = text_width(label) / 2
        if at + half < free:
            parts.append(_text(at, frame.bottom + 19, label, anchor="middle"))
            free = at - half - 4
    parts.append(tag("path", class_="axis", d=_path((frame.left, frame.bottom), (frame.right, frame.bottom))))
    parts.append(_text(4, 14, frame.y.title, kind="axis title"))
    parts.append(_text((frame.left + frame.right) / 2, height - 6, frame.x.title, anchor="middle", kind="axis title"))
    return join(parts)


def _band(frame: _Frame, index: int, series: Series) -> Html:
    parts = []
    colour = f"c{index % COLOURS}"
    for run in _runs(series.points):
        bounds = [
            (point.x, point.low, point.high) for point, _ in run if point.low is not None and point.high is not None
        ]
        if len(bounds) == 1:
            ((x, low, high),) = bounds
            parts.append(tag("path", class_=f"whisker {colour}", d=_path(frame.at(x, low), frame.at(x, high))))
        elif bounds:
            upper = [frame.at(x, high) for x, _, high in bounds]
            lower = [frame.at(x, low) for x, low, _ in reversed(bounds)]
            parts.append(tag("path", class_=f"band {colour}", d=_path(*upper, *lower, closed=True)))
    return join(parts)


def _line(frame: _Frame, index: int, series: Series) -> Html:
    dash = _DASHES[index // COLOURS % len(_DASHES)]
    return join(
        tag(
            "path",
            class_=f"line c{index % COLOURS}",
            d=_path(*(frame.at(x, y) for x, y in _corners(run, series.stepped))),
            stroke_dasharray=dash,
        )
        for run in _runs(series.points)
        if len(run) > 1
    )


def _corners(run: Sequence[tuple[Point, float]], stepped: bool) -> list[tuple[float, float]]:
    corners: list[tuple[float, float]] = []
    for point, y in run:
        if stepped and corners:
            corners.append((point.x, corners[-1][1]))
        corners.append((point.x, y))
    return corners


def _labels(frame: _Frame, drawn: Sequence[tuple[int, Series]], room: float) -> Html:
    ends = []
    for index, one in drawn:
        point, y = _runs(one.points)[-1][-1]
        ends.append((frame.at(point.x, y), index, one.name))
    ends.sort(key=lambda end: (end[0][1], end[1]))
    heights = spread([at[1] for at, _, _ in ends], _LINE_PX, frame.top, frame.bottom)
    parts = []
    for (at, index, name), y in zip(ends, heights, strict=True):
        start = (frame.right + 14, y)
        parts.append(tag("path", class_="leader", d=_path((at[0] + 6, at[1]), start)))
        parts.append(mark(index, at=start))
        short = fit(name, room)
        parts.append(tag("text", tag("title", name), short, class_="label", x=frame.right + 24, y=y + 4))
    return join(parts)


def spread(wanted: Sequence[float], gap: float, low: float, high: float) -> list[float]:
    """Places at least `gap` apart, as near to the wanted ones (in rising order) as one sweep each way gives.

    All lie between `low` and `high` when they fit there.
    """
    placed: list[float] = []
    for value in wanted:
        placed.append(max(value, low, placed[-1] + gap if placed else low))
    limit = high
    for index in range(len(placed) - 1, -1, -1):
        placed[index] = min(placed[index], limit)
        limit = placed[index] - gap
    return placed


def bar(share: float, title: str) -> Html:
    """A bar that fills `share` in [0, 1] of the width it is given."""
    return tag(
        "svg",
        tag("title", title),
        tag("rect", class_="track", width=100, height=10),
        tag("rect", class_="fill", width=100 * share, height=10),
        class_="bar",
        viewBox="0 0 100 10",
        preserveAspectRatio="none",
        role="img",
        aria_label=title,
    )


def confusion_matrix(names: Sequence[str], counts: Sequence[Sequence[int]]) -> Html:
    """A heat map: rows are true classes, columns predicted ones, darkness is the share of the row.

    Args:
        names: Of the K classes.
        counts: K rows of K clip counts.
    """
    size = len(names)
    cell = next((px for most, px in ((6, 48), (12, 38), (20, 30)) if size <= most), 16)
    font = FONT_PX if cell > 16 else 11.0
    shown = [fit(name, _NAME_PX, font) for name in names]
    if len(set(shown)) < size:
        # shortening has made names equal, or they were: the label tells them apart
        shown = [fit(f"{label} {name}", _NAME_PX, font) for label, name in enumerate(names)]
    longest = max((text_width(name, font) for name in shown), default=0.0)
    upright = cell == 16
    reach = longest if upright else 0.71 * (longest + font)
    left, top = longest + 32.0, reach + 32.0
    side = float(size * cell)
    parts = [
        _text(left, 14, "Predicted class", kind="axis title"),
        _text(14, top + side / 2, "True class", anchor="middle", kind="axis title", turn=-90),
        tag("rect", class_="track", x=left, y=top, width=side, height=side),
    ]
    kind = "axis" if cell > 16 else "axis small"
    for index, name in enumerate(names):
        middle = (index + 0.5) * cell
        full = tag("title", name) if shown[index] != name else None
        parts.append(
            tag("text", full, shown[index], class_=kind, x=left - 7, y=top + middle + font / 3, text_anchor="end")
        )
        x, y = left + middle + (font / 3 if upright else 0.0), top - 7
        turn = f"rotate({-90 if upright else -45} {number(x)} {number(y)})"
        parts.append(tag("text", full, shown[index], class_=kind, x=x, y=y, transform=turn))
    parts += [
        _cell(names, row, column, amount, sum(line), (left, top), cell)
        for row, line in enumerate(counts)
        for column, amount in enumerate(line)
        if amount
    ]
    steps = [index * cell for index in range(size + 1)]
    lines = "".join(
        _path((left + at, top), (left + at, top + side)) + _path((left, top + at), (left + side, top + at))
        for at in steps
    )
    parts.append(tag("path", class_="lattice", d=lines))
    width, height = left + side + (4.0 if upright else reach), top + side + 4.0
    # a title longer than its side of the matrix
    width = max(width, left + text_width("Predicted class", 13))
    height = max(height, top + side / 2 + text_width("True class", 13) / 2)
    return tag(
        "svg",
        *parts,
        class_="matrix",
        viewBox=f"0 0 {number(width)} {number(height)}",
        width=width,
        height=height,
        role="img",
        aria_label=f"Confusion matrix of {size} classes; the largest confusions follow as a table",
    )


def _cell(
    names: Sequence[str], row: int, column: int, amount: int, total: int, origin: tuple[float, float], cell: int
) -> Html:
    x, y = origin[0] + column * cell, origin[1] + row * cell
    share = amount / total
    what = f"true: {names[row]}; predicted: {names[column]}; {count(amount)} of {count(total)} clips ({percent(share)})"
    figure = None
    if cell > 16:
        figure = tag(
            "text",
            str(amount),
            class_="count strong" if share > 0.8 else "count mid" if share > 0.5 else "count",
            x=x + cell / 2,
            y=y + cell / 2 + 4,
            text_anchor="middle",
        )
    # a rare confusion must still be seen
    shade = tag("rect", class_="heat", x=x, y=y, width=cell, height=cell, fill_opacity=0.06 + 0.94 * share)
    return tag("g", tag("title", what), shade, figure)


def scale() -> Html:
    """The key of a heat map: none to all of a row."""
    steps = [
        tag("rect", class_="heat", x=10 * i, width=10, height=12, fill_opacity=0.06 + 0.94 * i / 10) for i in range(11)
    ]
    return tag("svg", *steps, class_="scale", viewBox="0 0 110 12", width=110, height=12, aria_hidden="true")
