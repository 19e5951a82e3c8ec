"""Labels as NIH's tables write them, ``Mass|Nodule``, and as ones and zeros.

112,120 rows hold 836 different texts, so each text is read once and not each row.
"""

import numpy as np
import numpy.typing as npt
import pandas as pd

from cxr14.errors import UserError
from cxr14.findings import CLASSES, NO_FINDING, canonical

ALLOWED = f"{', '.join(CLASSES)}; several are joined by |, and {NO_FINDING} stands alone"


def names_of(text: str) -> list[str]:
    """Return the findings of ``Mass|Nodule`` in standard spelling, in the order of CLASSES.

    Raises:
        UserError: a name is unknown, or No Finding stands beside a finding.
    """
    named = {canonical(name) for name in text.split("|")}
    if NO_FINDING in named and len(named) > 1:
        raise UserError(f"{text!r} is {NO_FINDING} and a finding")
    return [name for name in CLASSES if name in named]


def readable(texts: pd.Series) -> pd.Series:
    """Return which of N texts :func:`names_of` can read; bool (N,)."""
    return texts.isin([text for text in texts.unique() if _is_readable(text)])


def _is_readable(text: str) -> bool:
    try:
        names_of(text)
    except ValueError:
        return False
    return True


def respelled(texts: pd.Series) -> pd.Series:
    """Return which of N readable texts hold another spelling, spaces or a name twice; bool (N,)."""
    distinct = texts.unique()
    other = [t for t in distinct if sorted(names_of(t)) != sorted(t.split("|"))]
    return texts.isin(other)


def multi_hot(texts: pd.Series) -> npt.NDArray[np.uint8]:
    """Turn N readable texts into ones and zeros; uint8 (N, 15), in the order of CLASSES."""
    codes, distinct = pd.factorize(texts)
    hot = np.zeros((len(distinct), len(CLASSES)), np.uint8)
    for row, text in enumerate(distinct):
        hot[row, [CLASSES.index(name) for name in names_of(text)]] = 1
    return hot[codes]
