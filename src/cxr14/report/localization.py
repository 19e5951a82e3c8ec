"""Section of the page on boxes: accuracy, pointing, other backbones, checks."""

from typing import Final

from cxr14.report import markup
from cxr14.report.boxes import CONTROLS, MEAN, TEXTS, finding_cells, finding_header, wang_table
from cxr14.report.cells import distinct, limit_text, rows_of, scored
from cxr14.report.classification import noted
from cxr14.report.markup import Section
from cxr14.report.results import Results


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
    "crossfit_mean_accuracy_iobb_t10": "IoBB > .1\ncross-fitted threshold",
    "randomisation_similarity": "similarity\nrandom weights",
}


def _backbones(results: Results) -> str:
    header = ("backbone", "boxed images", "without pixels", *BACKBONES.values())
    body = [
        (
            name,
            str(own["boxed_images"]),
            str(own["boxed_images_without_pixels"]),
            *(scored(own, measure) for measure in BACKBONES),
        )
        for name, own in results.localize.items()
    ]
    own = results.localize[results.best]
    caption = (
        f"Means over {own['findings_scored']} findings, {own['boxed_pairs']} pairs of image and "
        "finding. Cross-fitted: the heat threshold chosen on one half of the boxed patients and "
        "scored on the other, so it may flatter no one. Similarity: of the heatmap with that of "
        "the same network with random weights; near 1 it shows the image, not what was learnt."
    )
    return markup.table(header, body, noted(results, caption))


def _checks(results: Results) -> list[str]:
    """Return the details of the cross-fit and of the randomisation, folded away."""
    caption = noted(results, f"{results.best}, as in metrics/localize/{results.best}.")
    return [
        markup.folded(f"{title}, in full", markup.frame(results.of(name), caption))
        for name, title in (
            ("crossfit", "Cross-fitted threshold"),
            ("randomisation", "Randomised weights"),
        )
        if len(results.of(name))
    ]
