"""Means by finding and over findings, with intervals by patient."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from cxr14.localization.means import means_by_finding, plain_means, wilson_interval
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


def test_wilsons_interval_at_the_edge_and_inside():
    low, high = wilson_interval(np.array([0.0, 1.0, 0.5]), np.array([11.0, 11.0, 40.0]))
    # z² / (n + z²) of 11 cases; inside as in statsmodels' proportion_confint.
    assert low == pytest.approx([0, 0.7412, 0.3520], abs=1e-4)
    assert high == pytest.approx([0.2588, 1, 0.6480], abs=1e-4)


def test_a_finding_that_is_always_hit_has_an_interval_by_its_patients(boxed):
    """It had 1.000–1.000, of eleven images."""
    mass = boxed.finding_of_pair == "Mass"
    always = np.where(mass, 1.0, boxed.pairs["row"] % 8 == 0)[:, None]
    means = boxed.means(always)
    row = boxed.findings.index("Mass")
    assert means.value[row, 0] == means.high[row, 0] == 1
    assert means.low[row, 0] == pytest.approx(16 / (16 + 1.959964**2))  # sixteen patients
    of_eleven = replace(boxed, pairs=boxed.pairs.assign(patient=boxed.pairs["patient"].clip(0, 10)))
    fewer = of_eleven.means(always).low[row, 0]
    assert fewer == pytest.approx(11 / (11 + 1.959964**2))  # six images of a patient are one case


def test_fewer_than_ten_patients_of_a_finding_have_no_interval_nor_has_the_mean(boxed):
    """The ten with a Nodule become nine; a difference has none either."""
    of_nine = replace(boxed, pairs=boxed.pairs.assign(patient=boxed.pairs["patient"].clip(1)))
    varies = (boxed.pairs["row"].to_numpy() % 2)[:, None]
    mass, nodule = (boxed.findings.index(name) for name in ("Mass", "Nodule"))
    for pairs, missing in ((boxed, []), (of_nine, [nodule, len(boxed.findings)])):
        for means in (pairs.means(varies), pairs.differences(1 - varies, varies)):
            assert np.isnan(means.low[missing]).all()
            assert np.isnan(means.high[missing]).all()
            assert np.isfinite(means.value[[mass, nodule, -1]]).all()
            assert means.low[mass, 0] < means.high[mass, 0]
    assert np.isfinite(boxed.means(varies).low[[nodule, -1]]).all()
    table = of_nine.tidy([{"key": 1}], {"accuracy": of_nine.means(varies)}).set_index("finding")
    assert table.loc["Nodule", "reason"] == "no interval: too few patients: 9 of 10"
    assert table.loc["mean", "reason"] == "no interval: too few patients of Nodule"


def test_a_mean_of_findings_that_are_all_hit_is_not_certain_either(boxed):
    ones, nodule = np.ones((len(boxed.pairs), 1)), boxed.finding_of_pair == "Nodule"
    apart = boxed.pairs["patient"] + 100 * nodule  # no patient has both
    means = replace(boxed, pairs=boxed.pairs.assign(patient=apart)).means(ones)
    cases = 2**2 / (1 / 16 + 1 / 10)  # of the mean of 16 and of 10 patients
    assert means.low[-1, 0] == pytest.approx(cases / (cases + 1.959964**2))
    of_sixteen = boxed.means(ones).low[-1, 0]  # at most the number of patients
    assert of_sixteen == pytest.approx(16 / (16 + 1.959964**2))


def test_a_constant_that_is_no_share_has_no_interval_and_the_table_says_why(boxed):
    boxes = boxed.means(np.full((len(boxed.pairs), 1), 2), share=False)
    table = boxed.tidy([{"key": 1}], {"afp": boxes}).set_index("finding")
    assert table.loc["Mass", "afp"] == 2
    assert np.isnan(table.loc["Mass", "afp_low"])
    assert table.loc["Mass", "reason"] == "no interval of afp: the same in every resample"


def test_a_difference_has_no_interval_if_one_side_never_varies(boxed):
    varies = (boxed.pairs["row"].to_numpy() % 2)[:, None]
    row = boxed.findings.index("Mass")
    fixed = boxed.differences(np.ones_like(varies), varies)
    assert fixed.value[row, 0] == 0.5
    assert np.isnan([fixed.low[row, 0], fixed.high[row, 0]]).all()
    both = boxed.differences(1 - varies, varies)
    assert both.low[row, 0] < both.value[row, 0] == 0 < both.high[row, 0]
