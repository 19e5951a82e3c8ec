"""Charts and tables of the images: prevalence by split, ages and sexes, label pairs."""

from typing import Any, Final

import altair as alt

from cxr14.console import format_count, format_number
from cxr14.datasets.records import SPLITS, Source
from cxr14.labels import CLASSES, FINDINGS
from cxr14.report import charts
from cxr14.report.charts import Rows, scored_row
from cxr14.report.cohort import (
    Cohort,
    age_pyramid,
    cooccurrence,
    prevalence,
    without_age_or_sex,
)
from cxr14.report.elements import Chart, Choice, Table, rows_of, spaced

SEX_NAMES: Final = {"F": "women", "M": "men"}


def sizes(cohort: Cohort) -> str:
    """Return the numbers of images and patients of every split."""
    parts = (f"{name} {n:,} images of {p:,} patients" for name, (n, p) in _sizes(cohort))
    return f"n: {'; '.join(parts)}"


def _sizes(cohort: Cohort) -> list[tuple[str, tuple[int, int]]]:
    return [(name, cohort.size(name)) for name in SPLITS]


def prevalence_dots(cohort: Cohort, source: Source) -> Chart:
    """Return the share of positives of every class by split."""
    table = prevalence(cohort).dropna(subset=["share"])
    rows: Rows = [
        {
            **scored_row(spaced(row["finding"]), row["split"], [row["share"], None, None]),
            "text": f"{format_number(row['share'])} ({row['positives']:,} of {row['known']:,})",
        }
        for row in rows_of(table)
    ]
    highest = max([row["value"] for row in rows], default=1)
    domain = [0, 1.05 * highest]
    spec = charts.dots(rows, list(SPLITS), "share of images", step=7, legend=True, domain=domain)
    test = "; ".join(f"{r['row']} {r['text']}" for r in rows if r["line"] == "test")
    return Chart(
        spec,
        f"Share of positive images by finding and split. Test: {test}",
        source.label(f"{sizes(cohort)}. A label that is unknown counts in neither number."),
    )


def pyramid(cohort: Cohort, source: Source) -> Chart | str:
    """Return the numbers of images by age and sex, women left, with a menu of the split.

    A sentence if no image has both.
    """
    table = age_pyramid(cohort)
    if table.empty:
        return "No image of the run has both age and sex in the records."
    rows: Rows = [
        {
            "age": row["age"],
            "first": row["first"],
            "line": SEX_NAMES[row["sex"]],
            "split": row["split"],
            "images": row["images"],
            "side": -row["images"] if row["sex"] == "F" else row["images"],
        }
        for row in rows_of(table)
    ]
    menu = Choice("split", "Split", {"all": "All images", **{name: name for name in SPLITS}})
    bands = list(dict.fromkeys(table.sort_values("first", ascending=False)["age"]))
    base = alt.Chart(alt.InlineData(values=rows)).mark_bar(cornerRadiusEnd=2)
    chart = base.encode(
        y=alt.Y("age:N", sort=bands, title="age in years"),
        x=alt.X(
            "sum(side):Q",
            title="images; women left, men right",
            axis=alt.Axis(labelExpr="format(abs(datum.value), ',')", tickCount=6),
        ),
        color=charts.lines_colour(list(SEX_NAMES.values()), legend=True),
        tooltip=[
            alt.Tooltip("line:N", title=" "),
            alt.Tooltip("age:N", title="age"),
            alt.Tooltip("sum(images):Q", title="images", format=","),
        ],
    )
    chart = chart.transform_filter("split == 'all' || datum.split == split")
    missing = without_age_or_sex(cohort)
    caption = f"{len(cohort.records) - missing:,} images with pixels"
    caption += f"; {missing:,} more without age or sex." if missing else "."
    totals = table.groupby("sex")["images"].sum()
    text = ", ".join(f"{totals.get(sex, 0):,} of {name}" for sex, name in SEX_NAMES.items())
    return Chart(
        charts.specification(chart, [], [menu], height=22 * len(bands)),
        f"Images by age and sex: {text}.",
        source.label(caption),
        (menu,),
    )


def pair_matrix(cohort: Cohort, source: Source) -> Chart:
    """Return the share of images of each finding that have each other finding too."""
    rows: Rows = [
        {
            "finding": spaced(row["finding"]),
            "second": spaced(row["second"]),
            "share": round(float(row["share"]), 4),
            "text": f"{format_number(row['share'])} ({row['images']:,} images)",
        }
        for row in rows_of(cooccurrence(cohort).dropna(subset=["share"]))
        if row["finding"] != row["second"]
    ]
    names = [spaced(name) for name in FINDINGS]
    chart = (
        alt.Chart(alt.InlineData(values=rows))
        .mark_rect(fill=charts.COLOURS[0], cornerRadius=2, stroke="var(--paper)", strokeWidth=1)
        .encode(
            y=alt.Y("finding:N", sort=names, title=None),
            x=alt.X("second:N", sort=names, title=None, axis=alt.Axis(labelAngle=-50)),
            fillOpacity=alt.FillOpacity(
                "share:Q",
                scale=alt.Scale(range=[0.04, 1]),
                legend=alt.Legend(title="share", orient="top", format=".0%"),
            ),
            tooltip=[
                alt.Tooltip("finding:N", title="of the images with"),
                alt.Tooltip("second:N", title="also have"),
                alt.Tooltip("text:N", title="share"),
            ],
        )
    )
    frequent = sorted(rows, key=lambda row: -row["share"])[:5]
    text = "; ".join(f"{r['second']} in {r['text']} of {r['finding']}" for r in frequent)
    return Chart(
        charts.specification(chart, [], height=24 * len(names)),
        f"Findings that occur together; the most frequent: {text}.",
        source.label(
            f"Rows: images with the finding; columns: share of them that also have the other. "
            f"{len(cohort.records):,} images of all splits."
        ),
    )


def prevalence_table(cohort: Cohort, source: Source) -> Table:
    """Lay out positives and share by class and split."""
    table = prevalence(cohort).set_index(["finding", "split"])

    def cells(name: str) -> list[str]:
        counted: list[Any] = [table.loc[(name, split)] for split in SPLITS]
        return [
            f"{format_number(c['share'])}\n{format_count(c['positives'], '–')}" for c in counted
        ]

    body = [(spaced(name), *cells(name)) for name in CLASSES]
    caption = source.label(f"Share of positives and, small, their number. {sizes(cohort)}.")
    return Table(("finding", *SPLITS), body, caption)


def pair_table(cohort: Cohort, source: Source) -> Table:
    """Lay out the numbers of images with both findings."""
    images = {
        (row["finding"], row["second"]): row["images"] for row in rows_of(cooccurrence(cohort))
    }
    body = [
        (spaced(name), *(f"{images[name, second]:,}" for second in FINDINGS)) for name in FINDINGS
    ]
    caption = source.label(
        f"Images with both findings; on the diagonal with the finding. {len(cohort.records):,} "
        "images of all splits."
    )
    return Table(("finding", *map(spaced, FINDINGS)), body, caption)
