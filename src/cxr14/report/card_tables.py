"""Tables of a model card: the scores of one network, each with its interval."""

from typing import Any, Final

from cxr14.console import MISSING, format_count, format_number, is_missing
from cxr14.evaluation.measures import MACRO
from cxr14.evaluation.subgroups import CROSSED
from cxr14.localization.overlap import MEAN
from cxr14.report.elements import (
    Cells,
    Row,
    Table,
    columns_of,
    count,
    difference,
    distinct,
    first_row,
    rows_of,
    scored,
    spaced,
    text,
)
from cxr14.report.external import GAP, NAMES, gap_cells
from cxr14.report.localization import CONTROLS, pooled
from cxr14.report.subgroups import gaps_with_interval, largest
from cxr14.report.summary import Results

RANGE: Final = "{} ({}–{})"
ATTRIBUTES: Final = ("sex", "age", "view")
"""Attributes of the records by which groups are compared."""

MEANS: Final = {
    "macro_auroc": "AUROC, mean over findings",
    "micro_auroc": "AUROC, all pairs pooled",
    "weighted_auroc": "AUROC, weighted by prevalence",
    "no_finding_auroc": "AUROC of No Finding",
    "macro_average_precision": "AP, mean over findings",
    "macro_f1": "F1, mean over findings",
}
FINDINGS: Final = {
    "auroc": "AUROC",
    "average_precision": "AP",
    "f1": "F1",
    "precision": "precision",
    "recall": "recall",
    "specificity": "specificity",
}
FORECASTS: Final = {"": "as trained", "_platt": "calibrated"}


def mean_table(results: Results, backbone: str) -> Table:
    """Return the means beside those of the majority class."""
    numbers, floor = results.evaluate[backbone], results.baseline["test"]
    rows = [
        (label, scored(numbers, name, RANGE), format_number(floor.get(name)))
        for name, label in MEANS.items()
    ]
    caption = (
        f"Test, {count(numbers['images'])} images of {count(numbers['patients'])} patients; "
        f"{count(numbers['findings_scored'])} findings scored. AUROC on validation: "
        f"{format_number(numbers['validation_macro_auroc'])}."
    )
    header = ("measure", "value", "majority class")
    return Table(header, rows, results.source.label(caption))


def finding_table(results: Results, backbone: str) -> Table:
    """Return the scores by finding."""
    header = ("finding", "positives", "threshold", *FINDINGS.values(), "remark")
    rows = [
        (
            spaced(row["finding"]),
            count(row["positives"]),
            format_number(row["threshold"]),
            *(scored(row, measure, RANGE) for measure in FINDINGS),
            text(row.get("reason")),
        )
        for row in rows_of(results.of("findings", backbone))
    ]
    caption = results.source.label("Test.")
    return Table(header, rows, caption, column_classes=("remark",))


def difference_table(results: Results, backbone: str) -> Table:
    """Return the paired differences of macro AUROC from the other backbones, this one first."""
    table = results.tables["differences"]
    rows: list[Cells] = []
    for row in rows_of(table[table["measure"] == "macro_auroc"]):
        names = row["model_a"], row["model_b"]
        if backbone in names:
            (other,) = (name for name in names if name != backbone)
            sign = 1 if names[0] == backbone else -1
            low, high = sorted(sign * row[end] for end in ("low", "high"))
            turned = {"difference": sign * row["difference"], "low": low, "high": high}
            rows.append((f"{backbone} − {other}", _difference(turned, "difference", "low", "high")))
    caption = "Macro AUROC on test, the same resampled patients; * the interval excludes 0."
    nothing = [("there is no other backbone", MISSING)]
    return Table(("pair", "difference"), rows or nothing, results.source.label(caption))


def _difference(row: Row, *columns: str) -> str:
    """Return a difference and its interval in one line."""
    value, _, ends = difference(row, *columns).partition("\n")
    return f"{value} ({ends})" if ends else value


def gap_count(results: Results, backbone: str) -> str:
    """Return how many gaps between groups have an interval that excludes 0."""
    gaps = gaps_with_interval(results.of("gaps", backbone))
    if not gaps:
        return "No gap between groups has an interval: the groups are too small."
    return (
        f"Of {len(gaps)} gaps between groups (all measures, findings and crossings) "
        f"{len(largest(gaps))} have an interval that excludes 0; about {round(0.05 * len(gaps))} "
        "would by chance."
    )


def subgroup_table(results: Results, backbone: str) -> Table:
    """Return the scores of each group, means over findings, and the gap of AUROC to the others."""
    groups, gaps = (results.of(name, backbone) for name in ("subgroups", "gaps"))
    single = groups[(groups["finding"] == MACRO) & ~groups["attribute"].str.contains(CROSSED)]
    rows = []
    for row in rows_of(single):
        key = {name: row[name] for name in ("attribute", "group", "finding")}
        gap = _difference(first_row(gaps, key), *columns_of("auroc"))
        scores = (scored(row, measure, RANGE) for measure in ("auroc", "fpr", "fnr"))
        name = (
            row["group"]
            if row["attribute"] == row["group"]
            else f"{key['attribute']} {row['group']}"
        )
        rows.append((name, count(row["images"]), count(row["patients"]), *scores, gap))
    rates = "false positive rate", "false negative rate"
    header = ("group", "images", "patients", "AUROC", *rates, "AUROC minus that of the others")
    caption = (
        "Test, means over the findings that can be scored in the group; one threshold for all."
    )
    return Table(header, rows, results.source.label(caption))


def calibration_table(results: Results, backbone: str) -> Table:
    """Return ECE with its chance level and Brier score, as trained and calibrated."""
    kinds = FORECASTS.values()
    header = [c for kind in kinds for c in (f"ECE {kind}", "chance", f"Brier {kind}")]
    rows = [
        (spaced(row["finding"]), *(cell for kind in FORECASTS for cell in _calibration(row, kind)))
        for row in rows_of(results.of("findings", backbone))
    ]
    means = results.of("means", backbone)
    cells = []
    for kind in FORECASTS:
        ece, brier = (first_row(means, {"mean": f"{MACRO}_{m}{kind}"}) for m in ("ece", "brier"))
        cells += [_value(ece), format_number(ece.get("chance")), _value(brier)]
    caption = "Test; calibrated by Platt scaling, fitted on validation."
    return Table(("finding", *header), [*rows, ("mean", *cells)], results.source.label(caption))


def _calibration(row: Row, kind: str) -> Cells:
    ece, brier = (scored(row, f"{measure}{kind}", RANGE) for measure in ("ece", "brier"))
    return ece, format_number(row.get(f"ece{kind}_chance")), brier


def _value(row: Row) -> str:
    renamed = {
        "value": row.get("value"),
        "value_low": row.get("low"),
        "value_high": row.get("high"),
    }
    return scored(renamed, "value", RANGE)


def localization_table(results: Results, backbone: str) -> Table:
    """Return hits, pointing and energy of the network and of each control, means over findings."""
    means, pointing = pooled(results.of("controls", backbone)), results.of("pointing", backbone)
    means = means[(means["finding"] == MEAN) & (means["measure"] == "iobb")]
    rows = []
    for method in distinct(pointing, "method"):
        hits = [
            first_row(means, {"method": method, "overlap_threshold": limit}) for limit in (0.1, 0.5)
        ]
        mean = first_row(pointing, {"method": method, "finding": MEAN})
        rows.append(
            (
                CONTROLS.get(method, f"{method} of the network"),
                *(scored(hit, "accuracy", RANGE) for hit in hits),
                _difference(hits[0], *columns_of("difference")),
                scored(mean, "pointing", RANGE),
                _difference(mean, *columns_of("pointing_difference")),
            )
        )
    hits_at = "hit, IoBB > .1", "hit, IoBB > .5"
    header = ("heat from", *hits_at, "lead at .1", "pointing game", "lead in pointing")
    numbers: dict[str, Any] = results.localize[backbone]
    boxed = format_count(numbers["boxed_images"], MISSING)
    caption = (
        f"Test, {boxed} boxed images; boxes of all heat thresholds pooled; lead: of the network "
        "over this control."
    )
    return Table(header, rows, results.source.label(caption))


def sanity_check(results: Results, backbone: str) -> str:
    """Say how similar the heatmaps are to those of a network with random weights."""
    rows = rows_of(results.of("sanity_check", backbone))
    row = rows[-1] if rows else {}
    value = row.get("similarity")
    if value is None or is_missing(value):
        return f"There is no sanity check: {text(row.get('reason')) or 'no maps were compared'}."
    known = f"{scored(row, 'similarity', RANGE)} over {count(row['n_pairs'])} maps"
    verdict = (
        "below the limit"
        if not row.get("unchanged")
        else ("**flagged**: the maps hardly depend on what was learnt")
    )
    limit = format_number(row.get("similarity_threshold"), 2)
    return (
        "Sanity check (Adebayo et al. 2018): the rank correlation with heatmaps of random weights "
        f"is {known}, {verdict} (limit {limit})."
    )


def external_table(results: Results, backbone: str) -> Table | None:
    """Return the macro scores on each external set beside ours; None without such sets."""
    rows = []
    for name, external in results.external.items():
        gaps = external.tables["gap"]
        gaps = gaps[gaps["backbone"] == backbone]
        for measure, label in NAMES.items():
            ours, theirs, _ = gap_cells(gaps, measure, MACRO)
            row = first_row(gaps, {"measure": measure, "finding": MACRO})
            rows.append((name, label, _line(ours), _line(theirs), _difference(row, *GAP)))
    if not rows:
        return None
    header = ("set", "measure", "ours", "external", "external − ours")
    caption = "Means over the findings that both sides label; thresholds of our validation."
    return Table(header, rows, results.source.label(caption))


def _line(cell: str) -> str:
    """Return a cell of two lines in one."""
    value, _, ends = cell.partition("\n")
    return f"{value} ({ends})" if ends else value
