"""Differences between networks."""

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score

from cxr14.evaluation.compare import MEAN_MEASURES, common_findings, difference_table, macro_values
from cxr14.evaluation.measures import predictions_of, summary
from cxr14.labels import FINDINGS, label_matrix
from cxr14.metrics.bootstrap import Replicates, draw_replicates
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
        expected = summary(np.array(values))
        got = table.loc[measure, ["difference", "low", "high", "dropped_replicates"]]
        assert tuple(got) == pytest.approx(expected, abs=1e-9)


def test_every_pair_is_compared_once_first_minus_second(records, answers, resamples):
    three = {**answers, "again": answers["good"]}
    table = difference_table(records, three, resamples)
    pairs = list(zip(table["model_a"], table["model_b"], table["measure"], strict=True))
    names = [("good", "poor"), ("good", "again"), ("poor", "again")]
    assert pairs == [(*pair, measure) for pair in names for measure in MEAN_MEASURES]
    assert (table["difference"][:2] > 0).all()
    assert (table["difference"][4:] < 0).all()
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
    assert common_findings([answers["good"], other], records) == ["Mass", "Hernia"]
    assert common_findings([answers["good"], other], records.assign(Hernia=1)) == ["Mass"]


def test_without_a_finding_to_score_there_is_no_difference(records, answers, resamples):
    assert np.isnan(macro_values(answers["good"], records, [], resamples)["macro_auroc"]).all()
    empty = make_records(3).assign(**dict.fromkeys(FINDINGS, 0))
    own = predictions_of(make_rows(empty, 1, 1), make_decision())
    table = difference_table(empty, {"a": own, "b": own}, resamples)
    assert table["difference"].isna().all()
    assert (table["findings"] == 0).all()


def test_a_finding_of_one_patient_leaves_its_resamples_out_and_no_interval(records, resamples):
    """One patient in a thousand resamples is not drawn in e⁻¹ of them."""
    lone = records["patient"] == records["patient"].iloc[0]
    rare = records.assign(Hernia=lone.astype(np.uint8))
    own = {n: predictions_of(make_rows(rare, 1, n), make_decision()) for n in (1, 2)}
    table = difference_table(rare, own, resamples)
    assert table["difference"].notna().all()
    assert table[["low", "high"]].isna().all(axis=None)
    assert (table["dropped_replicates"] > 0.05).all()
