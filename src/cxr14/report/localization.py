"""Section of the page on boxes: accuracy, pointing, other backbones, checks."""

from collections.abc import Iterator
from typing import Final, NamedTuple

import pandas as pd

from cxr14.console import format_count, format_number, signed
from cxr14.labels import BOXED
from cxr14.localization.boxes import POOLED
from cxr14.localization.scores import MEAN
from cxr14.metrics.bootstrap import ENDS
from cxr14.report import html
from cxr14.report.html import (
    Cells,
    Section,
    count,
    difference,
    distinct,
    limit_text,
    number,
    one,
    rows_of,
    scored,
    spaced,
)
from cxr14.report.published import (
    AFP_CAVEAT,
    IOBB,
    IOU,
    BoxTable,
    comparable,
    same_split,
    split_text,
)
from cxr14.report.sections import noted
from cxr14.report.summary import Results

# Tables of boxes in the layout of Wang's: rows T, columns findings; ours, controls, published.


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
    named = (f"{spaced(name)}\n{format_count(n) if n is None else f'n {n}'}" for name, n in told)
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
    return html.table(
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
    return (*map(format_number, values), format_number(mean))


MEASURES: Final = {"iobb": "IoBB", "iou": "IoU"}
OWN = ["backbone", "phantom"]  # columns that the caption tells
SIMILARITY = "similarity\nrandom weights"


def box_section(results: Results) -> Section:
    """Accuracy and AFP at every T with controls, pointing, other backbones, checks."""
    how = (
        "A finding is hit at T if any box found on the heatmap overlaps the drawn one by more than "
        "T: IoBB is the intersection over the area of the found box, IoU over the union. A "
        "method that does not beat the controls, which look at no image, has found nothing."
    )
    if not results.localize[results.best]["boxed_images"]:
        part = html.paragraph("No image of these has a drawn box: there is nothing to score.")
        return Section("boxes", "Boxes", how, (part,))
    parts = [
        html.subtitle(f"{results.best}: accuracy and false boxes at T(IoBB)"),
        wang_table(results, "iobb", ("accuracy", "afp")),
        html.subtitle(f"{results.best}: accuracy at T(IoU)"),
        wang_table(results, "iou", ("accuracy",)),
        html.subtitle("Ahead of the controls"),
        _ahead(results),
        html.subtitle("Pointing game and energy"),
        _pointing(results),
        html.subtitle("Heat thresholds apart"),
        _heats(results),
        html.subtitle("Every backbone"),
        _backbones(results),
        *_checks(results),
    ]
    return Section("boxes", "Boxes", how, tuple(parts))


def _pointing(results: Results) -> str:
    rows = results.of("pointing")
    body, kinds = [], []
    for quantity in ("pointing", "energy"):
        for method in sorted(distinct(rows, "method"), key=lambda name: name in CONTROLS):
            own = rows[rows["method"] == method]
            who = CONTROLS.get(method, f"{results.best}, {method}")
            first = "" if method in CONTROLS else quantity
            body.append((first, who, *finding_cells(own, quantity)))
            kinds.append("control" if method in CONTROLS else "begin")
    caption = (
        "Pointing: share of images whose hottest point lies in the drawn box; energy: share of the "
        "heat inside it. Neither needs a threshold. n: boxed images."
    )
    header = finding_header(results, "measure", "")
    return html.table(header, body, noted(results, caption), kinds, TEXTS[1:])


def _heats(results: Results) -> str:
    own = results.of("accuracy")
    own = own[(own["finding"] == MEAN) & (own["measure"] == "iobb")]
    heats = distinct(own.assign(heat=own["heat"].astype(str)), "heat")
    header = (
        "T(IoBB)",
        *(f"{name}\nheat {heat}" for name in ("accuracy", "AFP") for heat in heats),
    )
    body = []
    for limit in distinct(own, "limit"):
        rows = own[own["limit"] == limit]
        at = {str(row["heat"]): row for row in rows_of(rows)}
        cells = (scored(at[heat], name) for name in ("accuracy", "afp") for heat in heats)
        body.append((limit_text(limit), *cells))
    caption = (
        f"{results.best}, mean over findings, "
        f"{results.localize[results.best]['boxed_images']} boxed images. A heat threshold is of "
        "255; pooled takes the boxes of all of them together."
    )
    return html.table(header, body, noted(results, caption))


BACKBONES: Final = {
    "mean_accuracy_iobb_t10": "IoBB > .1",
    "mean_accuracy_iobb_t50": "IoBB > .5",
    "mean_accuracy_iou_t10": "IoU > .1",
    "mean_pointing": "pointing",
    "mean_energy": "energy",
    "crossfit_mean_accuracy_iobb_t10": "IoBB > .1\ncross-fitted",
}


def _ahead(results: Results) -> str:
    """Lay out by how much the accuracy exceeds that of each control."""
    rows = pooled(results.of("controls"))
    rows = rows[rows["finding"] == MEAN]
    keys = list(dict.fromkeys(zip(rows["measure"], rows["limit"], strict=True)))
    body = []
    for measure, limit in keys:
        at = rows[(rows["measure"] == measure) & (rows["limit"] == limit)]
        found = [one(at, {"method": name}) for name in CONTROLS]
        cells = (difference(*(number(row.get(f"ahead{end}")) for end in ENDS)) for row in found)
        body.append((f"{MEASURES[measure]} > {limit_text(limit)}", *cells))
    caption = (
        f"{results.best}, accuracy minus that of the control, mean over findings, "
        f"{results.localize[results.best]['boxed_images']} boxed images; paired on the same "
        "resampled patients. * marks a 95 % interval that leaves out 0."
    )
    return html.table(("hit at", *CONTROLS.values()), body, noted(results, caption))


def _backbones(results: Results) -> str:
    header = ("backbone", "boxed images", "without pixels", *BACKBONES.values(), SIMILARITY)
    body = [
        (
            name,
            str(own["boxed_images"]),
            str(own["boxed_images_without_pixels"]),
            *(scored(own, measure) for measure in BACKBONES),
            similarity(results, name),
        )
        for name, own in results.localize.items()
    ]
    own = results.localize[results.best]
    caption = (
        f"Means over {own['findings_scored']} findings, {own['boxed_pairs']} pairs of image and "
        "finding. Similarity: rank correlation of the heatmaps with those of the same network with "
        "random weights (Adebayo et al. 2018); a method whose maps stay alike shows the image, not "
        "what was learnt, and is flagged."
    )
    return html.table(header, body, noted(results, caption))


def similarity(results: Results, backbone: str) -> str:
    """Return how alike the heatmaps stay when all weights are made anew; flagged if too much."""
    row = rows_of(results.of("randomisation", backbone))[-1]
    flag = "FLAGGED, unchanged" if row["unchanged"] else f"n {count(row['n'])}"
    return f"{signed(number(row['similarity']))}\n{flag}"


def _checks(results: Results) -> list[str]:
    """Return the details of the cross-fit and of the randomisation, folded away."""
    caption = noted(results, f"{results.best}, as in metrics/localize/{results.best}.")
    crossfit = results.of("crossfit")
    chosen = crossfit[crossfit["finding"] == MEAN]
    tables = {
        "Cross-fitted heat thresholds": chosen.drop(columns="finding"),
        "Randomised weights": results.of("randomisation"),
    }
    return [
        html.folded(title, html.frame(rows.drop(columns=OWN, errors="ignore"), caption))
        for title, rows in tables.items()
    ]
