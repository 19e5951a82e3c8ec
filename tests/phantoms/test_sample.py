"""Which records get a phantom."""

import pandas as pd
import pytest
import yaml

from cxr14.datasets.split import count_splits, split_patients
from cxr14.labels import FINDINGS
from cxr14.phantoms.sampling import choose_records
from tests.conftest import ROOT

FLOORS = {"train": 120, "val": 15, "test": 40}
PARAMS = yaml.safe_load((ROOT / "params.yaml").read_text())
PHANTOM, SPLIT = PARAMS["data"]["phantom"], PARAMS["split"]


@pytest.fixture(scope="module")
def chosen(tables) -> pd.DataFrame:
    return choose_records(tables[0], PHANTOM["images"], PHANTOM["seed"])


def test_the_default_sample_is_as_large_as_asked_and_sorted(tables, chosen):
    assert len(chosen) == PHANTOM["images"]
    assert chosen.image.is_unique
    assert chosen.image.is_monotonic_increasing
    assert chosen.image.isin(tables[0].image).all()


def test_nobody_brings_more_than_three_images_but_with_a_scarce_finding(chosen):
    others = chosen[~chosen.patient.isin(chosen.patient[chosen.Hernia == 1])]
    assert others.patient.value_counts().max() <= 3


def test_all_images_of_a_scarce_finding_are_in_the_sample(tables, chosen):
    assert chosen.Hernia.sum() == tables[0].Hernia.sum() == 227


def test_every_finding_is_frequent_enough_in_every_part_after_the_default_split(tables, chosen):
    records, _ = tables
    seen = records.assign(has_pixels=records.image.isin(chosen.image))
    fractions = SPLIT["test_fraction"], SPLIT["val_fraction"], SPLIT["seed"]
    split = split_patients(seen, (), None, *fractions)
    parts = count_splits(seen, split)["with_pixels"]
    rare = {
        (part, finding): parts[part]["labels"][finding]
        for part, floor in FLOORS.items()
        for finding in FINDINGS
        if parts[part]["labels"][finding] < floor
    }
    assert rare == {}
    assert all(parts[part]["labels"]["no_finding"] >= floor for part, floor in FLOORS.items())


def test_a_seed_is_a_sample(tables, chosen):
    assert choose_records(tables[0], PHANTOM["images"], PHANTOM["seed"]).equals(chosen)


@pytest.mark.parametrize("count", [1, 40])
def test_a_small_sample_has_the_size_asked_for(tables, count):
    sample = choose_records(tables[0], count, seed=1)
    assert len(sample) == count
    assert sample.image.is_unique


def test_more_than_there_are_is_refused(tables):
    few = tables[0].head(10)
    told = r"phantom\.images is 11, but a few images of each .* more than \d+ of the 10 records"
    with pytest.raises(ValueError, match=told):
        choose_records(few, 11, seed=1)


def test_more_than_the_rules_allow_is_refused_and_not_cut_short(tables):
    """Of the first 1,500 patients' 5,582 records 2,000 were asked for, and 1,446 came."""
    records, _ = tables
    some = records[records.patient <= 300]
    with pytest.raises(ValueError, match=rf"images is {len(some)}, but a few images of each"):
        choose_records(some, len(some), seed=1)
