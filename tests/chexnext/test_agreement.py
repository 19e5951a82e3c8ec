"""Labels against those that radiologists agreed on."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from sklearn.metrics import cohen_kappa_score

from cxr14.chexnext.label_changes import NO_COUNTERPART, NONE_HERE, agreement, agreement_table
from cxr14.datasets.records import PHANTOM_NOTE
from cxr14.evaluation.adjudicated import FILE, MAPPING, PACKAGE, read_adjudicated
from cxr14.io import packaged_file
from cxr14.metrics.bootstrap import draw_replicates
from cxr14.metrics.intervals import FIXED
from tests.chexnext.tables import NIH, PHANTOM, records, splits

ROOT = Path(__file__).resolve().parents[2]
GROUPS = {"Nodule or mass": ("Mass", "Nodule"), "Fracture": ()}
TRUTH = pd.DataFrame(
    {"Nodule or mass": np.arange(60) < 40, "Fracture": False}, records()["image"][:60]
)
"""Of train, two images a patient."""


def table(after=None, source=NIH, truth=TRUTH):
    new = records() if after is None else after
    own = agreement_table(records(), new, splits(), truth, GROUPS, source, resamples=200)
    return own.set_index("measure")


def of_all(true, called):
    """The measures of some images, each of a patient of its own, without resamples."""
    replicates = draw_replicates(np.arange(len(true)), np.random.default_rng(0), 0)
    return {name: values[0] for name, values in agreement(true, called, replicates).items()}


def test_agreement_is_that_of_scikit_learn_and_of_counting() -> None:
    true = np.array([1, 1, 1, 0, 0, 0, 0, 0], bool)
    called = np.array([1, 0, 0, 1, 0, 0, 0, 0], bool)
    own = of_all(true, called)
    assert (own["sensitivity"], own["precision"]) == (pytest.approx(1 / 3), 0.5)
    assert own["kappa"] == pytest.approx(cohen_kappa_score(true, called))
    assert np.isnan(list(of_all(~true & False, ~true & False).values())).all()


def test_a_resample_counts_all_images_of_a_patient_as_often_as_it_draws_the_patient() -> None:
    patients = np.array([3, 3, 3, 5, 5, 7, 8, 8, 9, 9])
    true, called = np.random.default_rng(2).random((2, 10)) < 0.5
    replicates = draw_replicates(patients, np.random.default_rng(0), 50)
    own = agreement(true, called, replicates)
    for replicate in range(51):
        often = replicates.counts[replicates.owner, replicate].astype(int)
        kappa = cohen_kappa_score(np.repeat(true, often), np.repeat(called, often))
        assert own["kappa"][replicate] == pytest.approx(kappa, nan_ok=True)


def test_labels_are_grouped_and_held_against_the_truth_before_and_after() -> None:
    new = records()
    new.loc[:59, ["Mass", "Nodule"]] = np.uint8(0)
    new.loc[:9, "Mass"] = new.loc[10:19, "Nodule"] = np.uint8(1)
    own = table(new)
    row = own.iloc[0]
    assert (row["split"], row["images"], row["patients"], row["positives"]) == ("train", 60, 30, 40)
    assert own["after"][:2].tolist() == [0.5, 1.0]
    old = (records().loc[:39, ["Mass", "Nodule"]] > 0).any(axis=1).mean()
    assert row["before"] == old
    assert row["difference"] == 0.5 - old


def mined(nodules: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """A truth in which a nodule is none, and labels from `nodules` of whose images it is gone."""
    true = records().set_index("image")
    truth = pd.DataFrame({"Nodule or mass": true["Mass"] > 0, "Fracture": False})
    after = records()
    after.loc[: nodules - 1, "Nodule"] = np.uint8(0)
    return truth, after


def test_before_after_and_their_difference_have_intervals_by_patient() -> None:
    """They were bare points, though a patient here has two images."""
    truth, after = mined(80)
    own = table(after, truth=truth)
    row = own[own["split"] == "train"].loc["precision"].iloc[0]
    assert (row["images"], row["patients"]) == (100, 50)
    assert row["before_low"] < row["before"] < row["before_high"] < row["after_high"]
    assert row["difference"] == pytest.approx(row["after"] - row["before"])
    assert 0 < row["difference_low"] < row["difference"] < row["difference_high"]
    same = table(truth=truth).loc["kappa"].iloc[0]
    assert same["difference_low"] == same["difference_high"] == 0.0  # the resamples are the same


def test_a_difference_to_what_never_varies_has_no_interval_but_a_reason() -> None:
    """All labels right says little of fifty patients, and looks sure."""
    truth, after = mined(100)
    own = table(after, truth=truth)
    row = own[own["split"] == "train"].loc["precision"].iloc[0]
    assert (row["after"], row["after_low"]) == (1.0, 1.0)
    assert row["difference"] == pytest.approx(1 - row["before"])
    assert np.isnan(row["difference_low"])
    assert row["reason"] == f"no interval of difference: {FIXED}"


def test_what_cannot_be_told_has_its_reason() -> None:
    assert list(table()["reason"].fillna("")[::3]) == ["", NO_COUNTERPART, NONE_HERE, NONE_HERE]
    assert set(table(source=PHANTOM)["reason"]) == {PHANTOM_NOTE}
    assert table(source=PHANTOM)["after"].isna().all()
    never = records().assign(Mass=np.uint8(0), Nodule=np.uint8(0))
    row = table(never).loc["precision"].iloc[0]
    assert row["reason"] == "too few patients labelled: 0 of 10"
    assert np.isnan(row["after"])
    few = table(truth=TRUTH.head(18)).loc["kappa"].iloc[0]
    assert (
        few["reason"] == "too few patients with it: 9 of 10; too few patients without it: 0 of 10"
    )


def test_the_rates_that_phantoms_get_are_those_of_mined_labels_on_all_adjudicated_images() -> None:
    val, test = read_adjudicated(split="val"), read_adjudicated()
    assert (len(val), len(test)) == (2414, 1962)
    truth = pd.concat([val, test])
    text = pd.read_csv(packaged_file(PACKAGE, FILE)).set_index("Image Index")["Finding Labels"]
    mined = text.str.split("|").reindex(truth.index)
    rates = yaml.safe_load((ROOT / "chexnext/params.yaml").read_text())["noise"]["rates"]
    for label, findings in MAPPING.items():
        if findings:
            called = mined.map(lambda own, wanted=set(findings): bool(wanted & set(own))).to_numpy()
            own = of_all(truth[label].to_numpy(), called)
            for name in findings:
                assert rates[name]["missed"] == round(1 - own["sensitivity"], 2), name
                assert rates[name]["wrong"] == round(1 - own["precision"], 2), name
