"""The plots: points where their values say, texts that do not meet, shapes that do not break."""

from __future__ import annotations

import itertools
import math
import re
import xml.etree.ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vidbench.report.plots import (
    Axis,
    Point,
    Series,
    bar,
    confusion_matrix,
    fit,
    labelled_axis,
    line_plot,
    percent_axis,
    spread,
    text_width,
    value_axis,
    whole_axis,
)

X = Axis("x", 0.0, 10.0, ((0.0, "zero"), (10.0, "ten")))
Y = Axis("y", 0.0, 1.0, ((0.0, "0%"), (1.0, "100%")))


def draw(*series: Series, x: Axis = X, y: Axis = Y, labels: bool = False) -> ET.Element:
    return ET.fromstring(line_plot("a plot", series, x, y, width=500, height=300, labels=labels))


def marks(drawing: ET.Element) -> list[tuple[float, float]]:
    found = []
    for path in drawing.iter("path"):
        if "mark" in path.attrib["class"].split():
            match = re.fullmatch(r"translate\((\S+) (\S+)\)", path.attrib["transform"])
            assert match
            found.append((float(match[1]), float(match[2])))
    return found


def corners(path: str) -> list[tuple[float, float]]:
    return [(float(x), float(y)) for x, y in re.findall(r"(-?[\d.]+),(-?[\d.]+)", path)]


def area(drawing: ET.Element) -> tuple[float, float, float, float]:
    """Left, right, top, bottom of the axes, read from the grid lines that were drawn."""
    lines = [corners(path.attrib["d"]) for path in drawing.iter("path") if path.attrib["class"] == "grid"]
    heights = [line[0][1] for line in lines]
    return lines[0][0][0], lines[0][1][0], min(heights), max(heights)


def test_points_lie_where_their_values_say() -> None:
    points = (Point(0, 0), Point(5, 0.5), Point(7.5, 0.25), Point(10, 1))
    drawing = draw(Series("a", points))
    left, right, top, bottom = area(drawing)
    expected = [
        (left, bottom),
        ((left + right) / 2, (top + bottom) / 2),
        (left + 0.75 * (right - left), bottom - 0.25 * (bottom - top)),
        (right, top),
    ]
    for found, wanted in zip(marks(drawing), expected, strict=True):
        assert found == pytest.approx(wanted, abs=0.011)
    (line,) = [path for path in drawing.iter("path") if path.attrib["class"] == "line c0"]
    assert corners(line.attrib["d"]) == marks(drawing)


def test_a_band_runs_through_the_bounds() -> None:
    drawing = draw(Series("a", (Point(0, 0.5, 0.25, 0.75), Point(10, 0.5, 0.0, 1.0))))
    left, right, top, bottom = area(drawing)
    (band,) = [path for path in drawing.iter("path") if path.attrib["class"] == "band c0"]

    def at(share: float) -> float:
        return bottom - share * (bottom - top)

    wanted = [(left, at(0.75)), (right, at(1.0)), (right, at(0.0)), (left, at(0.25))]
    for found, corner in zip(corners(band.attrib["d"]), wanted, strict=True):
        assert found == pytest.approx(corner, abs=0.011)


def test_a_single_point_has_a_whisker_and_no_line() -> None:
    drawing = draw(Series("a", (Point(5, 0.5, 0.2, 0.9),)))
    kinds = [path.attrib["class"] for path in drawing.iter("path")]
    assert "whisker c0" in kinds
    assert "line c0" not in kinds
    assert len(marks(drawing)) == 1


def test_a_value_that_is_not_finite_leaves_a_gap() -> None:
    values = (0.1, 0.2, math.nan, 0.4, 0.5, None, math.inf)
    drawing = draw(Series("a", tuple(Point(float(k), value) for k, value in enumerate(values))))
    assert len(marks(drawing)) == 4
    lines = [corners(path.attrib["d"]) for path in drawing.iter("path") if path.attrib["class"] == "line c0"]
    assert [len(line) for line in lines] == [2, 2]


@pytest.mark.parametrize("series", [(), (Series("a", ()),), (Series("a", (Point(0, math.nan),)),)])
def test_nothing_to_draw_is_said(series: tuple[Series, ...]) -> None:
    drawing = draw(*series, labels=True)
    assert marks(drawing) == []
    assert "no figures" in "".join(drawing.itertext())


def test_tooltips_and_names_are_escaped() -> None:
    drawing = draw(Series("<b>&\"'", (Point(1, 0.5, title="<i>&"),)), labels=True)
    titles = [title.text for title in drawing.iter("title")]
    assert "<i>&" in titles
    assert "<b>&\"'" in titles
    assert not list(drawing.iter("b"))


def test_direct_labels_keep_apart_and_inside() -> None:
    series = [Series(f"attack {k}", (Point(0, 0.9), Point(10, 0.001 * k))) for k in range(8)]
    drawing = draw(*series, labels=True)
    _, right, top, bottom = area(drawing)
    placed = sorted(float(text.attrib["y"]) - 4 for text in drawing.iter("text") if text.attrib["class"] == "label")
    assert len(placed) == 8
    assert all(below - above >= 15 - 0.011 for above, below in itertools.pairwise(placed))
    assert top <= placed[0]
    assert placed[-1] <= bottom
    for text in drawing.iter("text"):
        if text.attrib["class"] == "label":
            assert float(text.attrib["x"]) > right
            assert float(text.attrib["x"]) + text_width("attack 0") <= 500


def test_direct_labels_give_way_where_there_is_no_room() -> None:
    series = [Series(f"attack {k}", (Point(0, 0.9),)) for k in range(40)]
    assert not [text for text in draw(*series, labels=True).iter("text") if text.attrib["class"] == "label"]


def test_a_long_name_is_cut_in_the_drawing_and_whole_in_its_tooltip() -> None:
    name = "an attack with a very long name " * 10
    drawing = draw(Series(name, (Point(1, 0.5),)), labels=True)
    (label,) = [text for text in drawing.iter("text") if text.attrib["class"] == "label"]
    assert label[0].text == name
    assert label[0].tail is not None
    assert float(label.attrib["x"]) + text_width(label[0].tail) <= 500


def test_crowded_ticks_drop_labels_and_keep_the_last() -> None:
    axis = labelled_axis("eps", [(0, "0")] + [(k / 255, f"{k}/255") for k in (1, 2, 3, 4, 8, 64)])
    drawing = draw(Series("a", (Point(0, 0.5),)), x=axis)
    labels = {
        text.text: float(text.attrib["x"])
        for text in drawing.iter("text")
        if text.attrib.get("text-anchor") == "middle"
    }
    del labels["eps"]
    assert "64/255" in labels
    assert len(labels) < 7
    placed = sorted((x - text_width(text) / 2, x + text_width(text) / 2) for text, x in labels.items() if text)
    assert all(first[1] <= second[0] for first, second in itertools.pairwise(placed))
    assert placed[-1][1] <= 500


def test_axes() -> None:
    assert percent_axis("a").share(0.25) == 0.25
    assert [label for _, label in percent_axis("a").ticks] == ["0%", "20%", "40%", "60%", "80%", "100%"]
    assert whole_axis("e", [1, 2, 3]).ticks == ((1, "1"), (2, "2"), (3, "3"))
    assert whole_axis("e", [4]).share(4) == 0.5
    assert len(whole_axis("e", list(range(1, 301))).ticks) <= 10
    assert labelled_axis("eps", [(0.0314, "8/255"), (8 / 255, "8/255"), (0, "0")]).ticks == (
        (0, "0"),
        (8 / 255, "8/255"),
    )
    assert labelled_axis("eps", []).share(0.0) == 0
    assert [label for _, label in value_axis("l", [2.31, 0.2]).ticks] == ["0.0", "0.5", "1.0", "1.5", "2.0", "2.5"]


@given(st.lists(st.floats(allow_nan=True, allow_infinity=True, width=32), max_size=8))
def test_a_value_axis_holds_its_values(values: list[float]) -> None:
    axis = value_axis("loss", values)
    assert axis.low < axis.high
    assert 1 < len(axis.ticks) <= 12
    for value in values:
        if math.isfinite(value):
            assert -1e-6 <= axis.share(value) <= 1 + 1e-6


@given(st.lists(st.floats(0, 100), max_size=10))
def test_spread_keeps_places_apart_in_order_and_inside(wanted: list[float]) -> None:
    wanted.sort()
    placed = spread(wanted, 10, 0, 100)
    assert all(b - a >= 10 - 1e-9 for a, b in itertools.pairwise(placed))
    assert all(-1e-9 <= value <= 100 + 1e-9 for value in placed)
    if all(b - a >= 10 for a, b in itertools.pairwise(wanted)):
        assert placed == pytest.approx(wanted, abs=1e-9)


@given(st.text(max_size=60), st.floats(20, 300))
def test_a_fitted_text_fits(text: str, width: float) -> None:
    short = fit(text, width)
    assert text_width(short) <= width
    assert short == text or "…" in short


def test_a_bar_is_as_long_as_its_share() -> None:
    drawing = ET.fromstring(bar(0.375, '"a" <b>'))
    (fill,) = [rect for rect in drawing.iter("rect") if rect.attrib["class"] == "fill"]
    assert fill.attrib["width"] == "37.5"
    assert drawing.attrib["aria-label"] == '"a" <b>'


@pytest.mark.parametrize("size", [1, 2, 6, 7, 20, 21, 50])
def test_a_matrix_shades_each_field_by_its_share_of_the_row(size: int) -> None:
    counts = [[3 if r == c else 1 if c == 0 else 0 for c in range(size)] for r in range(size)]
    drawing = ET.fromstring(confusion_matrix([f"class {k}" for k in range(size)], counts))
    fields = list(drawing.iter("g"))
    assert len(fields) == 2 * size - 1
    for field in fields:
        title, rect = field[0].text, field[1]
        assert title is not None
        match = re.search(r"(\d+) of (\d+) clips", title)
        assert match
        share = int(match[1]) / int(match[2])
        assert float(rect.attrib["fill-opacity"]) == pytest.approx(0.06 + 0.94 * share, abs=0.006)
    _, _, width, height = (float(part) for part in drawing.attrib["viewBox"].split())
    for rect in drawing.iter("rect"):
        assert float(rect.attrib["x"]) + float(rect.attrib["width"]) <= width
        assert float(rect.attrib["y"]) + float(rect.attrib["height"]) <= height


@pytest.mark.parametrize("size", [2, 12, 30])
def test_long_names_stay_inside_the_matrix(size: int) -> None:
    names = [f"something {'very ' * 60}long {k} {'indeed ' * 9}" for k in range(size)]
    drawing = ET.fromstring(confusion_matrix(names, [[1] * size] * size))
    _, _, width, _ = (float(part) for part in drawing.attrib["viewBox"].split())
    font = 12.0 if size <= 20 else 11.0
    rows, columns = [], []
    for text in drawing.iter("text"):
        if "axis" not in text.attrib["class"] or "title" in text.attrib["class"]:
            continue
        shown, x, y = text[0].tail, float(text.attrib["x"]), float(text.attrib["y"])
        assert text[0].text in names
        assert shown is not None
        length = text_width(shown, font)
        if "transform" not in text.attrib:
            rows.append(shown)
            assert x - length >= 14
            continue
        columns.append(shown)
        upright = "rotate(-90" in text.attrib["transform"]
        assert y - length * (1 if upright else math.sqrt(0.5)) >= 14
        assert x + (0 if upright else length * math.sqrt(0.5)) <= width
    assert rows == columns
    assert len(set(rows)) == size


def test_names_that_shortening_would_make_equal_are_numbered() -> None:
    names = [f"playing instrument {k} very loudly" for k in range(3)]
    drawing = ET.fromstring(confusion_matrix(names, [[1, 0, 0], [0, 1, 0], [0, 0, 1]]))
    shown = [text[0].tail for text in drawing.iter("text") if len(text)]
    assert len(shown) == 6
    assert len(set(shown)) == 3
