"""Report sections on test scores: headlines, findings, published results, curves.

Published results appear on real pixels only.
"""

from typing import Final

from cxr14.console import MISSING, NOT_TRAINED, format_number, is_missing
from cxr14.figures.curves import KINDS, draw_curves
from cxr14.labels import CHESTXRAY8, CLASSES
from cxr14.report.elements import (
    Cells,
    Details,
    Figure,
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
from cxr14.report.sentences import sentences
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


def headline_section(results: Results) -> Section:
    """Return the section of headline scores by backbone, with intervals."""
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
    how = (
        "Each number is on the test split, except the validation AUROC, by which the model was "
        "chosen; the small range below it is its 95 % interval (patients resampled). Two models "
        "whose intervals overlap may still differ: see the paired differences."
    )
    caption = results.source.label(f"{sample(results)}. {legend(results)}")
    chosen = (
        f"Sections on a single model show {results.best}, which has the highest macro AUROC on "
        "validation."
    )
    parts: list[Part] = [*sentences(results), Table(header, body, caption, kinds), chosen]
    return Section("results", "Results", how, parts)


def finding_section(results: Results) -> Section:
    """Return the section of scores and calibration by finding, and AUROC by backbone."""
    how = (
        "AUROC does not depend on how common a finding is; average precision does: its floor is "
        "the prevalence beside it. F1, precision, recall and specificity are at the threshold of "
        "highest F1 on validation; their intervals take the threshold as given."
    )
    calibration_how = (
        "A Brier score of 0 is best. The expected calibration error (ECE) of a perfectly "
        "calibrated network is not 0 but the chance level below it, which is higher for fewer "
        "images; only the part above it is miscalibration. Weighted losses "
        "shift log-odds; Platt scaling per finding (fitted on validation) corrects this, a single "
        "temperature cannot."
    )
    parts = (
        Subtitle(f"Scores of {results.best}"),
        _scores(results),
        Subtitle(f"Calibration of {results.best}"),
        calibration_how,
        _calibration(results),
        Subtitle("AUROC of every backbone"),
        _backbones(results),
    )
    return Section("findings", "Finding by finding", how, parts)


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


def difference_section(results: Results) -> Section:
    """Return the section of paired differences between backbones."""
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
    how = (
        "Both models are scored on the same resampled patients, so shared variation cancels out. "
        "A difference marked * has a 95 % interval that excludes 0; among many pairs, some do by "
        "chance."
    )
    caption = results.source.label("Test split, mean over findings; positive: the first is better.")
    nothing = "There is only one backbone, so there is no difference."
    part = Table(header, body, caption) if body else nothing
    return Section("differences", "Paired differences", how, (part,))


PAIRED: Final = ("difference", "low", "high")
COMPARED: Final = {
    "macro_auroc": "AUROC\nmacro",
    "macro_average_precision": "AP\nmacro",
    "macro_f1": "F1\nmacro",
}


def published_section(results: Results) -> Section | None:
    """Return the section that compares with published results; None on phantoms."""
    if results.source.phantom:
        return None
    how = (
        "Only columns of the same split are comparable with ours; those marked OTHER SPLIT are on "
        "other images, and a random split is easier than the official one. The sources are "
        "listed at the end of the section."
    )
    columns = comparable(results.source, CLASSIFICATION)
    marks = ["published" if same_split(results.source, c) else "other" for c in columns]
    body = auroc_rows(results)
    means = [""] * (len(body) - 1) + ["mean"]
    caption = (
        "AUROC; ours with its 95 % interval. Published means are over the findings that ours "
        f"could score. {subset_note(results)}"
    )
    sources = [f"{column.name}: {column.source}" for column in columns]
    parts = (
        Table(auroc_header(results), body, caption.strip(), means, ["", "", "", *marks]),
        Subtitle("The eight findings of ChestX-ray8"),
        _chestxray8(results),
        Details("Sources", sources),
    )
    return Section("published", "Comparison with published results", how, parts)


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


def adjudicated_section(results: Results) -> Section:
    """Return the section of AUROC on adjudicated labels, or of the reason why there is none."""
    title, rows = "Adjudicated labels", results.tables["adjudicated"]
    if rows.empty or results.source.phantom:
        reasons = sorted({text(reason) for reason in rows["reason"]} - {""})
        why = "; ".join(reasons) or "no test image has adjudicated labels"
        return Section("adjudicated", title, HOW, (f"No score here: {why}.",))
    caption = results.source.label(
        "Google's adjudicated labels of ChestX-ray14, on its test images that have pixels here; "
        "from: the findings that a label combines. Positives: images, and below them their "
        "patients."
    )
    table = Table(HEADER, _body(results), caption, column_classes=COLUMNS)
    return Section("adjudicated", title, HOW, (table,))


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


def curve_section(results: Results) -> Section:
    """Return the section of ROC, precision-recall and reliability curves by finding."""
    how = (
        "ROC: the further above the diagonal, the better; precision and recall: the further right "
        "and up, and the dashed line is the prevalence. Reliability: on the diagonal probabilities "
        "equal observed frequencies; below it they are too high."
    )
    n = (
        "n: positives of the finding. All findings: the mean of their curves; for reliability all "
        "predictions pooled."
    )
    findings = results.of("findings")
    images, source = results.evaluate[results.best]["images"], results.source
    figures = [
        Figure(
            draw_curves(name, results.curves[name], findings, images, source),
            f"{kind.title} by finding",
            source.label(f"{kind.title} on test; {n}"),
        )
        for name, kind in KINDS.items()
    ]
    return Section("curves", "Curves", how, figures)
