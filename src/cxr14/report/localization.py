"""Section of the page on boxes: accuracy, pointing, other backbones, checks."""

from typing import Final

from cxr14.evaluation.bootstrap import ENDS
from cxr14.localization.means import MEAN
from cxr14.report import markup
from cxr14.report.boxes import (
    CONTROLS,
    TEXTS,
    finding_cells,
    finding_header,
    pooled,
    wang_table,
)
from cxr14.report.cells import (
    count,
    difference,
    distinct,
    limit_text,
    number,
    one,
    rows_of,
    scored,
)
from cxr14.report.classification import noted
from cxr14.report.markup import Section
from cxr14.report.results import Results
from cxr14.wording import signed

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
        part = markup.paragraph("No image of these has a drawn box: there is nothing to score.")
        return Section("boxes", "Boxes", how, (part,))
    parts = [
        markup.subtitle(f"{results.best}: accuracy and false boxes at T(IoBB)"),
        wang_table(results, "iobb", ("accuracy", "afp")),
        markup.subtitle(f"{results.best}: accuracy at T(IoU)"),
        wang_table(results, "iou", ("accuracy",)),
        markup.subtitle("Ahead of the controls"),
        _ahead(results),
        markup.subtitle("Pointing game and energy"),
        _pointing(results),
        markup.subtitle("Heat thresholds apart"),
        _heats(results),
        markup.subtitle("Every backbone"),
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
    return markup.table(header, body, noted(results, caption), kinds, TEXTS[1:])


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
    return markup.table(header, body, noted(results, caption))


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
    return markup.table(("hit at", *CONTROLS.values()), body, noted(results, caption))


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
    return markup.table(header, body, noted(results, caption))


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
        markup.folded(title, markup.frame(rows.drop(columns=OWN, errors="ignore"), caption))
        for title, rows in tables.items()
    ]
