"""Sections of the page on the scores of the test part."""

from typing import Final

from cxr14.findings import CLASSES
from cxr14.report import markup
from cxr14.report.beside import own_split
from cxr14.report.cells import (
    count,
    difference,
    distinct,
    number,
    one,
    rows_of,
    scored,
    spaced,
    text,
)
from cxr14.report.markup import Section
from cxr14.report.results import Results
from cxr14.report.terminal import BASELINE, legend, ordered, sample
from cxr14.wording import NOT_TRAINED, PHANTOM_NOTE, shown

HEADLINES: Final = {
    "test_macro_auroc": "AUROC\nmacro",
    "test_micro_auroc": "AUROC\nmicro",
    "test_weighted_auroc": "AUROC\nweighted by prevalence",
    "test_macro_average_precision": "AP\nmacro",
    "test_macro_f1": "F1\nmacro",
    "test_no_finding_auroc": "AUROC\nNo Finding",
    "boxes_mean_accuracy_iobb_t10": "boxes hit\nIoBB > .1",
    "boxes_mean_accuracy_iobb_t50": "boxes hit\nIoBB > .5",
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


def noted(results: Results, caption: str) -> str:
    """Return a caption that says so if it stands below phantom figures."""
    return f"{caption} ({PHANTOM_NOTE})" if results.phantom else caption


def headline_section(results: Results) -> Section:
    """Every headline number of every backbone, with its interval."""
    header = ("model", "validation\nAUROC", *HEADLINES.values())
    body = [
        (
            f"{name} (chosen)" if name == results.best else name,
            shown(number(own.get("test_validation_macro_auroc"))),
            *(scored(own, measure) for measure in HEADLINES),
        )
        for name, own in ordered(results)
    ]
    kinds = ["control" if row[0] == BASELINE else "" for row in body]
    how = (
        "Each number is over the test part, which nothing was chosen on; the small range below it "
        "is its 95 % interval, by resampling patients. Two models whose intervals overlap may "
        "still differ: see the paired differences."
    )
    caption = noted(results, f"{sample(results)}. {legend(results)}")
    chosen = (
        f"The sections below that show one model show {results.best}: its macro AUROC on "
        "validation is the highest."
    )
    parts = (markup.table(header, body, caption, kinds), markup.paragraph(chosen))
    return Section("results", "Results", how, parts)


def finding_section(results: Results) -> Section:
    """Scores and calibration of each finding, and AUROC of every backbone."""
    how = (
        "AUROC does not depend on how common a finding is; average precision does: its floor is "
        "the prevalence beside it. F1, precision, recall and specificity are at the threshold of "
        "highest F1 on validation."
    )
    calibration_how = (
        "A Brier score and an expected calibration error (ECE) of 0 are best. Weighted losses "
        "shift log-odds, which Platt scaling per finding (fitted on validation) mends and one "
        "temperature cannot."
    )
    parts = (
        markup.subtitle(f"Scores of {results.best}"),
        _scores(results),
        markup.subtitle(f"Calibration of {results.best}"),
        markup.paragraph(calibration_how),
        _calibration(results),
        markup.subtitle("AUROC of every backbone"),
        _backbones(results),
    )
    return Section("findings", "Finding by finding", how, parts)


def _scores(results: Results) -> str:
    header = ("finding", "positives", "prevalence", *SCORES.values(), "AUROC\nDeLong", "remark")
    body = []
    for name in CLASSES:
        row = one(results.of("findings"), {"finding": name})
        if not row:
            body.append((spaced(name), NOT_TRAINED, *[""] * (len(header) - 2)))
            continue
        delong = [number(row.get(f"auroc_delong_{end}")) for end in ("low", "high")]
        body.append(
            (
                spaced(name),
                count(row["positives"]),
                shown(number(row["prevalence"])),
                *(scored(row, measure) for measure in SCORES),
                "–" if None in delong else "–".join(map(shown, delong)),
                text(row.get("reason")),
            )
        )
    caption = (
        f"{results.best}, {own_split(results)}. Intervals: 95 %, patients resampled; DeLong: a "
        "check on one image of each patient. A dash is a number that cannot be had; the remark "
        "says why."
    )
    columns = [""] * (len(header) - 1) + ["remark"]
    return markup.table(header, body, noted(results, caption), columns=columns)


def _calibration(results: Results) -> str:
    header = ("finding", "images", "positives", *CALIBRATION.values())
    body = [
        (
            spaced(row["finding"]),
            count(row["images"]),
            count(row["positives"]),
            *(shown(number(row.get(measure))) for measure in CALIBRATION),
        )
        for row in rows_of(results.of("findings"))
    ]
    caption = f"{results.best}; temperature and Platt scaling are fitted on validation."
    return markup.table(header, body, noted(results, caption))


def _backbones(results: Results) -> str:
    header = ("finding", "positives", *results.backbones)
    body = []
    for name in CLASSES:
        rows = [one(results.of("findings", b), {"finding": name}) for b in results.backbones]
        positives = next((count(row["positives"]) for row in rows if row), "–")
        areas = (scored(row, "auroc") if row else NOT_TRAINED for row in rows)
        body.append((spaced(name), positives, *areas))
    caption = f"AUROC on test, {own_split(results)}."
    return markup.table(header, body, noted(results, caption))


def difference_section(results: Results) -> Section:
    """Paired differences between backbones."""
    table = results.tables["differences"]
    measures = distinct(table, "measure")
    named = (COMPARED.get(name, spaced(name)) for name in measures)
    header = ("first − second", *named, "images", "patients")
    body = []
    for first, second in dict.fromkeys(zip(table["first"], table["second"], strict=True)):
        pair = {"first": first, "second": second}
        rows = [one(table, pair | {"measure": measure}) for measure in measures]
        cells = (difference(*(number(row.get(e)) for e in PAIRED)) for row in rows)
        known = next(row for row in rows if row)
        counts = count(known["images"]), count(known["patients"])
        body.append((f"{first} − {second}", *cells, *counts))
    how = (
        "Both models are scored on the same resampled patients, so what they share cancels out. "
        "A difference marked * has a 95 % interval that leaves out 0; of many pairs some do by "
        "chance."
    )
    caption = noted(results, "Test part, mean over findings; positive: the first is better.")
    nothing = markup.paragraph("One backbone has nothing to be compared with.")
    part = markup.table(header, body, caption) if body else nothing
    return Section("differences", "Paired differences", how, (part,))


PAIRED: Final = ("difference", "low", "high")
COMPARED: Final = {"macro_auroc": "AUROC\nmacro", "macro_average_precision": "AP\nmacro"}
