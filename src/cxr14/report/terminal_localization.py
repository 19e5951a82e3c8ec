"""Terminal tables of localization."""

import pandas as pd
from rich.table import Table

from cxr14.console import (
    MISSING,
    NOT_TRAINED,
    format_count,
    format_limit,
    format_number,
)
from cxr14.datasets.records import Source
from cxr14.localization.overlap import MEAN, POOLED
from cxr14.report.elements import (
    columns_of,
    count,
    difference,
    distinct,
    first_row,
    rows_of,
    scored,
)
from cxr14.report.terminal import plain_table

IN_SHORT = [("iobb", 0.1), ("iobb", 0.5), ("iou", 0.1)]
"""Measures and limits of the table of controls, as far as they were scored."""


def localization_tables(title: str, tables: dict[str, pd.DataFrame], source: Source) -> list[Table]:
    """Lay out the tables of the stage; ``title`` names the network, the method and n."""
    accuracies = [
        accuracy_table(title, tables["accuracy"], name, source) for name in ("iobb", "iou")
    ]
    return [
        *accuracies,
        controls_table(f"{title}, beside controls", tables, source),
        differences_table(f"{title}, minus controls", tables, source),
        *pixels_table(f"{title}, pixels of masks", tables["pixels"], source),
    ]


def accuracy_table(title: str, accuracy: pd.DataFrame, measure: str, source: Source) -> Table:
    """Lay out accuracy by finding and T, pooled over heat thresholds, and the AFP.

    Args:
        title: of the table.
        accuracy: accuracy.csv.
        measure: iobb or iou.
        source: of the images.
    """
    pooled = accuracy[(accuracy["measure"] == measure) & (accuracy["heat_threshold"] == POOLED)]
    rates = pooled.pivot(index="finding", columns="overlap_threshold", values="accuracy")
    limits = sorted(set(pooled["overlap_threshold"]))
    names = [format_limit(limit) for limit in limits]
    table = plain_table(source.label(f"{title}, {measure}"), "finding", "n", *names, "AFP")
    table.caption = (
        "boxes of all heat thresholds pooled; columns: T; "
        f"AFP: false boxes an image at T {names[0]}"
    )
    for row in rows_of(pooled[pooled["overlap_threshold"] == limits[0]]):
        if row["finding"] == MEAN:
            table.add_section()
        shares = (format_number(rates.loc[row["finding"], limit]) for limit in limits)
        afp = format_number(row["afp"], 2)
        table.add_row(row["finding"], format_count(row["n_pairs"], NOT_TRAINED), *shares, afp)
    return table


def controls_table(title: str, tables: dict[str, pd.DataFrame], source: Source) -> Table:
    """Lay out the means over findings of the method and the control baselines, with intervals.

    The caption counts the method's maps without heat, and gives the similarity of the sanity check
    (all weights random); it flags a method whose maps do not change.

    Args:
        title: of the table.
        tables: controls, pointing and sanity_check, by name.
        source: of the images.
    """
    controls, pointing = tables["controls"], tables["pointing"]
    means = controls[(controls["finding"] == MEAN) & (controls["heat_threshold"] == POOLED)]
    scored_at = set(zip(means["measure"], means["overlap_threshold"], strict=True))
    limits = [limit for limit in IN_SHORT if limit in scored_at]
    names = [f"{measure} {format_limit(limit)}" for measure, limit in limits]
    methods = distinct(pointing, "method")
    table = plain_table(source.label(title), "heat from", *names, "pointing", "energy")
    for method in methods:
        cells = [
            scored(first_row(means, {"method": method, "measure": name, **_at(limit)}), "accuracy")
            for name, limit in limits
        ]
        mean = first_row(pointing, {"method": method, "finding": MEAN})
        cells += [scored(mean, score) for score in ("pointing", "energy")]
        table.add_row(method, *cells, end_section=True)
    without_heat = _without_heat(pointing[pointing["method"] == methods[0]])
    table.caption = (
        "iobb and iou: boxes of all heat thresholds pooled\n"
        f"{without_heat}\n{_sanity_check(tables['sanity_check'])}"
    )
    return table


def _at(limit: float) -> dict[str, float]:
    return {"overlap_threshold": limit}


def differences_table(title: str, tables: dict[str, pd.DataFrame], source: Source) -> Table:
    """Lay out the differences of the method from each control baseline, means over findings.

    Args:
        title: of the table.
        tables: controls and pointing, by name.
        source: of the images.
    """
    controls, pointing = tables["controls"], tables["pointing"]
    means = controls[(controls["finding"] == MEAN) & (controls["heat_threshold"] == POOLED)]
    _, *names = distinct(pointing, "method")
    table = plain_table(source.label(title), "method −", *names)
    for measure, limit in IN_SHORT:
        at = means[(means["measure"] == measure) & (means["overlap_threshold"] == limit)]
        if len(at):
            rows = (first_row(at, {"method": name}) for name in names)
            cells = (difference(row, *columns_of("difference")) for row in rows)
            table.add_row(f"{measure} {format_limit(limit)}", *cells)
    pointed = pointing[pointing["finding"] == MEAN]
    for score in ("pointing", "energy"):
        rows = (first_row(pointed, {"method": name}) for name in names)
        cells = (difference(row, *columns_of(f"{score}_difference")) for row in rows)
        table.add_row(score, *cells)
    table.caption = (
        f"* the interval excludes 0; {table.row_count * len(names)} intervals of 95 % each, "
        "not adjusted for their number"
    )
    return table


def pixels_table(title: str, pixels: pd.DataFrame, source: Source) -> list[Table]:
    """Lay out the means over findings on the pixels of masks; no table if there are no masks."""
    means = pixels[pixels["finding"] == MEAN]
    if means["value"].isna().all():
        return []
    keys = list(dict.fromkeys(zip(means["measure"], means["heat_threshold"], strict=True)))
    names = [name if pd.isna(heat) else f"IoU, heat > {heat:g}" for name, heat in keys]
    table = plain_table(source.label(title), "heat from", *names)
    for method, rows in means.groupby("method", sort=False):
        table.add_row(str(method), *(scored(row, "value") for row in rows_of(rows)))
    table.caption = f"means over findings, {rows_of(means)[0]['n_pairs']:,} masks"
    return [table]


def _without_heat(pointing: pd.DataFrame) -> str:
    *findings, mean = rows_of(pointing)
    counts = {row["finding"]: count(row["empty"]) for row in findings}
    where = ", ".join(f"{name} {n}" for name, n in counts.items() if n not in ("0", MISSING))
    return f"no heat in {mean['empty']} of {mean['n_pairs']} maps" + (f": {where}" if where else "")


def _sanity_check(table: pd.DataFrame) -> str:
    last = rows_of(table)[-1]
    if pd.isna(last["similarity"]):
        return f"all weights random: {last['reason']}"
    similarity = f"{last['similarity']:.2f}, absolute {last['absolute']:.2f}"
    sentence = f"all weights random: similarity {similarity}, over {last['n_pairs']} maps"
    if last["unchanged"]:
        return f"[bold red]{sentence}: these maps do not depend on what was learnt[/]"
    return f"{sentence} (above {last['similarity_threshold']:g} it would be flagged)"
