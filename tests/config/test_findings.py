"""The key `data.findings`."""

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from cxr14.config.blocks import classes_of, read_data, read_findings
from cxr14.config.reader import ParamsError
from cxr14.labels import CHESTXRAY8, CLASSES, NO_FINDING
from tests.conftest import ROOT


@pytest.fixture
def write(tmp_path, monkeypatch):
    """Write the repository's own params.yaml with another value of the key."""
    monkeypatch.chdir(tmp_path)

    def write(value, **others):
        params = yaml.safe_load((ROOT / "params.yaml").read_text())
        params["data"] |= {"findings": value} | others
        (tmp_path / "params.yaml").write_text(yaml.safe_dump(params))

    return write


def test_all_is_the_fourteen_and_no_finding(write):
    write("all")
    assert read_findings() == CLASSES


def test_the_eight_of_chestxray8_are_a_list_of_their_names(write):
    write(list(CHESTXRAY8))
    assert read_findings() == CHESTXRAY8


@given(names=st.sets(st.sampled_from(CLASSES)).flatmap(lambda s: st.permutations(sorted(s))))
def test_a_list_in_any_order_gives_its_names_in_the_order_of_findings_py(names):
    if set(names) <= {NO_FINDING}:
        with pytest.raises(ValueError, match="no finding is named"):
            classes_of(names)
    else:
        chosen = classes_of(names)
        assert set(chosen) == set(names)
        assert list(chosen) == sorted(names, key=CLASSES.index)


def test_other_spellings_are_read_as_the_standard_one():
    assert classes_of(["PT", "Infiltrate"]) == ("Infiltration", "Pleural_Thickening")


REFUSED = [
    (["Mass", "Tumour"], r"unknown finding 'Tumour'; known: Atelectasis, .*, No Finding$"),
    (["Mass", "Nodule", "Mass"], "Mass stands twice"),
    (["Infiltrate", "Infiltration"], "Infiltration stands twice"),
    ([], "no finding is named; name at least one"),
    (["No Finding"], "no finding is named; name at least one"),
    ("Mass", "allowed: all, or a list of Atelectasis, "),
    (None, "allowed: all, or a list of Atelectasis, "),
    (["Mass", 3], "allowed: all, or a list of Atelectasis, "),
]


@pytest.mark.parametrize(("value", "told"), REFUSED)
@pytest.mark.parametrize("reader", [read_findings, read_data], ids=["train", "download"])
def test_what_cannot_be_trained_is_one_sentence_for_training_and_for_the_download(
    write, reader, value, told
):
    """The download checks it too: a misspelt name would else show after 45 GB."""
    write(value)
    with pytest.raises(ParamsError, match=rf"^params\.yaml: data\.findings = .*{told}"):
        reader()


def test_a_change_to_the_rest_of_the_block_is_no_business_of_training(write):
    write("all", source="web", colour="blue")
    assert read_findings() == CLASSES
    with pytest.raises(ParamsError, match=r"data\.colour = 'blue': unknown key"):
        read_data()
