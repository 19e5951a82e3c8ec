"""Tables of a model card: the scores of one network, each with its interval."""

from collections.abc import Mapping
from typing import Any, Final

from cxr14.console import MISSING, format_count, format_number, is_missing
from cxr14.evaluation.measures import MACRO
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
from cxr14.report.external import GAP, NAMES
from cxr14.report.localization import CONTROLS, is_flagged, pooled
from cxr14.report.subgroups import clearest, gaps_with_interval, single, with_reference
from cxr14.report.summary import Results

RANGE: Final = "{} ({}–{})"
PAIRED: Final = "{0}{3} ({1} to {2})"
"""Forms of scores and differences with their intervals in one line."""

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


def finding_table(results: Results, backbone: str, thresholds: Mapping[str, float]) -> Table:
    """Return the scores by finding.

    Args:
        results: of all backbones.
        backbone: its name.
        thresholds: on the scale of calibrated probabilities, by finding.
    """
    header = ("finding", "positives", "calibrated threshold", *FINDINGS.values(), "remark")
    rows = [
        (
            spaced(row["finding"]),
            count(row["positives"]),
            format_number(thresholds.get(row["finding"])),
            *(scored(row, measure, RANGE) for measure in FINDINGS),
            text(row.get("reason")),
        )
        for row in rows_of(results.of("findings", backbone))
    ]
    caption = results.source.label(
        "Test. A finding is called where its calibrated probability is at or above the calibrated "
        "threshold: that of highest F1 on validation, by the same Platt scaling."
    )
    return Table(header, rows, caption, column_classes=_remark_last(header))


def difference_table(results: Results, backbone: str) -> Table:
    """Return the paired differences of macro AUROC from the other backbones, this one first."""
    table = results.tables["differences"]
    rows: list[Cells] = []
    for row in rows_of(table[table["measure"] == "macro_auroc"]):
        names = row["model_a"], row["model_b"]
        if backbone in names:
            (second,) = (name for name in names if name != backbone)
            sign = 1 if names[0] == backbone else -1
            low, high = sorted(sign * row[end] for end in ("low", "high"))
            turned = {"difference": sign * row["difference"], "low": low, "high": high}
            cell = difference(turned, "difference", "low", "high", form=PAIRED)
            rows.append((f"{backbone} − {second}", cell))
    caption = "Macro AUROC on test, the same resampled patients; * the interval excludes 0."
    nothing = [("there is no other backbone", MISSING)]
    return Table(("pair", "difference"), rows or nothing, results.source.label(caption))


def gap_count(results: Results, backbone: str) -> str:
    """Return how many gaps between groups have an interval that excludes 0."""
    gaps = gaps_with_interval(results.of("gaps", backbone))
    if not gaps:
        return "No gap between groups has an interval: the groups are too small."
    return (
        f"Of {len(gaps)} gaps between groups (all measures, findings and crossings) "
        f"{len(clearest(gaps))} have an interval that excludes 0; about {round(0.05 * len(gaps))} "
        "would by chance."
    )


def subgroup_table(results: Results, backbone: str) -> Table:
    """Return the scores of each group, means over findings, and the gap of AUROC to the others."""
    groups, gaps = (single(results.of(name, backbone)) for name in ("subgroups", "gaps"))
    rows = []
    for row, gap in with_reference(groups, gaps):
        attribute, group = row["attribute"], row["group"]
        rows.append(
            (
                group if attribute == group else f"{attribute} {group}",
                *(count(row[name]) for name in ("images", "patients", "findings")),
                *(scored(row, measure, RANGE) for measure in ("auroc", "fpr", "fnr")),
                gap if isinstance(gap, str) else difference(gap, *columns_of("auroc"), form=PAIRED),
                text(row.get("reason")),
            )
        )
    rates = "false positive rate", "false negative rate"
    header = (
        *("group", "images", "patients", "findings", "AUROC", *rates),
        *("AUROC minus that of the others", "remark"),
    )
    caption = (
        "Test; one threshold for all. Scores are means over the findings that can be scored in the "
        "group: means over few findings are not comparable with those over all. The last "
        "difference is over the findings that can be scored on both sides."
    )
    return Table(header, rows, results.source.label(caption), column_classes=_remark_last(header))


def _remark_last(header: Cells) -> Cells:
    return (*[""] * (len(header) - 1), "remark")


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


def localization_table(results: Results, backbone: str) -> Table | None:
    """Return hits and pointing of the network and of each control; None without boxes."""
    numbers: dict[str, Any] = results.localize[backbone]
    if not numbers["boxed_images"]:
        return None
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
                difference(hits[0], *columns_of("difference"), form=PAIRED),
                scored(mean, "pointing", RANGE),
                difference(mean, *columns_of("pointing_difference"), form=PAIRED),
            )
        )
    hits_at = "hit, IoBB > .1", "hit, IoBB > .5"
    header = ("heat from", *hits_at, "lead at .1", "pointing game", "lead in pointing")
    boxed = format_count(numbers["boxed_images"], MISSING)
    caption = (
        f"Test, {boxed} boxed images; boxes of all heat thresholds pooled; lead: of the network "
        "over this control."
    )
    return Table(header, rows, results.source.label(caption))


def sanity_check(results: Results, backbone: str) -> str:
    """Say how similar the heatmaps are to those of the network with all weights random."""
    rows = rows_of(results.of("sanity_check", backbone))
    row = rows[-1] if rows else {}
    value = row.get("similarity")
    if value is None or is_missing(value):
        return f"There is no sanity check: {text(row.get('reason')) or 'no maps were compared'}."
    known = f"{scored(row, 'similarity', RANGE)} over {count(row['n_pairs'])} maps"
    verdict = (
        "**flagged**: the maps depend in part on the image alone"
        if is_flagged(results, backbone)
        else "below the limit"
    )
    limit = format_number(row.get("similarity_threshold"), 2)
    return (
        "Sanity check (Adebayo et al. 2018): the rank correlation with the heatmaps of the network "
        f"with all weights random is {known}, {verdict} (limit {limit})."
    )


def external_table(results: Results, backbone: str) -> Table | None:
    """Return the macro scores on each external set beside ours; None without such sets."""
    rows = []
    for name, external in results.external.items():
        gaps = external.tables["gap"]
        gaps = gaps[gaps["backbone"] == backbone]
        for measure, label in NAMES.items():
            row = first_row(gaps, {"measure": measure, "finding": MACRO})
            sides = (scored(row, side, RANGE) for side in ("ours", "external"))
            rows.append((name, label, *sides, difference(row, *GAP, form=PAIRED)))
    if not rows:
        return None
    header = ("set", "measure", "ours", "external", "external − ours")
    caption = "Means over the findings that both sides label; thresholds of our validation."
    return Table(header, rows, results.source.label(caption))
