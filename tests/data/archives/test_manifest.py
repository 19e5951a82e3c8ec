"""A manifest, and all that is said beside it."""

import pytest

from cxr14.data.archives.manifest import ODDITY_COLUMNS, settle
from cxr14.data.archives.reading import MANIFEST_COLUMNS, describe
from cxr14.data.archives.refusals import Refusal

ROWS = [
    describe("images_002.tar", "images/b.png", b"one"),
    describe("images_001.tar", "images/a.png", b"two"),
    describe("images_001.tar", "images/a.png", b"two"),
    describe("", "images/a.jpg", b"two"),
    describe("", "images/c.jpg", b"one"),
]
REFUSED = [Refusal("images_001.tar", "../x.png", "its name leads out of the archive (..)")]


def test_of_repeated_images_the_first_is_taken_and_the_others_are_listed():
    listing = settle(ROWS, [])
    assert tuple(listing.manifest.columns) == MANIFEST_COLUMNS
    assert listing.manifest.image.tolist() == ["a.png", "b.png", "c.png"]
    assert listing.manifest.container.tolist() == ["images_001.tar", "images_002.tar", ""]
    repeated = listing.oddities[listing.oddities.oddity == "repeated"]
    assert repeated.member.tolist() == ["images/a.jpg", "images/a.png"]
    assert set(repeated.reason) == {"the same as images_001.tar/images/a.png, which is taken"}


def test_images_of_one_content_under_two_names_are_all_taken_and_listed():
    alike = settle(ROWS, []).oddities.query("oddity == 'same content'")
    assert alike.image.tolist() == ["b.png", "c.png"]
    assert alike.reason.nunique() == 1


def test_everything_is_counted():
    assert settle(ROWS, REFUSED).counts() == {
        "refused_members": 1,
        "repeated_images": 2,
        "images_of_same_content": 2,
        "images_of_other_extension": 1,
    }


def test_nothing_odd_is_an_empty_table_with_its_columns():
    listing = settle(ROWS[:2], [])
    assert tuple(listing.oddities.columns) == ODDITY_COLUMNS
    assert len(listing.oddities) == 0
    assert set(listing.counts().values()) == {0}


def test_refusals_alone_are_listed_too():
    listing = settle([], REFUSED)
    assert len(listing.manifest) == 0
    row = listing.oddities.iloc[0]
    assert (row.oddity, row.image, row.member) == ("refused", "", "../x.png")


def test_two_contents_under_one_name_are_refused_even_in_one_archive():
    rows = [describe("images_001.tar", f"{folder}/a.png", folder.encode()) for folder in "xy"]
    with pytest.raises(ValueError, match=r"images_001\.tar/x/a\.png and images_001\.tar/y/a\.png"):
        settle(rows, [])
