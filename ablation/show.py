"""Result table of the ablation for the terminal and as Markdown."""

from itertools import product
from typing import Any

import pandas as pd
from rich.table import Table

from ablation.differences import MEASURES
from ablation.outcome import GROUPS
from ablation.plan import ARMS, REFERENCE
from cxr14.console import format_number, signed

KNOWN = {"rare": "rare findings", "all": "all findings"}
HEADINGS = ("mean over", "measure", "weighting, pooling")


def lines(table: pd.DataFrame) -> list[list[str]]:
    """Lay out an outcome: headings, then a row per group, measure, arm; a column per backbone."""
    backbones = list(dict.fromkeys(table["backbone"]))
    keys = table[["group", "measure", "arm", "backbone"]].itertuples(index=False, name=None)
    cells = dict(zip(keys, map(_cell, table.to_dict("records")), strict=True))
    rows = [
        [KNOWN[group], measure, str(arm)]
        + [cells[group, measure, str(arm), name] for name in backbones]
        for group, measure, arm in product(GROUPS, MEASURES, ARMS)
    ]
    return [[*HEADINGS, *backbones], *rows]


def _cell(row: dict[Any, Any]) -> str:
    """Format the score of the reference, or the difference of another arm from it."""
    if pd.isna(row["value"]):
        return "–"
    if row["arm"] == str(REFERENCE):
        return format_number(row["value"])
    ends = ("low", "high", "seed_low", "seed_high")
    low, high, least, most = (signed(row[end]) for end in ends)
    return f"{signed(row['difference'])} ({low} to {high}); {least} to {most}"


def legend(facts: dict[str, Any]) -> str:
    """Return the caption of the table; `facts` is the content of outcome.json."""
    named = ", ".join(f"{name} {share:.1%}" for name, share in facts["rare"].items())
    seeds = ", ".join(map(str, facts["seeds"]))
    return (
        f"{REFERENCE}: its score. The others: difference from it (95 % interval, the same "
        f"{facts['patients']} patients resampled for both), each the mean over seeds {seeds}; then "
        f"the range of the difference over the seeds. Test part, {facts['images']} images; F1 at "
        f"each network's own thresholds from validation. Rare: the {len(facts['rare'])} findings "
        f"with the fewest images in train ({named})."
    )


def terminal(table: pd.DataFrame, title: str, caption: str) -> Table:
    """Lay out an outcome for the terminal."""
    headings, *rows = lines(table)
    laid_out = Table(*headings, title=title, caption=caption, caption_justify="left")
    for number, row in enumerate(rows):
        arm = number % len(ARMS)
        group = row[:2] if arm == 0 else ["", ""]
        laid_out.add_row(*group, *row[2:], end_section=arm == len(ARMS) - 1)
    return laid_out


def markdown(table: pd.DataFrame, title: str, caption: str) -> str:
    """Write an outcome as Markdown."""
    headings, *rows = lines(table)
    laid_out = [headings, ["---"] * len(headings), *rows]
    body = "\n".join(f"| {' | '.join(row)} |" for row in laid_out)
    return f"**{title}**\n\n{body}\n\n{caption}\n"
