"""Section of the page on labels read by radiologists."""

from typing import Final

from cxr14.evaluation.bootstrap import ENDS
from cxr14.report import markup
from cxr14.report.cells import count, difference, number, rows_of, scored, text
from cxr14.report.classification import noted
from cxr14.report.markup import Cells, Section
from cxr14.report.results import Results

HOW: Final = (
    "Labels mined from reports are often wrong; here the same images are scored against labels "
    "that radiologists agreed on and against the mined ones. The difference between the two, on "
    "the same resamples of patients, is what the labels make of the same answers; * marks a 95 % "
    "interval that leaves out 0."
)
HEADER: Final = (
    *("label", "from", "backbone", "images", "positives\nadjudicated", "positives\nmined"),
    *("AUROC\nadjudicated", "AUROC\nmined labels", "difference", "remark"),
)
COLUMNS: Final = ("", "remark", "text", *[""] * (len(HEADER) - 4), "remark")


def adjudicated_section(results: Results) -> Section:
    """AUROC against labels read by radiologists; on phantoms a sentence says why there is none."""
    rows = results.tables["adjudicated"]
    if rows.empty or results.phantom:
        reasons = sorted({text(reason) for reason in rows["reason"]} - {""})
        why = "; ".join(reasons) or "no image of the test part has such labels"
        part = markup.paragraph(f"No score here: {why}.")
    else:
        caption = (
            "Google's adjudicated labels of ChestX-ray14, on those of its test images that have "
            "pixels here; from: the findings that a label is made of. Positives: images, and "
            "below them their patients."
        )
        part = markup.table(HEADER, _body(results), noted(results, caption), columns=list(COLUMNS))
    return Section("adjudicated", "Labels read by radiologists", HOW, (part,))


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
            difference(*(number(row[f"difference{end}"]) for end in ENDS)),
            text(row["reason"]),
        )
        for row in rows_of(results.tables["adjudicated"])
    ]
