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
from cxr14.report.elements import Choice

Rows = list[dict[str, Any]]

DIGITS: Final = 4  # of the numbers in a specification
COLOURS: Final = tuple(f"var(--series-{index})" for index in range(len(PALETTE)))
NEUTRALS: Final = tuple(f"var(--neutral-{index})" for index in range(3))
LONG: Final = 30  # characters of the names of a legend
SHAPES: Final = (
    "circle",
    "square",
    "diamond",
    "triangle-up",
    "cross",
    "triangle-down",
    "triangle-right",
)
INTERVAL: Final = {"rule": 1.75, "point": 46}
"""Stroke width of an interval and area of its point; the same everywhere."""

ROW_GAP: Final = 1.2  # height of a row over that of its lines

RANGE: Final = "{} ({}–{})"
GAP: Final = "{} ({} to {})"
VISIBLE: Final = "visible"
"""Parameter of the lines to draw; the page's menu of backbones sets it."""

FONT: Final = "system-ui, -apple-system, 'Segoe UI', Roboto, sans-serif"
THEME: Final[dict[str, Any]] = {
    "background": "transparent",
    "font": FONT,
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
    "axisX": {"labelFlush": False, "labelOverlap": True},
    "legend": {
        "orient": "top",
        "labelColor": "var(--ink)",
        "labelFontSize": 12,
        "labelLimit": 0,
        "symbolLimit": 0,
        "title": None,
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
    value, low, high = values
    known = {
        key: round(float(number), DIGITS)
        for key, number in (("value", value), ("low", low), ("high", high))
        if not is_missing(number)
    }
    text = format_interval(value, low, high, form)
    return {"row": row, "line": line, **known, "text": text, **more}


def lines_colour(
    names: Sequence[str], *, legend: bool = False, start: int = 0, neutral: Sequence[str] = ()
) -> alt.Color:
    """Return the colours of lines.

    Args:
        names: in the order of the palette.
        legend: whether to draw a legend; the menu of backbones is one for all charts of them.
        start: position in the palette of the first name.
        neutral: names in greys, such as controls.
    """
    coloured = [name for name in names if name not in neutral]
    colours = {name: COLOURS[(start + i) % len(COLOURS)] for i, name in enumerate(coloured)}
    colours |= {name: NEUTRALS[i % len(NEUTRALS)] for i, name in enumerate(neutral)}
    scale = _scale(names, [colours[name] for name in names])
    return alt.Color("line:N", sort=None, legend=_legend(names, legend), scale=scale)


def lines_shape(names: Sequence[str], *, legend: bool = False, start: int = 0) -> alt.Shape:
    """Return the shapes of lines, so that colour is not all that separates them."""
    shapes = [SHAPES[(start + index) % len(SHAPES)] for index in range(len(names))]
    scale = _scale(names, shapes)
    return alt.Shape("line:N", sort=None, legend=_legend(names, legend), scale=scale)


def _legend(names: Sequence[str], visible: bool) -> alt.Legend | None:
    """Return a legend; two columns for long names, which would leave a narrow screen."""
    long = sum(map(len, names)) > LONG
    return alt.Legend(columns=2 if long else len(names)) if visible else None


def _scale(names: Sequence[str], values: Sequence[str]) -> alt.Scale:
    return alt.Scale(domain=list(names), range=list(values))


def axis(field: str, title: str, domain: Sequence[float] | None = None) -> alt.X:
    """Return the x axis of a score; ``domain`` by default that of the numbers."""
    scale = alt.Scale(domain=list(domain), nice=False) if domain else alt.Scale(zero=False)
    return alt.X(field, title=title, scale=scale, axis=alt.Axis(tickCount=6))


def dots(
    rows: Rows,
    names: Sequence[str],
    title: str,
    *,
    choices: Sequence[Choice] = (),
    domain: Sequence[float] | None = None,
    reference: float | Mapping[str, float] | None = None,
    step: int = 10,
    separate: bool = True,
    legend: bool = False,
    neutral: Sequence[str] = (),
    rank: str | None = None,
) -> dict[str, Any]:
    """Return the specification of dots with intervals, a band per row.

    Args:
        rows: see the module.
        names: of the lines, in the order of the palette.
        title: of the x axis.
        choices: menus; each selects the rows whose field of that name has its value, or enters
            ``rank``.
        domain: of the x axis; by default that of the numbers.
        reference: where to draw a vertical line; by option of the first menu if it differs.
        step: pixels per line.
        separate: whether lines lie below each other within a row; else each dot has its text.
        legend: whether to draw a legend.
        neutral: lines in greys.
        rank: expression of the order of the rows; by default that of ``rows``.
    """
    sort = alt.EncodingSortField("rank", op="min", order="ascending") if rank else None
    base = filtered(alt.Chart(alt.InlineData(values=rows)), rows, choices).encode(
        y=alt.Y("row:N", sort=sort, title=None),
        color=lines_colour(names, legend=legend, neutral=neutral),
        tooltip=[
            alt.Tooltip("row:N", title=" "),
            alt.Tooltip("line:N", title="  "),
            alt.Tooltip("text:N", title="score"),
        ],
    )
    base = base.transform_calculate(rank=rank) if rank else base
    if separate:
        offset = alt.YOffset("line:N", sort=None, scale=alt.Scale(domain=list(names)))
        base = base.encode(yOffset=offset)
    value = axis("value:Q", title, domain)
    point = base.mark_point(filled=True, size=INTERVAL["point"], opacity=1)
    layers = [point.encode(x=value, shape=lines_shape(names, legend=legend))]
    if any("low" in row for row in rows):
        rule = base.mark_rule(strokeWidth=INTERVAL["rule"])
        layers.insert(0, rule.encode(x=axis("low:Q", title, domain), x2="high:Q"))
    if reference is not None:
        layers.insert(0, vertical(reference, choices))
    if not separate:
        text = base.mark_text(dy=-13, fontSize=12, fill="var(--ink)")
        layers.append(text.encode(x=value, text="text:N"))
    lines = len(names) if separate else 1
    height = step * lines * len({row["row"] for row in rows}) * ROW_GAP
    return specification(alt.layer(*layers), names, choices, height=height)


def filtered(chart: alt.Chart, rows: Rows, choices: Sequence[Choice]) -> alt.Chart:
    """Keep the lines that are visible and the rows that the menus select."""
    if any("line" in row for row in rows):
        chart = chart.transform_filter(f"indexof({VISIBLE}, datum.line) >= 0")
    for choice in choices:
        if any(choice.name in row for row in rows):
            chart = chart.transform_filter(f"datum.{choice.name} == {choice.name}")
    return chart


def vertical(at: float | Mapping[str, float], choices: Sequence[Choice]) -> alt.Chart:
    """Return a vertical reference line; by option of the first menu if `at` is a mapping."""
    rows: Rows = (
        [{"at": value, choices[0].name: option} for option, value in at.items()]
        if isinstance(at, Mapping)
        else [{"at": at}]
    )
    data = filtered(alt.Chart(alt.InlineData(values=rows)), rows, choices)
    line: alt.Chart = data.mark_rule(stroke="var(--muted)", strokeDash=[3]).encode(x="at:Q")
    return line


def specification(
    chart: Any,
    names: Sequence[str],
    choices: Sequence[Choice] = (),
    *,
    height: float,
) -> dict[str, Any]:
    """Return the specification of a chart as wide as its place on the page.

    Args:
        chart: of Altair.
        names: of the lines, all visible at first.
        choices: menus, each a parameter with the first option as its value.
        height: in pixels. Not by step, of which Vega-Lite warns beside a width that fits.
    """
    values: dict[str, Any] = {VISIBLE: list(names)}
    values |= {choice.name: next(iter(choice.options)) for choice in choices}
    chart = chart.add_params(*(alt.param(name=name, value=value) for name, value in values.items()))
    chart = chart.properties(width="container", height=round(height))
    spec: dict[str, Any] = chart.to_dict(validate=False)  # a test does; here it takes seconds
    return {key: value for key, value in spec.items() if key not in ("$schema", "config")}
