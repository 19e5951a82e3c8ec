"""The fourteen names."""

import pytest

from cxr14.labels import BOXED, CHESTXRAY8, CLASSES, FINDINGS, LABEL_COLUMNS, NO_FINDING, canonical


def test_there_are_fourteen_findings_and_no_finding_comes_last():
    assert len(FINDINGS) == len(set(FINDINGS)) == 14
    assert (*FINDINGS, NO_FINDING) == CLASSES
    assert len(LABEL_COLUMNS) == len(CLASSES)


def test_the_eight_of_chestxray8_come_first_and_are_the_boxed_ones():
    assert FINDINGS[:8] == CHESTXRAY8 == BOXED


@pytest.mark.parametrize("name", CLASSES)
def test_a_standard_name_is_its_own_spelling(name):
    assert canonical(name) == name
    assert canonical(f" {name}\r") == name


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("Infiltrate", "Infiltration"),
        ("Pleural Thickening", "Pleural_Thickening"),
        ("PT", "Pleural_Thickening"),
    ],
)
def test_other_spellings_are_known(written, meant):
    assert canonical(written) == meant


@pytest.mark.parametrize("name", ["", "mass", "Tumour", "Mass|Nodule"])
def test_any_other_name_is_refused_with_the_known_ones(name):
    with pytest.raises(ValueError, match=r"unknown finding .*; known: Atelectasis, .*No Finding"):
        canonical(name)
