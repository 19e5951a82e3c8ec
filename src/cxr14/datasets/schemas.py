"""Pandera schemas of the cells of NIH's tables.

The text is checked before it is converted, so a failure quotes the file. The `error` of a check
lists the allowed values for the user. Importing Pandera takes about a second: import this module
inside the function that needs it.
"""

import pandas as pd
import pandera.pandas as pa

from cxr14.datasets.columns import MISSING
from cxr14.labels import ALLOWED, FINDINGS, OTHER_SPELLINGS, readable

NUMBER = r"-?[0-9]+(\.[0-9]*)?([eE][-+]?[0-9]+)?"
BOXED_SPELLINGS = (*FINDINGS, *OTHER_SPELLINGS)
INFINITY = float("inf")


def _pattern(pattern: str, allowed: str) -> pa.Column:
    return pa.Column(checks=pa.Check(lambda text: text.str.fullmatch(pattern), error=allowed))


def _one_of(values: tuple[str, ...], allowed: str) -> pa.Column:
    return pa.Column(checks=pa.Check(lambda text: text.str.strip().isin(values), error=allowed))


def _number(above: float, allowed: str, missing: str = "") -> pa.Column:
    def holds(text: pd.Series) -> pd.Series:
        distinct = pd.Series(text.unique(), dtype="str")  # far fewer than rows
        numbers = pd.to_numeric(distinct.where(distinct.str.fullmatch(NUMBER)), errors="coerce")
        known = distinct[numbers.gt(above) & numbers.lt(INFINITY)].tolist()
        return text.isin([*known, missing] if missing else known)

    return pa.Column(checks=pa.Check(holds, error=allowed))


IMAGE = _pattern(r"\S.{0,250}\.png", "the name of an image, such as 00000001_000.png")
WHOLE = _pattern("[0-9]{1,9}", "a whole number, 0 or more")
SIDE = _pattern(f"0*[1-9][0-9]{{0,5}}|{MISSING}", "a whole number of pixels, 1 or more")
SPACING = _number(0, "a number of mm above 0", MISSING)
COORDINATE = _number(-INFINITY, "a number of pixels")
EXTENT = _number(0, "a number of pixels above 0")
NOTHING = _one_of(("",), "nothing; the row has more cells than there are headings")

IMAGES = pa.DataFrameSchema(
    {
        "image": IMAGE,
        "labels": pa.Column(checks=pa.Check(readable, error=ALLOWED)),
        "follow_up": WHOLE,
        "patient": WHOLE,
        "age": _pattern(f"[0-9]{{1,5}}[YMD]?|{MISSING}", "58, 058Y, 011M or 024D"),
        "sex": _pattern(f"[MF]|{MISSING}", "M or F"),
        "view": _pattern(f"PA|AP|{MISSING}", "PA or AP"),
        "original_width": SIDE,
        "original_height": SIDE,
        "pixel_spacing_x": SPACING,
        "pixel_spacing_y": SPACING,
        "surplus": NOTHING,
    },
    strict=True,
)
"""The table of images; `surplus` holds cells without a heading."""

BOXES = pa.DataFrameSchema(
    {
        "image": IMAGE,
        "finding": _one_of(BOXED_SPELLINGS, ", ".join(FINDINGS)),
        "x": COORDINATE,
        "y": COORDINATE,
        "width": EXTENT,
        "height": EXTENT,
        "surplus": NOTHING,
    },
    strict=True,
)
"""The list of boxes."""
