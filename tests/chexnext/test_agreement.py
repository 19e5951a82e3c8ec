"""Labels against those that radiologists agreed on."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from sklearn.metrics import cohen_kappa_score

from cxr14.chexnext.agreement import NO_COUNTERPART, NONE_HERE, agreement, agreement_table
from cxr14.comparison.adjudicated import FILE, MAPPING, PACKAGE, read_adjudicated
from cxr14.data.packaged import packaged_file
from cxr14.wording import PHANTOM_NOTE
from tests.chexnext.tables import parts, records

ROOT = Path(__file__).resolve().parents[2]
GROUPS = {"Nodule or mass": ("Mass", "Nodule"), "Fracture": ()}
TRUTH = pd.DataFrame({"Nodule or mass": True, "Fracture": False}, ["0003.png", "0004.png"])


def table(after=None, phantom=False):
    new = records() if after is None else after
    return agreement_table(records(), new, parts(), TRUTH, GROUPS, phantom)


def test_agreement_is_that_of_scikit_learn_and_of_counting() -> None:
    true = np.array([1, 1, 1, 0, 0, 0, 0, 0], bool)
    called = np.array([1, 0, 0, 1, 0, 0, 0, 0], bool)
    own = agreement(true, called)
    assert (own["sensitivity"], own["precision"]) == (pytest.approx(1 / 3), 0.5)
    assert own["kappa"] == pytest.approx(cohen_kappa_score(true, called))
    assert agreement(~true & False, ~true & False) == {
        "sensitivity": None, "precision": None, "kappa": None,
    }  # fmt: skip


def test_labels_are_grouped_and_held_against_the_truth_before_and_after() -> None:
    new = records()
    new.loc[[3, 4], ["Mass", "Nodule"]] = np.uint8([[1, 0], [0, 0]])
    row = table(new).iloc[0]
    assert (row["part"], row["images"], row["positives"]) == ("train", 2, 2)
    assert (row["sensitivity_after"], row["precision_after"]) == (0.5, 1.0)
    old = (records().loc[[3, 4], ["Mass", "Nodule"]] > 0).any(axis=1).mean()
    assert row["sensitivity_before"] == old


def test_what_cannot_be_told_has_its_reason() -> None:
    assert list(table()["reason"].fillna("")) == ["", NO_COUNTERPART, NONE_HERE, NONE_HERE]
    assert set(table(phantom=True)["reason"]) == {PHANTOM_NOTE}
    assert table(phantom=True)["kappa_after"].isna().all()


def test_the_rates_that_phantoms_get_are_those_of_mined_labels_on_all_adjudicated_images() -> None:
    val, test = read_adjudicated(part="val"), read_adjudicated()
    assert (len(val), len(test)) == (2414, 1962)
    truth = pd.concat([val, test])
    text = pd.read_csv(packaged_file(PACKAGE, FILE)).set_index("Image Index")["Finding Labels"]
    mined = text.str.split("|").reindex(truth.index)
    rates = yaml.safe_load((ROOT / "chexnext/params.yaml").read_text())["noise"]["rates"]
    for label, findings in MAPPING.items():
        if findings:
            called = mined.map(lambda own, wanted=set(findings): bool(wanted & set(own))).to_numpy()
            own = agreement(truth[label].to_numpy(), called)
            for name in findings:
                assert rates[name]["missed"] == round(1 - own["sensitivity"], 2), name
                assert rates[name]["wrong"] == round(1 - own["precision"], 2), name
