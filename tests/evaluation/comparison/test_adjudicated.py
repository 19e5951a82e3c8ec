"""Adjudicated labels beside mined ones."""

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from cxr14.datasets.records import PHANTOM_NOTE
from cxr14.evaluation.adjudicated import (
    COLUMNS,
    MAPPING,
    adjudicated_table,
    combined_scores,
    read_adjudicated,
)
from cxr14.evaluation.measures import predictions_of
from cxr14.labels import FINDINGS
from tests.evaluation.comparison.conftest import make_decision, make_rows, platt
from tests.sources import OFFICIAL, PHANTOM


@pytest.fixture
def truth(records):
    """Radiologists' labels of the first 200 test images, and of one that is not in our test."""
    images = [*records.index[:200], "elsewhere.png"]
    labels = np.random.default_rng(2).random((201, len(MAPPING))) < 0.3
    return pd.DataFrame(labels, index=images, columns=list(MAPPING))


def score_of(table, backbone, label):
    return table[(table["backbone"] == backbone) & (table["label"] == label)].iloc[0]


def test_the_packaged_table_has_the_test_images_of_the_paper():
    table = read_adjudicated()
    assert len(table) == 1962
    assert table.index.is_unique
    assert list(table) == list(MAPPING)
    assert table.dtypes.eq(bool).all()


def test_all_adjudicated_test_images_lie_in_the_official_test_list(nih):
    official = (nih / "test_list.txt").read_text().split()
    assert set(read_adjudicated().index) <= set(official)


def test_the_mapping_names_findings_and_none_twice():
    named = [finding for findings in MAPPING.values() for finding in findings]
    assert len(named) == len(set(named))
    assert set(named) <= set(FINDINGS)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"Pneumothorax": None}, "no column 'Pneumothorax'"),
        ({"Fracture": "MAYBE"}, "Fracture holds 'MAYBE', allowed are NO and YES"),
        ({"Set Id": "train"}, "Set Id holds 'train', allowed are test and val"),
        ({"Image Index": "a.png"}, r"a\.png is listed twice"),
    ],
)
def test_another_table_is_refused_in_one_sentence(tmp_path, change, message):
    rows = {"Image Index": ["a.png", "b.png"], "Set Id": "test"} | dict.fromkeys(MAPPING, "NO")
    table = pd.DataFrame(rows).assign(**{k: v for k, v in change.items() if v is not None})
    path = tmp_path / "labels.csv"
    table.drop(columns=[k for k, v in change.items() if v is None]).to_csv(path, index=False)
    with pytest.raises(ValueError, match=rf"labels\.csv: {message}; install torchxrayvision"):
        read_adjudicated(path)


def test_both_labels_are_scored_on_the_same_images(records, answers, truth):
    table = adjudicated_table(records, answers, truth, source=OFFICIAL)
    assert list(table) == COLUMNS
    own, kept = score_of(table, "good", "Nodule or mass"), records.iloc[:200]
    p = platt(answers["good"].select(["Mass", "Nodule"]).logits[:200])
    either = 1 - (1 - p[:, 0]) * (1 - p[:, 1])
    mined = (kept["Mass"] + kept["Nodule"]) > 0
    read = truth.loc[kept.index, "Nodule or mass"]
    assert own["auroc_adjudicated"] == pytest.approx(roc_auc_score(read, either))
    assert own["auroc_mined"] == pytest.approx(roc_auc_score(mined, either))
    assert own["auroc_mined_low"] < own["auroc_mined"] < own["auroc_mined_high"]
    counts = ["images", "patients", "positives", "positives_mined"]
    assert list(own[counts]) == [200, kept["patient"].nunique(), read.sum(), mined.sum()]
    assert own["patients_with"] == kept.loc[read.to_numpy(), "patient"].nunique()
    assert own["patients_without_mined"] == kept.loc[~mined, "patient"].nunique()
    assert pd.isna(own["reason"])


def test_the_difference_of_both_has_an_interval_on_the_same_resamples(records, answers, truth):
    """Both had intervals and their difference none, though it is what the table is for."""
    own = score_of(adjudicated_table(records, answers, truth, OFFICIAL), "good", "Nodule or mass")
    assert own["difference"] == pytest.approx(own["auroc_adjudicated"] - own["auroc_mined"])
    assert own["difference_low"] < own["difference"] < own["difference_high"] < 0
    kept = records.iloc[:200]
    same = truth.assign(**{"Nodule or mass": False})
    same.loc[kept.index, "Nodule or mass"] = (kept["Mass"] + kept["Nodule"]) > 0
    own = score_of(adjudicated_table(records, answers, same, OFFICIAL), "good", "Nodule or mass")
    assert list(own[["difference", "difference_low", "difference_high"]]) == [0, 0, 0]


def test_positives_of_nine_patients_are_too_few_however_many_they_are(records, answers, truth):
    patients = records["patient"].to_numpy()[:200]
    nine = np.isin(patients, np.unique(patients)[:9])
    assert nine.sum() > 10
    few = truth.assign(Pneumothorax=[*nine, False])
    own = score_of(adjudicated_table(records, answers, few, OFFICIAL), "good", "Pneumothorax")
    assert own["positives"] == nine.sum()
    assert own["reason"].startswith("adjudicated: too few patients with it: 9 of 10")
    assert own[["auroc_adjudicated", "difference"]].isna().all()
    assert own["auroc_mined"] > 0.5


def test_a_single_finding_is_ranked_by_its_logit_whatever_its_scaling(records):
    decision = make_decision()
    decision["platt"] = decision["platt"] | {"Pneumothorax": {"slope": -1.0, "intercept": 0.0}}
    own = predictions_of(make_rows(records, 1, 1), decision)
    scores = combined_scores(own, ("Pneumothorax",))
    np.testing.assert_array_equal(scores, own.select(["Pneumothorax"]).logits[:, 0])


def test_on_phantoms_there_is_a_reason_and_no_number(records, answers, truth):
    table = adjudicated_table(records, answers, truth, source=PHANTOM)
    assert len(table) == len(answers) * len(MAPPING)
    assert set(table["reason"]) == {PHANTOM_NOTE}
    numbers = table.drop(columns=["backbone", "label", "mapped_from", "reason"])
    assert numbers.isna().all(axis=None)


def test_what_has_no_counterpart_or_was_not_trained_says_so(records, truth):
    names = [f"{kind} {name}" for kind in ("logit", "probability") for name in ("Mass", "Edema")]
    rows = make_rows(records, 1, 1)[["image", "split", *names]]
    table = adjudicated_table(
        records, {"b": predictions_of(rows, make_decision())}, truth, OFFICIAL
    )
    reasons = table.set_index("label")["reason"]
    assert reasons["Fracture"] == "no counterpart among the fourteen findings"
    assert reasons["Nodule or mass"] == "not trained on Nodule"
    assert reasons["Airspace opacity"].startswith("not trained on Atelectasis, Consolidation")


def test_a_finding_without_scaling_cannot_be_combined(records, truth):
    reasons = {"Nodule": "validation holds no positives among 7 images"}
    own = predictions_of(make_rows(records, 1, 1), make_decision(reasons=reasons))
    table = adjudicated_table(records, {"b": own}, truth, source=OFFICIAL)
    assert score_of(table, "b", "Nodule or mass")["reason"] == f"Nodule: {reasons['Nodule']}"


@pytest.mark.parametrize("images", [0, 6])
def test_too_few_images_are_counted_and_not_scored(records, answers, truth, images):
    few = truth.iloc[:images]
    table = adjudicated_table(records, {"good": answers["good"]}, few, source=OFFICIAL)
    own = score_of(table, "good", "Pneumothorax")
    assert own["images"] == images
    assert pd.isna(own["auroc_adjudicated"])
    ill = records.iloc[:images].loc[few["Pneumothorax"].to_numpy(), "patient"].nunique()
    assert own["reason"].startswith(f"adjudicated: too few patients with it: {ill} of 10")
