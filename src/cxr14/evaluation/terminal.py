"""The table of findings that evaluation prints."""

from typing import Any, Final

from rich.box import SIMPLE
from rich.table import Table

from cxr14.findings import NO_FINDING
from cxr14.wording import PHANTOM_NOTE, shown

HEADINGS: Final = {
    "auroc": "AUROC",
    "average_precision": "AP",
    "prevalence": "prev.",
    "f1": "F1",
    "precision": "prec.",
    "recall": "recall",
    "threshold": "from p",
}


def findings_table(backbone: str, metrics: dict[str, Any], reasons: dict[str, str]) -> Table:
    """Lay out metrics/evaluate/B.json for the terminal; what is null shows as a dash.

    Args:
        backbone: name of the network.
        metrics: the content of the file.
        reasons: by class, why it has no threshold (decision.json); printed below.
    """
    title = f"{backbone} on {metrics['images']} test images"
    if metrics["phantom"]:
        title += f" ({PHANTOM_NOTE})"
    missing = [f"no threshold for {name}: {reason}" for name, reason in reasons.items()]
    table = Table(title=title, box=SIMPLE, pad_edge=False, collapse_padding=True)
    table.caption = "\n".join([_headline(metrics), *missing])
    table.add_column("finding", no_wrap=True)
    for heading in ("pos.", *HEADINGS.values()):
        table.add_column(heading, justify="right", no_wrap=True)
    for name, scores in metrics["findings"].items():
        table.add_row(*_row(name, scores))
    if metrics["no_finding"]:
        table.add_section()
        table.add_row(*_row(NO_FINDING, metrics["no_finding"]))
    return table


def _row(name: str, scores: dict[str, Any]) -> list[str]:
    return [name, str(scores["positives"]), *(shown(scores[measure]) for measure in HEADINGS)]


def _headline(metrics: dict[str, Any]) -> str:
    low, high = shown(metrics["macro_auroc_low"]), shown(metrics["macro_auroc_high"])
    return (
        f"macro AUROC {shown(metrics['macro_auroc'])} (95 % {low} to {high}, patients resampled), "
        f"average precision {shown(metrics['macro_average_precision'])}, "
        f"over {metrics['findings_scored']} of {len(metrics['findings'])} findings; "
        f"F1 {shown(metrics['macro_f1'])} over {metrics['findings_with_f1']}; "
        f"validation AUROC {shown(metrics['validation']['macro_auroc'])}"
    )
