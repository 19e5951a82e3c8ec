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
    for kind in ("macro", "weighted", "micro"):
        row = means[f"{kind}_auroc"]
        assert row["low"] < row["value"] < row["high"]
    assert not [key for key in head if key.endswith(("_low", "_high"))]  # dvc metrics diff


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


def test_the_chance_level_of_an_error_is_beside_it_and_in_its_means(study, scored):
    table, means = scored[1].findings.iloc[:14], rows(scored[1].means, "mean")
    calibrated = table[table["ece_platt"].notna()]
    for name in ("ece", "ece_platt", "ece_temperature"):
        chance = calibrated[f"{name}_chance"]
        assert ((chance > 0) & (chance < 0.2)).all()
        assert means[f"macro_{name}"]["chance"] == pytest.approx(chance.mean())
    assert means["macro_ece"]["value"] > means["macro_ece"]["chance"]
    assert np.isnan(means["macro_auroc"]["chance"])
    again = measure(*part(study, "test"), scored[0], np.random.default_rng(7), n_replicates=20)
    assert again.findings["ece_chance"].equals(scored[1].findings["ece_chance"])  # same seed


def test_an_interval_of_the_macro_mean_needs_enough_patients_of_every_finding(study, scored):
    labels, *others = part(study, "test")
    rare = labels.copy()
    rare[:, EDEMA] = np.arange(90) < 2  # all positives in one patient, drawn in 63 % of resamples
    scores = measure(rare, *others, scored[0], np.random.default_rng(0), n_replicates=200)
    row, means = rows(scores.findings)["Edema"], rows(scores.means, "mean")
    assert row["auroc"] > 0
    assert np.isnan(row["auroc_low"])
    assert row["dropped_replicates"] == pytest.approx((44 / 45) ** 45, abs=0.1)
    assert "no intervals: too few patients with it: 1 of 10" in row["reason"]
    assert "one image per patient leaves 1 positive and 44 negative images" in row["reason"]
    assert means["macro_auroc"]["value"] > 0
    assert np.isnan(means["macro_auroc"]["low"])
    assert means["macro_auroc"]["dropped_replicates"] == row["dropped_replicates"]
    assert means["macro_auroc"]["reason"] == "no interval: too few patients of Edema"
    assert means["micro_auroc"]["low"] < means["micro_auroc"]["high"]
