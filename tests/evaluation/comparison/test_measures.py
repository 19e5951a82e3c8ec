"""Scores of one group."""

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from cxr14.evaluation.measures import CALIBRATION, predictions_of
from cxr14.evaluation.subgroups import (
    GROUP_MEASURES,
    null_reason,
    score_group,
)
from cxr14.labels import CLASSES, label_matrix
from cxr14.metrics.bootstrap import MIN_PATIENTS
from cxr14.metrics.intervals import (
    difference,
    interval_columns,
    mean_over,
    summary,
    without_interval,
)
from tests.evaluation.comparison.conftest import make_decision, make_rows, platt, repeated


def test_every_measure_is_that_of_the_repeated_images(records, answers, resamples):
    labels, members = label_matrix(records), (records["sex"] == "F").to_numpy()
    own = answers["good"]
    scores = score_group(own, labels, members, resamples)
    for row, counts in enumerate(resamples.counts.T[:10]):
        weights = counts[resamples.owner] * members
        y, logits, p = (repeated(a, weights) for a in (labels, own.logits, own.probabilities))
        for column in (0, 14):
            called, present = p[:, column] >= 0.4, y[:, column] > 0
            expected = {
                "auroc": roc_auc_score(present, logits[:, column]),
                "fpr": called[~present].mean(),
                "fnr": (~called[present]).mean(),
                CALIBRATION: platt(logits[:, column]).mean() - present.mean(),
            }
            got = {name: scores.values[name][row, column] for name in GROUP_MEASURES}
            assert got == pytest.approx(expected, abs=1e-9)


def test_each_measure_needs_ten_patients_below_its_line(records, answers, resamples):
    """Images were counted: 17 of 4 patients gave a rate, though 4 are what is resampled."""
    labels, patients = label_matrix(records), records["patient"].to_numpy()
    ill = np.unique(patients[labels[:, 0] > 0])[: MIN_PATIENTS - 1]  # who have the first finding
    members = (labels[:, 0] == 0) | np.isin(patients, ill)
    assert labels[members, 0].sum() > MIN_PATIENTS
    scores = score_group(answers["good"], labels, members, resamples)
    first = {name: bool(np.isfinite(scores.values[name][0, 0])) for name in GROUP_MEASURES}
    assert first == {"auroc": False, "fpr": True, "fnr": False, CALIBRATION: True}
    assert not scores.rankable()[0]
    assert (scores.patients_with[0], scores.positives[0]) == (9, labels[members, 0].sum())
    assert scores.patients_without[0] == len(np.unique(patients[labels[:, 0] == 0]))
    assert null_reason(answers["good"], scores, 0) == "too few patients with it: 9 of 10"


def test_calibration_needs_twenty_patients_however_many_images(records, answers, resamples):
    labels, patients = label_matrix(records), records["patient"].to_numpy()
    members = np.isin(patients, np.unique(patients)[: 2 * MIN_PATIENTS - 1])
    assert members.sum() > 2 * MIN_PATIENTS
    scores = score_group(answers["good"], labels, members, resamples)
    assert np.isnan(scores.values[CALIBRATION]).all()
    assert not scores.rankable().any()
    assert "too few patients: 19 of 20" in null_reason(answers["good"], scores, 0)


def test_a_class_without_threshold_and_scaling_is_ranked_and_says_why(records, resamples):
    decision = make_decision(reasons={"Mass": "validation holds no positives among 9 images"})
    decision["thresholds"] = decision["thresholds"] | {"Mass": None}
    decision["platt"] = decision["platt"] | {"Mass": None}
    own = predictions_of(make_rows(records, 1.5, 1), decision)
    everyone = np.ones(len(records), bool)
    scores = score_group(own, label_matrix(records), everyone, resamples)
    mass = CLASSES.index("Mass")
    known = {name: bool(np.isfinite(scores.values[name][0, mass])) for name in GROUP_MEASURES}
    assert known == {"auroc": True, "fpr": False, "fnr": False, CALIBRATION: False}
    assert null_reason(own, scores, mass) == "validation holds no positives among 9 images"
    assert null_reason(own, scores, 0) is None


def test_a_mean_is_over_what_the_images_can_score_and_skips_resamples_that_cannot():
    values = np.array([[0.2, np.nan, 0.4], [0.4, 1.0, 0.6], [np.nan, 1.0, 0.6]])
    np.testing.assert_allclose(mean_over(values), [0.3, 0.5, np.nan])
    assert np.isnan(mean_over(np.zeros((2, 0)))).all()


def test_a_difference_from_a_rate_that_never_varies_has_no_interval_and_a_reason():
    """0 of 18 images is 0 in every resample: −.246 (−.313 to −.187) was starred as certain."""
    rest = np.array([0.25, 0.2, 0.3, 0.25])
    apart = difference(np.zeros(4), rest)
    assert summary(apart) == (-0.25, None, None, None)
    lost = np.array([0, 0, np.nan, 0])  # a resample without any of the ten patients below the line
    assert len(difference(lost, rest)) == 1
    assert difference(rest[::-1], rest) == pytest.approx([0, 0.1, -0.1, 0])
    told = without_interval({"auroc": rest, "fpr": apart, "fnr": np.full(1, np.nan)})
    assert told == "no interval of fpr: one side is the same in every resample"
    assert without_interval({"auroc": rest}) is None


def test_above_five_percent_of_lost_resamples_there_is_no_interval():
    values = np.concatenate([[0.5], np.linspace(0, 1, 100)])
    assert summary(values) == (0.5, pytest.approx(0.025), pytest.approx(0.975), 0.0)
    values[1:7] = np.nan
    assert summary(values) == (0.5, None, None, pytest.approx(0.06))
    assert summary(np.full(5, np.nan)) == (None, None, None, None)
    row = interval_columns({name: values for name in GROUP_MEASURES})
    assert row["fpr"] == 0.5
    assert row["fpr_low"] is None


def test_without_resamples_there_is_a_value_and_no_share_of_them_left_out():
    """Of one patient 1.0 of no resamples was left out."""
    assert summary(np.array([0.5])) == (0.5, None, None, None)
