"""Building blocks of the charts: colours, dots with intervals, curves, parameters.

Colours are CSS variables of the page (templates/style.css), so that a chart follows light, dark and
print without being drawn again. Their values are the palette of :mod:`cxr14.figures.style`, which
`dvc plots` has too.

All numbers are in the specification: rows with ``row`` (label on the y axis), ``line`` (network,
split or method, by colour and shape), ``value``, ``low``, ``high`` and ``text`` (for the tooltip).
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import altair as alt

from cxr14.console import format_interval, is_missing
from cxr14.figures.style import PALETTE

Rows = list[dict[str, Any]]

DIGITS: Final = 4  # of the numbers in a specification
COLOURS: Final = tuple(f"var(--series-{index})" for index in range(len(PALETTE)))
NEUTRAL: Final = "var(--neutral)"
SHAPES: Final = ("circle", "square", "diamond", "triangle-up", "cross", "triangle-down", "triangle-right")
INTERVAL: Final = {"rule": 1.75, "point": 46}
"""Stroke width of an interval and area of its point; the same everywhere."""

RANGE: Final = "{} ({}–{})"
GAP: Final = "{} ({} to {})"
SHOWN: Final = "shown"
"""Parameter of the names of the lines to draw; the page's menu of backbones sets it."""

FONT: Final = "system-ui, -apple-system, 'Segoe UI', Roboto, sans-serif"
THEME: Final[dict[str, Any]] = {
    "background": "transparent",
    "font": FONT,
    "aria": False,  # the page describes each chart in a sentence
    "padding": 2,
    "view": {"stroke": None},
    "axis": {
        "domainColor": "var(--line)",
        "gridColor": "var(--line)",
        "tickColor": "var(--line)",
        "labelColor": "var(--ink)",
        "titleColor": "var(--muted)",
        "labelFontSize": 12,
        "titleFontSize": 12,
        "titleFontWeight": "normal",
        "labelLimit": 160,
    },
    "axisY": {"domain": False, "ticks": False, "labelPadding": 8, "grid": False},
    "axisX": {"labelFlush": False},
    "legend": {
        "orient": "top",
        "labelColor": "var(--ink)",
        "labelFontSize": 12,
        "labelLimit": 0,
        "symbolLimit": 0,
        "title": None,
        "columns": 3,
    },
    "header": {"labelColor": "var(--ink)", "labelFontSize": 12, "title": None},
    "text": {"fill": "var(--ink)"},
}
"""Configuration of all charts of the page."""


def scored_row(
    row: str, line: str, values: Sequence[Any], form: str = RANGE, **more: Any
) -> dict[str, Any]:
    """Return a row of a chart.

    Args:
        row: label on the y axis.
        line: key of colour and shape.
        values: the score and the ends of its interval; missing ends give a point alone.
        form: of the score and its ends in the tooltip.
        more: fields of filters and orders.
    """
    keys = ("value", "low", "high")
    known = {
        key: round(float(value), DIGITS)
        for key, value in zip(keys, values, strict=True)
        if not is_missing(value)
    }
    return {"row": row, "line": line, **known, "text": format_interval(*values, form), **more}


def lines_colour(names: Sequence[str], *, legend: bool, neutral: Sequence[str] = ()) -> alt.Color:
    """Return the colours of lines.

    Args:
        names: in the order of the palette.
        legend: whether to draw a legend; the menu of backbones is one for all charts of them.
        neutral: names in grey, such as controls.
    """
    colours = [
        NEUTRAL if name in neutral else COLOURS[index % len(COLOURS)]
        for index, name in enumerate(names)
    ]
    shown = alt.Legend() if legend else None
    return alt.Color("line:N", sort=None, legend=shown, scale=_scale(names, colours))


def lines_shape(names: Sequence[str], *, legend: bool) -> alt.Shape:
    """Return the shapes of lines, so that colour is not all that separates them."""
    shapes = [SHAPES[index % len(SHAPES)] for index in range(len(names))]
    shown = alt.Legend() if legend else None
    return alt.Shape("line:N", sort=None, legend=shown, scale=_scale(names, shapes))


def _scale(names: Sequence[str], values: Sequence[str]) -> alt.Scale:
    return alt.Scale(domain=list(names), range=list(values))


def axis(field: str, title: str, domain: Sequence[float] | None = None) -> alt.X:
    """Return the x axis of a score."""
    scale = alt.Scale(domain=list(domain), nice=False) if domain else alt.Scale(zero=False)
    return alt.X(field, title=title, scale=scale, axis=alt.Axis(tickCount=6))


def dots(
    rows: Rows,
    names: Sequence[str],
    title: str,
    *,
    domain: Sequence[float] | None = None,
    zero: float | None = None,
    step: int = 10,
    legend: bool = False,
    neutral: Sequence[str] = (),
    sort: alt.EncodingSortField | None = None,
) -> alt.LayerChart:
    """Return dots with intervals: a band per row, in it a line per network, split or method.

    Args:
        rows: see the module.
        names: of the lines, in the order of the palette.
        title: of the x axis.
        domain: of the x axis; by default that of the numbers.
        zero: where to draw a vertical line.
        step: pixels per line.
        legend: whether to draw a legend.
        neutral: lines in grey.
        sort: order of the rows; by default that of ``rows``.
    """
    data = alt.Chart(alt.Data(values=rows))
    offset = alt.YOffset("line:N", sort=None, scale=alt.Scale(domain=list(names)))
    base = data.encode(
        y=alt.Y("row:N", sort=sort, title=None),
        yOffset=offset,
        color=lines_colour(names, legend=legend, neutral=neutral),
        tooltip=[
            alt.Tooltip("row:N", title=" "),
            alt.Tooltip("line:N", title="  "),
            alt.Tooltip("text:N", title=title),
        ],
    )
    rule = base.mark_rule(strokeWidth=INTERVAL["rule"]).encode(
        x=axis("low:Q", title, domain), x2="high:Q"
    )
    point = base.mark_point(filled=True, size=INTERVAL["point"], opacity=1).encode(
        x=axis("value:Q", title, domain), shape=lines_shape(names, legend=legend)
    )
    layers: list[alt.Chart] = [] if zero is None else [vertical(zero)]
    chart = alt.layer(*layers, rule, point)
    return sized(chart.add_params(shown(names)).transform_filter(_is_shown()), step)


def vertical(at: float) -> alt.Chart:
    """Return a vertical reference line."""
    line = alt.Chart(alt.Data(values=[{"at": at}])).mark_rule(stroke="var(--muted)", strokeDash=[3])
    return line.encode(x=alt.X("at:Q"))


def shown(names: Sequence[str]) -> alt.Parameter:
    """Return the parameter of the lines to draw, at first all."""
    return alt.param(name=SHOWN, value=list(names))


def _is_shown() -> str:
    return f"!isDefined(datum.line) || indexof({SHOWN}, datum.line) >= 0"


def choice(name: str, options: Mapping[str, str]) -> alt.Parameter:
    """Return the parameter of a menu, see :class:`cxr14.report.elements.Choice`."""
    return alt.param(name=name, value=next(iter(options)))


def chosen(name: str) -> str:
    """Return the filter of rows whose field has the value of the menu of the same name."""
    return f"!isDefined(datum.{name}) || datum.{name} == {name}"


def sized(chart: Any, height: int | None = None, *, square: int | None = None) -> Any:
    """Set the width to that of the page, and the height by step or in pixels."""
    fit = alt.AutoSizeParams(type="fit-x", contains="padding")
    size = {"height": square} if square else {"height": alt.Step(height or 10)}
    return chart.properties(width="container", autosize=fit, **size)


def specification(chart: Any) -> dict[str, Any]:
    """Return the Vega-Lite specification, without the address of its schema."""
    spec: dict[str, Any] = chart.to_dict()
    return {key: value for key, value in spec.items() if key not in ("$schema", "config")}
