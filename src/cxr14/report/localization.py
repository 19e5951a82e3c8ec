"""Tables of localization: accuracy, pointing game, other backbones, sanity checks.

The tables follow the layout of Wang et al. 2017: rows are T, columns are findings.
"""

from collections.abc import Iterator
from typing import Final, NamedTuple

import pandas as pd

from cxr14.console import NOT_TRAINED, format_limit, format_number, is_missing, signed
from cxr14.labels import BOXED
from cxr14.localization.overlap import MEAN, POOLED
from cxr14.report.elements import (
    Cells,
    Details,
    Part,
    Table,
    columns_of,
    count,
    difference,
    distinct,
    first_row,
    frame,
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
from cxr14.report.summary import Results

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
    """A row of a localization table, and its CSS class."""

    cells: Cells
    kind: str


def counts(results: Results) -> dict[str, int | None]:
    """Return the number of boxed images by finding; None for one that was not trained."""
    table = results.of("accuracy")
    pairs = zip(table["finding"], table["n_pairs"], strict=True)
    known = {name: round(n) for name, n in pairs if not is_missing(n)}
    listed = [name for name in distinct(table, "finding") if name != MEAN]
    return {name: known.get(name) for name in listed}


def finding_header(results: Results, *first: str) -> Cells:
    """Return a header with the findings, n below each, and their mean."""
    headings = (
        f"{spaced(name)}\n{NOT_TRAINED if n is None else f'n {n}'}"
        for name, n in counts(results).items()
    )
    return (*first, *headings, MEAN)


def wang_table(results: Results, measure: str, quantities: tuple[str, ...]) -> Table:
    """Return the table of one measure: by T and quantity ours, controls and published rows."""
    lines = list(_lines(results, measure, quantities))
    published = comparable(results.source, PUBLISHED[measure])
    caption = (
        f"{results.best}, boxes of all heat thresholds pooled; n: boxed images of the finding; "
        "small: 95 % intervals, patients resampled. AFP: boxes that are no hit, per boxed image. "
        "Cross-fitted: one heat threshold, chosen on half of the boxed patients and scored on the "
        "others, averaged over many halvings. Grey: control baselines; mean box: average "
        "position of the finding's boxes in all other patients."
    )
    if published:
        sources = (f"{p.name} ({split_text(results.source, p)}, n {p.pairs})" for p in published)
        caption += f" Published: {'; '.join(sources)}; means over the findings with boxes here."
    if published and "afp" in quantities:
        caption += f" {AFP_CAVEAT}"
    return Table(
        finding_header(results, "T", "", ""),
        [line.cells for line in lines],
        results.source.label(caption),
        [line.kind for line in lines],
        TEXTS,
    )


def _lines(results: Results, measure: str, quantities: tuple[str, ...]) -> Iterator[Line]:
    tables = _tables(results, measure)
    for limit in distinct(tables[results.best], "overlap_threshold"):
        first = format_limit(limit)
        for quantity in quantities:
            what = QUANTITIES[quantity]
            for line in _group(results, measure, quantity, tables, limit):
                kind = f"begin {line.kind}" if first else line.kind
                yield Line((first, what, *line.cells), kind.strip())
                first = what = ""


def _tables(results: Results, measure: str) -> dict[str, pd.DataFrame]:
    """Return the rows of one measure by label: ours, cross-fitted, each control."""
    tables = {n: results.of(n) for n in ("accuracy", "crossfit", "controls")}
    tables = {name: rows[rows["measure"] == measure] for name, rows in tables.items()}
    accuracy, controls = (pooled(tables[name]) for name in ("accuracy", "controls"))
    return {
        results.best: accuracy,
        f"{results.best}, {CROSSFITTED}": tables["crossfit"],
        **{label: controls[controls["method"] == name] for name, label in CONTROLS.items()},
    }


def pooled(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the rows over the boxes of all heat thresholds together."""
    return rows[rows["heat_threshold"].astype(str) == POOLED]


def _group(
    results: Results, measure: str, quantity: str, tables: dict[str, pd.DataFrame], limit: float
) -> Iterator[Line]:
    """Yield the rows of one T and one quantity."""
    for name, rows in tables.items():
        kind = "control" if name in CONTROLS.values() else ""
        at_limit = rows[rows["overlap_threshold"] == limit]
        yield Line((name, *finding_cells(results, at_limit, quantity)), kind)
    for table in comparable(results.source, PUBLISHED[measure]):
        values = _published(results, table, quantity, limit)
        if values:
            kind = "published" if same_split(results.source, table) else "other"
            yield Line((f"{table.name}\n{split_text(results.source, table)}", *values), kind)


def finding_cells(results: Results, rows: pd.DataFrame, quantity: str) -> Cells:
    """Return one quantity of the findings and their mean; dashes for missing rows."""
    row_of = {row["finding"]: row for row in rows_of(rows)}
    return tuple(scored(row_of.get(name, {}), quantity) for name in (*counts(results), MEAN))


def _published(results: Results, table: BoxTable, quantity: str, limit: float) -> Cells:
    """Return published values, and their mean over the findings with boxes here."""
    values = (table.accuracy if quantity == "accuracy" else table.afp).get(round(limit, 6))
    if values is None:
        return ()
    value_of = dict(zip(BOXED, values, strict=True))
    boxed = [value_of[name] for name, n in counts(results).items() if n and name in value_of]
    mean = sum(boxed) / len(boxed) if boxed else None
    cells = (format_number(value_of.get(name)) for name in counts(results))
    return (*cells, format_number(mean))


MEASURES: Final = {"iobb": "IoBB", "iou": "IoU"}
CONSTANT = ["backbone", "phantom"]  # columns with one value, which the caption states
SIMILARITY = "similarity\nall weights random"


def localization_tables(results: Results) -> list[Part]:
    """Return all tables of localization as collapsed blocks."""
    best = results.best
    tables: dict[str, Part] = {
        f"accuracy and false boxes of {best} at T(IoBB)": wang_table(
            results, "iobb", ("accuracy", "afp")
        ),
        f"accuracy of {best} at T(IoU)": wang_table(results, "iou", ("accuracy",)),
        "differences from the control baselines": _control_differences(results),
        "pointing game and energy": _pointing(results),
        "overlap with the pixels of masks": _pixels(results),
        "by heat threshold": _heats(results),
        "every backbone": _backbones(results),
        "cross-fitted heat thresholds": _crossfit(results),
    }
    return [Details(f"Table: {title}", (part,)) for title, part in tables.items()]


def _pointing(results: Results) -> Table:
    rows = results.of("pointing")
    body, kinds = [], []
    for quantity in ("pointing", "energy"):
        for method in sorted(distinct(rows, "method"), key=lambda name: name in CONTROLS):
            method_rows = rows[rows["method"] == method]
            who = CONTROLS.get(method, f"{results.best}, {method}")
            first = "" if method in CONTROLS else quantity
            body.append((first, who, *finding_cells(results, method_rows, quantity)))
            kinds.append("control" if method in CONTROLS else "begin")
    caption = (
        "Pointing: share of images whose hottest point is in the ground-truth box; energy: share "
        "of the heat inside it. Neither needs a threshold. n: boxed images."
    )
    header = finding_header(results, "measure", "")
    return Table(header, body, results.source.label(caption), kinds, TEXTS[1:])


PIXELS: Final = {"pointing": "pointing", "energy": "energy", "iou": "IoU"}
MASK_CONTROLS: Final = ("random", "centre_gaussian", "mean_mask")


def _pixels(results: Results) -> Part:
    """Return the table of scores on the pixels of masks, if the source has masks."""
    rows = results.of("pixels")
    if rows["value"].isna().all():
        return "The source of the images has no masks: there is nothing to score."
    findings = distinct(rows, "finding")
    n_pairs = dict(zip(rows["finding"], rows["n_pairs"], strict=True))
    body, kinds = [], []
    keys = dict.fromkeys(zip(rows["measure"], rows["heat_threshold"].fillna(-1), strict=True))
    for measure, heat in keys:  # only the IoU has a threshold
        at = rows[(rows["measure"] == measure) & (rows["heat_threshold"].fillna(-1) == heat)]
        first = PIXELS[measure] + ("" if heat < 0 else f"\nheat > {heat:g}")
        for method, method_rows in at.groupby("method", sort=False):
            control = method in MASK_CONTROLS
            who = spaced(str(method)) if control else f"{results.best}, {method}"
            row_of = {row["finding"]: row for row in rows_of(method_rows)}
            body.append((first, who, *(scored(row_of[name], "value") for name in findings)))
            kinds.append("control" if control else "begin")
            first = ""
    names = (f"{spaced(name)}\nn {count(n_pairs[name])}" for name in findings)
    caption = (
        "Of all findings that are drawn in test images, also those without a box. Pointing and "
        "energy as above, in the mask; IoU of the pixels above a heat threshold with the mask. "
        "Mean mask: average mask of the finding in all other patients."
    )
    header = ("measure", "", *names)
    return Table(header, body, results.source.label(caption), kinds, TEXTS[1:])


def _heats(results: Results) -> Table:
    accuracy = results.of("accuracy")
    accuracy = accuracy[(accuracy["finding"] == MEAN) & (accuracy["measure"] == "iobb")]
    heats = list(dict.fromkeys(accuracy["heat_threshold"].astype(str)))
    header = (
        "T(IoBB)",
        *(f"{name}\nheat {heat}" for name in ("accuracy", "AFP") for heat in heats),
    )
    body = []
    for limit in distinct(accuracy, "overlap_threshold"):
        rows = accuracy[accuracy["overlap_threshold"] == limit]
        at = {str(row["heat_threshold"]): row for row in rows_of(rows)}
        cells = (scored(at[heat], name) for name in ("accuracy", "afp") for heat in heats)
        body.append((format_limit(limit), *cells))
    caption = (
        f"{results.best}, mean over findings, "
        f"{results.localize[results.best]['boxed_images']} boxed images. A heat threshold is of "
        "255; pooled takes the boxes of all of them together."
    )
    return Table(header, body, results.source.label(caption))


BACKBONES: Final = {
    "mean_accuracy_iobb_t10": "IoBB > .1\npooled",
    "mean_false_boxes_iobb_t10": "false boxes\npooled, per pair",
    "mean_accuracy_iobb_t50": "IoBB > .5\npooled",
    "mean_accuracy_iou_t10": "IoU > .1\npooled",
    "crossfit_mean_accuracy_iobb_t10": "IoBB > .1\none threshold, cross-fitted",
    "crossfit_mean_false_boxes_iobb_t10": "false boxes\none threshold, cross-fitted",
    "mean_pointing": "pointing",
    "mean_energy": "energy",
}
BEATEN: Final = {
    "controls_beaten_iobb_t10": "controls beaten\nIoBB > .1",
    "controls_beaten_pointing": "controls beaten\npointing",
}


def _control_differences(results: Results) -> Table:
    """Return the table of differences in accuracy from each control."""
    rows = pooled(results.of("controls"))
    rows = rows[rows["finding"] == MEAN]
    keys = list(dict.fromkeys(zip(rows["measure"], rows["overlap_threshold"], strict=True)))
    body = []
    for measure, limit in keys:
        at = rows[(rows["measure"] == measure) & (rows["overlap_threshold"] == limit)]
        control_rows = (first_row(at, {"method": name}) for name in CONTROLS)
        cells = (difference(row, *columns_of("difference")) for row in control_rows)
        body.append((f"{MEASURES[measure]} > {format_limit(limit)}", *cells))
    pointed = results.of("pointing")
    pointed = pointed[pointed["finding"] == MEAN]
    for name in ("pointing", "energy"):
        control_rows = (first_row(pointed, {"method": control}) for control in CONTROLS)
        columns = columns_of(f"{name}_difference")
        body.append((name, *(difference(row, *columns) for row in control_rows)))
    caption = (
        f"{results.best} minus the control, mean over findings, "
        f"{results.localize[results.best]['boxed_images']} boxed images; paired on the same "
        f"resampled patients. * marks a 95 % interval that excludes 0; of the "
        f"{len(body) * len(CONTROLS)} intervals here each is at 95 %, without adjustment for their "
        "number. No interval: one side is the same in every resample."
    )
    return Table(("hit at", *CONTROLS.values()), body, results.source.label(caption))


def _backbones(results: Results) -> Table:
    header = (
        *("backbone", "boxed images", "without pixels"),
        *(*BACKBONES.values(), *BEATEN.values(), SIMILARITY),
    )
    body = [
        (
            name,
            str(numbers["boxed_images"]),
            str(numbers["boxed_images_without_pixels"]),
            *(scored(numbers, measure) for measure in BACKBONES),
            *(f"{count(numbers.get(name))} of {len(CONTROLS)}" for name in BEATEN),
            similarity(results, name),
        )
        for name, numbers in results.localize.items()
    ]
    numbers = results.localize[results.best]
    caption = (
        f"Means over {numbers['findings_scored']} findings, {numbers['boxed_pairs']} pairs of "
        "image and finding. Pooled: boxes of all heat thresholds together, which hit more and miss "
        "more than those of one. Controls beaten: the 95 % interval of the difference is above 0. "
        "Similarity: rank correlation of the heatmaps with those of the same network with all "
        "weights random (Adebayo et al. 2018); a method whose maps stay alike shows the image, not "
        "what was learnt, and is flagged."
    )
    return Table(header, body, results.source.label(caption))


def is_flagged(results: Results, backbone: str) -> bool:
    """Whether the heatmaps of a backbone stay alike when all of its weights are random."""
    rows = rows_of(results.of("sanity_check", backbone))
    return bool(rows) and bool(rows[-1]["unchanged"] == 1)  # NaN if no maps were compared


def similarity(results: Results, backbone: str) -> str:
    """Return the similarity of the heatmaps to those of random weights, flagged if too high."""
    row = rows_of(results.of("sanity_check", backbone))[-1]
    flag = "FLAGGED, unchanged" if is_flagged(results, backbone) else f"n {count(row['n_pairs'])}"
    return f"{signed(row['similarity'])}\n{flag}"


def _crossfit(results: Results) -> Table:
    rows = results.of("crossfit")
    return _frame(results, rows[rows["finding"] == MEAN].drop(columns="finding"))


def sanity_table(results: Results) -> Table:
    """Return the table of the sanity check with random weights."""
    return _frame(results, results.of("sanity_check"), " A network is flagged by its last row.")


def _frame(results: Results, rows: pd.DataFrame, remark: str = "") -> Table:
    caption = f"{results.best}, as in metrics/localize/{results.best}; n_pairs: boxed pairs."
    caption += remark
    return frame(rows.drop(columns=CONSTANT, errors="ignore"), results.source.label(caption))
