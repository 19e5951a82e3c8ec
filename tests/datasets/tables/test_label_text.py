"""Labels as text, and as ones and zeros."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cxr14.datasets.statistics import findings_text
from cxr14.labels import (
    CLASSES,
    FINDINGS,
    LABEL_COLUMNS,
    NO_FINDING,
    UNKNOWN,
    label_text,
    multi_hot,
    names_of,
    parse_labels,
    readable,
    respelled,
)

label_texts = st.one_of(
    st.just(NO_FINDING), st.sets(st.sampled_from(FINDINGS), min_size=1).map("|".join)
)


@given(st.lists(label_texts, min_size=1))
def test_text_becomes_ones_and_zeros_and_text_again(texts: list[str]) -> None:
    """The labels come back in the order of CLASSES, whatever their order was."""
    hot = multi_hot(pd.Series(texts, dtype="str"))
    assert hot.shape == (len(texts), 15)
    assert hot.dtype == np.uint8
    table = pd.DataFrame(hot, columns=list(LABEL_COLUMNS))
    ordered = ["|".join(sorted(text.split("|"), key=CLASSES.index)) for text in texts]
    assert findings_text(table).tolist() == ordered


@given(st.lists(label_texts, min_size=1))
def test_standard_names_in_any_order_are_readable_and_not_respelled(texts: list[str]) -> None:
    series = pd.Series(texts, dtype="str")
    assert readable(series).all()
    assert not respelled(series).any()


@given(st.text())
def test_a_text_is_readable_exactly_when_its_names_are_known(text: str) -> None:
    try:
        labels = parse_labels(text)
    except ValueError:
        labels = {}
    assert readable(pd.Series([text], dtype=object)).tolist() == [bool(labels)]


@pytest.mark.parametrize("text", ["Infiltrate", " Mass", "Mass|Mass", "PT|Nodule"])
def test_other_spellings_spaces_and_repetitions_are_noticed(text: str) -> None:
    assert respelled(pd.Series(["Mass", text], dtype="str")).tolist() == [False, True]


def test_names_come_in_standard_spelling_and_order() -> None:
    assert names_of("PT| Mass |Infiltrate") == ["Infiltration", "Mass", "Pleural_Thickening"]


@pytest.mark.parametrize("text", ["", "Mass|", "Mass||Nodule", "No Finding|Mass", "mass"])
def test_what_is_no_label_text_is_not_readable(text: str) -> None:
    assert readable(pd.Series([text], dtype="str")).tolist() == [False]


@given(st.dictionaries(st.sampled_from(FINDINGS), st.sampled_from([1, UNKNOWN])), st.booleans())
def test_unknown_labels_are_written_and_read_back(labels: dict[str, int], known: bool) -> None:
    labels |= {} if known else {NO_FINDING: UNKNOWN}
    text = label_text(labels)
    assert {name: label for name, label in parse_labels(text).items() if name != "Other"} == labels
    assert not respelled(pd.Series([text], dtype="str")).any()
    row = dict(zip(CLASSES, multi_hot(pd.Series([text], dtype="str"))[0].tolist(), strict=True))
    assert row == dict.fromkeys(CLASSES, 0) | labels


def test_a_finding_outside_of_the_fourteen_is_not_no_finding() -> None:
    assert multi_hot(pd.Series(["Other", NO_FINDING]))[:, -1].tolist() == [0, 1]


@pytest.mark.parametrize("text", ["No Finding|Mass", "No Finding|Other", "Mass|Mass?", "Mass??"])
def test_labels_that_contradict_one_another_are_not_readable(text: str) -> None:
    assert not readable(pd.Series([text], dtype="str")).any()
