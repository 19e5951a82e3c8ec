"""What is decided on validation and measured on test."""

import io

import numpy as np
import pytest
from rich.console import Console
from scipy.special import expit
from sklearn.metrics import average_precision_score, brier_score_loss, f1_score, roc_auc_score

from cxr14.evaluation.bootstrap import patient_weights
from cxr14.evaluation.by_finding import COLUMNS
from cxr14.evaluation.scorecard import measure, score
from cxr14.evaluation.terminal import TABLE_WIDTH, findings_table
from cxr14.findings import CLASSES, FINDINGS
from cxr14.wording import PHANTOM_NOTE, shown

HERNIA, MASS, FIBROSIS = (CLASSES.index(name) for name in ("Hernia", "Mass", "Fibrosis"))
EDEMA = CLASSES.index("Edema")


@pytest.fixture(scope="module")
def study():
    generator = np.random.default_rng(0)
    parts = np.repeat(["val", "test"], [60, 90])
    labels = (generator.random((150, 15)) < 0.4).astype(np.float32)
    labels[:, HERNIA] = 0
    labels[parts == "val", MASS] = 0
    labels[parts == "test", FIBROSIS] = 1
    logits = (labels + generator.normal(0, 1, (150, 15))).astype(np.float32)
    return parts, labels, logits, expit(logits), np.arange(150) // 3


@pytest.fixture(scope="module")
def scored(study):
    return score("alexnet", *study, np.random.default_rng(0))


def part(study, name):
    """Labels, logits, probabilities and patients of one part."""
    return [one[study[0] == name] for one in study[1:]]


def rows(table, key="finding"):
    return {row[key]: row for row in table.to_dict("records")}


def few(study, classes):
    """The columns of some classes."""
    parts, *matrices, patients = study
    columns = [CLASSES.index(name) for name in classes]
    return parts, *(matrix[:, columns] for matrix in matrices), patients


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
    assert list(table) == COLUMNS
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
    table = measure(*part(study, "test"), scored[0], np.random.default_rng(5), resamples=40)
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
    scores = measure(rare, *others, scored[0], np.random.default_rng(0), resamples=200)
    row, means = rows(scores.findings)["Edema"], rows(scores.means, "mean")
    assert row["auroc"] > 0
    assert np.isnan(row["auroc_low"])
    assert row["left_out"] == pytest.approx((29 / 30) ** 30, abs=0.1)
    assert "of resamples hold one class only" in row["reason"]
    assert "one image per patient leaves 1 positives among 30 images" in row["reason"]
    assert means["macro_auroc"]["value"] > 0
    assert np.isnan(means["macro_auroc"]["low"])
    assert means["macro_auroc"]["left_out"] == row["left_out"]
    assert means["macro_auroc"]["reason"].endswith("of resamples leave a finding unscored")
    assert means["micro_auroc"]["low"] < means["micro_auroc"]["high"]
    assert scores.headline["macro_auroc_low"] is None


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
    assert scores.headline["macro_auroc_low"] is None
    row = rows(scores.findings)["Edema"]
    assert np.isnan(row["auroc_low"])
    assert "all images are of one patient: nothing to resample" in row["reason"]
    assert rows(scores.means, "mean")["macro_auroc"]["reason"].startswith("all images are of one")


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
    assert head["macro_auroc_low"] < head["macro_auroc"] < head["macro_auroc_high"]
    assert (head["findings_scored"], head["findings_with_f1"]) == (3, 2)
    assert head["no_finding_auroc"] is None


def test_no_finding_as_a_class_stays_out_of_the_means(study):
    classes = ("Effusion", "Mass", "No Finding")
    _, scores = score("alexnet", *few(study, classes), np.random.default_rng(0), classes)
    without = classes[:2]
    _, other = score("alexnet", *few(study, without), np.random.default_rng(0), without)
    assert scores.headline["no_finding_auroc"] is not None
    nothing = dict.fromkeys(("no_finding_auroc", "no_finding_auroc_low", "no_finding_auroc_high"))
    assert scores.headline | nothing == other.headline
    assert scores.means.equals(other.means)


def printed(scores, phantom=True):
    console = Console(width=TABLE_WIDTH, file=io.StringIO(), record=True)
    console.print(findings_table("alexnet", scores, phantom))
    return console.export_text()


def test_the_printed_table_shows_intervals_dashes_reasons_and_phantom(scored):
    text = printed(scored[1])
    assert PHANTOM_NOTE in " ".join(text.split())
    assert "Mass: validation holds no positives" in " ".join(text.split())
    lines = {line.split()[0]: line for line in text.splitlines() if line.split()}
    row = rows(scored[1].findings)["Edema"]
    own = f"{shown(row['auroc'])} ({shown(row['auroc_low'])}–{shown(row['auroc_high'])})"
    assert own in lines["Edema"]
    assert lines["Hernia"].split()[1:4] == ["0", "–", ".000"]
    assert "…" not in text  # it fits its width
    assert "macro mean" in text


def test_the_printed_table_of_fewer_classes_lists_them_alone(study):
    classes = ("Effusion", "Edema")
    _, scores = score("alexnet", *few(study, classes), np.random.default_rng(0), classes)
    text = " ".join(printed(scores, phantom=False).split())
    assert "means over 2 findings" in text
    assert "Effusion" in text
    assert "Mass" not in text
    assert "No Finding" not in text
    assert PHANTOM_NOTE not in text


def test_numbers_lose_only_a_leading_nought():
    assert [shown(0.5), shown(10.05, 2), shown(1.0, 1), shown(0.0), shown(None)] == [
        ".500",
        "10.05",
        "1.0",
        ".000",
        "–",
    ]
