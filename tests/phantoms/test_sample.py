"""Which records get a phantom."""

import pandas as pd
import pytest
import yaml

from cxr14.datasets.split import count_splits, split_patients
from cxr14.labels import BOXED, FINDINGS
from cxr14.phantoms.sampling import choose_records
from tests.conftest import ROOT

FLOORS = {"train": 40, "val": 20, "test": 20}
PARAMS = yaml.safe_load((ROOT / "params.yaml").read_text())
PHANTOM, SPLIT = PARAMS["data"]["phantom"], PARAMS["split"]


@pytest.fixture(scope="module")
def chosen(tables) -> pd.DataFrame:
    return choose_records(*tables, PHANTOM["images"], PHANTOM["seed"])


def test_the_default_sample_is_as_large_as_asked_and_sorted(tables, chosen):
    assert len(chosen) == PHANTOM["images"]
    assert chosen.image.is_unique
    assert chosen.image.is_monotonic_increasing
    assert chosen.image.isin(tables[0].image).all()


def test_nobody_brings_more_than_six_images(chosen):
    assert chosen.patient.value_counts().max() <= 6


def test_every_boxed_finding_has_ten_boxes(tables, chosen):
    boxes = tables[1]
    counts = boxes.finding[boxes.image.isin(chosen.image)].value_counts()
    assert set(counts.index) == set(BOXED)
    assert counts.min() >= 10


def test_boxed_images_come_before_the_others_of_their_patient(tables, chosen):
    records, boxes = tables
    own = records[records.patient.isin(records.patient[records.image.isin(boxes.image)])]
    own = own.assign(boxed=own.image.isin(boxes.image), taken=own.image.isin(chosen.image))
    sampled = own[own.patient.isin(chosen.patient)]
    for _, images in sampled.groupby("patient"):
        left_out = images[images.boxed & ~images.taken]
        assert left_out.empty or not (images.taken & ~images.boxed).any()


def test_every_finding_is_frequent_enough_in_every_part_after_the_default_split(tables, chosen):
    records, boxes = tables
    seen = records.assign(has_pixels=records.image.isin(chosen.image))
    fractions = SPLIT["test_fraction"], SPLIT["val_fraction"], SPLIT["seed"]
    split = split_patients(seen, set(boxes.image), None, *fractions)
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
    assert choose_records(*tables, PHANTOM["images"], PHANTOM["seed"]).equals(chosen)


@pytest.mark.parametrize("count", [1, 40])
def test_a_small_sample_has_the_size_asked_for(tables, count):
    sample = choose_records(*tables, count, seed=1)
    assert len(sample) == count
    assert sample.image.is_unique


def test_more_than_there_are_is_refused(tables):
    records, boxes = tables
    few = records.head(10)
    told = r"phantom\.images is 11, but a few images of each .* more than \d+ of the 10 records"
    with pytest.raises(ValueError, match=told):
        choose_records(few, boxes[boxes.image.isin(few.image)], 11, seed=1)


def test_more_than_the_rules_allow_is_refused_and_not_cut_short(tables):
    """Of the first 1,500 patients' 5,582 records 2,000 were asked for, and 1,446 came."""
    records, boxes = tables
    some = records[records.patient <= 300]
    with pytest.raises(ValueError, match=rf"images is {len(some)}, but a few images of each"):
        choose_records(some, boxes[boxes.image.isin(some.image)], len(some), seed=1)
