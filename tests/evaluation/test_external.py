"""External validation: shared classes, our thresholds, gaps and their intervals."""

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit

from cxr14.errors import UserError
from cxr14.evaluation.external import (
    count_in_training,
    gap_table,
    score_external,
    score_side,
    shared_classes,
)
from cxr14.evaluation.measures import Predictions
from cxr14.labels import CLASSES, FINDINGS, LABEL_COLUMNS
from cxr14.metrics.auroc import weighted_auroc
from cxr14.metrics.bootstrap import SEED, draw_replicates

TWO = ("Mass", "Nodule")


def decision(classes, threshold=0.5):
    return {
        "thresholds": dict.fromkeys(classes, threshold),
        "platt": {name: {"slope": 1.0, "intercept": 0.0} for name in classes},
        "temperature": dict.fromkeys(classes, 1.0),
        "reasons": {},
    }


def records_with(labels, patients):
    """Records of the two findings; all other classes are unknown."""
    table = pd.DataFrame(-1, np.arange(len(patients)), [*LABEL_COLUMNS])
    table[list(TWO)] = labels
    return table.assign(patient=patients)


def side(name, logits, labels, patients=None, threshold=0.5, replicates=200):
    logits = np.asarray(logits, np.float32)
    patients = np.arange(len(logits)) if patients is None else patients
    predictions = Predictions(TWO, logits, expit(logits), decision(TWO, threshold))
    return score_side(name, predictions, records_with(labels, patients), TWO, replicates)


def drawn(seed, n, separation):
    rng = np.random.default_rng(seed)
    labels = (rng.random((n, 2)) < 0.4).astype(int)
    return separation * labels + rng.normal(0, 1, (n, 2)), labels


def row_of(gaps, measure, finding):
    return gaps[(gaps.measure == measure) & (gaps.finding == finding)].iloc[0]


def test_the_gap_of_a_tiny_case_is_the_one_worked_out_by_hand():
    # Mass: ours ranks 3 of 4 pairs right (0.75), external 1 of 4 (0.25); Nodule 1.0 and 0.5.
    ours = side("ours", [[3, 4], [1, 3], [2, 2], [0, 1]], [[1, 1], [1, 1], [0, 0], [0, 0]])
    external = side(
        "external", [[1, 2], [0, 1], [3, 2], [0.5, 1]], [[1, 1], [1, 1], [0, 0], [0, 0]]
    )
    gaps = gap_table(ours, external)
    auroc = gaps[gaps.measure == "auroc"].set_index("finding")
    assert auroc.ours.to_dict() == {"macro": 0.875, "Mass": 0.75, "Nodule": 1.0}
    assert auroc.external.to_dict() == {"macro": 0.375, "Mass": 0.25, "Nodule": 0.5}
    assert auroc.difference.to_dict() == {"macro": -0.5, "Mass": -0.5, "Nodule": -0.5}
    assert auroc.findings["macro"] == 2
    assert auroc[["low", "high", "ours_low", "external_high"]].isna().all(axis=None)
    assert auroc.reason["macro"] == "no interval: too few patients of Mass, Nodule"
    assert "too few patients without it: 2 of 10 (external)" in auroc.reason["Mass"]


def test_the_interval_resamples_the_patients_of_both_sides_independently():
    ours, external = side("ours", *drawn(1, 150, 2.0)), side("external", *drawn(2, 90, 0.7))
    found = row_of(gap_table(ours, external), "auroc", "Mass")
    replicates = []
    for scored, seed in ((ours, [SEED]), (external, [SEED, 1])):
        drawn_patients = draw_replicates(scored.patients, np.random.default_rng(seed), 200)
        logits = scored.predictions.logits
        replicates.append(weighted_auroc(scored.sample.labels, logits, *drawn_patients)[:, 0])
    difference = replicates[1] - replicates[0]
    assert found.difference == pytest.approx(difference[0])
    assert [found.low, found.high] == pytest.approx(np.percentile(difference[1:], [2.5, 97.5]))
    assert found.high < 0
    assert abs(np.corrcoef(replicates[0][1:], replicates[1][1:])[0, 1]) < 0.25


def test_two_sides_with_the_same_patients_still_have_independent_replicates():
    logits, labels = drawn(3, 100, 1.0)
    gaps = gap_table(side("ours", logits, labels), side("external", logits, labels))
    found = row_of(gaps, "auroc", "macro")
    assert found.difference == 0
    assert found.low < 0 < found.high


def test_a_finding_that_one_side_cannot_score_is_in_no_mean():
    logits, labels = drawn(4, 80, 1.0)
    without = labels.copy()
    without[:, 1] = 0
    gaps = gap_table(side("ours", logits, labels), side("external", logits, without))
    macro, mass = (row_of(gaps, "auroc", name) for name in ("macro", "Mass"))
    assert macro.findings == 1
    assert [macro.ours, macro.difference] == [mass.ours, mass.difference]
    nodule = row_of(gaps, "auroc", "Nodule")
    assert nodule.reason == "external holds no positives among 80 images"
    assert np.isnan(nodule.difference)


def test_a_side_that_is_the_same_in_every_replicate_gives_no_interval():
    logits, labels = drawn(5, 80, 1.0)
    perfect = np.where(labels, 5.0, -5.0)
    found = row_of(gap_table(side("ours", perfect, labels), side("external", logits, labels)),
                   "auroc", "macro")  # fmt: skip
    assert found.ours == 1
    assert np.isnan(found.low)
    assert found.reason == "one side is the same in every resample"


def test_thresholds_are_those_of_our_validation_not_the_best_of_the_set():
    labels = np.tile([[1, 1], [0, 0]], (10, 1))
    logits = np.where(labels, -2.0, -4.0)  # a threshold of .05 would separate them
    ours = side("ours", *drawn(6, 60, 1.0), threshold=0.5)
    scores, gaps = score_external(ours, side("external", logits, labels, threshold=0.5))
    assert scores.findings.threshold.tolist() == [0.5, 0.5]
    assert scores.findings.f1.tolist() == [0, 0]
    assert scores.headline["macro_f1"] == 0
    assert scores.headline["macro_auroc"] == 1
    assert row_of(gaps, "f1", "macro").external == 0
    low = score_external(ours, side("external", logits, labels, threshold=0.05))[0]
    assert low.headline["macro_f1"] == 1


def test_the_headline_has_the_gaps_and_what_they_are_over():
    ours, external = side("ours", *drawn(7, 60, 1.5)), side("external", *drawn(8, 70, 0.5))
    scores, gaps = score_external(ours, external)
    macro = row_of(gaps, "auroc", "macro")
    headline = scores.headline
    assert [headline["images"], headline["patients"]] == [70, 70]
    assert [headline["shared_findings"], headline["gap_findings"]] == [2, 2]
    assert headline["gap_macro_auroc"] == macro.difference
    assert headline["our_macro_auroc"] + macro.difference == pytest.approx(headline["macro_auroc"])
    assert {"gap_macro_average_precision", "gap_macro_f1"} <= set(headline)


def test_unknown_labels_of_the_set_are_in_no_score():
    logits, labels = drawn(9, 60, 1.0)
    labels[::3, 0] = -1
    external = side("external", logits, labels)
    scores, _ = score_external(side("ours", *drawn(10, 60, 1.0)), external)
    assert scores.findings.images.tolist() == [40, 60]
    known = side("external", logits[labels[:, 0] >= 0], labels[labels[:, 0] >= 0])
    again, _ = score_external(side("ours", *drawn(10, 60, 1.0)), known)
    assert scores.findings.auroc[0] == pytest.approx(again.findings.auroc[0])


def test_the_shared_classes_are_in_the_order_of_the_network():
    assert shared_classes(CLASSES, ["No Finding", "Mass", "Edema"]) == [
        "Mass",
        "Edema",
        "No Finding",
    ]


@pytest.mark.parametrize("labelled", [["Edema"], ["No Finding"]])
def test_a_set_that_shares_no_finding_is_an_error(labelled):
    with pytest.raises(UserError, match=f"set labels {labelled[0]}: they share no finding"):
        shared_classes([*FINDINGS[:2], "No Finding"], labelled)


def test_images_of_train_and_val_are_counted_by_their_hash_and_those_of_test_are_not():
    ours = pd.DataFrame({"image": list("abcd"), "sha256": ["1", "2", "3", "4"]})
    split = pd.DataFrame({"image": list("abcd"), "split": ["train", "val", "test", "train"]})
    external = pd.DataFrame({"image": list("wxyz"), "sha256": ["1", "2", "3", "5"]})
    assert count_in_training(external, ours, split) == 2
