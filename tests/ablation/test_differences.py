"""Paired differences: the scores behind them, and what they say of known cases."""

from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, f1_score

from ablation.differences import (
    MEASURES,
    compare,
    finding_values,
    resampled_means,
    weighted_f1s,
)
from cxr14.evaluation.evaluate import measure
from cxr14.labels import CLASSES, FINDINGS
from cxr14.metrics.bootstrap import draw_replicates
from tests.ablation.answers import network, truth

TRUTH = truth()
ONCE = draw_replicates(TRUTH.patients, np.random.default_rng(0), 0)
GROUPS = {"rare": [9, 13], "all": list(range(14))}


def means(**networks):
    return resampled_means(TRUTH.labels, TRUTH.patients, networks, GROUPS, resamples=150)


def test_weighted_scores_are_scikit_learns_of_repeated_images():
    answers = network(TRUTH.labels, 2, 1)
    replicates = draw_replicates(TRUTH.patients, np.random.default_rng(0), 10)
    f1s = weighted_f1s(TRUTH.labels, answers, replicates)
    areas = finding_values(TRUTH.labels, answers, replicates)[2, :, 0]
    for row, weight in enumerate(replicates.counts[replicates.owner].T.astype(int)):
        labels = np.repeat(TRUTH.labels[:, 0], weight)
        called = np.repeat(answers.probabilities[:, 0] >= 0.5, weight)
        scores = np.repeat(answers.logits[:, 0], weight)
        assert f1s[row, 0] == pytest.approx(f1_score(labels, called), abs=1e-12)
        assert areas[row] == pytest.approx(average_precision_score(labels, scores), abs=1e-12)


def test_every_image_once_gives_the_scores_of_evaluation():
    answers = network(TRUTH.labels, 2, 1)
    thresholds = dict.fromkeys(CLASSES, 0.5) | {"Hernia": None}
    nothing = dict.fromkeys(CLASSES)
    decision = {"thresholds": thresholds, "platt": nothing, "temperature": nothing, "reasons": {}}
    found = means(one=replace(answers, decision=decision))["one"][:, 1, 0]
    inputs = (TRUTH.labels, answers.logits, answers.probabilities, TRUTH.patients, decision)
    expected = measure(*inputs, np.random.default_rng(0), n_replicates=1).headline
    names = ("macro_f1", "macro_auroc", "macro_average_precision")
    assert found == pytest.approx([expected[name] for name in names], abs=1e-12)
    assert expected["findings_with_f1"] == 13


def test_a_finding_without_positives_or_without_negatives_has_no_score():
    labels = TRUTH.labels.copy()
    labels[:, 0], labels[:, 1] = 0, 1
    values = finding_values(labels, network(labels, 1, 1), ONCE)
    assert np.isnan(values[:, 0, :2]).all()
    assert np.isfinite(values[:, 0, 2:]).all()


def test_identical_answers_differ_by_exactly_nothing():
    found = means(one=network(TRUTH.labels, 2, 1), other=network(TRUTH.labels, 2, 1))
    for m, g in np.ndindex(3, 2):
        said = compare([found["one"][m, g]], [found["other"][m, g]])
        assert (said.difference, said.low, said.high) == (0, 0, 0)
        assert (said.seed_low, said.seed_high) == (0, 0)


@pytest.mark.parametrize("measure_name", MEASURES)
def test_a_better_network_is_better_beyond_its_interval(measure_name):
    found = means(better=network(TRUTH.labels, 1, 1), worse=network(TRUTH.labels, 3, 2))
    m = MEASURES.index(measure_name)
    said = compare([found["better"][m, 1]], [found["worse"][m, 1]])
    assert 0 < said.low < said.difference < said.high
    back = compare([found["worse"][m, 1]], [found["better"][m, 1]])
    assert (back.low, back.high) == pytest.approx((-said.high, -said.low))


def test_pairing_makes_the_interval_of_alike_networks_narrow():
    """The same images lift or lower both; unpaired resamples would hide that."""
    alike = network(TRUTH.labels, 2, 1)
    shaken = replace(
        alike, logits=alike.logits + np.float32(0.05) * network(TRUTH.labels, 1, 5).logits
    )
    found = means(one=alike, other=shaken)
    said = compare([found["one"][1, 1]], [found["other"][1, 1]])
    alone = np.percentile(found["one"][1, 1, 1:], [2.5, 97.5])
    assert said.high - said.low < (alone[1] - alone[0]) / 3


def test_seeds_are_averaged_inside_a_resample_and_their_range_is_told():
    seeds = [np.array([0.5, 0.4, 0.6]), np.array([0.7, 0.8, 0.6])]
    reference = [np.array([0.5, 0.5, 0.5]), np.array([0.4, 0.4, 0.4])]
    said = compare(seeds, reference)
    assert said.value == pytest.approx(0.6)
    assert said.difference == pytest.approx(0.15)
    assert (said.low, said.high) == pytest.approx((0.15, 0.15))  # 0.15 in both resamples
    assert (said.seed_low, said.seed_high) == pytest.approx((0, 0.3))


def test_what_cannot_be_scored_is_null():
    nothing = [np.full(3, np.nan)]
    said = compare(nothing, nothing)
    assert (said.value, said.difference, said.low, said.high) == (None,) * 4


def test_a_finding_of_one_patient_leaves_a_difference_without_interval():
    """Its resamples were scored on the other findings, so that the mean changed what it was over.

    One patient of forty is not drawn in e⁻¹ of the resamples, and above 5 % there is no interval.
    """
    labels = TRUTH.labels.copy()
    labels[:, 9] = TRUTH.patients == TRUTH.patients[0]
    networks = {"one": network(labels, 2, 1), "other": network(labels, 2, 2)}
    found = resampled_means(labels, TRUTH.patients, networks, GROUPS, resamples=150)
    assert np.isnan(found["one"][0, 1, 1:]).mean() > 0.2
    said = compare([found["one"][0, 1]], [found["other"][0, 1]])
    assert said.difference is not None
    assert (said.low, said.high) == (None, None)


def test_means_are_over_the_findings_of_the_group():
    answers = network(TRUTH.labels, 2, 1)
    values = finding_values(TRUTH.labels, answers, ONCE)
    found = means(one=answers)["one"][:, :, 0]
    assert found[:, 0] == pytest.approx(values[:, 0, [9, 13]].mean(axis=1))
    assert len(FINDINGS) == values.shape[-1]
