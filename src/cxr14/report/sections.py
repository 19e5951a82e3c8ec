"""Report sections on test scores: classification, calibration, operating points, published.

Published results appear on real pixels only.
"""

from typing import Final

from cxr14.console import MISSING, NOT_TRAINED, format_number, is_missing
from cxr14.labels import CHESTXRAY8, CLASSES
from cxr14.report.elements import (
    Cells,
    Details,
    Part,
    Row,
    Section,
    Subtitle,
    Table,
    beside_chance,
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
from cxr14.report.published import (
    CHESTXRAY8_NETWORKS,
    CLASSIFICATION,
    auroc_header,
    auroc_rows,
    comparable,
    heading,
    same_split,
    split_summary,
    subset_note,
)
from cxr14.report.score_charts import (
    DISCRIMINATION,
    OPERATING,
    calibration_dots,
    calibration_means,
    curve_chart,
    difference_forest,
    finding_dots,
    published_dots,
)
from cxr14.report.sentences import floor
from cxr14.report.summary import BASELINE, Results, legend, ordered, sample

HEADLINES: Final = {
    "test_macro_auroc": "AUROC\nmacro",
    "test_micro_auroc": "AUROC\nmicro",
    "test_weighted_auroc": "AUROC\nweighted by prevalence",
    "test_macro_average_precision": "AP\nmacro",
    "test_macro_f1": "F1\nmacro",
    "test_no_finding_auroc": "AUROC\nNo Finding",
    "boxes_mean_accuracy_iobb_t10": "boxes hit\nIoBB > .1, pooled",
    "boxes_mean_accuracy_iobb_t50": "boxes hit\nIoBB > .5, pooled",
    "boxes_mean_false_boxes_iobb_t10": "false boxes\nper pair, IoBB > .1",
}
SCORES: Final = {
    "auroc": "AUROC",
    "average_precision": "AP",
    "f1": "F1",
    "precision": "precision",
    "recall": "recall",
    "specificity": "specificity",
}
CALIBRATION: Final = {
    "brier": "Brier\nas trained",
    "brier_temperature": "Brier\ntemperature",
    "brier_platt": "Brier\nPlatt",
    "ece": "ECE\nas trained",
    "ece_temperature": "ECE\ntemperature",
    "ece_platt": "ECE\nPlatt",
}


def classification_section(results: Results) -> Section:
    """Return the section of scores by backbone and finding, differences, published results."""
    how = (
        "AUROC does not depend on how common a finding is; average precision does: its floor is "
        "the prevalence. Two models whose intervals overlap may still differ: see the paired "
        "differences."
    )
    parts: list[Part] = [
        *filter(None, [floor(results)]),
        Subtitle("By finding"),
        finding_dots(results, DISCRIMINATION, "95 % intervals, patients resampled"),
        Details("Table: headline scores of every backbone", (headline_table(results),)),
        Details("Table: AUROC of every backbone by finding", (_backbones(results),)),
        Subtitle("Paired differences"),
        *difference_parts(results),
        *published_parts(results),
        Subtitle("Adjudicated labels"),
        *adjudicated_parts(results),
    ]
    return Section("classification", "Classification", how, parts)


def headline_table(results: Results) -> Table:
    """Lay out the headline scores by backbone, with intervals."""
    header = ("model", "validation\nAUROC", *HEADLINES.values())
    body = [
        (
            f"{name} (chosen)" if name == results.best else name,
            format_number(numbers.get("test_validation_macro_auroc")),
            *(scored(numbers, measure) for measure in HEADLINES),
        )
        for name, numbers in ordered(results)
    ]
    kinds = ["control" if row[0] == BASELINE else "" for row in body]
    caption = results.source.label(
        f"Test split, except the validation AUROC, by which the model was chosen. "
        f"{sample(results)}. {legend(results)}"
    )
    return Table(header, body, caption, kinds)


def calibration_section(results: Results) -> Section:
    """Return the section of calibration errors and reliability curves."""
    how = (
        "The expected calibration error (ECE) of a perfectly calibrated network is not 0 but the "
        "chance level, which is higher for fewer images; only the part above it is miscalibration. "
        "Weighted losses shift log-odds: Platt scaling per finding (fitted on validation) corrects "
        "this, a single temperature cannot."
    )
    parts = (
        curve_chart(results, "reliability"),
        calibration_means(results),
        Subtitle(f"Calibration error of {results.best} by finding"),
        calibration_dots(results),
        Details(f"Table: calibration of {results.best}", (_calibration(results),)),
    )
    return Section("calibration", "Calibration", how, parts)


def operating_section(results: Results) -> Section:
    """Return the section of scores at the thresholds, and of ROC and precision-recall curves."""
    how = (
        "F1, precision, recall and specificity are at the threshold of highest F1 on validation; "
        "their intervals take the threshold as given. In the curves a filled mark is where a "
        "backbone is at its threshold of a finding."
    )
    parts = (
        Subtitle("At the thresholds"),
        finding_dots(results, OPERATING, "at the thresholds of validation"),
        Details(f"Table: scores of {results.best}", (_scores(results),)),
        Subtitle("At every threshold"),
        curve_chart(results, "roc"),
        curve_chart(results, "pr"),
    )
    return Section("operating", "Operating points", how, parts)


def _scores(results: Results) -> Table:
    header = ("finding", "positives", "prevalence", *SCORES.values(), "AUROC\nDeLong", "remark")
    body = []
    for name in CLASSES:
        row = first_row(results.of("findings"), {"finding": name})
        if not row:
            body.append((spaced(name), NOT_TRAINED, *[""] * (len(header) - 2)))
            continue
        ends = [row.get(f"auroc_delong_{end}") for end in ("low", "high")]
        delong = MISSING if any(map(is_missing, ends)) else "–".join(map(format_number, ends))
        body.append(
            (
                spaced(name),
                count(row["positives"]),
                format_number(row["prevalence"]),
                *(scored(row, measure) for measure in SCORES),
                delong,
                text(row.get("reason")),
            )
        )
    caption = (
        f"{results.best}, {split_summary(results)}. Intervals: 95 %, patients resampled; DeLong: a "
        "check on one image of each patient. A dash is a missing value; the remark gives the "
        "reason."
    )
    columns = [""] * (len(header) - 1) + ["remark"]
    return Table(header, body, results.source.label(caption), column_classes=columns)


def _calibration(results: Results) -> Table:
    header = ("finding", "images", "positives", *CALIBRATION.values())
    body = [
        (
            spaced(row["finding"]),
            count(row["images"]),
            count(row["positives"]),
            *(_calibration_cell(row, measure) for measure in CALIBRATION),
        )
        for row in rows_of(results.of("findings"))
    ]
    caption = f"{results.best}; temperature and Platt scaling are fitted on validation."
    return Table(header, body, results.source.label(caption))


def _calibration_cell(row: Row, measure: str) -> str:
    if measure.startswith("ece"):
        return beside_chance(row, measure)
    return format_number(row.get(measure))


def _backbones(results: Results) -> Table:
    header = ("finding", "positives", *results.backbones)
    body = []
    for name in CLASSES:
        rows = [first_row(results.of("findings", b), {"finding": name}) for b in results.backbones]
        positives = next((count(row["positives"]) for row in rows if row), MISSING)
        body.append((spaced(name), positives, *_aurocs(results, name)))
    caption = f"AUROC on test, {split_summary(results)}."
    return Table(header, body, results.source.label(caption))


def _aurocs(results: Results, finding: str) -> Cells:
    """Return the AUROC of a finding by backbone."""
    rows = (first_row(results.of("findings", b), {"finding": finding}) for b in results.backbones)
    return tuple(scored(row, "auroc") if row else NOT_TRAINED for row in rows)


def difference_parts(results: Results) -> list[Part]:
    """Return chart and table of paired differences, or that there is one backbone alone."""
    table = results.tables["differences"]
    measures = distinct(table, "measure")
    headings = (COMPARED.get(name, spaced(name)) for name in measures)
    header = ("first − second", *headings, "images", "patients")
    body = []
    for first, second in dict.fromkeys(zip(table["model_a"], table["model_b"], strict=True)):
        pair = {"model_a": first, "model_b": second}
        rows = [first_row(table, pair | {"measure": measure}) for measure in measures]
        cells = (difference(row, *PAIRED) for row in rows)
        known = next(row for row in rows if row)
        counts = count(known["images"]), count(known["patients"])
        body.append((f"{first} − {second}", *cells, *counts))
    if not body:
        return ["There is only one backbone, so there is no difference."]
    caption = results.source.label(
        "Test split, mean over findings; positive: the first is better. Both models are scored on "
        "the same resampled patients, so shared variation cancels out. * marks a 95 % interval "
        "that excludes 0; among many pairs, some do by chance."
    )
    table_of_pairs = Table(header, body, caption)
    return [difference_forest(results), Details("Table: paired differences", (table_of_pairs,))]


PAIRED: Final = ("difference", "low", "high")
COMPARED: Final = {
    "macro_auroc": "AUROC\nmacro",
    "macro_average_precision": "AP\nmacro",
    "macro_f1": "F1\nmacro",
}


def published_parts(results: Results) -> list[Part]:
    """Return chart and tables of published results; none on phantoms."""
    if results.source.phantom:
        return []
    how = (
        "Only columns of the same split are comparable with ours; those marked OTHER SPLIT are on "
        "other images, and a random split is easier than the official one."
    )
    columns = comparable(results.source, CLASSIFICATION)
    marks = ["published" if same_split(results.source, c) else "other" for c in columns]
    body = auroc_rows(results)
    means = [""] * (len(body) - 1) + ["mean"]
    caption = (
        "AUROC; ours with its 95 % interval. Published means are over the findings that ours "
        f"could score. {subset_note(results)}"
    )
    table = Table(auroc_header(results), body, caption.strip(), means, ["", "", "", *marks])
    sources = [f"{column.name}: {column.source}" for column in columns]
    return [
        Subtitle("Published results"),
        how,
        published_dots(results),
        Details("Table: published results", (table,)),
        Details("Table: the eight findings of ChestX-ray8", (_chestxray8(results),)),
        Details("Sources", sources),
    ]


def _chestxray8(results: Results) -> Table:
    columns = comparable(results.source, CHESTXRAY8_NETWORKS)
    header = (
        "finding",
        *(f"{name} (ours)\n{split_summary(results)}" for name in results.backbones),
        *(heading(results.source, column) for column in columns),
    )
    body = [
        (
            spaced(name),
            *_aurocs(results, name),
            *(format_number(column.auroc[name]) for column in columns),
        )
        for name in CHESTXRAY8
    ]
    marks = ["", *[""] * len(results.backbones), *["other"] * len(columns)]
    caption = (
        f"AUROC. Columns marked OTHER SPLIT: {columns[0].source}, random 70/10/20 split; W-CEL and "
        "CEL: cross entropy with and without weights."
    )
    return Table(header, body, caption, column_classes=marks)


HOW: Final = (
    "Labels mined from reports are often wrong; here the same images are scored against labels "
    "that radiologists agreed on, and against the mined labels. The difference is the effect of "
    "the labels on the score of the same predictions, on the same resampled patients; * marks a "
    "95 % interval that excludes 0."
)
HEADER: Final = (
    *("label", "from", "backbone", "images", "positives\nadjudicated", "positives\nmined"),
    *("AUROC\nadjudicated", "AUROC\nmined labels", "difference", "remark"),
)
COLUMNS: Final = ("", "remark", "text", *[""] * (len(HEADER) - 4), "remark")


def adjudicated_parts(results: Results) -> list[Part]:
    """Return AUROC on adjudicated labels, or the reason why there is none."""
    rows = results.tables["adjudicated"]
    if rows.empty or results.source.phantom:
        reasons = sorted({text(reason) for reason in rows["reason"]} - {""})
        why = "; ".join(reasons) or "no test image has adjudicated labels"
        return [HOW, f"No score here: {why}."]
    caption = results.source.label(
        "Google's adjudicated labels of ChestX-ray14, on its test images that have pixels here; "
        "from: the findings that a label combines. Positives: images, and below them their "
        "patients."
    )
    table = Table(HEADER, _body(results), caption, column_classes=COLUMNS)
    return [HOW, Details("Table: adjudicated labels", (table,))]


def _body(results: Results) -> list[Cells]:
    return [
        (
            text(row["label"]),
            text(row["mapped_from"]),
            text(row["backbone"]),
            count(row["images"]),
            f"{count(row['positives'])}\n{count(row['patients_with'])}",
            f"{count(row['positives_mined'])}\n{count(row['patients_with_mined'])}",
            scored(row, "auroc_adjudicated"),
            scored(row, "auroc_mined"),
            difference(row, *columns_of("difference")),
            text(row["reason"]),
        )
        for row in rows_of(results.tables["adjudicated"])
    ]
