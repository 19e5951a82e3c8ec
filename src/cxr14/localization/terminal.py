"""The tables that localisation prints."""

import numpy as np
import pandas as pd
from rich.box import SIMPLE
from rich.table import Table

from cxr14.evaluation.bootstrap import ENDS
from cxr14.localization.means import MEAN
from cxr14.localization.scoring import POOLED
from cxr14.wording import PHANTOM_NOTE, counted, shown

IN_SHORT = [("iobb", 0.1), ("iobb", 0.5), ("iou", 0.1)]
"""Limits of the table of controls, of those that were asked for."""


def printed(title: str, tables: dict[str, pd.DataFrame], phantom: bool) -> list[Table]:
    """Lay out what the stage prints; title names the network, the method and n."""
    own = [accuracy_table(title, tables["accuracy"], name, phantom) for name in ("iobb", "iou")]
    return [*own, controls_table(f"{title}, beside controls", tables, phantom)]


def accuracy_table(title: str, accuracy: pd.DataFrame, measure: str, phantom: bool) -> Table:
    """Lay out accuracy by finding and T, boxes of all heat thresholds pooled, and the AFP.

    Args:
        title: of the table.
        accuracy: accuracy.csv.
        measure: iobb or iou.
        phantom: whether to say that these are phantoms.
    """
    own = accuracy[(accuracy["measure"] == measure) & (accuracy["heat"] == POOLED)]
    rates = own.pivot(index="finding", columns="limit", values="accuracy")
    limits = sorted(set(own["limit"]))
    names = [_limit(limit) for limit in limits]
    first = own[own["limit"] == limits[0]].set_index("finding")
    table = _table(f"{title}, {measure}", phantom, "finding", ["n", *names, "AFP"])
    table.caption = f"columns: T; AFP: false boxes an image at T {names[0]}"
    for name, row in first.iterrows():
        if name == MEAN:
            table.add_section()
        n = None if pd.isna(row["n"]) else int(row["n"])
        shares = [_cell(rates.loc[name, limit]) for limit in limits]
        table.add_row(str(name), counted(n), *shares, _cell(row["afp"], 2))
    return table


def controls_table(title: str, tables: dict[str, pd.DataFrame], phantom: bool) -> Table:
    """Lay out the method beside the controls, means over findings with their intervals.

    The caption says how many of the method's maps have no heat, and how much of them stays if all
    weights are made anew; it flags a method whose maps do not change.

    Args:
        title: of the table.
        tables: controls, pointing and randomisation, by name.
        phantom: whether to say that these are phantoms.
    """
    controls, pointing = tables["controls"], tables["pointing"]
    means = controls[(controls["finding"] == MEAN) & (controls["heat"] == POOLED)]
    asked = set(zip(means["measure"], means["limit"], strict=True))
    limits = [limit for limit in IN_SHORT if limit in asked]
    names = [f"{measure} {_limit(limit)}" for measure, limit in limits]
    table = _table(title, phantom, "heat from", [*names, "pointing", "energy"])
    for method in pointing["method"].unique():
        own = means[means["method"] == method].set_index(["measure", "limit"])
        spot = pointing[(pointing["method"] == method) & (pointing["finding"] == MEAN)].iloc[0]
        cells = [_with_interval(own.loc[limit], "accuracy") for limit in limits]
        scores = [_with_interval(spot, score) for score in ("pointing", "energy")]
        table.add_row(method, *cells, *scores, end_section=True)
    own = pointing[pointing["method"] == pointing["method"].iloc[0]]
    table.caption = f"{_without_heat(own)}\n{_randomisation(tables['randomisation'])}"
    return table


def _without_heat(own: pd.DataFrame) -> str:
    *each, (_, empty, pairs) = zip(own["finding"], own["empty"], own["n"], strict=True)
    where = ", ".join(f"{name} {count}" for name, count, _ in each if not pd.isna(count) and count)
    return f"no heat in {empty} of {pairs} maps" + (f": {where}" if where else "")


def _randomisation(table: pd.DataFrame) -> str:
    last = table.iloc[-1]
    if pd.isna(last["similarity"]):
        return f"all weights anew: {last['reason']}"
    found = f"{last['similarity']:.2f}, absolute {last['absolute']:.2f}"
    said = f"all weights anew: similarity {found}, over {last['n']} maps"
    if last["unchanged"]:
        return f"[bold red]{said}: these maps do not depend on what was learnt[/]"
    return f"{said} (above {last['limit']:g} it would be flagged)"


def _table(title: str, phantom: bool, first: str, others: list[str]) -> Table:
    table = Table(box=SIMPLE, title=title + (f" ({PHANTOM_NOTE})" if phantom else ""))
    table.add_column(first, no_wrap=True)
    for heading in others:
        table.add_column(heading, justify="right")
    return table


def _limit(limit: float) -> str:
    return f"{limit:g}".removeprefix("0")


def _cell(value: float, digits: int = 3) -> str:
    return shown(None if pd.isna(value) else float(value), digits)


def _with_interval(row: "pd.Series[float]", score: str) -> str:
    """Write the interval below the score: beside it, it would not fit a terminal."""
    value, low, high = (_cell(row[score + end]) for end in ENDS)
    return value if low == _cell(np.nan) else f"{value}\n{low}–{high}"
