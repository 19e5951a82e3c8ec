"""Charts of localization: accuracy beside the control baselines, and the sanity check."""

from collections.abc import Sequence
from typing import Any, Final

import altair as alt

from cxr14.console import format_limit, is_missing
from cxr14.localization.overlap import MEAN
from cxr14.report import charts
from cxr14.report.charts import GAP, Rows, scored_row
from cxr14.report.elements import Chart, Choice, columns_of, distinct, rows_of, spaced
from cxr14.report.localization import CONTROLS, MEASURES, counts, pooled
from cxr14.report.score_charts import ALL, finding_choice
from cxr14.report.summary import Results

LIMIT: Final = 0.1
"""T(IoBB) of the charts that show one."""

LEADS: Final = {"overlap": f"Hit at IoBB > {format_limit(LIMIT)}", "pointing": "Pointing game"}


def n_pairs(results: Results) -> str:
    """Return the number of boxed images."""
    return f"{results.localize[results.best]['boxed_images']:,} boxed images"


def accuracy_lines(results: Results) -> Chart:
    """Return the share of hits by T of the chosen backbone and of the controls."""
    names = [results.best, *CONTROLS.values()]
    sources = {results.best: pooled(results.of("accuracy"))}
    controls = pooled(results.of("controls"))
    sources |= {label: controls[controls["method"] == key] for key, label in CONTROLS.items()}
    rows: Rows = [
        scored_row(
            spaced(row["finding"]),
            name,
            [row[column] for column in columns_of("accuracy")],
            limit=row["overlap_threshold"],
            measure=row["measure"],
            finding=ALL if row["finding"] == MEAN else row["finding"],
        )
        for name, table in sources.items()
        for row in rows_of(table.dropna(subset=["accuracy"]))
    ]
    choices = (
        Choice("measure", "Overlap", MEASURES),
        finding_choice(distinct_findings(rows)),
    )
    at = [r for r in rows if (r["limit"], r["measure"], r["finding"]) == (LIMIT, "iobb", ALL)]
    text = "; ".join(f"{row['line']} {row['text']}" for row in at)
    caption = (
        f"{results.best} and image-blind controls, {n_pairs(results)}; boxes of all heat "
        "thresholds pooled; 95 % intervals, patients resampled."
    )
    start = results.backbones.index(results.best)
    lines = _lines(rows, names, choices, start)
    return Chart(
        charts.specification(lines, names, choices, height=300),
        f"Share of boxed findings hit at IoBB > {format_limit(LIMIT)}: {text}",
        results.source.label(caption),
        choices,
        "Share of boxed findings hit",
        half=True,
    )


def distinct_findings(rows: Rows) -> list[str]:
    """Return the findings of some rows, each once."""
    return list(dict.fromkeys(row["finding"] for row in rows))


def _lines(rows: Rows, names: Sequence[str], choices: Sequence[Choice], start: int) -> Any:
    """Return lines of the share of hits by T: the network in its colour, controls in greys."""
    base = charts.filtered(alt.Chart(alt.InlineData(values=rows)), rows, choices).encode(
        x=alt.X("limit:Q", title="T: a hit overlaps by more", axis=alt.Axis(tickCount=5)),
        color=charts.lines_colour(names, legend=True, start=start, neutral=names[1:]),
        tooltip=[
            alt.Tooltip("line:N", title=" "),
            alt.Tooltip("limit:Q", title="T"),
            alt.Tooltip("text:N", title="share hit"),
        ],
    )
    unit, ticks = alt.Scale(domain=[0, 1]), alt.Axis(tickCount=6)
    share = alt.Y("value:Q", title="share hit", scale=unit, axis=ticks)
    return alt.layer(
        base.mark_line(strokeWidth=1.75).encode(y=share),
        base.mark_rule(strokeWidth=charts.INTERVAL["rule"]).encode(y="low:Q", y2="high:Q"),
        base.mark_point(filled=True, size=charts.INTERVAL["point"], opacity=1).encode(
            y=share, shape=charts.lines_shape(names, legend=True, start=start)
        ),
    )


def control_leads(results: Results) -> Chart:
    """Return the lead of every backbone over every control, with a menu of the measure."""
    rows: Rows = []
    for name in results.backbones:
        overlap = pooled(results.of("controls", name))
        overlap = overlap[(overlap["measure"] == "iobb") & (overlap["overlap_threshold"] == LIMIT)]
        tables = {
            ("overlap", "difference"): overlap,
            ("pointing", "pointing_difference"): results.of("pointing", name),
        }
        for (measure, column), table in tables.items():
            means = table[(table["finding"] == MEAN) & table["method"].isin(list(CONTROLS))]
            rows += [
                scored_row(
                    f"over {CONTROLS[row['method']]}",
                    name,
                    [row.get(end) for end in columns_of(column)],
                    GAP,
                    measure=measure,
                )
                for row in rows_of(means)
                if not is_missing(row.get(column))
            ]
    menu = Choice("measure", "Measure", LEADS)
    title = "lead over the control"
    spec = charts.dots(rows, results.backbones, title, choices=[menu], reference=0, step=16)
    best = [r for r in rows if (r["line"], r["measure"]) == (results.best, "overlap")]
    text = "; ".join(f"{row['row']} {row['text']}" for row in best)
    caption = f"Mean over findings, {n_pairs(results)}; paired, 95 % intervals."
    return Chart(
        spec,
        f"Lead of {results.best}: {text}",
        results.source.label(caption),
        (menu,),
        "Lead over the control baselines",
        half=True,
    )


def finding_hits(results: Results) -> Chart:
    """Return the share of hits by finding and backbone."""
    rows: Rows = []
    for name in results.backbones:
        table = pooled(results.of("accuracy", name))
        table = table[(table["measure"] == "iobb") & (table["overlap_threshold"] == LIMIT)]
        rows += [
            scored_row(
                spaced(row["finding"]), name, [row[column] for column in columns_of("accuracy")]
            )
            for row in rows_of(table)
        ]
    title = f"share hit at IoBB > {format_limit(LIMIT)}"
    spec = charts.dots(rows, results.backbones, title, step=7, domain=[0, 1])
    best = "; ".join(f"{r['row']} {r['text']}" for r in rows if r["line"] == results.best)
    listed = ", ".join(f"{spaced(k)} {n}" for k, n in counts(results).items() if n)
    caption = f"Boxes of all heat thresholds pooled; n (boxed images): {listed}."
    alt_text = f"Share of hits of {results.best}: {best}"
    return Chart(spec, alt_text, results.source.label(caption))


def sanity_dots(results: Results) -> Chart:
    """Return the similarity of heatmaps to those of random weights, by backbone."""
    table = results.tables["sanity_check"]
    layers = [randomized(name) for name in distinct(table, "randomized_layers")]
    rows = [
        scored_row(
            row["backbone"],
            randomized(row["randomized_layers"]),
            [row.get(column) for column in columns_of("similarity")],
        )
        for row in rows_of(table)
    ]
    limit = float(table["similarity_threshold"].iloc[0])
    title = "rank correlation with random weights"
    spec = charts.dots(rows, layers, title, reference=limit, step=14, legend=True)
    text = "; ".join(f"{row['row']}, {row['line']}: {row['text']}" for row in rows)
    images = f"n: {table['n_pairs'].iloc[0]:g} pairs of image and finding"
    return Chart(
        spec,
        f"Similarity of the heatmaps to those of random weights: {text}",
        results.source.label(
            f"{images} per network; 95 % intervals where there are any. Dashed: the limit of "
            f"{format_limit(limit)}, for the row of all weights: above it a network is flagged."
        ),
    )


def randomized(layers: str) -> str:
    """Name the layers with random weights of a row of sanity_check.csv."""
    return "all weights random" if layers == "network" else f"{layers} random"
