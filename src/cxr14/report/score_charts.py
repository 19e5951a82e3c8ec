"""Charts of test scores: backbones, findings, differences, curves, calibration, subgroups."""

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

import altair as alt
import pandas as pd

from cxr14.console import format_number, is_missing
from cxr14.evaluation.measures import CALIBRATION, MACRO
from cxr14.evaluation.subgroups import CROSSED
from cxr14.labels import CLASSES, NO_FINDING
from cxr14.report import charts
from cxr14.report.charts import GAP, RANGE, Rows, scored_row
from cxr14.report.elements import Chart, Choice, columns_of, distinct, rows_of, spaced
from cxr14.report.published import CLASSIFICATION, comparable, same_split
from cxr14.report.subgroups import MEASURES as GROUP_MEASURES
from cxr14.report.summary import Results, sample

ALL: Final = "mean"
"""Value of the menus of findings for the mean over findings."""

ORDERS: Final = {"score": "Best first", "count": "Most positives first", "list": "As in the paper"}
DISCRIMINATION: Final = {"auroc": "AUROC", "average_precision": "Average precision"}
OPERATING: Final = {
    "recall": "Recall (sensitivity)",
    "specificity": "Specificity",
    "precision": "Precision",
    "f1": "F1",
}
DIFFERENCES: Final = {
    "macro_auroc": "AUROC",
    "macro_average_precision": "Average precision",
    "macro_f1": "F1",
}


def finding_name(key: str) -> str:
    """Return the text of a finding, or of their mean, in a menu."""
    return "Mean of all findings" if key == ALL else spaced(key)


def finding_choice(keys: Sequence[str]) -> Choice:
    """Return a menu of the findings of a chart; the mean first."""
    known = [name for name in (ALL, *CLASSES) if name in keys]
    return Choice("finding", "Finding", {name: finding_name(name) for name in known})


def with_mean(table: pd.DataFrame) -> pd.DataFrame:
    """Return a table whose rows of the mean have the key of the menus."""
    return table.replace({"finding": {MACRO: ALL}})


def forest(results: Results) -> Chart:
    """Return the macro AUROC of every backbone on test, best first."""
    rows = [
        scored_row(name, name, [numbers.get(column) for column in columns_of("macro_auroc")])
        for name, numbers in results.evaluate.items()
    ]
    rows.sort(key=lambda row: -row.get("value", 0))
    low = min(row.get("low", row.get("value", 0.5)) for row in rows)
    spec = charts.dots(
        rows,
        results.backbones,
        "Macro AUROC on test; .5 is chance",
        domain=[min(0.5, low), 1],
        step=38,
        separate=False,
    )
    alt_text = f"Macro AUROC with 95 % interval: {_listed(rows)}."
    caption = f"{sample(results)}; 95 % intervals, patients resampled."
    return Chart(spec, alt_text, results.source.label(caption))


def _listed(rows: Rows) -> str:
    return "; ".join(f"{row['row']} {row['text']}" for row in rows)


def finding_dots(results: Results, measures: Mapping[str, str], what: str) -> Chart:
    """Return scores by finding and backbone, with menus of the score and of the order."""
    rows: Rows = []
    for measure in measures:
        best = results.of("findings").set_index("finding")[measure]
        for row in rows_of(results.tables["findings"]):
            name = row["finding"]
            values = [row[column] for column in columns_of(measure)]
            more: dict[str, Any] = {
                "measure": measure,
                "listed": CLASSES.index(name),
                "count": int(row["positives"]),
                "score": round(float(best.get(name, 0)), 4) if not is_missing(best[name]) else 0,
            }
            rows.append(scored_row(spaced(name), row["backbone"], values, **more))
    choices = Choice("measure", "Score", measures), Choice("order", "Order", ORDERS)
    rank = "order == 'score' ? -datum.score : order == 'count' ? -datum.count : datum.listed"
    step = max(5, 40 // max(len(results.backbones), 1))
    title = f"score on test; best first: by {results.best}"
    spec = charts.dots(rows, results.backbones, title, choices=choices, rank=rank, step=step)
    first = next(iter(measures))
    best_rows = [r for r in rows if r["measure"] == first and r["line"] == results.best]
    caption = results.source.label(f"Test split; {what}. {sample(results)}.")
    alt_text = f"{measures[first]} of {results.best} by finding: {_listed(best_rows)}"
    return Chart(spec, alt_text, caption, choices)


def difference_forest(results: Results) -> Chart:
    """Return the paired differences between backbones, with a menu of the score."""
    table = results.tables["differences"]
    known = distinct(table, "measure")
    menu = Choice("measure", "Score", {k: v for k, v in DIFFERENCES.items() if k in known})
    rows = [
        scored_row(
            f"{row['model_a']} − {row['model_b']}",
            "difference",
            [row[column] for column in ("difference", "low", "high")],
            GAP,
            measure=row["measure"],
        )
        for row in rows_of(table[table["measure"].isin(list(menu.options))])
    ]
    title = "difference; above 0 the first is better"
    spec = charts.dots(rows, ["difference"], title, choices=[menu], reference=0, step=22)
    first = next(iter(menu.options))
    text = _listed([row for row in rows if row["measure"] == first])
    caption = "Paired on the same resampled patients, 95 % intervals. n as in the table below."
    alt_text = f"Paired differences of {DIFFERENCES[first]}: {text}"
    return Chart(spec, alt_text, results.source.label(caption), (menu,))


def published_dots(results: Results) -> Chart:
    """Return the AUROC by finding of the chosen backbone beside published networks."""
    columns = comparable(results.source, CLASSIFICATION)
    names = [
        results.best,
        *(c.name if same_split(results.source, c) else f"{c.name} (other split)" for c in columns),
    ]
    rows: Rows = [
        scored_row(
            spaced(row["finding"]), results.best, [row[column] for column in columns_of("auroc")]
        )
        for row in rows_of(results.of("findings"))
        if row["finding"] in columns[0].auroc
    ]
    for name, column in zip(names[1:], columns, strict=True):
        rows += [
            scored_row(spaced(finding), name, [value, None, None])
            for finding, value in column.auroc.items()
        ]
    spec = charts.dots(rows, names, "AUROC on test", step=6, legend=True)
    ours = _listed([row for row in rows if row["line"] == results.best])
    caption = "Published values have no interval; those of another split are not comparable. n: "
    caption += "images and positives as in the table below."
    return Chart(spec, f"AUROC of {results.best}: {ours}", caption)


class Kind(NamedTuple):
    """A kind of curve: title, columns of both axes, how to read it, whether it has a diagonal."""

    title: str
    x: str
    y: str
    how: str
    diagonal: bool


KINDS: Final = {
    "roc": Kind(
        "ROC",
        "false_positive_rate",
        "true_positive_rate",
        "The further above the diagonal, the better. Mean of all findings: mean true positive rate "
        "of their curves at equal false positive rates; it has no threshold and no mark.",
        diagonal=True,
    ),
    "pr": Kind(
        "Precision and recall",
        "recall",
        "precision",
        "The further right and up, the better; dashed: prevalence, what chance reaches. Mean of "
        "all findings: mean precision of their curves at equal recalls, and mean prevalence; it "
        "has no threshold and no mark.",
        diagonal=False,
    ),
    "reliability": Kind(
        "Reliability, Platt scaled",
        "predicted",
        "observed",
        "On the diagonal probabilities equal observed frequencies; below it they are too high. "
        "Mean of all findings: all predictions pooled.",
        diagonal=True,
    ),
}


def curve_chart(results: Results, name: str) -> Chart:
    """Return ROC, precision-recall or reliability curves, with a menu of the finding.

    Args:
        results: of all backbones.
        name: key of KINDS.
    """
    kind, table = KINDS[name], with_mean(results.curves[name])
    rows = [
        {
            "line": row["backbone"],
            "finding": row["finding"],
            "x": round(float(row[kind.x]), 4),
            "y": round(float(row[kind.y]), 4),
        }
        for row in rows_of(table.dropna(subset=[kind.x, kind.y]))
    ]
    menu = finding_choice(distinct(table, "finding"))
    base = charts.filtered(alt.Chart(alt.InlineData(values=rows)), rows, [menu]).encode(
        x=charts.axis("x:Q", spaced(kind.x), [0, 1]),
        y=alt.Y("y:Q", title=spaced(kind.y), scale=UNIT, axis=alt.Axis(tickCount=6)),
        color=charts.lines_colour(results.backbones),
        tooltip=_point_tooltip(kind),
    )
    layers: list[alt.Chart] = [_diagonal() if kind.diagonal else _floor(results, menu)]
    layers.append(base.mark_line(strokeWidth=1.75, point=name == "reliability").encode(order="x:Q"))
    if name != "reliability":
        layers.append(_operating_points(results, kind, menu))
    return Chart(
        charts.specification(alt.layer(*layers), results.backbones, [menu], height=320),
        f"{kind.title} of every backbone: {spaced(kind.y)} by {spaced(kind.x)}.",
        results.source.label(f"{kind.how} {sample(results)}."),
        (menu,),
        kind.title,
        half=True,
    )


UNIT: Final = alt.Scale(domain=[0, 1])


def _point_tooltip(kind: Kind) -> list[alt.Tooltip]:
    return [
        alt.Tooltip("line:N", title=" "),
        alt.Tooltip("x:Q", title=spaced(kind.x), format=".3f"),
        alt.Tooltip("y:Q", title=spaced(kind.y), format=".3f"),
    ]


def _diagonal() -> alt.Chart:
    ends = [{"x": 0, "y": 0}, {"x": 1, "y": 1}]
    data = alt.Chart(alt.InlineData(values=ends))
    line = data.mark_line(stroke="var(--muted)", strokeDash=[3], strokeWidth=1)
    chart: alt.Chart = line.encode(x="x:Q", y="y:Q")
    return chart


def _floor(results: Results, menu: Choice) -> alt.Chart:
    """Return the prevalence of each finding, and their mean, as a horizontal line."""
    table = results.of("findings").dropna(subset=["prevalence"])
    scored = table[table["average_precision"].notna() & (table["finding"] != NO_FINDING)]
    floors = {row["finding"]: row["prevalence"] for row in rows_of(table)}
    if not scored.empty:
        floors[ALL] = scored["prevalence"].mean()
    rows: Rows = [{"finding": name, "y": round(float(y), 4)} for name, y in floors.items()]
    data = charts.filtered(alt.Chart(alt.InlineData(values=rows)), rows, [menu])
    line: alt.Chart = data.mark_rule(stroke="var(--muted)", strokeDash=[3]).encode(y="y:Q")
    return line


def _operating_points(results: Results, kind: Kind, menu: Choice) -> alt.Chart:
    """Return where each backbone is at its threshold."""
    rows: Rows = []
    for row in rows_of(results.tables["findings"]):
        at = {**row, "true_positive_rate": row["recall"]}
        at["false_positive_rate"] = 1 - row["specificity"]  # NaN remains NaN
        x, y = float(at[kind.x]), float(at[kind.y])
        if not is_missing(x) and not is_missing(y):
            point = {"line": row["backbone"], "finding": row["finding"]}
            point["threshold"] = format_number(row["threshold"])
            rows.append({**point, "x": round(x, 4), "y": round(y, 4)})
    data = charts.filtered(alt.Chart(alt.InlineData(values=rows)), rows, [menu])
    points: alt.Chart = data.mark_point(filled=True, size=90, opacity=1).encode(
        x="x:Q",
        y="y:Q",
        color=charts.lines_colour(results.backbones),
        shape=charts.lines_shape(results.backbones),
        tooltip=[*_point_tooltip(kind), alt.Tooltip("threshold:N")],
    )
    return points


ECE: Final = {
    "ece": "as trained",
    "ece_temperature": "one temperature",
    "ece_platt": "Platt scaling",
    "ece_platt_chance": "chance",
}


def calibration_dots(results: Results) -> Chart:
    """Return the calibration error of the chosen backbone by finding, beside its chance level."""
    rows = [
        scored_row(spaced(row["finding"]), label, [row.get(c) for c in columns_of(measure)])
        for row in rows_of(results.of("findings"))
        for measure, label in ECE.items()
        if not is_missing(row.get(measure))
    ]
    names, neutral = list(ECE.values()), [ECE["ece_platt_chance"]]
    title = f"ECE of {results.best} on test"
    spec = charts.dots(rows, names, title, step=9, legend=True, neutral=neutral, reference=0)
    platt = _listed([row for row in rows if row["line"] == ECE["ece_platt"]])
    caption = f"{results.best}; {sample(results)}; 95 % intervals, patients resampled."
    alt_text = f"Expected calibration error after Platt scaling by finding: {platt}"
    return Chart(spec, alt_text, results.source.label(caption))


def calibration_means(results: Results) -> Chart:
    """Return the mean calibration error of every backbone, beside its chance level."""
    rows: Rows = []
    for name in results.backbones:
        means = {row["mean"]: row for row in rows_of(results.of("means", name))}
        for measure, label in ECE.items():
            row = means.get(f"{MACRO}_{measure.removesuffix('_chance')}")
            if row and measure.endswith("_chance"):
                row = {"value": row.get("chance")}
            if row and not is_missing(row["value"]):
                rows.append(scored_row(name, label, [row.get(c) for c in ("value", "low", "high")]))
    names, neutral = list(ECE.values()), [ECE["ece_platt_chance"]]
    spec = charts.dots(
        rows, names, "mean ECE on test", step=13, legend=True, neutral=neutral, reference=0
    )
    caption = f"Mean over findings; {sample(results)}; 95 % intervals, patients resampled."
    platt = _listed([row for row in rows if row["line"] == ECE["ece_platt"]])
    return Chart(
        spec,
        f"Mean expected calibration error after Platt scaling: {platt}",
        results.source.label(caption),
        title="Calibration error of every backbone",
        half=True,
    )


def subgroup_dots(results: Results) -> Chart:
    """Return the scores by subgroup and backbone, with menus of the score and the finding."""
    table = with_mean(results.tables["subgroups"])
    table = table[~table["attribute"].str.contains(CROSSED)]
    rows: Rows = []
    findings = table[table["finding"] == ALL].set_index(["backbone", "group"])["findings"]
    for row in rows_of(table):
        label = _group_label(row, findings.get((row["backbone"], row["group"])))
        for measure in GROUP_MEASURES:
            values = [row.get(column) for column in columns_of(measure)]
            more = {"measure": measure, "finding": row["finding"]}
            form = GAP if measure == CALIBRATION else RANGE
            if not is_missing(values[0]):
                rows.append(scored_row(label, row["backbone"], values, form, **more))
    measures = {name: label[0].upper() + label[1:] for name, label in GROUP_MEASURES.items()}
    choices = (
        Choice("measure", "Score", measures),
        finding_choice(sorted({row["finding"] for row in rows})),
    )
    spec = charts.dots(
        rows,
        results.backbones,
        "score on test",
        choices=choices,
        reference={measure: 0.5 if measure == "auroc" else 0 for measure in measures},
        step=7,
    )
    first = [
        row
        for row in rows
        if (row["measure"], row["finding"], row["line"]) == ("auroc", ALL, results.best)
    ]
    caption = (
        "Groups of test images by sex, age and view, with the number of images and, in brackets, "
        "of the findings in their mean: means over few findings are not comparable with those over "
        "all, unlike the gaps in the tables, which are over the same findings. At the thresholds "
        "that all groups share; 95 % intervals, patients resampled. Dashed: 0, and chance (.5) for "
        "AUROC. Groups without a score are not drawn; the table names the reason."
    )
    text = f"AUROC of {results.best} by group: {_listed(first)}"
    return Chart(spec, text, results.source.label(caption), choices)


def _group_label(row: Mapping[str, Any], findings: float | None) -> str:
    group = {"F": "women", "M": "men", "all": "everyone"}.get(row["group"], row["group"])
    name = f"age {group}" if row["attribute"] == "age" else str(group)
    mean = "" if findings is None or is_missing(findings) else f" ({findings:g})"
    return f"{name}, n {row['images']:,}{mean}"


def external_dots(results: Results, name: str) -> Chart:
    """Return the AUROC of the chosen backbone on test and on an external set, by finding."""
    table = results.external[name].tables["gap"]
    table = table[(table["backbone"] == results.best) & (table["measure"] == "auroc")]
    names = ["our test split", name]
    rows: Rows = []
    for row in rows_of(table):
        label = "mean" if row["finding"] == MACRO else spaced(row["finding"])
        for line, side in zip(names, ("ours", "external"), strict=True):
            values = [row.get(column) for column in columns_of(side)]
            rows.append(scored_row(label, line, values))
    spec = charts.dots(rows, names, f"AUROC of {results.best}", step=12, legend=True)
    images = results.external[name].numbers[results.best]["images"]
    caption = f"{results.best}; {name}: {images:,} images; 95 % intervals, patients resampled."
    alt_text = f"AUROC on test and on {name}: {_listed(rows)}"
    return Chart(spec, alt_text, results.source.label(caption))
