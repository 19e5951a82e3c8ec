"""Differences between networks."""

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score

from cxr14.evaluation.compare import MEAN_MEASURES, common_findings, difference_table, macro_values
from cxr14.evaluation.measures import predictions_of
from cxr14.labels import FINDINGS, label_matrix
from cxr14.metrics.bootstrap import Replicates, draw_replicates
from cxr14.metrics.intervals import summary
from tests.evaluation.comparison.conftest import make_decision, make_records, make_rows, repeated


def test_the_difference_is_that_of_a_loop_on_the_same_resamples(records, answers, resamples):
    labels = label_matrix(records, FINDINGS)
    measures = {"macro_auroc": roc_auc_score, "macro_average_precision": average_precision_score}
    fewer = Replicates(resamples.owner, resamples.counts[:, :21])
    table = difference_table(records, answers, fewer).set_index("measure")
    for measure, score in measures.items():
        values = []
        for counts in resamples.counts.T[:21]:
            weights = counts[resamples.owner]
            means = [
                np.mean(
                    [
                        score(repeated(labels[:, i], weights), repeated(own.logits[:, i], weights))
                        for i in range(len(FINDINGS))
                    ]
                )
                for own in answers.values()
            ]
            values.append(means[0] - means[1])
        shifted = MEAN_MEASURES[measure].difference(np.array(values), np.zeros(21))
        expected = summary(shifted)
        got = table.loc[measure, ["difference", "low", "high", "dropped_replicates"]]
        assert tuple(got) == pytest.approx(expected, abs=1e-9)


def test_every_pair_is_compared_once_first_minus_second(records, answers, resamples):
    three = {**answers, "again": answers["good"]}
    table = difference_table(records, three, resamples)
    pairs = list(zip(table["model_a"], table["model_b"], table["measure"], strict=True))
    names = [("good", "poor"), ("good", "again"), ("poor", "again")]
    assert pairs == [(*pair, measure) for pair in names for measure in MEAN_MEASURES]
    assert (table["difference"][:3] > 0).all()
    assert (table["difference"][6:] < 0).all()
    assert set(table["images"]) == {len(records)}
    assert set(table["patients"]) == {records["patient"].nunique()}


def test_of_one_patient_there_is_a_difference_and_no_share_of_resamples(records, answers):
    """Nothing is resampled, and 1.0 of the resamples was said to be left out."""
    alone = draw_replicates(np.ones(len(records)), np.random.default_rng(0))
    table = difference_table(records.assign(patient=1), answers, alone)
    assert (table["difference"] > 0).all()
    assert table[["low", "high", "dropped_replicates"]].isna().all(axis=None)


def test_a_network_differs_from_itself_by_nothing(records, answers, resamples):
    own = {"one": answers["good"], "other": answers["good"]}
    table = difference_table(records, own, resamples)
    assert (table[["difference", "low", "high"]] == 0).all(axis=None)


def test_a_single_network_makes_an_empty_table(records, answers, resamples):
    table = difference_table(records, {"good": answers["good"]}, resamples)
    assert table.empty
    assert {"model_a", "model_b", "measure", "difference"} <= set(table)


def test_means_are_over_findings_that_all_know_and_that_can_be_scored(records, answers):
    names = [f"{kind} {name}" for kind in ("logit", "probability") for name in ("Mass", "Hernia")]
    rows = make_rows(records, 1.5, 1)[["image", "split", *names]]
    other = predictions_of(rows, make_decision())
    networks = [answers["good"], other]
    assert common_findings(networks, records)["macro_auroc"] == ["Mass", "Hernia"]
    assert common_findings(networks, records.assign(Hernia=1))["macro_auroc"] == ["Mass"]


def test_f1_is_compared_over_the_findings_that_have_a_threshold_in_both(records, resamples):
    thresholds = make_decision()["thresholds"] | {"Mass": None}
    rows, decision = make_rows(records, 1, 1), make_decision(thresholds=thresholds)
    own = {"a": predictions_of(rows, make_decision()), "b": predictions_of(rows, decision)}
    table = difference_table(records, own, resamples).set_index("measure")
    assert table["findings"].to_dict() == dict(zip(MEAN_MEASURES, (14, 14, 13), strict=True))
    assert (table[["difference", "low", "high"]] == 0).all(axis=None)


def test_without_a_finding_to_score_there_is_no_difference(records, answers, resamples):
    nothing: dict[str, list[str]] = {name: [] for name in MEAN_MEASURES}
    assert np.isnan(macro_values(answers["good"], records, nothing, resamples)["macro_auroc"]).all()
    empty = make_records(3).assign(**dict.fromkeys(FINDINGS, 0))
    own = predictions_of(make_rows(empty, 1, 1), make_decision())
    table = difference_table(empty, {"a": own, "b": own}, resamples)
    assert table["difference"].isna().all()
    assert (table["findings"] == 0).all()


@pytest.mark.parametrize(("patients", "known"), [(1, False), (9, False), (10, True)])
def test_an_interval_needs_ten_patients_of_every_finding(records, resamples, patients, known):
    ill = records["patient"].isin(records["patient"].unique()[:patients])
    rare = records.assign(Hernia=ill.astype(np.uint8))
    own = {n: predictions_of(make_rows(rare, 1, n), make_decision()) for n in (1, 2)}
    table = difference_table(rare, own, resamples)
    assert table["difference"].notna().all()
    assert (table[["low", "high"]].notna() == known).all(axis=None)
    reason = None if known else "no interval: too few patients of Hernia"
    assert set(table["reason"]) == {reason}
