"""HTML building blocks of the self-contained report: tables, figures, sections, cell formats.

A cell is plain text and always escaped. Text after its first line break is set in small type.
"""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from io import BytesIO
from pathlib import Path
from typing import Any, Final

import pandas as pd
from PIL import Image

from cxr14.console import format_number, signed, star
from cxr14.metrics.bootstrap import ENDS

Cells = tuple[str, ...]

UNBROKEN = "\N{NO-BREAK SPACE}%"
LARGEST = 300_000  # bytes; larger PNGs are converted to WebP

STYLE: Final = """
:root { --ink: #1c2430; --grey: #5d6878; --line: #dfe4ea; --pale: #f5f7fa; --blue: #0b5c96; }
* { box-sizing: border-box; }
html { scroll-behavior: smooth; -webkit-text-size-adjust: 100%; }
body { font: 16px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; color: var(--ink);
  max-width: 1240px; margin: 0 auto; padding: 1.5rem 1rem 4rem; }
h1 { font-size: 1.9rem; line-height: 1.2; margin: .5rem 0 1rem; }
h2 { font-size: 1.35rem; margin: 3rem 0 .4rem; padding-top: .6rem;
  border-top: 2px solid var(--ink); }
h3 { font-size: 1.05rem; margin: 1.8rem 0 .3rem; }
p, .how { max-width: 46rem; }
.how { color: var(--grey); margin: .2rem 0 1rem; }
.caution { background: #fff4d6; border-left: 5px solid #d99a00; padding: .7rem 1rem; margin: 1rem 0;
  max-width: none; }
.facts { color: var(--grey); margin: .3rem 0 1rem; max-width: none; }
nav { background: var(--pale); padding: .8rem 1rem; border-radius: 6px; }
nav ol { margin: 0; padding-left: 1.4rem; columns: 3 15rem; column-gap: 2rem; }
a { color: var(--blue); }
figure { margin: 1rem 0 1.6rem; }
figcaption { font-size: .86rem; color: var(--grey); margin-top: .35rem; max-width: 60rem; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-size: .88rem; line-height: 1.3;
  font-variant-numeric: tabular-nums; }
th, td { padding: .32rem .5rem; text-align: right; vertical-align: top;
  border-bottom: 1px solid var(--line); white-space: nowrap; }
thead th { vertical-align: bottom; border-bottom: 2px solid var(--ink); background: #fff; }
thead th small { white-space: normal; display: block; min-width: 4.6rem; }
th:first-child, td:first-child { text-align: left; position: sticky; left: 0; background: #fff; }
td:first-child { font-weight: 600; }
td.text, th.text, td.remark, th.remark { text-align: left; }
td.remark { white-space: normal; min-width: 11rem; max-width: 22rem; }
small { color: var(--grey); font-size: .82em; font-weight: 400; }
tr.published td { background: #eef5fb; }
tr.other td { background: #fdf3e3; }
tr.control td { color: var(--grey); }
tr.begin td { border-top: 2px solid #8b97a6; }
tr.mean td { font-weight: 600; border-top: 2px solid #8b97a6; }
th.published, td.published { background: #eef5fb; }
th.other, td.other { background: #fdf3e3; }
img { max-width: 100%; height: auto; display: block; }
.wide img { min-width: 700px; }
details { margin: .5rem 0; }
summary { cursor: pointer; color: var(--blue); }
@media (max-width: 640px) {
  body { font-size: 15px; padding: .8rem .7rem 3rem; }
  h1 { font-size: 1.5rem; }
  th, td { padding: .3rem .45rem; }
  table { font-size: .82rem; }
  nav ol { columns: 1; }
}
@media print { nav { display: none; } .scroll { overflow: visible; } h2 { break-after: avoid; } }
"""


@dataclass(frozen=True)
class Section:
    """A section of the page; ``how`` explains how to read it and precedes its parts."""

    anchor: str
    title: str
    how: str
    parts: tuple[str, ...]


def table(
    header: Cells,
    body: Sequence[Cells],
    caption: str,
    kinds: Sequence[str] = (),
    columns: Sequence[str] = (),
) -> str:
    """Return an HTML table in a box that scrolls sideways, its caption below.

    Args:
        header: of the columns.
        body: the rows.
        caption: what the numbers are and over how many.
        kinds: class of each row (published, other, control, begin, mean), none by default.
        columns: class of each column (text, remark, published, other), none by default.
    """
    columns = [*columns, *[""] * (len(header) - len(columns))]
    kinds = [*kinds, *[""] * (len(body) - len(kinds))]
    head = _row("th", header, columns, "")
    lines = (_row("td", row, columns, kind) for row, kind in zip(body, kinds, strict=True))
    inner = f"<table><thead>{head}</thead><tbody>{''.join(lines)}</tbody></table>"
    figcaption = f"<figcaption>{escape(caption.replace(' %', UNBROKEN))}</figcaption>"
    return f'<figure><div class="scroll">{inner}</div>{figcaption}</figure>'


def frame(rows: pd.DataFrame, caption: str) -> str:
    """Return an HTML table of a data frame: floats with three decimals, NaN as dashes."""
    header = tuple(str(name).replace("_", " ") for name in rows)
    body = [tuple(_plain(value) for value in row) for row in rows.itertuples(index=False)]
    return table(header, body, caption)


def _plain(value: Any) -> str:
    if pd.isna(value):
        return "–"
    return f"{value:.3f}" if isinstance(value, float) and value % 1 else f"{value}"


def _row(tag: str, cells: Cells, columns: Sequence[str], kind: str) -> str:
    filled = (f"<{tag}{_class(c)}>{cell(x)}</{tag}>" for x, c in zip(cells, columns, strict=True))
    return f"<tr{_class(kind)}>{''.join(filled)}</tr>"


def _class(name: str) -> str:
    return f' class="{name}"' if name else ""


def cell(text: str) -> str:
    """Return the escaped content of a cell; text after the first line break is small."""
    first, _, rest = text.partition("\n")
    small = f"<br><small>{escape(rest)}</small>" if rest else ""
    return f"{escape(first)}{small}"


def paragraph(text: str) -> str:
    """Return a paragraph, or an empty string for an empty text."""
    return f"<p>{escape(text)}</p>" if text else ""


def subtitle(text: str) -> str:
    """Return a heading within a section."""
    return f"<h3>{escape(text)}</h3>"


def picture(path: Path, caption: str = "") -> str:
    """Return a figure that embeds a PNG file; its file name is the alternative text."""
    return embedded(path.read_bytes(), path.stem.replace("_", " "), caption)


def embedded(png: bytes, name: str, caption: str = "") -> str:
    """Return a figure that embeds a PNG; it scrolls sideways on a small screen."""
    kind, content = ("png", png) if len(png) <= LARGEST else ("webp", as_webp(png))
    figcaption = f"<figcaption>{escape(caption)}</figcaption>" if caption else ""
    source = f"data:image/{kind};base64,{base64.b64encode(content).decode()}"
    image = f'<img alt="{escape(name)}" src="{source}">'
    return f'<figure><div class="scroll wide">{image}</div>{figcaption}</figure>'


def as_webp(png: bytes) -> bytes:
    """Convert a PNG to WebP (quality 85): about a fifth of the bytes, no visible loss."""
    content = BytesIO()
    Image.open(BytesIO(png)).convert("RGB").save(content, "WEBP", quality=85)
    return content.getvalue()


def folded(title: str, *parts: str) -> str:
    """Return a collapsed block that opens on a click."""
    return f"<details><summary>{escape(title)}</summary>{''.join(parts)}</details>"


def page(title: str, caution: str, facts: str, sections: Sequence[Section]) -> str:
    """Return the HTML page: title, caution, facts, table of contents, sections."""
    contents = "".join(
        f'<li><a href="#{section.anchor}">{escape(section.title)}</a></li>' for section in sections
    )
    top = (
        f'<h1>{escape(title)}</h1><p class="caution">{escape(caution)}</p>'
        f'<p class="facts">{escape(facts)}</p><nav aria-label="contents"><ol>{contents}</ol></nav>'
    )
    head = (
        '<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{STYLE}</style>"
    )
    body = top + "".join(map(_section, sections))
    return f'<!doctype html><html lang="en"><head>{head}</head><body>{body}</body></html>\n'


def _section(section: Section) -> str:
    how = f'<p class="how">{escape(section.how)}</p>' if section.how else ""
    parts = "".join(section.parts)
    return f'<section id="{section.anchor}"><h2>{escape(section.title)}</h2>{how}{parts}</section>'


# Formats of cells: scores with intervals, counts, limits.


Row = dict[str, Any]


def number(value: Any) -> float | None:
    """Return a value as float; None for null and NaN."""
    return None if value is None or pd.isna(value) else float(value)


def interval(value: float | None, low: float | None, high: float | None, between: str = " ") -> str:
    """Format a score with its 95 % interval, separated by ``between``."""
    if value is None or low is None or high is None:
        return format_number(value)
    return f"{format_number(value)}{between}{format_number(low)}–{format_number(high)}"


def scored(row: Mapping[str, Any], name: str, between: str = "\n") -> str:
    """Format ``row[name]`` with its interval ``name_low``, ``name_high`` if both exist."""
    value, low, high = (number(row.get(f"{name}{end}")) for end in ENDS)
    return interval(value, low, high, between)


def difference(value: float | None, low: float | None, high: float | None) -> str:
    """Format a difference with its interval; * marks one whose interval leaves out 0."""
    if value is None or low is None or high is None:
        return signed(value)
    return f"{signed(value)}{star(low, high)}\n{signed(low)} to {signed(high)}"


def count(value: Any) -> str:
    """Format a count; – for null."""
    known = number(value)
    return "–" if known is None else f"{round(known):,}"


def limit_text(limit: float) -> str:
    """Format a limit T without its leading zero: ``.25``, ``.1``."""
    return f"{limit:g}".removeprefix("0")


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
