"""Scores and their means are those of scikit-learn, on the part and on its resamples."""

import numpy as np
import pytest
from scipy.special import expit
from sklearn.metrics import average_precision_score, brier_score_loss, f1_score, roc_auc_score

from cxr14.evaluation.evaluate import measure
from cxr14.labels import FINDINGS
from cxr14.metrics.bootstrap import patient_weights
from tests.evaluation.answers import EDEMA, part, rows


def test_every_measure_is_that_of_scikit_learn(study, scored):
    decision, scores = scored
    labels, logits, probabilities, _ = (
        one[:, EDEMA] if one.ndim > 1 else one for one in part(study, "test")
    )
    row = rows(scores.findings)["Edema"]
    fit = decision["platt"]["Edema"]
    calibrated = expit(fit["slope"] * logits.astype(float) + fit["intercept"])
    heated = expit(logits.astype(float) / decision["temperature"]["Edema"])
    assert row["auroc"] == pytest.approx(roc_auc_score(labels, logits), abs=1e-9)
    assert row["average_precision"] == pytest.approx(
        average_precision_score(labels, logits), abs=1e-9
    )
    assert row["f1"] == pytest.approx(f1_score(labels, probabilities >= row["threshold"]), abs=1e-9)
    for name, forecast in {"": probabilities, "_platt": calibrated, "_temperature": heated}.items():
        assert row[f"brier{name}"] == pytest.approx(brier_score_loss(labels, forecast), abs=1e-6)


def test_intervals_are_those_of_a_loop_with_scikit_learn_on_the_same_resamples(study, scored):
    labels, logits, _, patients = part(study, "test")
    table = measure(*part(study, "test"), scored[0], np.random.default_rng(5), n_replicates=40)
    means = []
    for weight in patient_weights(patients, 40, np.random.default_rng(5)):
        one, two = np.repeat(labels, weight, axis=0), np.repeat(logits, weight, axis=0)
        means.append(roc_auc_score(one[:, EDEMA], two[:, EDEMA]))
    row = rows(table.findings)["Edema"]
    expected = np.percentile(means, [2.5, 97.5])
    assert (row["auroc_low"], row["auroc_high"]) == pytest.approx(expected, abs=1e-9)


def test_means_are_over_what_could_be_scored(scored):
    scores = scored[1]
    table, means = scores.findings.iloc[:14], rows(scores.means, "mean")
    for name in ("auroc", "average_precision", "f1", "specificity"):
        assert means[f"macro_{name}"]["value"] == pytest.approx(table[name].mean())
        known = table[table[name].notna()]
        weighted = np.average(known[name], weights=known["prevalence"])
        assert means[f"weighted_{name}"]["value"] == pytest.approx(weighted)
    head = scores.headline
    assert head["macro_auroc"] == means["macro_auroc"]["value"]
    assert head["macro_auroc_low"] < head["macro_auroc"] < head["macro_auroc_high"]
    assert head["weighted_auroc_low"] < head["weighted_auroc"] < head["weighted_auroc_high"]
    assert head["micro_auroc_low"] < head["micro_auroc"] < head["micro_auroc_high"]


def test_the_micro_mean_pools_the_entries_of_all_findings(study, scored):
    labels, logits, probabilities, _ = (
        one[:, :14] if one.ndim > 1 else one for one in part(study, "test")
    )
    means = rows(scored[1].means, "mean")
    expected = roc_auc_score(labels.ravel(), logits.ravel())
    assert means["micro_auroc"]["value"] == pytest.approx(expected)
    thresholds = [scored[0]["thresholds"][name] for name in FINDINGS]
    decided = [i for i, threshold in enumerate(thresholds) if threshold is not None]
    called = probabilities[:, decided] >= np.array([thresholds[i] for i in decided])
    expected = f1_score(labels[:, decided], called, average="micro")
    assert means["micro_f1"]["value"] == pytest.approx(expected)
    assert means["micro_auroc"]["findings"] == 14  # it said 12, as of the macro mean
    assert means["micro_f1"]["findings"] == len(decided)


def test_before_and_after_calibration_the_means_are_over_the_same_findings(scored):
    scores = scored[1]
    table, means = scores.findings.iloc[:14], rows(scores.means, "mean")
    names = [f"{kind}{fit}" for kind in ("brier", "ece") for fit in ("", "_platt", "_temperature")]
    assert {means[f"macro_{name}"]["findings"] for name in names} == {11}  # Mass: no Platt
    calibrated = table[table["brier_platt"].notna()]
    assert scores.headline["macro_brier"] == pytest.approx(calibrated["brier"].mean())
    assert scores.headline["macro_ece_platt"] == pytest.approx(calibrated["ece_platt"].mean())


def test_an_interval_of_the_macro_mean_needs_every_finding_in_the_resample(study, scored):
    labels, *others = part(study, "test")
    rare = labels.copy()
    rare[:, EDEMA] = np.arange(90) < 3  # all positives in one patient, drawn in 63 % of resamples
    scores = measure(rare, *others, scored[0], np.random.default_rng(0), n_replicates=200)
    row, means = rows(scores.findings)["Edema"], rows(scores.means, "mean")
    assert row["auroc"] > 0
    assert np.isnan(row["auroc_low"])
    assert row["dropped_replicates"] == pytest.approx((29 / 30) ** 30, abs=0.1)
    assert "of resamples hold one class only" in row["reason"]
    assert "one image per patient leaves 1 positive and 29 negative images" in row["reason"]
    assert means["macro_auroc"]["value"] > 0
    assert np.isnan(means["macro_auroc"]["low"])
    assert means["macro_auroc"]["dropped_replicates"] == row["dropped_replicates"]
    assert means["macro_auroc"]["reason"].endswith("of resamples leave a finding unscored")
    assert means["micro_auroc"]["low"] < means["micro_auroc"]["high"]
    assert scores.headline["macro_auroc_low"] is None
