"""Terminal tables of external sets."""

from collections.abc import Mapping
from typing import Any, Final

import pandas as pd
from rich.table import Table

from cxr14.console import format_difference, format_number, is_missing
from cxr14.datasets.records import Source
from cxr14.evaluation.measures import MACRO
from cxr14.report import external
from cxr14.report.elements import distinct, first_row
from cxr14.report.summary import Results
from cxr14.report.terminal import plain_table

IN_TERMINAL: Final = (0, 1, 2, 3, 5, 8, 10)
"""Columns of external.MEANS_HEADER: model, AUROC of both sides and gap, external AP, F1, ECE."""

EXTERNAL_CAPTION: Final = (
    "gap: external − ours over the same findings, patients of each side resampled;\n"
    "* the interval excludes 0; AP, F1 and ECE also depend on the prevalence"
)


def external_table(
    name: str, backbone: str, gaps: pd.DataFrame, headline: Mapping[str, Any], source: Source
) -> Table:
    """Lay out the scores of a network on an external set beside ours, by finding.

    Args:
        name: of the set.
        backbone: name of the network.
        gaps: columns of ``cxr14.evaluation.external.GAP_COLUMNS``.
        headline: content of metrics/external/SET/B.json.
        source: of our images.
    """
    title = source.label(
        f"{backbone} on {name}: {headline['images']} images of {headline['patients']} patients"
    )
    ece = f"ECE after Platt scaling: {format_number(headline['macro_ece_platt'])}"
    caption = "\n".join([EXTERNAL_CAPTION, ece, external.overlap_note(headline)]).strip()
    heads = [f"{measure}\n{what}" for measure in ("AUROC", "F1") for what in external.SIDES]
    width = max(map(len, (title, *caption.split("\n"))))
    table = plain_table(title, "finding", *heads, caption=caption, min_width=width)
    for finding in distinct(gaps, "finding"):
        cells = [f"{MACRO} mean" if finding == MACRO else finding]
        for measure in ("auroc", "f1"):
            row = first_row(gaps, {"measure": measure, "finding": finding})
            form = "{0}" if is_missing(row["low"]) else "{0} ({1} to {2}){3}"
            gap = format_difference(row["difference"], row["low"], row["high"], form)
            cells += [format_number(row["ours"]), format_number(row["external"]), gap]
        table.add_row(*cells)
    return table


def external_summary(results: Results, name: str) -> Table:
    """Lay out the means of all networks on an external set; intervals are below their scores."""
    numbers = results.external[name].numbers[results.best]
    title = f"{name}: {numbers['images']:,} images of {numbers['patients']:,} patients"
    caption = f"{EXTERNAL_CAPTION}\n{external.overlap_note(numbers)}".strip()
    heads, *rows = (
        [cells[column] for column in IN_TERMINAL]
        for cells in (
            external.MEANS_HEADER,
            *external.mean_rows(results.external[name], results.backbones),
        )
    )
    table = plain_table(results.source.label(title), *heads, caption=caption, padding=0)
    for row in rows:
        table.add_row(*row)
    return table
