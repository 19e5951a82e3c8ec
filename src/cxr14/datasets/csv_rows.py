"""Rows of a user's table by a mapping: their cells, the issues in them, and their boxes."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from cxr14.config.mapping import BoxColumns, Built, Column, Mapping
from cxr14.datasets.archive_kinds import Issue
from cxr14.datasets.columns import SUFFIX, expanded
from cxr14.datasets.raw import RENEW
from cxr14.datasets.text_files import read_lines, split_rows
from cxr14.errors import UserError, quote
from cxr14.labels import NO_FINDING

MAX_BYTES = 512 * 2**20
"""Maximum size of a table; PadChest's has 99 MB."""


def read_text(path: Path, name: str, headings: Iterable[str]) -> pd.DataFrame:
    """Read columns of a table as text, indexed by `row`, the line number; without blank lines.

    Raises:
        UserError: the file is missing or no such table, a column is missing or stands twice, or a
            row has more cells than the header.
    """
    try:
        rows = split_rows(read_lines(path, name, MAX_BYTES), name)
    except OSError as error:
        raise UserError(f"{name} cannot be read ({error.strerror or error})") from None
    if not rows.cells:
        raise UserError(f"{name}: the file is empty; allowed: a table with a header")
    header, where = expanded(rows.cells[0]), f"{name}, row {rows.numbers[0]}"
    wanted = list(dict.fromkeys(headings))
    for heading in wanted:
        if header.count(heading) != 1:
            problem = "no column" if heading not in header else f"{header.count(heading)} columns"
            raise UserError(
                f"{where}: {problem} {quote(heading)}, which the mapping names; the header is "
                f"{quote(', '.join(header))}; correct the mapping (data.mapping) or the table"
            )
    body = [(n, row) for n, row in zip(rows.numbers, rows.cells, strict=True) if any(row)][1:]
    for number, row in body:
        if any(row[len(header) :]):
            raise UserError(
                f"{name}, row {number}: {len(row)} cells below {len(header)} headings; look for a "
                f"cell with a delimiter that lacks its quotes, then run {RENEW}"
            )
    if not body:
        raise UserError(f"{name}: there is no row below the header")
    columns = {
        heading: [row[at] if at < len(row) else "" for _, row in body]
        for heading, at in ((heading, header.index(heading)) for heading in wanted)
    }
    index = pd.Index([number for number, _ in body], dtype="int64", name="row")
    return pd.DataFrame(columns, index, dtype="str")


def headings_of(column: Column) -> list[str]:
    """Return the headings that a column is read or built from."""
    return [column] if isinstance(column, str) else column.columns


def file_key(path: str) -> str:
    r"""Return a path for comparison: without suffix and leading ``./``, with / for \."""
    return SUFFIX.sub("", re.sub(r"^(\./)+", "", path.strip().replace("\\", "/")))


def _build(column: Built, text: pd.DataFrame) -> pd.Series:
    """Return the built cells; '' where a column is blank or the pattern does not occur."""
    pattern = re.compile(column.pattern or "(.*)", re.DOTALL)
    cells, headings = [], column.columns
    for values in text[headings].to_numpy():
        built = column.form.format_map(dict(zip(headings, values, strict=True)))
        match = pattern.search(built) if all(values) else None
        cells.append((match[1] or "").strip() if match else "")
    return pd.Series(cells, text.index, dtype="str")


@dataclass
class Rows:
    """Rows of the user's table that are still in use, and the issues of the others.

    Attributes:
        text: cells as text, indexed by `row`, the line number.
        name: name of the file in errors and issues.
        issues: of rows.
    """

    text: pd.DataFrame
    name: str
    issues: list[Issue] = field(default_factory=list)

    def report(self, details: pd.Series, kind: str, action: str = "changed") -> None:
        """Add an issue for each row with a detail (text, indexed by row)."""
        self.issues += [
            Issue(self.name, f"row {row}", kind, action, text) for row, text in details.items()
        ]

    def drop(self, details: pd.Series, kind: str) -> None:
        """Leave out the rows with a detail (text, indexed by row).

        Raises:
            UserError: no row is left.
        """
        self.report(details, kind, "skipped")
        self.text = self.text.drop(details.index)
        if self.text.empty:
            raise UserError(
                f"{self.name}: no row is left; row {details.index[0]}: {kind} ({details.iloc[0]}); "
                f"correct the table or the mapping (data.mapping), then run {RENEW}"
            )

    def details(self, column: Column, chosen: pd.Series) -> pd.Series:
        """Return the cells of a column, as written, in the rows of a mask: ``Sex is 'U'``."""
        cells = _joined(self.text.loc[chosen, headings_of(column)])
        return cells.map(lambda cell: f"{' and '.join(headings_of(column))} is {quote(cell)}")

    def cells(self, column: Column) -> pd.Series:
        """Return the cells of a column, read or built."""
        if isinstance(column, str):
            return self.text[column]
        return _build(column, self.text)


# Boxes: of the rows of the table, or of a separate table.

BOX_COLUMNS = ("image", "finding", "x", "y", "width", "height")
NO_AREA = "box without a place or an area"


def box_headings(boxes: BoxColumns) -> list[str]:
    """Return the headings of x, y, and of width and height or right and bottom."""
    sides = (boxes.x, boxes.y, boxes.width, boxes.height, boxes.right, boxes.bottom)
    return [heading for heading in sides if heading is not None]


def row_boxes(
    rows: Rows, image: pd.Series, states: pd.DataFrame, labels: pd.DataFrame, mapping: Mapping
) -> pd.DataFrame:
    """Return the boxes in the rows, of findings that their image has.

    Args:
        rows: the table.
        image: name of the image of each row.
        states: labels of each row.
        labels: labels of each image.
        mapping: its columns.
    """
    if mapping.boxes is None or mapping.rows == "image":
        return pd.DataFrame(columns=list(BOX_COLUMNS), dtype="str")
    text = rows.text.loc[image.index]
    placed = text[(text[box_headings(mapping.boxes)] != "").any(axis=1)].index
    extents = _extents(rows, text.loc[placed], mapping.boxes)
    parts: list[pd.DataFrame] = []
    for finding in [name for name in mapping.findings if name != NO_FINDING]:
        chosen = extents[(states[finding] == 1)[extents.index].to_numpy()]
        names = image[chosen.index]
        chosen = chosen.assign(image=names, finding=finding)
        agreed = labels[finding].loc[names].to_numpy() == 1
        if not agreed.all():
            detail = pd.Series(f"too few readers see {finding}", names.index[~agreed])
            rows.report(detail, "box of too few readers", "skipped")
        parts.append(chosen[agreed])
    return pd.concat(parts).reindex(columns=list(BOX_COLUMNS))


def separate_boxes(
    rows: Rows, keys: pd.Series, images: pd.Series, mapping: Mapping, path: Path, name: str
) -> pd.DataFrame:
    """Return the boxes of a separate table.

    Args:
        rows: the table of images, for its issues.
        keys: file of each image, see :func:`file_key`.
        images: name of each image.
        mapping: columns of both tables.
        path: of the table of boxes.
        name: its name in errors and issues.

    Raises:
        UserError: the mapping names no columns of it, or a column is missing.
    """
    boxes = mapping.boxes
    if boxes is None or boxes.finding is None:
        raise UserError(
            f"data.box_table is {name}, but the mapping (data.mapping) does not name its columns; "
            f"add boxes: with x, y, width, height (or right, bottom) and finding"
        )
    column = boxes.image or mapping.columns.image
    headings = [*headings_of(column), boxes.finding, *box_headings(boxes)]
    box_rows = Rows(read_text(path, name, headings), name, rows.issues)
    finding_of = {label: name for name, labels in mapping.findings.items() for label in labels}
    image_of = dict(zip(keys, images, strict=True))
    names = keys.str.rpartition("/")[2]
    unique = names[~names.duplicated(keep=False)]
    image_of = dict(zip(unique, images[unique.index], strict=True)) | image_of
    image = box_rows.cells(column).map(file_key).map(image_of)
    finding = box_rows.text[boxes.finding].map(finding_of)
    for missing, kind in ((image.isna(), "box of no image"), (finding.isna(), "box of no class")):
        cells = _joined(box_rows.text.loc[missing, headings[:-4]])
        box_rows.report(cells, kind, "skipped")
    extents = _extents(box_rows, box_rows.text[image.notna() & finding.notna()], boxes)
    table = extents.assign(image=image, finding=finding)
    return table[list(BOX_COLUMNS)]


def _joined(cells: pd.DataFrame) -> pd.Series:
    """Return the cells of each row as one text, as the detail of an issue."""
    return pd.Series([", ".join(row) for row in cells.to_numpy()], cells.index, dtype="str")


def _extents(rows: Rows, text: pd.DataFrame, boxes: BoxColumns) -> pd.DataFrame:
    """Return x, y, width and height of the boxes in some rows; those without an area are left out.

    Their unit is that of the table; `data.boxes` names it.
    """
    sides = text[box_headings(boxes)].apply(pd.to_numeric, errors="coerce").to_numpy(np.float64)
    if boxes.right is not None:
        sides = np.concatenate([sides[:, :2], sides[:, 2:] - sides[:, :2]], axis=1)
    bad = ~(np.isfinite(sides).all(axis=1) & (sides[:, 2:] > 0).all(axis=1))
    rows.report(_joined(text.loc[bad, box_headings(boxes)]), NO_AREA, "skipped")
    return pd.DataFrame(sides[~bad], text.index[~bad], columns=list(BOX_COLUMNS[2:]))
