"""Terminal tables of localization."""

import pandas as pd
from rich.table import Table

from cxr14.console import (
    MISSING,
    NOT_TRAINED,
    format_count,
    format_limit,
    format_number,
    is_missing,
)
from cxr14.datasets.records import Source
from cxr14.localization.overlap import MEAN, POOLED
from cxr14.report.elements import (
    Row,
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
    beside = controls_table(f"{title}, beside controls", tables, source)
    return [
        *accuracies,
        beside,
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

    Below each control is the difference of the method. The caption counts the method's maps without
    heat, and gives the similarity of the sanity check (all weights random); it flags a method whose
    maps do not change.

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
        cells = [scored(first_row(means, key), "accuracy") for key in _keys(method, limits)]
        mean = first_row(pointing, {"method": method, "finding": MEAN})
        cells += [scored(mean, score) for score in ("pointing", "energy")]
        table.add_row(method, *cells, end_section=method == methods[0])
        if method != methods[0]:
            gaps = [_gap(first_row(means, key), "difference") for key in _keys(method, limits)]
            gaps += [_gap(mean, f"{score}_difference") for score in ("pointing", "energy")]
            table.add_row(f"  {methods[0]} −", *gaps, end_section=True)
    table.caption = "\n".join(
        [
            "boxes pooled over heat thresholds; − : the method minus the control, on the same "
            f"resamples, * excludes 0: {(len(methods) - 1) * (len(limits) + 2)} intervals of 95 % "
            "each, not adjusted for their number",
            _without_heat(pointing[pointing["method"] == methods[0]]),
            _sanity_check(tables["sanity_check"]),
        ]
    )
    return table


def _keys(method: str, limits: list[tuple[str, float]]) -> list[Row]:
    """Return the keys of a method's rows in controls.csv."""
    return [
        {"method": method, "measure": name, "overlap_threshold": limit} for name, limit in limits
    ]


def _gap(row: Row, name: str) -> str:
    return difference(row, *columns_of(name))


def pixels_table(title: str, pixels: pd.DataFrame, source: Source) -> list[Table]:
    """Lay out the means over findings on the pixels of masks; no table if there are no masks."""
    means = pixels[pixels["finding"] == MEAN]
    if means["value"].isna().all():
        return []
    keys = list(dict.fromkeys(zip(means["measure"], means["heat_threshold"], strict=True)))
    names = [measure if is_missing(heat) else f"IoU, heat > {heat:g}" for measure, heat in keys]
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
