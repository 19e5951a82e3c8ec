"""What is decided on validation and measured on test, and what is null and why."""

import numpy as np
import pytest
from scipy.special import expit

from cxr14.evaluation.evaluate import measure, score
from cxr14.evaluation.tables import FINDING_COLUMNS
from cxr14.labels import CLASSES
from tests.evaluation.answers import EDEMA, few, part, rows


def test_each_part_answers_only_for_what_it_holds(scored):
    decision, scores = scored
    assert decision["reasons"] == {
        "Hernia": "validation holds no positives among 60 images",
        "Mass": "validation holds no positives among 60 images",
    }
    assert decision["thresholds"]["Mass"] is None
    assert decision["platt"]["Mass"] is None
    assert decision["temperature"]["Mass"] is None
    assert set(decision["platt"]["Edema"]) == {"slope", "intercept"}
    assert decision["temperature"]["Edema"] > 0
    assert scores.headline["findings_scored"] == 12  # of 14 without Hernia and Fibrosis
    assert scores.headline["findings_with_f1"] == 11  # nor Mass, which has no threshold
    found = rows(scores.findings)
    assert found["Mass"]["auroc"] > 0.5
    assert np.isnan(found["Fibrosis"]["auroc"])
    assert (found["Fibrosis"]["positives"], found["Fibrosis"]["negatives"]) == (90, 0)


def test_the_table_has_every_class_in_order_and_a_reason_for_what_is_null(scored):
    table = scored[1].findings
    assert list(table) == FINDING_COLUMNS
    assert table["finding"].tolist() == list(CLASSES)
    reasons = table.set_index("finding")["reason"].dropna().to_dict()
    assert reasons == {
        "Mass": "validation holds no positives among 60 images",
        "Fibrosis": "test holds no negatives among 90 images",
        "Hernia": "test holds no positives among 90 images",
    }
    whole = table[~table["finding"].isin(reasons)]
    assert whole.drop(columns="reason").notna().all(axis=None)
    measured = table.columns[table.columns.get_loc("auroc") : -2]
    unscored = table.set_index("finding").loc[["Hernia", "Fibrosis"], measured]
    assert unscored.isna().all(axis=None)
    assert table.set_index("finding").loc["Mass", ["brier", "ece", "auroc_low"]].notna().all()


def test_precision_is_null_where_nothing_is_called_and_says_so(study, scored):
    thresholds = scored[0]["thresholds"] | {"Edema": 0.999}
    decision = scored[0] | {"thresholds": thresholds}
    scores = measure(*part(study, "test"), decision, np.random.default_rng(0), n_replicates=50)
    row = rows(scores.findings)["Edema"]
    assert (row["f1"], row["f1_low"], row["recall"], row["specificity"]) == (0, 0, 0, 1)
    assert np.isnan([row["precision"], row["precision_low"]]).all()
    assert row["reason"] == "no precision: nothing is called"
    means = rows(scores.means, "mean")
    assert means["macro_precision"]["findings"] == means["macro_recall"]["findings"] - 1


def test_too_few_patients_with_a_call_give_no_interval_of_precision(study, scored):
    labels, logits, probabilities, patients = part(study, "test")
    thresholds = scored[0]["thresholds"] | {"Edema": float(probabilities[:, EDEMA].max())}
    decision = scored[0] | {"thresholds": thresholds}
    inputs = (labels, logits, probabilities, patients, decision)
    row = rows(measure(*inputs, np.random.default_rng(0)).findings)["Edema"]
    assert row["precision"] in (0, 1)  # one image is called, of one patient
    assert np.isnan(row["precision_low"])
    few = "no interval of precision: too few patients called positive: 1 of 10"
    assert row["reason"] == few


def test_decisions_do_not_see_the_test_images(study, scored):
    parts, labels, logits, probabilities, patients = study
    turned = np.where((parts == "test")[:, None], 1 - labels, labels)
    other = score(
        "alexnet", parts, turned, logits, probabilities, patients, np.random.default_rng(0)
    )
    assert other[0] == scored[0]


def test_the_same_generator_gives_the_same_scores(study, scored):
    _, again = score("alexnet", *study, np.random.default_rng(0))
    assert again.headline == scored[1].headline
    assert again.findings.equals(scored[1].findings)
    assert again.means.equals(scored[1].means)


def test_without_test_images_everything_is_null(study):
    _, labels, logits, probabilities, patients = study
    answers = (np.full(150, "val"), labels, logits, probabilities, patients)
    _, scores = score("alexnet", *answers, np.random.default_rng(0))
    head = scores.headline
    assert head["macro_auroc"] is head["micro_auroc"] is head["no_finding_auroc"] is None
    assert head["findings_scored"] == head["images"] == head["patients"] == 0
    assert set(scores.findings["reason"]) == {"test holds no positives among 0 images"}
    assert set(scores.means["reason"]) == {"no finding can be scored"}


def test_a_part_without_any_positive_is_null_and_says_so(study, scored):
    labels, *others = part(study, "test")
    scores = measure(np.zeros_like(labels), *others, scored[0], np.random.default_rng(0))
    assert scores.headline["macro_auroc"] is None
    assert scores.headline["findings_scored"] == 0
    assert set(scores.findings["reason"]) == {"test holds no positives among 90 images"}
    assert (scores.findings["prevalence"] == 0).all()


def test_one_patient_has_scores_and_no_intervals(study, scored):
    *answers, patients = part(study, "test")
    scores = measure(*answers, np.zeros_like(patients), scored[0], np.random.default_rng(0))
    assert scores.headline["macro_auroc"] > 0.5
    row, mean = rows(scores.findings)["Edema"], rows(scores.means, "mean")["macro_auroc"]
    assert np.isnan([row["auroc_low"], row["dropped_replicates"], mean["low"]]).all()
    assert "too few patients with it: 1 of 10; too few patients without it: 1" in row["reason"]
    assert mean["reason"].startswith("no interval: too few patients of Atelectasis")


def test_equal_probabilities_everywhere_say_nothing_and_break_nothing(study):
    parts, labels, _, _, patients = study
    equal = np.zeros(labels.shape, np.float32)
    decision, scores = score(
        "alexnet", parts, labels, equal, expit(equal), patients, np.random.default_rng(0)
    )
    row = rows(scores.findings)["Edema"]
    assert (row["auroc"], row["auroc_low"], row["auroc_high"]) == (0.5, 0.5, 0.5)
    assert row["average_precision"] == pytest.approx(row["prevalence"])
    assert row["ece"] == pytest.approx(abs(0.5 - row["prevalence"]))
    assert (row["recall"], row["specificity"]) == (1, 0)
    assert decision["temperature"]["Edema"] == 100
    assert "no DeLong interval: its variance is 0" in row["reason"]


def test_fewer_classes_score_as_they_do_among_all_and_the_means_are_over_them(study, scored):
    classes = ("Effusion", "Mass", "Edema")
    decision, scores = score("alexnet", *few(study, classes), np.random.default_rng(0), classes)
    for name in classes:
        for kind in ("thresholds", "platt", "temperature"):
            assert decision[kind][name] == scored[0][kind][name]
    whole = scored[1].findings.set_index("finding").loc[list(classes)]
    own = scores.findings.set_index("finding")
    numbers = own.select_dtypes("number").columns
    assert own[numbers].to_numpy() == pytest.approx(whole[numbers].to_numpy(), nan_ok=True)
    assert set(decision["thresholds"]) == set(own.index) == set(classes)
    assert set(decision["reasons"]) == {"Mass"}
    head = scores.headline
    assert head["macro_auroc"] == pytest.approx(own["auroc"].mean())
    assert (head["findings_scored"], head["findings_with_f1"]) == (3, 2)
    assert head["no_finding_auroc"] is None


def test_no_finding_as_a_class_stays_out_of_the_means(study):
    classes = ("Effusion", "Mass", "No Finding")
    _, scores = score("alexnet", *few(study, classes), np.random.default_rng(0), classes)
    without = classes[:2]
    _, other = score("alexnet", *few(study, without), np.random.default_rng(0), without)
    assert scores.headline["no_finding_auroc"] is not None
    assert scores.headline | {"no_finding_auroc": None} == other.headline
    assert scores.means.equals(other.means)
