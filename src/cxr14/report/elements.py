"""Elements of the report, as plain data, and the cells of its tables.

templates/page.html lays them out. A string is a paragraph. In a cell, the text after the first line
break is set in small type.
"""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any, ClassVar

import pandas as pd
from PIL import Image

from cxr14.console import (
    MISSING,
    format_count,
    format_difference,
    format_interval,
    format_number,
    is_missing,
)
from cxr14.metrics.bootstrap import ENDS

Row = dict[str, Any]
Cells = tuple[str, ...]

LARGEST = 300_000  # bytes; larger PNGs are converted to WebP


@dataclass(frozen=True)
class Subtitle:
    """A heading within a section."""

    kind: ClassVar[str] = "subtitle"
    text: str


@dataclass(frozen=True)
class Table:
    """A table that scrolls sideways.

    Attributes:
        header: of the columns.
        rows: cells as text.
        caption: what the numbers are and over how many.
        row_classes: CSS class of each row (published, other, control, begin, mean).
        column_classes: CSS class of each column (text, remark, published, other).

    A table whose first cells are all filled can be sorted on the page; an empty first cell means
    that the row continues the one above.
    """

    kind: ClassVar[str] = "table"
    header: Cells
    rows: Sequence[Cells]
    caption: str
    row_classes: Sequence[str] = ()
    column_classes: Sequence[str] = ()

    @property
    def sortable(self) -> bool:
        """Whether every row stands on its own."""
        return len(self.rows) > 1 and all(row[0] for row in self.rows)


@dataclass(frozen=True)
class Choice:
    """A menu beside a chart that sets one of its parameters.

    Attributes:
        name: of the parameter of the chart.
        label: of the menu.
        options: text by value; the first is the initial one.
    """

    name: str
    label: str
    options: Mapping[str, str]


@dataclass(frozen=True)
class Chart:
    """An interactive chart.

    Attributes:
        spec: a Vega-Lite specification with its data, see :mod:`cxr14.report.charts`.
        alt: what the chart shows, for readers who cannot see it.
        caption: what the numbers are and over how many.
        choices: menus of this chart alone.
        title: above the chart; may be empty.
        half: whether it takes half of the width, where there is enough.
    """

    kind: ClassVar[str] = "chart"
    spec: Mapping[str, Any]
    alt: str
    caption: str
    choices: Sequence[Choice] = ()
    title: str = ""
    half: bool = False


@dataclass(frozen=True)
class Tile:
    """A radiograph with its heatmap and boxes, in pixels of the cached image.

    Attributes:
        image: file name.
        finding: of the heatmap.
        is_hit: whether a box detected at the initial heat threshold is a hit.
        overlap: IoU of the largest box detected at the initial heat threshold.
        calibrated: probability of the finding by Platt scaling, NaN without scaling.
        outcome: hit or miss, with the best IoBB of these boxes.
        picture: data URI of the radiograph.
        heat: data URI of the heat as a transparent picture.
        grid: the heatmap before upsampling: float16, little-endian, row by row, as base64.
        shape: (h, w) of the grid.
        size: side of the radiograph.
        truth: ground-truth boxes x, y, width, height.
        detected: boxes detected at the initial heat threshold.
    """

    image: str
    finding: str
    is_hit: bool
    overlap: float
    calibrated: float
    outcome: str
    picture: str
    heat: str
    grid: str
    shape: tuple[int, int]
    size: int
    truth: Sequence[Sequence[float]]
    detected: Sequence[Sequence[float]]


@dataclass(frozen=True)
class TileGroup:
    """The tiles of one finding; ``summary`` counts the hits among all its images."""

    finding: str
    summary: str
    tiles: Sequence[Tile]


@dataclass(frozen=True)
class Gallery:
    """Heatmaps by finding, with a slider for the heat threshold.

    Attributes:
        groups: by finding.
        start: initial heat threshold, of 255.
        marks: heat thresholds of the pipeline, marked on the slider.
        scaling: of the heatmaps: per_map or fixed.
        hit: IoBB above which a detected box is a hit.
        caption: what is shown, and how it was selected.
        note: short label on every picture; empty on real pixels.
    """

    kind: ClassVar[str] = "gallery"
    groups: Sequence[TileGroup]
    start: int
    marks: Sequence[int]
    scaling: str
    hit: float
    caption: str
    note: str


@dataclass(frozen=True)
class Figure:
    """An embedded PNG with alternative text; it scrolls sideways on a small screen."""

    kind: ClassVar[str] = "figure"
    png: bytes
    alt: str
    caption: str

    @property
    def source(self) -> str:
        """The data URI of the figure."""
        large = len(self.png) > LARGEST
        kind, content = ("webp", as_webp(self.png)) if large else ("png", self.png)
        return data_uri(kind, content)


@dataclass(frozen=True)
class Details:
    """A collapsed block that opens on a click."""

    kind: ClassVar[str] = "details"
    title: str
    parts: "Sequence[Part]"


Part = str | Subtitle | Table | Figure | Chart | Gallery | Details


@dataclass(frozen=True)
class Section:
    """A section of the page; ``how`` explains how to read it and precedes its parts."""

    anchor: str
    title: str
    how: str
    parts: Sequence[Part]


def data_uri(kind: str, content: bytes) -> str:
    """Return a picture as a data URI; ``kind`` is png or webp."""
    return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"


def read_figure(path: Path, alt: str, caption: str) -> Figure:
    """Read a PNG file as a figure with its alternative text."""
    return Figure(path.read_bytes(), alt, caption)


def as_webp(png: bytes) -> bytes:
    """Convert a PNG to WebP (quality 85): about a fifth of the bytes, no visible loss."""
    content = BytesIO()
    Image.open(BytesIO(png)).convert("RGB").save(content, "WEBP", quality=85)
    return content.getvalue()


def frame(rows: pd.DataFrame, caption: str) -> Table:
    """Return a table of a data frame: scores with three decimals, NaN as dashes."""

    def cell(value: Any) -> str:
        if pd.isna(value):
            return MISSING
        if isinstance(value, float):
            return f"{value:g}" if value % 1 == 0 and value > 1 else format_number(value)
        return str(value)

    body = [tuple(map(cell, row)) for row in rows.itertuples(index=False)]
    return Table(tuple(spaced(str(name)) for name in rows), body, caption)


def scored(row: Mapping[str, Any], name: str, form: str = "{}\n{}–{}") -> str:
    """Format ``row[name]`` with its interval ``name_low``, ``name_high`` if both exist."""
    value, low, high = (row.get(f"{name}{end}") for end in ENDS)
    return format_interval(value, low, high, form)


def beside_chance(row: Mapping[str, Any], name: str, form: str = "{}\nchance {}") -> str:
    """Format ``row[name]`` with its value for a perfect forecast, ``name_chance``."""
    value = format_number(row.get(name))
    return value if value == MISSING else form.format(value, format_number(row[f"{name}_chance"]))


def difference(row: Mapping[str, Any], *columns: str, form: str = "{0}{3}\n{1} to {2}") -> str:
    """Format a difference with its interval; * marks one whose interval excludes 0.

    Args:
        row: of a table.
        columns: names of the difference and the ends of its interval.
        form: of the difference, the ends of its interval and the mark.
    """
    value, low, high = map(row.get, columns)
    without_interval = is_missing(low) or is_missing(high)
    return format_difference(value, low, high, "{0}" if without_interval else form)


def columns_of(measure: str) -> list[str]:
    """Return the columns of a measure and of the ends of its interval."""
    return [f"{measure}{end}" for end in ENDS]


def count(value: Any) -> str:
    """Format a count; – for null."""
    return format_count(value, MISSING)


def spaced(name: str) -> str:
    """Return a finding or a key as words: ``Pleural Thickening``."""
    return name.replace("_", " ")


def text(value: Any) -> str:
    """Return a text cell; an empty string for null and NaN."""
    return "" if value is None or pd.isna(value) else str(value)


def rows_of(table: pd.DataFrame) -> list[Row]:
    """Return the rows of a table as dictionaries keyed by column."""
    return [{str(key): value for key, value in row.items()} for row in table.to_dict("records")]


def first_row(table: pd.DataFrame, wanted: Mapping[str, Any]) -> Row:
    """Return the first row with these values; an empty row if there is none."""
    rows = table
    for column, value in wanted.items():
        rows = rows[rows[column] == value]
    return next(iter(rows_of(rows[:1])), {})


def distinct(table: pd.DataFrame, column: str) -> list[Any]:
    """Return the values of a column, in the order of their first appearance."""
    return list(dict.fromkeys(table[column]))
