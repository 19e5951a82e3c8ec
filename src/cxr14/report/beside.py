"""Published columns for ours: on real pixels only, those of the same split first, all marked.

The one gate through which published figures reach a table.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final, TypeVar

from cxr14.findings import FINDINGS
from cxr14.report.cells import count, number, rows_of, scored, spaced
from cxr14.report.published import (
    CLASSIFICATION,
    OFFICIAL,
    OFFICIAL_TEST_IMAGES,
    SPLITS,
    BoxTable,
    Column,
)
from cxr14.report.results import Results
from cxr14.wording import NOT_TRAINED, shown

OURS: Final = "ours"


Published = TypeVar("Published", Column, BoxTable)


def comparable(source: Mapping[str, Any], published: Sequence[Published]) -> list[Published]:
    """Return what may stand beside ours: nothing on phantoms, else the same split first."""
    if source["phantom"]:
        return []
    return sorted(published, key=lambda one: not same_split(source, one))


def same_split(source: Mapping[str, Any], published: Column | BoxTable) -> bool:
    """Say whether a figure is on our split: only the official lists are shared by anyone."""
    return bool(source["official_split"]) and published.split == OFFICIAL


def split_text(source: Mapping[str, Any], published: Column | BoxTable) -> str:
    """Name the split of a published figure, marked where it is not ours."""
    images = published.images if isinstance(published, Column) else None
    known = f", {images:,} images" if images else ""
    mark = "" if same_split(source, published) else "OTHER SPLIT: "
    return f"{mark}{SPLITS[published.split]}{known}"


def heading(source: Mapping[str, Any], published: Column | BoxTable) -> str:
    """Return the header of a published column: its name, and below it the split."""
    return f"{published.name}\n{split_text(source, published)}"


def own_kind(results: Results) -> str:
    """Name our split."""
    return SPLITS[OFFICIAL] if results.source["official_split"] else "our own split by patient"


def own_split(results: Results) -> str:
    """Name our split and how many images our figures are over."""
    return f"{own_kind(results)}, {results.evaluate[results.best]['images']:,} images"


def part_of_official(results: Results) -> str:
    """Say so if ours are over fewer images than the official test part that others used."""
    images = results.evaluate[results.best]["images"]
    if not results.source["official_split"] or images == OFFICIAL_TEST_IMAGES:
        return ""
    return (
        f"Ours are over {images:,} images of the official test part, the published columns of the "
        f"official split over all {OFFICIAL_TEST_IMAGES:,}."
    )


def auroc_header(results: Results) -> tuple[str, ...]:
    """Return the header of :func:`auroc_rows`."""
    columns = comparable(results.source, CLASSIFICATION)
    own = f"{results.best} ({OURS})\n{own_split(results)}"
    return ("finding", "positives", own, *(heading(results.source, one) for one in columns))


def auroc_rows(results: Results, between: str = "\n") -> list[tuple[str, ...]]:
    """Return AUROC by finding, ours beside the published ones; last the means.

    Published means are over the findings that ours could score.
    """
    columns = comparable(results.source, CLASSIFICATION)
    own = {row["finding"]: row for row in rows_of(results.of("findings"))}
    rows = [
        (
            spaced(name),
            count(own[name]["positives"]) if name in own else "–",
            scored(own[name], "auroc", between) if name in own else NOT_TRAINED,
            *(shown(column.auroc[name]) for column in columns),
        )
        for name in FINDINGS
    ]
    known = [name for name in FINDINGS if name in own and number(own[name]["auroc"]) is not None]
    mean = scored(results.evaluate[results.best], "macro_auroc", between)
    means = (shown(mean_over(column, known)) for column in columns)
    return [*rows, (f"mean of {len(known)}", "", mean, *means)]


def mean_over(column: Column, findings: Sequence[str]) -> float | None:
    """Return the mean of a published column over some findings; None over none."""
    values = [column.auroc[name] for name in findings]
    return sum(values) / len(values) if values else None
