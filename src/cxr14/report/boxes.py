"""Tables of boxes in the layout of Wang's: rows T, columns findings; ours, controls, published."""

from collections.abc import Iterator
from typing import Final, NamedTuple

import pandas as pd

from cxr14.findings import BOXED
from cxr14.report import markup
from cxr14.report.beside import comparable, same_split, split_text
from cxr14.report.cells import Row, distinct, limit_text, number, one, rows_of, scored, spaced
from cxr14.report.classification import noted
from cxr14.report.markup import Cells
from cxr14.report.published import AFP_CAVEAT, IOBB, IOU, BoxTable
from cxr14.report.results import Results
from cxr14.wording import counted, shown

POOLED, MEAN = "pooled", "mean"
CONTROLS: Final = {
    "random": "random map",
    "centre_gaussian": "centre Gaussian",
    "mean_box": "mean box",
}
PUBLISHED: Final = {"iobb": IOBB, "iou": IOU}
TEXTS: Final = ("", "text", "text")
QUANTITIES: Final = {"accuracy": "accuracy", "afp": "AFP"}


class Line(NamedTuple):
    """A row of a table of boxes, and how it is shown."""

    cells: Cells
    kind: str


def counts(results: Results) -> dict[str, int | None]:
    """Return the boxed images of each of the eight; None where the network does not know it."""
    table = results.of("accuracy")
    numbers = {name: number(one(table, {"finding": name}).get("n")) for name in BOXED}
    return {name: None if n is None else round(n) for name, n in numbers.items()}


def finding_header(results: Results, *first: str) -> Cells:
    """Return a header with the eight findings, n below each, and their mean."""
    told = counts(results).items()
    named = (f"{spaced(name)}\n{counted(n) if n is None else f'n {n}'}" for name, n in told)
    return (*first, *named, MEAN)


def wang_table(results: Results, measure: str, quantities: tuple[str, ...]) -> str:
    """Lay out one measure: for each T and quantity ours, the controls, and what is published."""
    lines = list(_lines(results, measure, quantities))
    published = comparable(results.source, PUBLISHED[measure])
    caption = (
        f"{results.best}, boxes of all heat thresholds pooled; n: boxed images of the finding; "
        "small: 95 % intervals, patients resampled. AFP: boxes that are no hit, per boxed image. "
        "Grey: controls (mean box: where the boxes of the finding lie in the other half of the "
        "patients)."
    )
    if published:
        named = (f"{p.name} ({split_text(results.source, p)}, n {p.pairs})" for p in published)
        caption += f" Published: {'; '.join(named)}."
    if published and "afp" in quantities:
        caption += f" {AFP_CAVEAT}"
    return markup.table(
        finding_header(results, "T", "", ""),
        [line.cells for line in lines],
        noted(results, caption),
        [line.kind for line in lines],
        TEXTS,
    )


def _lines(results: Results, measure: str, quantities: tuple[str, ...]) -> Iterator[Line]:
    own = results.of("accuracy")
    own = own[(own["measure"] == measure) & (own["heat"].astype(str) == POOLED)]
    controls = _controls(results, measure)
    for limit in distinct(own, "limit"):
        first = limit_text(limit)
        for quantity in quantities:
            what = QUANTITIES[quantity]
            for line in _group(results, measure, quantity, own, controls, limit):
                kind = f"begin {line.kind}" if first else line.kind
                yield Line((first, what, *line.cells), kind.strip())
                first = what = ""


def _group(
    results: Results,
    measure: str,
    quantity: str,
    own: pd.DataFrame,
    controls: pd.DataFrame,
    limit: float,
) -> Iterator[Line]:
    """Yield the rows of one T and one quantity."""
    at = own[own["limit"] == limit]
    yield Line((results.best, *finding_cells(at, quantity)), "")
    for name in distinct(controls, "method"):
        rows = controls[(controls["method"] == name) & (controls["limit"] == limit)]
        yield Line((CONTROLS[name], *finding_cells(rows, quantity)), "control")
    for table in comparable(results.source, PUBLISHED[measure]):
        values = _published(table, quantity, limit)
        if values:
            kind = "published" if same_split(results.source, table) else "other"
            yield Line((f"{table.name}\n{split_text(results.source, table)}", *values), kind)


def finding_cells(rows: pd.DataFrame, quantity: str) -> Cells:
    found = {row["finding"]: row for row in rows_of(rows)}
    return tuple(_score(found.get(name, {}), quantity) for name in (*BOXED, MEAN))


def _score(row: Row, quantity: str) -> str:
    # In controls.csv the ends of the accuracy's interval are low and high.
    if quantity == "accuracy" and "low" in row:
        ends = {"accuracy_low": row["low"], "accuracy_high": row["high"]}
        row = {"accuracy": row["accuracy"], **ends}
    return scored(row, quantity)


def _published(table: BoxTable, quantity: str, limit: float) -> Cells:
    values = (table.accuracy if quantity == "accuracy" else table.afp).get(round(limit, 6))
    return (*map(shown, values), shown(sum(values) / len(values))) if values else ()


def _controls(results: Results, measure: str) -> pd.DataFrame:
    """Return the controls' rows of one measure, heat thresholds pooled."""
    rows = results.of("controls")
    pooled = rows["heat"].astype(str) == POOLED
    return rows[pooled & (rows["measure"] == measure) & rows["method"].isin(CONTROLS)]
