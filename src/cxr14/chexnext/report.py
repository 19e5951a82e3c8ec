"""The report of a relabelling: flips by finding, thresholds, headline numbers, a sheet."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from cxr14.chexnext.flips import ALL, most_confident
from cxr14.chexnext.folds import NO_FOLD
from cxr14.chexnext.judgement import Judgement
from cxr14.chexnext.sheet import Flip
from cxr14.findings import FINDINGS, NO_FINDING_COLUMN

ON_SHEET = 12  # flips of each direction


def headline(table: pd.DataFrame, before: pd.DataFrame, after: pd.DataFrame) -> dict[str, Any]:
    """Return the numbers of metrics/relabel.json: those of the flips in train, and No Finding.

    Args:
        table: see flips.flips_table.
        before: the records of the train images (N rows).
        after: the same, relabelled.
    """
    row = table[(table["part"] == "train") & (table["finding"] == ALL)].iloc[0].to_dict()
    told = ("part", "finding", "reason")
    kept = {str(name): value for name, value in row.items() if name not in told}
    shares = {"before": before, "after": after}
    return kept | {f"no_finding_{n}": float(t[NO_FINDING_COLUMN].mean()) for n, t in shares.items()}


def thresholds_table(judged: Judgement) -> pd.DataFrame:
    """List the thresholds: images (train fold F, or val), finding, threshold (empty: none)."""
    rows = [
        {
            "images": "val" if fold == NO_FOLD else f"train fold {fold}",
            "finding": name,
            "threshold": limit,
        }
        for fold, limits in judged.thresholds.items()
        for name, limit in limits.items()
    ]
    return pd.DataFrame(rows)


def confident_flips(
    before: pd.DataFrame,
    after: pd.DataFrame,
    true: pd.DataFrame | None,
    judged: Judgement,
    pixels: npt.NDArray[np.uint8],
    classes: Sequence[str],
) -> list[Flip]:
    """Collect the most confident flips of both directions for the sheet.

    Args:
        before: the records of the images of the cache (N rows), in its order.
        after: the same, relabelled.
        true: the same with true labels, where they are known.
        judged: what the members said.
        pixels: uint8 (N, S, S), the cache.
        classes: C names of the judgement's columns.
    """
    names = [name for name in FINDINGS if name in classes]
    columns = [list(classes).index(name) for name in names]
    old, new = (table[names].to_numpy() > 0 for table in (before, after))
    margins = np.nan_to_num(judged.margins[:, columns])
    flips = []
    for direction in ("added", "removed"):
        for image, place in most_confident(old, new, margins, names, direction, ON_SHEET):
            cell = image, columns[place]
            chance, limit = float(judged.probabilities[cell]), float(judged.limits[cell])
            about = ""
            if true is not None:
                right = bool(true[names[place]].iloc[image]) == bool(new[image, place])
                about = ", right" if right else ", WRONG"
            flip = (before["image"].iloc[image], names[place], direction, chance, limit, about)
            flips.append(Flip(pixels[image], *flip))
    return flips
