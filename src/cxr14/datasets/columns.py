"""Which column of a user's table holds what, by its heading.

The forms known: NIH's of 2017 and v2020 (whose headings ``OriginalImage[Width,Height]`` and
``Bbox [x,y,w,h]`` are several columns each), Kaggle's sample_labels.csv, torchxrayvision's, and
what pandas or a spreadsheet writes of them. Case, spaces, underscores and brackets do not matter,
nor does the order. Other columns are normal, and are not read.
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
        "originalimageheight",
        "originalheight",
        "height]",
        "imageheight",
        "height",
    ),
    "pixel_spacing_x": ("originalimagepixelspacingx", "pixelspacingx", "x]", "spacingx"),
    "pixel_spacing_y": ("originalimagepixelspacingy", "pixelspacingy", "y]", "spacingy"),
}
"""Headings of each column as :func:`simplified` writes them, the most explicit first."""

BOX_HEADINGS = {
    "image": IMAGE_HEADINGS["image"],
    "finding": ("findinglabel", "findinglabels", "finding", "label"),
    "x": ("bboxx", "x", "x]", "boxx"),
    "y": ("bboxy", "y", "y]", "boxy"),
    "width": ("bboxw", "bboxwidth", "w", "w]", "width", "boxw", "boxwidth"),
    "height": ("bboxh", "bboxheight", "h", "h]", "height", "boxh", "boxheight"),
}

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
"""The heading of each column that errors ask for."""

JOINED = {
    ("originalimage", "height", "width"),
    ("originalimagepixelspacing", "x", "y"),
    ("bbox", "h", "w", "x", "y"),
}
"""NIH's headings of several columns: what stands before the bracket, and sorted what is in it."""

CORNER = re.compile("(b?box)?(([xy]|min|max)[12]|[xy](min|max)|(min|max)[xy]|right|bottom|[xy]end)")
"""Headings of corners of a box, as :func:`simplified` writes them."""

NAMES_ROW = re.compile(r".+\.(png|jpe?g)", re.IGNORECASE)


def simplified(heading: str) -> str:
    """Return a heading's letters and digits in lower case, and ``]`` if it closes a bracket.

    ``OriginalImage[Width`` becomes originalimagewidth and ``Height]`` height], which is not the
    heading of a column that somebody called y.
    """
    text = heading.lower().replace("(", "[").replace(")", "]").strip()
    closes = text.endswith("]") and "[" not in text
    return re.sub("[^a-z0-9]", "", text) + ("]" if closes else "")


def expanded(headings: Sequence[str]) -> list[str]:
    """Return the headings with one in quotes such as ``Bbox [x,y,w,h]`` as the four that it is.

    Only NIH's: ``"Reader (name, role)"`` is the heading of one column.
    """
    return [part for heading in headings for part in _parts(heading)]


def _parts(heading: str) -> Sequence[str]:
    form = re.fullmatch(r"([^\[({]*)[\[({]([^\])}]*)[\])}]", heading.strip())
    if form is None:
        return [heading]
    parts = sorted(re.sub("[^a-z]", "", part) for part in form[2].lower().split(","))
    joined = (re.sub("[^a-z]", "", form[1].lower()), *parts) in JOINED
    return heading.split(",") if joined else [heading]


def split_heading(headings: Sequence[str]) -> str | None:
    """Return a heading that opens a bracket without closing it and is none of NIH's, or None.

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
        headings: of the file, expanded.
        wanted: IMAGE_HEADINGS or BOX_HEADINGS.
        where: file and row, for the error.

    Raises:
        UserError: a column is missing or there twice, or the header itself is missing.
    """
    record = next((cell for cell in headings if NAMES_ROW.fullmatch(cell)), None)
    if record is not None:
        raise UserError(
            f"{where}: {quote(record)} is a record; allowed: the header "
            f"{_header(wanted)}; put it back"
        )
    simple = [simplified(heading) for heading in headings]
    columns: dict[str, int] = {}
    for column, names in wanted.items():
        name = next((name for name in names if name in simple), None)
        if name is None:
            continue
        if simple.count(name) > 1:
            twice = quote(headings[simple.index(name)])
            raise UserError(
                f"{where}: {twice} is the heading of {simple.count(name)} columns; take out all "
                f"but one, then run {RENEW}"
            )
        columns[column] = simple.index(name)
    missing = [NIH_HEADINGS[column] for column in wanted if column not in columns]
    if missing:
        raise UserError(
            f"{where}: no column for {', '.join(missing)}; the header is "
            f"{quote(', '.join(headings))}; allowed, in any order: {_header(wanted)}; correct the "
            f"header, then run {RENEW}"
        )
    if wanted is BOX_HEADINGS:
        _check_extent(headings, simple, columns, where)
    return columns


def _check_extent(
    headings: Sequence[str], simple: Sequence[str], columns: Mapping[str, int], where: str
) -> None:
    """Refuse a list of boxes by their corners whose width and height may be those of the image.

    Raises:
        UserError: it has corners beside a width or height that do not say of what they are.
    """
    plain = {simple[columns[side]] for side in ("width", "height")} & {"width", "height"}
    corner = next((n for n, name in enumerate(simple) if CORNER.fullmatch(name)), None)
    if plain and corner is not None:
        raise UserError(
            f"{where}: beside {quote(headings[corner])}, {' and '.join(sorted(plain))} may be of "
            f"the box or of the image; the header is {quote(', '.join(headings))}; allowed, in any "
            f"order: {_header(BOX_HEADINGS)}, where w and h are of the box; correct the header, "
            f"then run {RENEW}"
        )


def other_columns(headings: Sequence[str], columns: Mapping[str, int]) -> list[str]:
    """Return the headings that stand for none of the columns found; not those without a name."""
    used = set(columns.values())
    return [
        heading
        for position, heading in enumerate(headings)
        if position not in used and heading and not _unnamed(heading)
    ]


def tail(headings: Sequence[str]) -> int:
    """Return the position after the last heading that has a name; cells from there must be empty.

    NIH's list of boxes has three empty headings at its end, and pandas calls such Unnamed.
    """
    named = [n for n, heading in enumerate(headings) if heading and not _unnamed(heading)]
    return max(named, default=-1) + 1


def _unnamed(heading: str) -> bool:
    return re.fullmatch(r"unnamed:? *[0-9]+([._][0-9]+)*", heading, re.IGNORECASE) is not None


def _header(wanted: Mapping[str, Sequence[str]]) -> str:
    return ", ".join(NIH_HEADINGS[column] for column in wanted)


# The cells of a user's table as text, and the one error that names what is wrong in them.
#
# Everything is read as text and under the number of its line, so that an error can quote a cell
# and name its row as an editor shows it.


SHOWN = 10
"""Failures that an error spells out; the others are counted."""

BLOCK = 50_000
"""Rows that are checked at once, so that the failures of a hostile table stay small in memory."""

SUFFIX = re.compile(r"\.(png|jpe?g|tiff?|bmp|gif|webp|dcm|dicom)$", re.IGNORECASE)
COMMA_NUMBER = r"-?[0-9]+,[0-9]+(?:[eE][-+]?[0-9]+)?"
THOUSANDS = r"-?[1-9][0-9]{0,2}(?:,[0-9]{3})+"


@dataclass(frozen=True)
class Cells:
    """A table's text.

    Attributes:
        text: a column of text for each that was wanted, and `surplus`: what stands below no
            heading. Indexed by `row`, the number of the line in the file. No blank lines.
        blank: the blank lines (empty text, indexed by `row`).
        unused: headings of the columns that are not read, indexed by `row` of the header.
        assumed: the encoding if it is only assumed, indexed by `row` 1; else empty.
    """

    text: pd.DataFrame
    blank: pd.Series
    unused: pd.Series
    assumed: pd.Series


def read_cells(
    path: str | Path,
    name: str,
    headings: Mapping[str, Sequence[str]],
    whole: Collection[str],
    numbers: Collection[str],
) -> Cells:
    """Read the columns of a table by their headings, as text.

    Args:
        path: the file; see :func:`cxr14.datasets.text_files.read_lines`.
        name: how errors call it.
        headings: what is wanted, see :func:`cxr14.datasets.columns.find_columns`.
        whole: columns of whole numbers; 58.0 is read as 58.
        numbers: columns of numbers; in a file of semicolons or tabs 0,5 is read as 0.5.

    Raises:
        UserError: the file is no such table.
    """
    content = read_lines(path, name)
    rows = split_rows(content, name)
    if not rows.cells:
        raise UserError(f"{name}: the file is empty; allowed: a table with a header")
    header, first = expanded(rows.cells[0]), rows.numbers[0]
    columns = find_columns(header, headings, f"{name}, row {first}")
    _check_widths(rows, header, name)
    text = _table(rows, columns, tail(header))
    for column in whole:
        text[column] = text[column].str.replace(r"^([0-9]+)\.0+$", r"\1", regex=True)
    if rows.delimiter != ",":
        _read_decimal_commas(text, numbers, name)
    text["image"] = image_names(text["image"])
    blank = (text == "").all(axis=1)
    unused = other_columns(header, columns)
    return Cells(
        text[~blank],
        text.image[blank],
        pd.Series(unused, index=[first] * len(unused), dtype="str"),
        assumed_encoding(content.assumed),
    )


def assumed_encoding(encoding: str) -> pd.Series:
    """Return an encoding that is assumed as an issue of row 1, or no issue for ''."""
    return pd.Series([encoding] if encoding else [], index=[1] if encoding else [], dtype="str")


def _check_widths(rows: Rows, header: Sequence[str], name: str) -> None:
    """Refuse rows that lack a cell which may have shifted the others.

    Single rows may end early, where a program leaves out the empty cells at the end.

    Raises:
        UserError: all rows have fewer cells than there are headings, or one has where a heading
            with a comma was split.
    """
    width, split = tail(header), split_heading(header)
    lengths = [len(row) if any(row) else width for row in rows.cells[1:]]
    short = next((n for n, length in enumerate(lengths) if length < width), None)
    if short is None or (split is None and max(lengths) >= width):
        return
    said = f"; {quote(split)} may be a heading with a comma that lacks its quotes" if split else ""
    raise UserError(
        f"{name}, row {rows.numbers[short + 1]}: {lengths[short]} cells below {width} headings"
        f"{said}; the header is {quote(', '.join(header))}; give each column one heading and each "
        f"row a cell for it, then run {RENEW}"
    )


def _table(rows: Rows, columns: Mapping[str, int], end: int) -> pd.DataFrame:
    """Lay the rows below the header out; missing cells are '' and those from `end` on surplus."""
    width, body = max(columns.values()) + 1, rows.cells[1:]
    padded = [row if len(row) >= width else row + [""] * (width - len(row)) for row in body]
    table = {column: [row[position] for row in padded] for column, position in columns.items()}
    table["surplus"] = [" ".join(filter(None, row[end:])) for row in body]
    index = pd.Index(rows.numbers[1:], dtype="int64", name="row")
    return pd.DataFrame(table, index=index, dtype="str")


def _read_decimal_commas(text: pd.DataFrame, columns: Collection[str], name: str) -> None:
    """Replace decimal commas by points, in place.

    Raises:
        UserError: both are used, or all commas may as well part thousands.
    """
    comma = {one: text[one].str.fullmatch(COMMA_NUMBER) for one in columns}
    found = [text.loc[rows, one] for one, rows in comma.items() if rows.any()]
    if not found:
        return
    first = found[0]
    where = f"{name}, row {first.index[0]}, {first.name}: {quote(first.iloc[0])}"
    point = [text.loc[text[one].str.contains(".", regex=False), one] for one in columns]
    pointed = next((cells for cells in point if len(cells)), None)
    if pointed is not None:
        raise UserError(
            f"{where} has a decimal comma, and row {pointed.index[0]}, {pointed.name}: "
            f"{quote(pointed.iloc[0])} a point; write all numbers in one way, then run {RENEW}"
        )
    if all(cells.str.fullmatch(THOUSANDS).all() for cells in found):
        raise UserError(
            f"{where} may have a decimal comma or one that parts thousands; write numbers with a "
            f"point, then run {RENEW}"
        )
    for one, rows in comma.items():
        text.loc[rows, one] = text.loc[rows, one].str.replace(",", ".", regex=False)


def image_names(cells: pd.Series) -> pd.Series:
    """Return N image cells as NIH writes them: no folders, and .png whatever a copy's suffix is."""
    return pd.Series([image_name(cell) for cell in cells], cells.index, dtype="str")


def image_name(cell: str) -> str:
    r"""Return the name of an image: 00000001_000.png for images\00000001_000.jpg; '' for ''.

    As archives' names: see :func:`cxr14.datasets.archive_kinds.image_name`.
    """
    base = re.split(r"[/\\]", cell)[-1].strip() if "/" in cell or "\\" in cell else cell
    if not base or (base.endswith(".png") and base.isascii()):
        return base  # nearly all: nothing to do
    return file_image_name(f"{SUFFIX.sub('', base)}.png")


def check(name: str, text: pd.DataFrame, schema: "DataFrameSchema") -> None:
    """Check a table's text against its schema.

    Raises:
        UserError: a cell is not as its column allows; up to ten of them are quoted.
    """
    from pandera.errors import SchemaErrors

    count, failures = 0, []
    for start in range(0, len(text), BLOCK):
        try:
            schema.validate(text[start : start + BLOCK], lazy=True)
        except SchemaErrors as errors:
            cases = errors.failure_cases.set_index("index")
            cases.columns = cases.columns.str.replace("check", "allowed")
            count += len(cases)
            failures.append(cases.sort_index(kind="stable").head(SHOWN))
    if failures:
        refuse(name, pd.concat(failures).rename(columns={"failure_case": "value"}), count)


def refuse(name: str, failures: pd.DataFrame, count: int | None = None) -> NoReturn:
    """Raise the error of failures, at least one, sorted by row.

    Args:
        name: the file.
        failures: column, value and allowed (all text), indexed by row.
        count: how many there are, if not all are given.
    """
    count = count or len(failures)
    failures = failures.sort_index(kind="stable")
    lines = [
        f"row {case.Index}, {case.column}: {quote(case.value)}; allowed: {case.allowed}"
        for case in failures.head(SHOWN).itertuples()
    ]
    more = [f"and {count - SHOWN} more"] if count > SHOWN else []
    found = "1 value is" if count == 1 else f"{count} values are"
    head = f"{name}: {found} not allowed; correct the file, then run {RENEW}:"
    raise UserError("\n  ".join([head, *lines, *more]))
