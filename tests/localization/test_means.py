"""Means by finding and over findings, with intervals by patient."""

import numpy as np
import pandas as pd
import pytest

from cxr14.localization.scores import means_by_finding, plain_means
from cxr14.metrics.bootstrap import patient_weights

FINDINGS = ["Mass", "Nodule", "Effusion"]
OF_PAIR = np.array(["Mass", "Mass", "Nodule", "Mass", "Nodule"])
PATIENTS = np.array([1, 2, 2, 3, 3])
VALUES = np.array([[1, 0], [0, 2], [1, 4], [0, 1], [0, 0]])


def weights(patients, resamples=200):
    return patient_weights(patients, resamples, np.random.default_rng(0))


def test_the_mean_over_findings_weighs_findings_not_pairs_and_skips_those_without_pairs():
    values = plain_means(VALUES, OF_PAIR, FINDINGS)
    assert values[:2].tolist() == [[1 / 3, 1], [0.5, 2]]
    assert np.isnan(values[2]).all()
    assert values[3].tolist() == [pytest.approx((1 / 3 + 0.5) / 2), 1.5]


def test_the_interval_is_that_of_a_loop_over_resampled_patients():
    # Thirty patients: no finding is missed by one resample in twenty.
    patients = np.arange(60) // 2
    of_pair = np.array(FINDINGS)[np.arange(60) % 3]
    values = np.random.default_rng(1).random((60, 1))
    replicate_weights = weights(patients)
    means = means_by_finding(values, of_pair, FINDINGS, replicate_weights)
    table = pd.DataFrame({"finding": of_pair, "value": values[:, 0]})
    loop = []
    for row in replicate_weights:
        by_finding = table.loc[table.index.repeat(row)].groupby("finding")["value"].mean()
        loop.append([*by_finding.reindex(FINDINGS), by_finding.mean()])
    expected = np.percentile(loop, [2.5, 97.5], axis=0)
    assert means.low[:, 0] == pytest.approx(expected[0])
    assert means.high[:, 0] == pytest.approx(expected[1])


def test_a_finding_of_one_patient_of_three_has_a_mean_but_no_interval():
    of_pair = np.array(["Mass", "Mass", "Mass", "Mass", "Nodule"])
    means = means_by_finding(VALUES, of_pair, FINDINGS, weights(PATIENTS))
    assert means.value[1].tolist() == [0, 0]
    assert np.isnan(means.low[1]).all()
    assert np.isnan(means.low[3]).all()  # nor has the mean, which most resamples cannot form
    assert means.value[3].tolist() == [0.25, 0.875]


def test_without_any_pair_all_is_null():
    nothing = np.zeros((20, 0), np.int64)
    means = means_by_finding(VALUES[:0], OF_PAIR[:0], FINDINGS, nothing)
    assert all(np.isnan(numbers).all() and numbers.shape == (4, 2) for numbers in means)
