"""Which column of a user's table holds what, by its heading.

The forms known: NIH's of 2017 and v2020 (whose headings ``OriginalImage[Width,Height]`` and
``Bbox [x,y,w,h]`` are several columns each), Kaggle's sample_labels.csv, torchxrayvision's, and
what pandas or a spreadsheet writes of them. Case, spaces, underscores and brackets do not matter,
nor does the order. Other columns are normal, and are not read.
"""

import re
from collections.abc import Mapping, Sequence

from cxr14.data.raw import RENEW
from cxr14.errors import UserError, quote

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
