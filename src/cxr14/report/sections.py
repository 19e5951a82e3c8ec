"""Report sections on test scores: headlines, findings, published results, curves.

Published results appear on real pixels only.
"""

from io import BytesIO
from typing import Any, Final, NamedTuple

import pandas as pd
from matplotlib import style
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from cxr14.console import NOT_TRAINED, format_number
from cxr14.evaluation.measures import MACRO
from cxr14.labels import CHESTXRAY8, CLASSES
from cxr14.metrics.bootstrap import ENDS
from cxr14.report import html
from cxr14.report.html import (
    Cells,
    Section,
    count,
    difference,
    distinct,
    first_row,
    number,
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
from cxr14.report.summary import Results
from cxr14.report.summary_tables import BASELINE, legend, ordered, sample

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


def headline_section(results: Results) -> Section:
    """Return the section of headline scores by backbone, with intervals."""
    header = ("model", "validation\nAUROC", *HEADLINES.values())
    body = [
        (
            f"{name} (chosen)" if name == results.best else name,
            format_number(number(numbers.get("test_validation_macro_auroc"))),
            *(scored(numbers, measure) for measure in HEADLINES),
        )
        for name, numbers in ordered(results)
    ]
    kinds = ["control" if row[0] == BASELINE else "" for row in body]
    how = (
        "Each number is over the test part, which nothing was chosen on; the small range below it "
        "is its 95 % interval, by resampling patients. Two models whose intervals overlap may "
        "still differ: see the paired differences."
    )
    caption = results.source.label(f"{sample(results)}. {legend(results)}")
    chosen = (
        f"The sections below that show one model show {results.best}: its macro AUROC on "
        "validation is the highest."
    )
    parts = (html.table(header, body, caption, kinds), html.paragraph(chosen))
    return Section("results", "Results", how, parts)


def finding_section(results: Results) -> Section:
    """Return the section of scores and calibration by finding, and AUROC by backbone."""
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
        html.subtitle(f"Scores of {results.best}"),
        _scores(results),
        html.subtitle(f"Calibration of {results.best}"),
        html.paragraph(calibration_how),
        _calibration(results),
        html.subtitle("AUROC of every backbone"),
        _backbones(results),
    )
    return Section("findings", "Finding by finding", how, parts)


def _scores(results: Results) -> str:
    header = ("finding", "positives", "prevalence", *SCORES.values(), "AUROC\nDeLong", "remark")
    body = []
    for name in CLASSES:
        row = first_row(results.of("findings"), {"finding": name})
        if not row:
            body.append((spaced(name), NOT_TRAINED, *[""] * (len(header) - 2)))
            continue
        delong = [number(row.get(f"auroc_delong_{end}")) for end in ("low", "high")]
        body.append(
            (
                spaced(name),
                count(row["positives"]),
                format_number(number(row["prevalence"])),
                *(scored(row, measure) for measure in SCORES),
                "–" if None in delong else "–".join(map(format_number, delong)),
                text(row.get("reason")),
            )
        )
    caption = (
        f"{results.best}, {split_summary(results)}. Intervals: 95 %, patients resampled; DeLong: a "
        "check on one image of each patient. A dash is a number that cannot be had; the remark "
        "says why."
    )
    columns = [""] * (len(header) - 1) + ["remark"]
    return html.table(header, body, results.source.label(caption), columns=columns)


def _calibration(results: Results) -> str:
    header = ("finding", "images", "positives", *CALIBRATION.values())
    body = [
        (
            spaced(row["finding"]),
            count(row["images"]),
            count(row["positives"]),
            *(format_number(number(row.get(measure))) for measure in CALIBRATION),
        )
        for row in rows_of(results.of("findings"))
    ]
    caption = f"{results.best}; temperature and Platt scaling are fitted on validation."
    return html.table(header, body, results.source.label(caption))


def _backbones(results: Results) -> str:
    header = ("finding", "positives", *results.backbones)
    body = []
    for name in CLASSES:
        rows = [first_row(results.of("findings", b), {"finding": name}) for b in results.backbones]
        positives = next((count(row["positives"]) for row in rows if row), "–")
        areas = (scored(row, "auroc") if row else NOT_TRAINED for row in rows)
        body.append((spaced(name), positives, *areas))
    caption = f"AUROC on test, {split_summary(results)}."
    return html.table(header, body, results.source.label(caption))


def difference_section(results: Results) -> Section:
    """Return the section of paired differences between backbones."""
    table = results.tables["differences"]
    measures = distinct(table, "measure")
    headings = (COMPARED.get(name, spaced(name)) for name in measures)
    header = ("first − second", *headings, "images", "patients")
    body = []
    for first, second in dict.fromkeys(zip(table["first"], table["second"], strict=True)):
        pair = {"first": first, "second": second}
        rows = [first_row(table, pair | {"measure": measure}) for measure in measures]
        cells = (difference(*(number(row.get(e)) for e in PAIRED)) for row in rows)
        known = next(row for row in rows if row)
        counts = count(known["images"]), count(known["patients"])
        body.append((f"{first} − {second}", *cells, *counts))
    how = (
        "Both models are scored on the same resampled patients, so what they share cancels out. "
        "A difference marked * has a 95 % interval that leaves out 0; of many pairs some do by "
        "chance."
    )
    caption = results.source.label("Test part, mean over findings; positive: the first is better.")
    nothing = html.paragraph("One backbone has nothing to be compared with.")
    part = html.table(header, body, caption) if body else nothing
    return Section("differences", "Paired differences", how, (part,))


PAIRED: Final = ("difference", "low", "high")
COMPARED: Final = {"macro_auroc": "AUROC\nmacro", "macro_average_precision": "AP\nmacro"}


def published_section(results: Results) -> Section | None:
    """Return the section that compares with published results; None on phantoms."""
    if results.source.phantom:
        return None
    how = (
        "Only columns of the same split can be held against ours; those marked OTHER SPLIT are "
        "over other images, and a random split is easier than the official one. The sources are "
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
        html.table(auroc_header(results), body, caption.strip(), means, ["", "", "", *marks]),
        html.subtitle("The eight findings of ChestX-ray8"),
        _chestxray8(results),
        html.folded("Sources", *map(html.paragraph, sources)),
    )
    return Section("published", "Beside published figures", how, parts)


def _chestxray8(results: Results) -> str:
    columns = comparable(results.source, CHESTXRAY8_NETWORKS)
    header = (
        "finding",
        *(f"{name} (ours)\n{split_summary(results)}" for name in results.backbones),
        *(heading(results.source, column) for column in columns),
    )
    body = []
    for name in CHESTXRAY8:
        rows = [first_row(results.of("findings", b), {"finding": name}) for b in results.backbones]
        areas = (scored(row, "auroc") if row else NOT_TRAINED for row in rows)
        body.append(
            (spaced(name), *areas, *(format_number(column.auroc[name]) for column in columns))
        )
    marks = ["", *[""] * len(results.backbones), *["other"] * len(columns)]
    caption = (
        f"AUROC. Columns marked OTHER SPLIT: {columns[0].source}, random 70/10/20 split; W-CEL and "
        "CEL: cross entropy with and without weights."
    )
    return html.table(header, body, caption, columns=marks)


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
    """Return the section of AUROC on adjudicated labels, or of the reason why there is none."""
    rows = results.tables["adjudicated"]
    if rows.empty or results.source.phantom:
        reasons = sorted({text(reason) for reason in rows["reason"]} - {""})
        why = "; ".join(reasons) or "no image of the test part has such labels"
        part = html.paragraph(f"No score here: {why}.")
    else:
        caption = (
            "Google's adjudicated labels of ChestX-ray14, on those of its test images that have "
            "pixels here; from: the findings that a label is made of. Positives: images, and "
            "below them their patients."
        )
        part = html.table(
            HEADER, _body(results), results.source.label(caption), columns=list(COLUMNS)
        )
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


# Okabe and Ito (2008), safe for colour-blind readers; the same as in the subgroup figure.
COLOURS: Final = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#222222")
DASHES: Final = ("-", "--", ":")
ACROSS, DPI = 4, 120
STYLE: Final[dict[str, Any]] = {"font.size": 7, "axes.linewidth": 0.6, "text.parse_math": False}


class Kind(NamedTuple):
    """A kind of curve: title, columns of both axes, whether to draw the diagonal."""

    title: str
    x: str
    y: str
    diagonal: bool


KINDS: Final = {
    "roc": Kind("ROC", "false_positive_rate", "true_positive_rate", diagonal=True),
    "pr": Kind("Precision and recall", "recall", "precision", diagonal=False),
    "reliability": Kind("Reliability, Platt scaled", "predicted", "observed", diagonal=True),
}


def curve_section(results: Results) -> Section:
    """Return the section of ROC, precision-recall and reliability curves by finding."""
    how = (
        "ROC: the further above the diagonal, the better; precision and recall: the further right "
        "and up, and the dashed line is the prevalence. Reliability: on the diagonal a probability "
        "means what it says; below it the model is too sure."
    )
    n = (
        "n: positives of the finding. All findings: the mean of their curves; of reliability all "
        "answers together."
    )
    parts = [
        html.embedded(
            draw(results, name),
            f"{kind.title} by finding",
            results.source.label(f"{kind.title} on test; {n}"),
        )
        for name, kind in KINDS.items()
    ]
    return Section("curves", "Curves", how, tuple(parts))


def draw(results: Results, name: str) -> bytes:
    """Return a PNG of one kind of curve, a panel per finding; equal results give equal bytes."""
    table = results.curves[name]
    known = set(table["finding"])
    findings = [finding for finding in (MACRO, *CLASSES) if finding in known]
    down = max(1, -(-len(findings) // ACROSS))
    height = 1.75 * down + (1.1 if results.source.phantom else 0.9)
    with style.context(["default", STYLE]):
        figure = Figure(figsize=(8.6, height), dpi=DPI)
        top = 1 - (0.6 if results.source.phantom else 0.4) / height
        edges = {"left": 0.035, "right": 0.99, "bottom": 0.5 / height, "top": top}
        figure.subplots_adjust(**edges, wspace=0.22, hspace=0.32)
        panels = figure.subplots(down, ACROSS, squeeze=False).ravel()
        for axes, finding in zip(panels, findings, strict=False):
            _panel(axes, results, table[table["finding"] == finding], name, finding)
        for axes in panels[len(findings) :]:
            axes.set_axis_off()
        _frame(figure, results, KINDS[name], panels[0])
        png = BytesIO()
        figure.savefig(png, format="png", metadata={"Software": None})
    return png.getvalue()


def _panel(axes: Axes, results: Results, rows: pd.DataFrame, name: str, finding: str) -> None:
    kind = KINDS[name]
    row = first_row(results.of("findings"), {"finding": finding})
    if kind.diagonal:
        axes.plot([0, 1], [0, 1], color="#b0b0b0", linewidth=0.6)
    elif row:
        axes.axhline(float(row["prevalence"]), color="#808080", linewidth=0.6, linestyle="--")
    for index, backbone in enumerate(results.backbones):
        curve = rows[rows["backbone"] == backbone]
        axes.plot(
            curve[kind.x],
            curve[kind.y],
            color=COLOURS[index % len(COLOURS)],
            linestyle=DASHES[index // len(COLOURS) % len(DASHES)],
            linewidth=0.9,
            marker="." if name == "reliability" else "",
            markersize=3,
            label=backbone,
        )
    images = results.evaluate[results.best]["images"]
    n = f"{images:,} images" if finding == MACRO else count(row.get("positives"))
    title = "all findings" if finding == MACRO else spaced(finding)
    axes.set_title(f"{title}, n {n}", fontsize=7.5, pad=3)
    axes.set(xlim=(0, 1), ylim=(0, 1.01), xticks=(0, 0.5, 1), yticks=(0, 0.5, 1))
    axes.tick_params(length=2, width=0.5, pad=1.5)


def _frame(figure: Figure, results: Results, kind: Kind, first: Axes) -> None:
    title = f"{kind.title}: {spaced(kind.y)} by {spaced(kind.x)}"
    figure.suptitle(results.source.label(title, "{}\n{}"), fontsize=8.5, y=0.995)
    handles, labels = first.get_legend_handles_labels()
    figure.legend(handles, labels, loc="lower center", ncols=8, fontsize=7.5, frameon=False)
