"""The tables of subgroups and gaps."""

import numpy as np
import pandas as pd
import pytest

from cxr14.evaluation.measures import CALIBRATION, MACRO, predictions_of
from cxr14.evaluation.subgroups import GAP_COLUMNS, REST, score_group, subgroup_tables
from cxr14.labels import CLASSES, FINDINGS, NO_FINDING, label_matrix
from cxr14.metrics.auroc import macro_auroc
from cxr14.metrics.bootstrap import draw_replicates, interval
from cxr14.report.terminal import largest_gaps
from tests.evaluation.comparison.conftest import make_decision, make_records, make_rows
from tests.sources import OFFICIAL


@pytest.fixture(scope="module")
def tables(records, answers, resamples):
    return subgroup_tables(records, answers, resamples)


def row_of(table: pd.DataFrame, backbone: str, group: str, finding: str) -> pd.Series:
    keys = (table["backbone"] == backbone) & (table["group"] == group)
    found = table[keys & (table["finding"] == finding)]
    assert len(found) == 1
    return found.iloc[0]


def test_everyone_scores_what_evaluation_says(tables, records, answers):
    own = row_of(tables[0], "good", "all", MACRO)
    area, scored = macro_auroc(label_matrix(records), answers["good"].logits)
    assert own["auroc"] == pytest.approx(area)
    assert own["findings"] == scored == len(FINDINGS)
    for measure in ("auroc", "fpr", "fnr", CALIBRATION):
        assert own[f"{measure}_low"] < own[measure] < own[f"{measure}_high"]


def test_a_group_has_a_row_per_class_and_crossed_ones_the_mean_and_no_finding(tables):
    counts = tables[0][tables[0]["backbone"] == "good"].groupby("group")["finding"].apply(list)
    assert counts["F"] == [MACRO, *CLASSES]
    assert counts["F × AP"] == [MACRO, NO_FINDING]


def test_counts_add_up_over_the_groups_of_an_attribute(tables, records):
    own = tables[0][(tables[0]["finding"] == "Mass") & (tables[0]["backbone"] == "poor")]
    for attribute in ("sex", "age", "view"):
        groups = own[own["attribute"] == attribute]
        assert groups["images"].sum() == len(records)
        assert groups["positives"].sum() == records["Mass"].sum()


def test_a_gap_is_the_difference_on_the_same_resamples(tables, records, answers, resamples):
    labels, women = label_matrix(records), (records["sex"] == "F").to_numpy()
    sides = [score_group(answers["poor"], labels, own, resamples) for own in (women, ~women)]
    column = CLASSES.index(NO_FINDING)
    values = sides[0].values["fpr"][:, column] - sides[1].values["fpr"][:, column]
    gap = row_of(tables[1], "poor", "F", NO_FINDING)
    assert gap["reference"] == "M"
    assert (gap["images"], gap["images_reference"]) == (women.sum(), (~women).sum())
    assert gap["fpr"] == pytest.approx(values[0])
    assert (gap["fpr_low"], gap["fpr_high"]) == pytest.approx(interval(values[1:])[:2])


def test_a_group_without_an_event_has_a_gap_but_no_interval_and_leads_no_list(records, resamples):
    """None of the women's images is called free of findings: their rate is 0 in every resample."""
    rows = make_rows(records, 1.5, 1)
    rows.loc[(records["sex"] == "F").to_numpy(), f"probability {NO_FINDING}"] = 0.0
    own = {"b": predictions_of(rows, make_decision())}
    scores, gaps = subgroup_tables(records, own, resamples)
    women, gap = (row_of(table, "b", "F", NO_FINDING) for table in (scores, gaps))
    assert (women["fpr"], women["fpr_low"], women["fpr_high"]) == (0, 0, 0)
    assert gap["fpr"] < 0
    assert gap[["fpr_low", "fpr_high"]].isna().all()
    assert gap["reason"] == "no interval of fpr, fnr: one side is the same in every resample"
    shown = largest_gaps(gaps, source=OFFICIAL)
    names, groups = (list(shown.columns[place].cells) for place in (0, 2))
    assert ("FPR, No Finding", "sex F − M") not in list(zip(names, groups, strict=True))


def test_a_mean_of_calibration_is_over_all_findings_and_that_of_a_rare_one_is_null(resamples):
    """Over the findings that a small group has many of, a third of gaps of nothing was starred."""
    scarce = make_records()
    women = (scarce["sex"] == "F").to_numpy()
    scarce.loc[women, "Mass"] = (np.arange(women.sum()) < 4).astype(np.uint8)
    own = predictions_of(make_rows(scarce, 1.5, 1), make_decision())
    scores, gaps = subgroup_tables(scarce, {"b": own}, resamples)
    excess = own.calibrated[:, :14] - label_matrix(scarce)[:, :14]
    mean = row_of(scores, "b", "F", MACRO)
    assert mean["findings"] == 13
    assert mean[CALIBRATION] == pytest.approx(excess[women].mean())
    gap = row_of(gaps, "b", "F", MACRO)[CALIBRATION]
    assert gap == pytest.approx(excess[women].mean() - excess[~women].mean())
    for table in (scores, gaps):
        assert pd.isna(row_of(table, "b", "F", "Mass")[CALIBRATION])


def test_tables_tell_how_many_patients_have_a_class_and_how_many_not(tables, records):
    women = records[records["sex"] == "F"]
    having, lacking = (women.loc[women["Mass"] == n, "patient"].nunique() for n in (1, 0))
    own, gap = (row_of(table, "good", "F", "Mass") for table in tables)
    assert (own["patients_with"], own["patients_without"]) == (having, lacking)
    assert (gap["patients_with"], gap["patients_without"]) == (having, lacking)
    men = records[records["sex"] == "M"]
    assert gap["patients_reference"] == men["patient"].nunique()
    assert gap["patients_with_reference"] == men.loc[men["Mass"] == 1, "patient"].nunique()


def test_of_two_groups_the_gap_is_given_once_and_of_more_against_the_rest(tables):
    own = tables[1][tables[1]["finding"] == MACRO].drop_duplicates(["attribute", "group"])
    names = own.groupby("attribute")["group"].apply(list)
    assert names["sex"] == ["F"]
    assert names["view"] == ["AP"]
    assert names["age"] == ["20–39", "40–59", "60–79"]
    assert set(own[own["attribute"] == "age"]["reference"]) == {REST}
    assert "all" not in set(own["attribute"])


def test_images_of_unknown_sex_have_scores_but_no_gap(records, answers, resamples):
    some = records.copy()
    some.loc[some.index[:60], "sex"] = None
    scores, gaps = subgroup_tables(some, {"good": answers["good"]}, resamples)
    assert row_of(scores, "good", "unknown", MACRO)["images"] == 60
    assert "unknown" not in set(gaps["group"])
    assert row_of(gaps, "good", "F", MACRO)["reference"] == "M"
    assert "M" not in set(gaps["group"])


def test_means_of_a_gap_are_over_findings_that_both_sides_can_score(records, resamples):
    scarce = records.copy()
    scarce.loc[(scarce["sex"] == "F"), "Mass"] = 0  # no woman has a mass
    own = {"good": predictions_of(make_rows(scarce, 1.5, 1), make_decision())}
    scores, gaps = subgroup_tables(scarce, own, resamples)
    assert row_of(scores, "good", "M", MACRO)["findings"] == 14
    assert row_of(scores, "good", "F", MACRO)["findings"] == 13
    assert row_of(gaps, "good", "F", MACRO)["findings"] == 13
    assert row_of(gaps, "good", "F", MACRO)["reason"] == "too few patients with or without it: Mass"
    mass = row_of(gaps, "good", "F", "Mass")
    assert pd.isna(mass["auroc"])
    assert mass["reason"] == "group: too few patients with it: 0 of 10"
    assert mass["fpr"] is not None  # both have negatives enough


def test_a_mean_names_the_findings_that_have_no_threshold(records, resamples):
    """FPR and FNR were over 13 findings, beside `findings` 14 and without a word."""
    none = make_decision(reasons={"Mass": "validation holds no positives among 60 images"})
    none["thresholds"]["Mass"] = none["platt"]["Mass"] = None
    own = {"good": predictions_of(make_rows(records, 1.5, 1), none)}
    for table, group in zip(subgroup_tables(records, own, resamples), ("all", "F"), strict=True):
        row = row_of(table, "good", group, MACRO)
        assert row["findings"] == 14
        assert row["reason"] == "in AUROC alone, as they have no threshold: Mass"


def test_a_planted_gap_is_found_and_its_absence_too():
    """Women's logits of No Finding are lifted: under-diagnosis. 1 in 20 intervals misses 0."""
    many = make_records(1200, seed=8)
    drawn = draw_replicates(many["patient"].to_numpy(), np.random.default_rng(1), 200)
    rows = make_rows(many, 1.5, 3)
    women = (many["sex"] == "F").to_numpy()
    lifted = rows.copy()
    lifted.loc[women, f"logit {NO_FINDING}"] += 1
    lifted[f"probability {NO_FINDING}"] = 1 / (1 + np.exp(-lifted[f"logit {NO_FINDING}"]))
    own = {
        "fair": predictions_of(rows, make_decision()),
        "unfair": predictions_of(lifted, make_decision()),
    }
    gaps = subgroup_tables(many, own, drawn)[1]
    assert row_of(gaps, "unfair", "F", NO_FINDING)["fpr_low"] > 0.1
    assert row_of(gaps, "unfair", "F", NO_FINDING)[f"{CALIBRATION}_low"] > 0.1
    fair = row_of(gaps, "fair", "F", NO_FINDING)
    assert fair["fpr_low"] < 0 < fair["fpr_high"]


def test_a_handful_of_images_gives_counts_and_reasons_but_no_score():
    few = make_records(9)
    drawn = draw_replicates(few["patient"].to_numpy(), np.random.default_rng(1), 20)
    own = {"good": predictions_of(make_rows(few, 1.5, 1), make_decision())}
    scores, gaps = subgroup_tables(few, own, drawn)
    assert scores[["auroc", "fpr", "fnr", CALIBRATION]].isna().all(axis=None)
    assert (scores["images"] > 0).all()
    assert scores["reason"].notna().all()
    assert gaps["reason"].notna().all()


def test_a_network_that_was_not_trained_on_no_finding_has_no_row_of_it(records, resamples):
    classes = ["Mass", "Nodule"]
    names = [f"{kind} {name}" for kind in ("logit", "probability") for name in classes]
    rows = make_rows(records, 1.5, 1)[["image", "split", *names]]
    scores, _ = subgroup_tables(records, {"b": predictions_of(rows, make_decision())}, resamples)
    assert set(scores["finding"]) == {MACRO, *classes}
    assert row_of(scores, "b", "all", MACRO)["findings"] == 2


def test_patients_of_one_kind_have_no_gaps_and_the_table_keeps_its_columns(answers, records):
    """It had none, so that the largest gaps could not be printed, nor the file read."""
    alike = records.assign(sex="F", view="PA", age=pd.array([50] * len(records), dtype="Int32"))
    drawn = draw_replicates(alike["patient"].to_numpy(), np.random.default_rng(0), 20)
    gaps = subgroup_tables(alike, answers, drawn)[1]
    assert (len(gaps), list(gaps.columns)) == (0, GAP_COLUMNS)
    assert largest_gaps(gaps, source=OFFICIAL).row_count == 0
