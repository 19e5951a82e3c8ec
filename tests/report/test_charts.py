"""Charts: what they hold, their colours, and the templates of `dvc plots` beside them."""

import json

import altair as alt
import pytest

from cxr14.figures.style import PALETTE
from cxr14.report import charts
from cxr14.report.cohort import age_pyramid, cooccurrence, prevalence, read_cohort
from cxr14.report.score_charts import curve_chart, finding_dots, forest, published_dots
from tests.conftest import ROOT


def rows_of(spec):
    """All rows of a specification."""
    return [row for rows in spec["datasets"].values() for row in rows]


@pytest.fixture(scope="module")
def cohort(written):
    return read_cohort(written["phantoms"])


@pytest.mark.parametrize("name", ["intervals", "by_backbone"])
def test_dvc_plots_has_the_palette_of_the_page(name):
    template = (ROOT / f".dvc/plots/{name}.json").read_text()
    colours = ", ".join(json.dumps(colour) for colour in PALETTE)
    assert f"[{colours}]" in template


def test_dvc_plots_draws_intervals_as_the_page_does():
    template = json.loads((ROOT / ".dvc/plots/intervals.json").read_text())
    marks = [layer["mark"] for layer in template["layer"]]
    assert {mark.get("strokeWidth") for mark in marks} >= {charts.INTERVAL["rule"]}
    (point,) = [mark for mark in marks if mark["type"] == "point"]
    assert point["size"] == charts.INTERVAL["point"]


def test_a_chart_is_valid_vega_lite_and_equal_each_time(phantoms):
    first, second = (finding_dots(phantoms, {"auroc": "AUROC"}, "x").spec for _ in range(2))
    assert first == second
    alt.Chart.from_dict(first)  # raises if it is not valid


def test_the_forest_has_every_backbone_best_first_with_its_interval(phantoms):
    chart = forest(phantoms)
    assert [row["row"] for row in rows_of(chart.spec)] == ["resnet50", "alexnet"]
    assert "resnet50 .810 (.790–.830); alexnet .720 (.700–.740)" in chart.alt


def test_a_score_without_a_value_has_a_row_but_no_mark():
    row = charts.scored_row("Hernia", "alexnet", [None, None, None])
    assert row == {"row": "Hernia", "line": "alexnet", "text": "–"}


def test_curves_hold_the_operating_point_of_every_backbone(phantoms):
    spec = curve_chart(phantoms, "roc").spec
    points = [r for r in rows_of(spec) if r.get("threshold") and r["finding"] == "Mass"]
    assert {(row["line"], row["x"], row["y"]) for row in points} == {
        ("alexnet", 0.665, 0.335),
        ("resnet50", 0.665, 0.335),
    }


def test_published_values_are_drawn_on_real_pixels_and_other_splits_marked(official):
    lines = {row["line"] for row in rows_of(published_dots(official).spec)}
    assert "resnet50" in lines
    assert "Wang ResNet50" in lines
    assert any(line.endswith("(other split)") for line in lines)


def test_prevalence_counts_each_split(cohort):
    table = prevalence(cohort).set_index(["finding", "split"])
    test = cohort.of("test")
    assert table.loc[("Mass", "test"), "positives"] == test["Mass"].sum()
    assert table.loc[("Mass", "test"), "known"] == 12
    assert table.groupby("split")["known"].first().to_dict() == {"test": 12, "train": 8, "val": 4}


def test_unknown_labels_count_neither_as_positive_nor_as_known(cohort):
    records = cohort.records.assign(Mass=-1)
    table = prevalence(type(cohort)(records, len(records))).set_index("finding")
    assert (table.loc["Mass", ["positives", "known"]] == 0).all(axis=None)
    assert table.loc["Mass", "share"].isna().all()


def test_cooccurrence_counts_images_with_both(cohort):
    table = cooccurrence(cohort).set_index(["finding", "second"])
    both = (cohort.records["Mass"] & cohort.records["Edema"]).sum()
    assert table.loc[("Mass", "Edema"), "images"] == both > 0
    assert table.loc[("Edema", "Mass"), "share"] == both / cohort.records["Edema"].sum()


def test_the_age_pyramid_has_every_image_with_age_and_sex_once(cohort):
    table = age_pyramid(cohort)
    assert table["images"].sum() == 21
    assert set(table["age"]) == {f"{a}–{a + 9}" for a in range(0, 90, 10)}
