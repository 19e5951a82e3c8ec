"""Tables of boxes in the layout of Wang's: rows T, columns findings; ours, controls, published."""

from collections.abc import Iterator
from typing import Final, NamedTuple

import pandas as pd

from cxr14.findings import BOXED
from cxr14.localization.means import MEAN
from cxr14.localization.scoring import POOLED
from cxr14.report import markup
from cxr14.report.beside import comparable, same_split, split_text
from cxr14.report.cells import distinct, limit_text, number, rows_of, scored, spaced
from cxr14.report.classification import noted
from cxr14.report.markup import Cells
from cxr14.report.published import AFP_CAVEAT, IOBB, IOU, BoxTable
from cxr14.report.results import Results
from cxr14.wording import counted, shown

CROSSFITTED = "cross-fitted"
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
    known = {name: number(n) for name, n in zip(table["finding"], table["n"], strict=True)}
    numbers = {name: known.get(name) for name in BOXED}
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
        "Cross-fitted: the heat threshold chosen on one half of the boxed patients, scored on the "
        "other. Grey: controls; mean box: where the finding's boxes lie in the other half."
    )
    if published:
        named = (f"{p.name} ({split_text(results.source, p)}, n {p.pairs})" for p in published)
        caption += f" Published: {'; '.join(named)}; means over the findings with boxes here."
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
    tables = _tables(results, measure)
    for limit in distinct(tables[results.best], "limit"):
        first = limit_text(limit)
        for quantity in quantities:
            what = QUANTITIES[quantity]
            for line in _group(results, measure, quantity, tables, limit):
                kind = f"begin {line.kind}" if first else line.kind
                yield Line((first, what, *line.cells), kind.strip())
                first = what = ""


def _tables(results: Results, measure: str) -> dict[str, pd.DataFrame]:
    """Return the rows of one measure by what they are of: ours, cross-fitted, the controls."""
    tables = {n: results.of(n) for n in ("accuracy", "crossfit", "controls")}
    tables = {name: rows[rows["measure"] == measure] for name, rows in tables.items()}
    own, controls = (pooled(tables[name]) for name in ("accuracy", "controls"))
    return {
        results.best: own,
        f"{results.best}, {CROSSFITTED}": tables["crossfit"],
        **{label: controls[controls["method"] == name] for name, label in CONTROLS.items()},
    }


def pooled(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the rows over the boxes of all heat thresholds together."""
    return rows[rows["heat"].astype(str) == POOLED]


def _group(
    results: Results, measure: str, quantity: str, tables: dict[str, pd.DataFrame], limit: float
) -> Iterator[Line]:
    """Yield the rows of one T and one quantity."""
    for name, rows in tables.items():
        kind = "control" if name in CONTROLS.values() else ""
        yield Line((name, *finding_cells(rows[rows["limit"] == limit], quantity)), kind)
    known = [place for place, n in enumerate(counts(results).values()) if n]
    for table in comparable(results.source, PUBLISHED[measure]):
        values = _published(table, quantity, limit, known)
        if values:
            kind = "published" if same_split(results.source, table) else "other"
            yield Line((f"{table.name}\n{split_text(results.source, table)}", *values), kind)


def finding_cells(rows: pd.DataFrame, quantity: str) -> Cells:
    """Return one quantity of the eight findings and of their mean, dashes where there is none."""
    found = {row["finding"]: row for row in rows_of(rows)}
    return tuple(scored(found.get(name, {}), quantity) for name in (*BOXED, MEAN))


def _published(table: BoxTable, quantity: str, limit: float, known: list[int]) -> Cells:
    """Return published values and their mean over the findings that ours have boxes of."""
    values = (table.accuracy if quantity == "accuracy" else table.afp).get(round(limit, 6))
    if values is None:
        return ()
    mean = sum(values[place] for place in known) / len(known) if known else None
    return (*map(shown, values), shown(mean))
