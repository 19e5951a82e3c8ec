"""The tables that the second pipeline prints."""

from typing import Any

import pandas as pd
from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table

from cxr14.chexnext.flips import ALL
from cxr14.wording import PHANTOM_NOTE, shown

Columns = dict[str, str]


WIDTH = 124  # `dvc repro` into a file says 80


def show(*tables: Table) -> None:
    """Print tables, wide enough for their columns."""
    console = Console()
    console.width = max(console.width, WIDTH)
    console.print(*tables)


def noise_table(counts: pd.DataFrame) -> Table:
    """Lay out what noise.count_noise counted in train and val."""
    table = _table("Labels made wrong, as mined labels are", True, "images", *_NOISE.values())
    summed = counts.groupby("finding", sort=False)[["images", *_NOISE]].sum()
    for finding, row in summed.iterrows():
        table.add_row(str(finding), *(str(value) for value in row))
    return table


_NOISE: Columns = {"positives": "truly", "missed": "missed", "wrong": "wrong", "labels": "labels"}


def selection_table(outcome: dict[str, Any]) -> Table:
    """Lay out chexnext/selection/selection.json."""
    title = f"Members on validation, mean {outcome['measure']} over the findings"
    table = _table(title, outcome["phantom"], "fold", "score", "chosen", first="member")
    for name, member in outcome["members"].items():
        fold = "–" if outcome["folds"] == 1 else str(member["fold"])
        table.add_row(name, fold, shown(member["score"]), "yes" if member["chosen"] else "")
    table.caption = (
        f"the chosen averaged: {shown(outcome['score'])}; all: {shown(outcome['score_of_all'])} "
        f"({outcome['subsets']} subsets, {outcome['search']})"
    )
    return table


def flips_overview(table: pd.DataFrame, part: str, mode: str, phantom: bool) -> Table:
    """Lay out the flips of one part; on phantoms with precision and recall."""
    title = f"Relabelling of {part}, {mode}"
    laid_out = _table(title, phantom, *_FLIPS.values(), *(_REPAIRED.values() if phantom else ()))
    own = table[table["part"] == part].astype(object)
    for row in own.where(own.notna(), None).to_dict(orient="records"):
        if row["finding"] == ALL:
            laid_out.add_section()
        counts = [str(row["positives_before"]), str(row["positives_after"])]
        counts += [str(row["added"]), str(row["removed"])]
        rates = [_signed(row[name]) for name in _REPAIRED] if phantom else []
        laid_out.add_row(row["finding"], *counts, *rates)
    if phantom:
        laid_out.caption = "right: precision; found: recall among the missed, the wrong labels"
    return laid_out


_FLIPS: Columns = {"a": "before", "b": "after", "c": "added", "d": "removed"}
_REPAIRED: Columns = {
    "added_precision": "right",
    "added_recall": "found",
    "removed_precision": "right",
    "removed_recall": "found",
    "noise_repaired": "repaired",
}


def _signed(value: float | None) -> str:
    return f"−{shown(-value)}" if value is not None and value < 0 else shown(value)


def _table(title: str, phantom: bool, *headings: str, first: str = "finding") -> Table:
    told = f"{title} ({PHANTOM_NOTE})" if phantom else title
    table = Table(title=told, box=SIMPLE, pad_edge=False, collapse_padding=True)
    table.add_column(first, no_wrap=True)
    for heading in headings:
        table.add_column(heading, justify="right", no_wrap=True)
    return table
