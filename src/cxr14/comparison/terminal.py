"""What the comparison prints: differences between networks, and the largest gaps."""

from typing import Any, Final

import pandas as pd
from rich.box import SIMPLE
from rich.table import Table

from cxr14.comparison.groups import CROSSED
from cxr14.comparison.names import CALIBRATION, MACRO
from cxr14.evaluation.bootstrap import ENDS
from cxr14.findings import NO_FINDING
from cxr14.wording import PHANTOM_NOTE, shown, signed, star

LARGEST: Final = 3
TABLE_WIDTH: Final = 112  # of the largest gaps; narrower, their intervals would be cut
SHOWN: Final = (("auroc", MACRO), ("fpr", NO_FINDING), ("fnr", MACRO), (CALIBRATION, NO_FINDING))
WORDS: Final = {
    "auroc": "AUROC",
    "fpr": "FPR",
    "fnr": "FNR",
    CALIBRATION: "predicted − observed",
    "macro_auroc": "AUROC",
    "macro_average_precision": "AP",
}
STAR: Final = "* the interval leaves 0 out; nothing is corrected for how many intervals there are"


def ranged(value: float, low: float, high: float) -> str:
    """Write a difference and its interval, with a star if that leaves 0 out."""
    return f"{signed(value)} ({signed(low)} to {signed(high)}){star(low, high)}"


def differences(table: pd.DataFrame, phantom: bool) -> Table:
    """Lay out ``differences.difference_table``: a row per pair."""
    measures = list(dict.fromkeys(table["measure"]))
    n = [f"{row['images']:,} images of {row['patients']:,} patients" for _, row in table.iterrows()]
    heading = f"Differences on test{f', {n[0]}' if n else ''}, the same patients resampled"
    laid_out = _table(heading, phantom, "first − second", *(WORDS[name] for name in measures))
    for (one, other), rows in table.groupby(["first", "second"], sort=False):
        cells = rows.set_index("measure").loc[measures, ["difference", "low", "high"]]
        ends = cells.to_numpy(float)  # a column of nulls alone would come as None
        laid_out.add_row(f"{one} − {other}", *(ranged(*cell) for cell in ends))
    return laid_out


def largest_gaps(table: pd.DataFrame, phantom: bool) -> Table:
    """Lay out, of ``subgroups.subgroup_tables``, the largest gaps of each measure.

    By the end of the interval that is nearer to 0, so that small groups do not lead by chance. Of
    one attribute at a time, and not of single findings: the table has them all.
    """
    headings = "measure", "network", "group", "images", "group − others"
    laid_out = _table("Largest gaps between groups on test", phantom, *headings)
    single = table[~table["attribute"].str.contains(CROSSED)]
    for measure, finding in SHOWN:
        name = f"{WORDS[measure]}, {'mean' if finding == MACRO else finding}"
        ends = [f"{measure}{end}" for end in ENDS]
        own = single[single["finding"] == finding].dropna(subset=ends)
        nearer = pd.concat([own[ends[1]], -own[ends[2]]], axis=1).max(axis=1)
        order = nearer.sort_values(ascending=False, kind="stable").index[:LARGEST]
        for _, row in own.loc[order].iterrows():
            group = f"{row['attribute']} {row['group']} − {row['against']}"
            counts = f"{row['images']:,}, {row['images_against']:,}"
            laid_out.add_row(name, row["backbone"], group, counts, ranged(*row[ends]))
        laid_out.add_section()
    return laid_out


def against(table: pd.DataFrame, revision: str, notes: list[str], phantom: bool) -> Table:
    """Lay out ``against.compare_with``: a row per network and measure."""
    heading = f"The work tree beside {revision}, the same patients resampled"
    laid_out = _table(heading, phantom, "network", "measure", "here", revision, "difference")
    for _, row in table.iterrows():
        scores = (shown(None if pd.isna(row[n]) else row[n]) for n in ("here", "there"))
        cells: Any = row[["difference", "low", "high"]].to_numpy(float)
        laid_out.add_row(row["backbone"], WORDS[row["measure"]], *scores, ranged(*cells))
    laid_out.caption = "\n".join([*notes, STAR])
    return laid_out


def _table(heading: str, phantom: bool, *columns: str) -> Table:
    title = f"{heading} ({PHANTOM_NOTE})" if phantom else heading
    laid_out = Table(title=title, box=SIMPLE, pad_edge=False, collapse_padding=True, caption=STAR)
    laid_out.min_width = max(len(title), len(STAR))  # so that neither breaks
    for name in columns:
        laid_out.add_column(name, no_wrap=True)
    return laid_out
