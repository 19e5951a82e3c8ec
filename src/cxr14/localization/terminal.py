"""The tables that localisation prints."""

from typing import Any

from rich.box import SIMPLE
from rich.table import Table

from cxr14.localization.scoring import limit_of
from cxr14.wording import PHANTOM_NOTE, counted, shown


def accuracy_table(backbone: str, metrics: dict[str, Any], measure: str) -> Table:
    """Lay out accuracy by finding and T, last the AFP at the lowest T; measure is iobb or iou."""
    limits = sorted(metrics[measure], key=limit_of)
    names = [f"{limit_of(key):g}".removeprefix("0") for key in limits]
    title = f"{backbone}: localisation accuracy, {measure}, {metrics['boxed_images']} boxed images"
    table = Table(
        box=SIMPLE,
        title=title + (f" ({PHANTOM_NOTE})" if metrics["phantom"] else ""),
        caption=f"columns: T; AFP: false boxes an image at T {names[0]}",
    )
    table.add_column("finding", no_wrap=True)
    for heading in ("n", *names, "AFP"):
        table.add_column(heading, justify="right")
    for name, n in metrics["n"].items():
        rates = [shown(metrics[measure][key]["accuracy"][name]) for key in limits]
        wrong = metrics[measure][limits[0]]["afp"][name]["pooled"]
        table.add_row(name, counted(n), *rates, shown(wrong, 2))
    table.add_section()
    means = [shown(metrics[measure][key]["mean_accuracy"]) for key in limits]
    table.add_row(f"mean of {metrics['findings_scored']}", "", *means, "")
    return table
