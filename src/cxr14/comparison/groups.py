"""Groups of images by what the records say of the patient and the film.

Age bands of twenty years, as Seyyed-Kalantari et al. 2021 ("Underdiagnosis bias of artificial
intelligence algorithms applied to chest radiographs in under-served patient populations", Nature
Medicine 27:2176–2182) take them. Attributes are crossed in pairs; three at once would leave groups
of a few patients.
"""

from dataclasses import dataclass
from itertools import combinations
from typing import Final

import numpy as np
import numpy.typing as npt
import pandas as pd

BANDS: Final = ((0, 20), (20, 40), (40, 60), (60, 80), (80, None))
"""First year and the first year after; the last band is open."""

ATTRIBUTES: Final = ("sex", "age", "view")
ALL: Final = "all"
CROSSED: Final = " × "
UNKNOWN: Final = "unknown"

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Group:
    """Images that have something in common.

    Attributes:
        attribute: ``all``, ``sex``, ``age``, ``view``, or two of these crossed: ``sex × age``.
        name: its value, ``F``, ``20–39``, ``F × 20–39``.
        members: (N,).
        rest: (N,) the other images of which the attribute is known; none for ``unknown``.
    """

    attribute: str
    name: str
    members: Mask
    rest: Mask

    @property
    def crossed(self) -> bool:
        """Whether it is of two attributes at once."""
        return CROSSED in self.attribute


def values_of(records: pd.DataFrame) -> dict[str, "pd.Series[str]"]:
    """Return the three attributes of N images in words; what is not known is ``unknown``."""
    age = pd.Series(UNKNOWN, records.index)
    for first, after in BANDS:
        within = (records["age"] >= first) & (records["age"] < (after or np.inf))
        age = age.mask(within.fillna(False).astype(bool), band_name(first, after))
    plain = {name: records[name].fillna(UNKNOWN).replace("", UNKNOWN) for name in ("sex", "view")}
    return {"sex": plain["sex"].astype(str), "age": age, "view": plain["view"].astype(str)}


def band_name(first: int, after: int | None) -> str:
    """Name an age band as ``20–39``; the open one as ``80+``."""
    return f"{first}+" if after is None else f"{first}–{after - 1}"


def groups_of(records: pd.DataFrame) -> list[Group]:
    """Form all groups of N images: everyone, each attribute, pairs of attributes.

    Values are in order of the alphabet (age: of years). A value that no image has makes no group;
    images whose value is not known make one that has no rest, and are in no crossing.
    """
    everyone = np.ones(len(records), bool)
    found = [Group(ALL, ALL, everyone, ~everyone)]
    values = values_of(records)
    for size in (1, 2):
        for names in combinations(ATTRIBUTES, size):
            found += _groups(names, values)
    return found


def _groups(names: tuple[str, ...], values: dict[str, "pd.Series[str]"]) -> list[Group]:
    own = [values[name].to_numpy(str) for name in names]
    known = np.all([value != UNKNOWN for value in own], axis=0)
    cells = set(zip(*(value[known].tolist() for value in own), strict=True))
    made = []
    for cell in sorted(cells, key=_order):
        members = np.all([value == one for value, one in zip(own, cell, strict=True)], axis=0)
        made.append(Group(CROSSED.join(names), CROSSED.join(cell), members, known & ~members))
    if len(names) == 1 and not known.all():
        made.append(Group(names[0], UNKNOWN, ~known, np.zeros_like(known)))
    return made


def _order(cell: tuple[str, ...]) -> list[tuple[int, str]]:
    """Bands by their first year, words by the alphabet."""
    starts = {band_name(*band): band[0] for band in BANDS}
    return [(starts.get(value, -1), value) for value in cell]
