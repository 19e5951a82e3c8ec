"""The table at the end of `dvc repro`."""

from typing import Any

from rich.table import Table

from cxr14.wording import shown


def interval(value: float | None, low: float | None, high: float | None) -> str:
    """Format a score with its 95 % interval."""
    return shown(value) if low is None else f"{shown(value)} {shown(low)}–{shown(high)}"


def rows(summary: dict[str, Any]) -> list[tuple[str, ...]]:
    """Return one row per backbone, best test AUROC first, the baseline last."""
    groups = {key: value for key, value in summary.items() if isinstance(value, dict)}

    def place(item: tuple[str, dict[str, Any]]) -> tuple[bool, float]:
        name, own = item
        return name == "baseline", -(own.get("test_macro_auroc") or 0)

    return [(name, *_cells(own)) for name, own in sorted(groups.items(), key=place)]


HEADER = ("model", "AUROC", "AP", "F1", "No Finding", "boxes >.1", "boxes >.5")
LEGEND = (
    "AUROC, average precision (AP) and F1 are means over the findings, with 95 % intervals by "
    "patient; No Finding is its AUROC; boxes: share of boxed findings hit at that IoBB."
)


def legend(summary: dict[str, Any]) -> str:
    """Explain the columns; say over how many findings each mean is where these numbers differ."""
    counts = {
        name: own["test_findings_scored"]
        for name, own in summary.items()
        if isinstance(own, dict) and "test_findings_scored" in own
    }
    if len(set(counts.values())) < 2:
        return LEGEND
    told = ", ".join(f"{name} {count}" for name, count in counts.items())
    return f"{LEGEND} Not over the same number of findings: {told}."


def _cells(own: dict[str, Any]) -> tuple[str, ...]:
    hits = "boxes_mean_accuracy_iobb_t10"
    return (
        interval(*(own.get(f"test_macro_auroc{end}") for end in ("", "_low", "_high"))),
        shown(own.get("test_macro_average_precision")),
        shown(own.get("test_macro_f1")),
        shown(own.get("test_no_finding_auroc")),
        interval(*(own.get(f"{hits}{end}") for end in ("", "_low", "_high"))),
        shown(own.get("boxes_mean_accuracy_iobb_t50")),
    )


def table(summary: dict[str, Any], caution: str) -> Table:
    """Lay out the summary: means over the findings on test, boxes over those of them with boxes."""
    title = f"Test part, mean over findings. {caution}"
    laid_out = Table(*HEADER, title=title, caption=legend(summary))
    for row in rows(summary):
        laid_out.add_row(*row)
    return laid_out
