"""What is decided on validation and measured on test."""

import io

import numpy as np
import pytest
from rich.console import Console
from scipy.special import expit

from cxr14.evaluation.scorecard import score
from cxr14.evaluation.terminal import PHANTOM_NOTE, findings_table, shown
from cxr14.findings import CLASSES, FINDINGS

HERNIA, MASS, FIBROSIS = (CLASSES.index(name) for name in ("Hernia", "Mass", "Fibrosis"))


@pytest.fixture
def study():
    generator = np.random.default_rng(0)
    parts = np.repeat(["val", "test"], [60, 90])
    labels = (generator.random((150, 15)) < 0.4).astype(np.float32)
    labels[:, HERNIA] = 0
    labels[parts == "val", MASS] = 0
    labels[parts == "test", FIBROSIS] = 1
    logits = (labels + generator.normal(0, 1, (150, 15))).astype(np.float32)
    return parts, labels, logits, expit(logits), np.arange(150) // 3


def test_each_part_answers_only_for_what_it_holds(study):
    decision, metrics = score("alexnet", *study, np.random.default_rng(0))
    assert decision["reasons"] == {
        "Hernia": "validation holds no positives among 60 images",
        "Mass": "validation holds no positives among 60 images",
    }
    assert decision["thresholds"]["Mass"] is None
    assert decision["platt"]["Mass"] is None
    assert set(decision["platt"]["Edema"]) == {"slope", "intercept"}
    assert metrics["findings_scored"] == 12  # of 14 without Hernia and Fibrosis
    assert metrics["findings_with_f1"] == 11  # nor Mass, which has no threshold
    assert metrics["findings"]["Mass"]["auroc"] is not None
    assert metrics["findings"]["Fibrosis"]["auroc"] is None
    assert metrics["findings"]["Fibrosis"]["positives"] == 90
    assert metrics["validation"]["findings_scored"] == 12  # without Hernia and Mass
    assert set(metrics["findings"]) == set(FINDINGS)


def test_the_means_are_over_what_could_be_scored(study):
    _, metrics = score("alexnet", *study, np.random.default_rng(0))
    areas = [one["auroc"] for one in metrics["findings"].values() if one["auroc"] is not None]
    assert metrics["macro_auroc"] == pytest.approx(np.mean(areas))
    f1 = [one["f1"] for one in metrics["findings"].values() if one["f1"] is not None]
    assert metrics["macro_f1"] == pytest.approx(np.mean(f1))
    assert metrics["macro_auroc_low"] < metrics["macro_auroc"] < metrics["macro_auroc_high"]


def test_decisions_do_not_see_the_test_images(study):
    parts, labels, logits, probabilities, patients = study
    decision, _ = score("alexnet", *study, np.random.default_rng(0))
    turned = np.where((parts == "test")[:, None], 1 - labels, labels)
    other = score(
        "alexnet", parts, turned, logits, probabilities, patients, np.random.default_rng(0)
    )
    assert other[0] == decision


def test_without_test_images_everything_is_null(study):
    _, labels, logits, probabilities, patients = study
    parts = np.full(150, "val")
    answers = (parts, labels, logits, probabilities, patients)
    _, metrics = score("alexnet", *answers, np.random.default_rng(0))
    assert metrics["macro_auroc"] is None
    assert metrics["findings_scored"] == metrics["images"] == 0


def test_the_printed_table_shows_dashes_reasons_and_phantom(study):
    decision, metrics = score("alexnet", *study, np.random.default_rng(0))
    console = Console(width=120, file=io.StringIO(), record=True)
    console.print(findings_table("alexnet", metrics | {"phantom": 1}, decision["reasons"]))
    text = console.export_text()
    assert PHANTOM_NOTE in " ".join(text.split())
    assert "no threshold for Mass" in " ".join(text.split())
    assert "–" in next(line for line in text.splitlines() if "Hernia" in line)


def test_numbers_lose_only_a_leading_nought():
    assert [shown(0.5), shown(10.05, 2), shown(1.0, 1), shown(0.0), shown(None)] == [
        ".500",
        "10.05",
        "1.0",
        ".000",
        "–",
    ]


def few(study, classes):
    """The columns of some classes."""
    parts, *matrices, patients = study
    columns = [CLASSES.index(name) for name in classes]
    return parts, *(matrix[:, columns] for matrix in matrices), patients


def test_fewer_classes_score_as_they_do_among_all_and_the_means_are_over_them(study):
    classes = ("Effusion", "Mass", "Edema")
    whole = score("alexnet", *study, np.random.default_rng(0))
    own = score("alexnet", *few(study, classes), np.random.default_rng(0), classes)
    for name in classes:
        assert own[0]["thresholds"][name] == whole[0]["thresholds"][name]
        assert own[0]["platt"][name] == whole[0]["platt"][name]
        assert own[1]["findings"][name] == whole[1]["findings"][name]
    assert set(own[0]["thresholds"]) == set(own[1]["findings"]) == set(classes)
    assert set(own[0]["reasons"]) == {"Mass"}
    areas = [own[1]["findings"][name]["auroc"] for name in classes]
    assert own[1]["macro_auroc"] == pytest.approx(np.mean(areas))
    assert own[1]["macro_auroc_low"] < own[1]["macro_auroc"] < own[1]["macro_auroc_high"]
    assert (own[1]["findings_scored"], own[1]["findings_with_f1"]) == (3, 2)
    assert own[1]["no_finding"] is None


def test_no_finding_as_a_class_stays_out_of_the_means(study):
    classes = ("Effusion", "Mass", "No Finding")
    _, metrics = score("alexnet", *few(study, classes), np.random.default_rng(0), classes)
    without = classes[:2]
    _, other = score("alexnet", *few(study, without), np.random.default_rng(0), without)
    assert metrics["no_finding"]["auroc"] is not None
    assert metrics | {"no_finding": None} == other


def test_the_printed_table_of_fewer_classes_lists_them_alone(study):
    classes = ("Effusion", "Edema")
    decision, metrics = score("alexnet", *few(study, classes), np.random.default_rng(0), classes)
    console = Console(width=120, file=io.StringIO(), record=True)
    console.print(findings_table("alexnet", metrics | {"phantom": 0}, decision["reasons"]))
    text = " ".join(console.export_text().split())
    assert "over 2 of 2 findings" in text
    assert "Effusion" in text
    assert "Mass" not in text
    assert "No Finding" not in text
