"""Terminal table of the input check: what it refuses."""

from collections.abc import Mapping
from typing import Any

from rich.table import Table

from cxr14.console import format_interval
from cxr14.datasets.records import Source
from cxr14.report.terminal import plain_table

CAPTION = (
    "val and test: refused wrongly; the limit is chosen on val. Others: refused rightly.\n"
    "Interval of the share: Clopper and Pearson, images as if independent"
)


def refusals_table(found: Mapping[str, Any], source: Source) -> Table:
    """Lay out metrics/input_check.json."""
    title = source.label(f"input check, {found['components']} principal components")
    heads = "images", "number", "refused", "share (95 %)"
    table = plain_table(title, *heads, caption=CAPTION, min_width=len(title))
    for group in ("false_refusals", "detected"):
        for name, row in found[group].items():
            share = format_interval(row["share"], row["low"], row["high"], "{} ({}–{})")
            table.add_row(
                name.replace("_", " "), f"{row['images']:,}", f"{row['refused']:,}", share
            )
    return table
