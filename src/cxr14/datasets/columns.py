"""Columns of a user's table by heading, and their cells as text.

Known forms: NIH's of 2017 and v2020 (whose headings ``OriginalImage[Width,Height]`` and
``Bbox [x,y,w,h]`` are several columns each), Kaggle's sample_labels.csv, torchxrayvision's, and
copies written by pandas or a spreadsheet. Case, spaces, underscores, brackets and order do not
matter. Other columns are not read. Cells are indexed by line number, so that errors can name rows.
"""

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import pandas as pd

from cxr14.datasets.archive_kinds import image_name as file_image_name
from cxr14.datasets.raw import RENEW
from cxr14.datasets.text_files import Rows, read_lines, split_rows
from cxr14.errors import UserError, quote

if TYPE_CHECKING:
    from pandera.pandas import DataFrameSchema


IMAGE_HEADINGS = {
    "image": ("imageindex", "imagename", "imagefile", "imageid", "filename", "image"),
    "labels": ("findinglabels", "findinglabel", "labels", "label"),
    "follow_up": ("followup", "followupnumber", "followupno"),
    "patient": ("patientid", "patientnumber", "patient"),
    "age": ("patientage", "patientageyears", "age", "ageyears"),
    "sex": ("patientgender", "patientsex", "gender", "sex"),
    "view": ("viewposition", "view"),
    "original_width": ("originalimagewidth", "originalwidth", "width]", "width"),
    "original_height": (
        *("originalimageheight", "originalheight", "height]", "imageheight", "height"),
    ),
    "pixel_spacing_x": ("originalimagepixelspacingx", "pixelspacingx", "x]", "spacingx"),
    "pixel_spacing_y": ("originalimagepixelspacingy", "pixelspacingy", "y]", "spacingy"),
}
"""Headings of each column in the form of :func:`simplified`, the most explicit first."""

BOX_HEADINGS = {
    "image": IMAGE_HEADINGS["image"],
    "finding": ("findinglabel", "findinglabels", "finding", "label"),
    "x": ("bboxx", "x", "x]", "boxx"),
    "y": ("bboxy", "y", "y]", "boxy"),
    "width": ("bboxw", "bboxwidth", "w", "w]", "width", "boxw", "boxwidth"),
    "height": ("bboxh", "bboxheight", "h", "h]", "height", "boxh", "boxheight"),
}

MISSING = "unknown"
"""Cell of age, sex, view, size or spacing in the table that the source `csv` writes."""

NIH_HEADINGS = {
    "image": "Image Index",
    "labels": "Finding Labels",
    "follow_up": "Follow-up #",
    "patient": "Patient ID",
    "age": "Patient Age",
    "sex": "Patient Gender",
    "view": "View Position",
    "original_width": "OriginalImageWidth",
    "original_height": "OriginalImageHeight",
    "pixel_spacing_x": "OriginalImagePixelSpacing_x",
    "pixel_spacing_y": "OriginalImagePixelSpacing_y",
    "finding": "Finding Label",
    "x": "x",
    "y": "y",
    "width": "w",
    "height": "h",
}
"""Heading of each column in errors."""

JOINED = {
    ("originalimage", "height", "width"),
    ("originalimagepixelspacing", "x", "y"),
    ("bbox", "h", "w", "x", "y"),
}
"""NIH's headings of several columns: the text before the bracket, and the sorted parts in it."""

CORNER = re.compile("(b?box)?(([xy]|min|max)[12]|[xy](min|max)|(min|max)[xy]|right|bottom|[xy]end)")
"""Headings of corners of a box, in the form of :func:`simplified`."""

NAMES_ROW = re.compile(r".+\.(png|jpe?g|dcm|dicom)", re.IGNORECASE)


def simplified(heading: str) -> str:
    """Return a heading's letters and digits in lower case, and ``]`` if it closes a bracket.

    ``OriginalImage[Width`` becomes originalimagewidth and ``Height]`` becomes height], which
    differs from the heading of a column called height.
    """
    text = heading.lower().replace("(", "[").replace(")", "]").strip()
    closes = text.endswith("]") and "[" not in text
    return re.sub("[^a-z0-9]", "", text) + ("]" if closes else "")


def expanded(headings: Sequence[str]) -> list[str]:
    """Split headings of several columns, such as ``Bbox [x,y,w,h]`` in quotes.

    Only NIH's headings are split: ``"Reader (name, role)"`` is the heading of one column.
    """
    return [part for heading in headings for part in _parts(heading)]


def _parts(heading: str) -> Sequence[str]:
    form = re.fullmatch(r"([^\[({]*)[\[({]([^\])}]*)[\])}]", heading.strip())
    if form is None:
        return [heading]
    parts = sorted(re.sub("[^a-z]", "", part) for part in form[2].lower().split(","))
    joined = (re.sub("[^a-z]", "", form[1].lower()), *parts) in JOINED
    return heading.split(",") if joined else [heading]


def _split_heading(headings: Sequence[str]) -> str | None:
    """Return a heading with an unclosed bracket that is none of NIH's, or None.

    Without quotes, ``Reader (name, role)`` is two cells of the header, but one of each row.
    """
    for position, heading in enumerate(headings):
        if not re.search(r"[\[({]", heading) or re.search(r"[\])}]", heading):
            continue
        following = headings[position : position + 4]
        ends = [n for n, part in enumerate(following) if re.search(r"[\])}]$", part)]
        if not ends or _parts(",".join(following[: ends[0] + 1])) != following[: ends[0] + 1]:
            return heading
    return None


def find_columns(
    headings: Sequence[str], wanted: Mapping[str, Sequence[str]], where: str
) -> dict[str, int]:
    """Return the position of each wanted column.

    Args:
        headings: headings of the file, expanded.
        wanted: IMAGE_HEADINGS or BOX_HEADINGS.
        where: file and row in errors.

    Raises:
        UserError: a column is missing or repeated, or the header itself is missing.
    """
    if record := next((cell for cell in headings if NAMES_ROW.fullmatch(cell)), None):
        raise UserError(
            f"{where}: {quote(record)} is a record; allowed: the header "
            f"{_header(wanted)}; put it back"
        )
    simple = [simplified(heading) for heading in headings]
    present = {
        column: next((name for name in names if name in simple), "")
        for column, names in wanted.items()
    }
    for name in filter(None, present.values()):
        if simple.count(name) > 1:
            raise UserError(
                f"{where}: {quote(headings[simple.index(name)])} is the heading of "
                f"{simple.count(name)} columns; take out all but one, then run {RENEW}"
            )
    if missing := [NIH_HEADINGS[column] for column, name in present.items() if not name]:
        raise UserError(
            f"{where}: no column for {', '.join(missing)}; the header is "
            f"{quote(', '.join(headings))}; allowed, in any order: {_header(wanted)}; correct the "
            f"header, then run {RENEW}"
        )
    if wanted is BOX_HEADINGS:
        _check_extent(headings, simple, present, where)
    return {column: simple.index(name) for column, name in present.items()}


def _check_extent(
    headings: Sequence[str], simple: Sequence[str], present: Mapping[str, str], where: str
) -> None:
    """Refuse a list of box corners whose width and height may be those of the image.

    Raises:
        UserError: the table has corners beside an ambiguous width or height.
    """
    plain = {present["width"], present["height"]} & {"width", "height"}
    corner = next((n for n, name in enumerate(simple) if CORNER.fullmatch(name)), None)
    if plain and corner is not None:
        raise UserError(
            f"{where}: beside {quote(headings[corner])}, {' and '.join(sorted(plain))} may be of "
            f"the box or of the image; the header is {quote(', '.join(headings))}; allowed, in any "
            f"order: {_header(BOX_HEADINGS)}, where w and h are of the box; correct the header, "
            f"then run {RENEW}"
        )


def _named(headings: Sequence[str]) -> dict[int, str]:
    """Return the headings that are neither empty nor pandas' name for an empty one."""
    unnamed = re.compile(r"(unnamed:? *[0-9]+([._][0-9]+)*)?", re.IGNORECASE)
    return {n: heading for n, heading in enumerate(headings) if not unnamed.fullmatch(heading)}


def _tail(headings: Sequence[str]) -> int:
    """Return the position after the last named heading; cells from there must be empty.

    NIH's list of boxes ends with three empty headings.
    """
    return max(_named(headings), default=-1) + 1


def _header(wanted: Mapping[str, Sequence[str]]) -> str:
    return ", ".join(NIH_HEADINGS[column] for column in wanted)


# Cells of a user's table as text.

MAX_LISTED = 10
"""Maximum number of failures that an error lists; the others are counted."""

BLOCK = 50_000
"""Rows per check, to bound the memory of the failures of a hostile table."""

SUFFIX = re.compile(r"\.(png|jpe?g|tiff?|bmp|gif|webp|dcm|dicom|dic)$", re.IGNORECASE)
COMMA_NUMBER = r"-?[0-9]+,[0-9]+(?:[eE][-+]?[0-9]+)?"
THOUSANDS = r"-?[1-9][0-9]{0,2}(?:,[0-9]{3})+"


@dataclass(frozen=True)
class Cells:
    """Cells of a table as text.

    Attributes:
        text: the wanted columns, and `surplus`: cells without a heading. Indexed by `row`, the
            line number in the file. No blank lines.
        blank: blank lines (empty text, indexed by `row`).
        unused: headings of the columns that are not read, indexed by `row` of the header.
        assumed: the encoding if it is assumed, indexed by `row` 1; else empty.
    """

    text: pd.DataFrame
    blank: pd.Series
    unused: pd.Series
    assumed: pd.Series


def read_cells(
    path: str | Path,
    name: str,
    headings: Mapping[str, Sequence[str]],
    integers: Collection[str],
    numbers: Collection[str],
) -> Cells:
    """Read the columns of a table by their headings, as text.

    Args:
        path: the file; see :func:`cxr14.datasets.text_files.read_lines`.
        name: name of the file in errors.
        headings: headings of the wanted columns, see :func:`find_columns`.
        integers: columns of whole numbers; 58.0 is read as 58.
        numbers: columns of numbers; in a file of semicolons or tabs 0,5 is read as 0.5.

    Raises:
        UserError: the file is not such a table.
    """
    content = read_lines(path, name)
    rows = split_rows(content, name)
    if not rows.cells:
        raise UserError(f"{name}: the file is empty; allowed: a table with a header")
    header, first = expanded(rows.cells[0]), rows.numbers[0]
    columns = find_columns(header, headings, f"{name}, row {first}")
    _check_widths(rows, header, name)
    text = _table(rows, columns, _tail(header))
    for column in integers:
        text[column] = text[column].str.replace(r"^([0-9]+)\.0+$", r"\1", regex=True)
    if rows.delimiter != ",":
        _read_decimal_commas(text, numbers, name)
    text["image"] = image_names(text["image"])
    blank = (text == "").all(axis=1)
    used = columns.values()
    unused = [heading for n, heading in _named(header).items() if n not in used]
    return Cells(
        text[~blank],
        text.image[blank],
        pd.Series(unused, index=[first] * len(unused), dtype="str"),
        assumed_encoding(content.assumed),
    )


def assumed_encoding(encoding: str) -> pd.Series:
    """Return an assumed encoding as an issue of row 1, or no issue for ''."""
    return pd.Series([encoding] if encoding else [], index=[1] if encoding else [], dtype="str")


def _check_widths(rows: Rows, header: Sequence[str], name: str) -> None:
    """Refuse rows with missing cells that may have shifted the others.

    Single rows may end early, since some programs omit empty cells at the end.

    Raises:
        UserError: all rows have fewer cells than there are headings, or one row has and a heading
            with a comma was split.
    """
    width, split = _tail(header), _split_heading(header)
    lengths = [len(row) if any(row) else width for row in rows.cells[1:]]
    short = next((n for n, length in enumerate(lengths) if length < width), None)
    if short is None or (split is None and max(lengths) >= width):
        return
    hint = f"; {quote(split)} may be a heading with a comma that lacks its quotes" if split else ""
    raise UserError(
        f"{name}, row {rows.numbers[short + 1]}: {lengths[short]} cells below {width} headings"
        f"{hint}; the header is {quote(', '.join(header))}; give each column one heading and each "
        f"row a cell for it, then run {RENEW}"
    )


def _table(rows: Rows, columns: Mapping[str, int], end: int) -> pd.DataFrame:
    """Return the rows below the header; missing cells are '', those from `end` on surplus."""
    width, body = max(columns.values()) + 1, rows.cells[1:]
    padded = [row if len(row) >= width else row + [""] * (width - len(row)) for row in body]
    table = {column: [row[position] for row in padded] for column, position in columns.items()}
    table["surplus"] = [" ".join(filter(None, row[end:])) for row in body]
    index = pd.Index(rows.numbers[1:], dtype="int64", name="row")
    return pd.DataFrame(table, index=index, dtype="str")


def _read_decimal_commas(text: pd.DataFrame, columns: Collection[str], name: str) -> None:
    """Replace decimal commas by points, in place.

    Raises:
        UserError: commas and points are used, or all commas may be thousands separators.
    """
    comma = {column: text[column].str.fullmatch(COMMA_NUMBER) for column in columns}
    matches = [text.loc[rows, column] for column, rows in comma.items() if rows.any()]
    if not matches:
        return
    where = f"{name}, {_cell(matches[0])}"
    point = [text.loc[text[column].str.contains(".", regex=False), column] for column in columns]
    if pointed := [cells for cells in point if len(cells)]:
        raise UserError(
            f"{where} has a decimal comma, and {_cell(pointed[0])} a point; write all numbers in "
            f"one way, then run {RENEW}"
        )
    if all(cells.str.fullmatch(THOUSANDS).all() for cells in matches):
        raise UserError(
            f"{where} may have a decimal comma or one that separates thousands; write numbers with "
            f"a point, then run {RENEW}"
        )
    for column, rows in comma.items():
        text.loc[rows, column] = text.loc[rows, column].str.replace(",", ".", regex=False)


def _cell(cells: pd.Series) -> str:
    return f"row {cells.index[0]}, {cells.name}: {quote(cells.iloc[0])}"


def image_names(cells: pd.Series) -> pd.Series:
    """Return N image cells in NIH's form: without folders and with the suffix .png."""
    return pd.Series([image_name(cell) for cell in cells], cells.index, dtype="str")


def image_name(cell: str) -> str:
    r"""Return the name of an image: 00000001_000.png for images\00000001_000.jpg; '' for ''.

    See :func:`cxr14.datasets.archive_kinds.image_name` for the names in archives.
    """
    base = re.split(r"[/\\]", cell)[-1].strip() if "/" in cell or "\\" in cell else cell
    if not base or (base.endswith(".png") and base.isascii()):
        return base  # fast path of nearly all cells
    return file_image_name(f"{SUFFIX.sub('', base)}.png")


def check(name: str, text: pd.DataFrame, schema: "DataFrameSchema") -> None:
    """Check a table's text against its schema.

    Raises:
        UserError: a cell is not allowed in its column; up to MAX_LISTED cells are quoted.
    """
    from pandera.errors import SchemaErrors

    count, failures = 0, []
    for start in range(0, len(text), BLOCK):
        try:
            schema.validate(text[start : start + BLOCK], lazy=True)
        except SchemaErrors as errors:
            failed = errors.failure_cases.set_index("index")
            failed.columns = failed.columns.str.replace("check", "allowed")
            count += len(failed)
            failures.append(failed.sort_index(kind="stable").head(MAX_LISTED))
    if failures:
        refuse(name, pd.concat(failures).rename(columns={"failure_case": "value"}), count)


def refuse(name: str, failures: pd.DataFrame, count: int | None = None) -> NoReturn:
    """Raise the error of one or more failures, sorted by row.

    Args:
        name: name of the file.
        failures: column, value and allowed (all text), indexed by row.
        count: number of failures, if not all are given.
    """
    count = count or len(failures)
    failures = failures.sort_index(kind="stable")
    lines = [
        f"row {case.Index}, {case.column}: {quote(case.value)}; allowed: {case.allowed}"
        for case in failures.head(MAX_LISTED).itertuples()
    ]
    more = [f"and {count - MAX_LISTED} more"] if count > MAX_LISTED else []
    subject = "1 value is" if count == 1 else f"{count} values are"
    head = f"{name}: {subject} not allowed; correct the file, then run {RENEW}:"
    raise UserError("\n  ".join([head, *lines, *more]))
