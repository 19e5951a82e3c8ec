"""Groups of images."""

import pandas as pd

from cxr14.evaluation.subgroups import ALL, groups_of


def some_records() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "sex": ["F", "M", "F", "M", None],
            "age": pd.array([19, 20, 80, None, 95], dtype="Int32"),
            "view": ["AP", "AP", "PA", "PA", ""],
        }
    )


def members(attribute: str) -> dict[str, list[int]]:
    return {
        group.name: group.members.nonzero()[0].tolist()
        for group in groups_of(some_records())
        if group.attribute == attribute
    }


def test_everyone_is_a_group_and_has_no_rest():
    first = groups_of(some_records())[0]
    assert (first.attribute, first.name) == (ALL, ALL)
    assert first.members.all()
    assert not first.rest.any()


def test_bands_begin_at_their_first_year_and_follow_each_other_by_age():
    assert members("age") == {"0–19": [0], "20–39": [1], "80+": [2, 4], "unknown": [3]}
    assert list(members("age")) == ["0–19", "20–39", "80+", "unknown"]


def test_images_of_which_an_attribute_is_not_known_are_a_group_that_is_nobodys_rest():
    by_name = {group.name: group for group in groups_of(some_records()) if not group.crossed}
    assert by_name["F"].members.tolist() == [True, False, True, False, False]
    assert by_name["F"].rest.tolist() == [False, True, False, True, False]
    assert members("sex")["unknown"] == [4]
    assert members("view")["unknown"] == [4]
    assert not by_name["unknown"].rest.any()


def test_two_attributes_are_crossed_where_both_are_known():
    assert members("sex × view") == {"F × AP": [0], "F × PA": [2], "M × AP": [1], "M × PA": [3]}
    assert members("sex × age") == {"F × 0–19": [0], "F × 80+": [2], "M × 20–39": [1]}
    crossed = [group for group in groups_of(some_records()) if group.crossed]
    assert {group.attribute for group in crossed} == {"sex × age", "sex × view", "age × view"}


def test_no_group_and_its_rest_share_an_image():
    for group in groups_of(some_records()):
        assert not (group.members & group.rest).any()
        assert group.members.any()
