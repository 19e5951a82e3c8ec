"""A manifest, and the data issues beside it."""

import unicodedata

import pytest

from cxr14.datasets.archive_kinds import Issue
from cxr14.datasets.image_sources import MANIFEST_COLUMNS, describe
from cxr14.datasets.issues import ISSUE_COLUMNS
from cxr14.datasets.manifest import make_listing

ROWS = [
    describe("images_002.tar", "images/b.png", b"one"),
    describe("images_001.tar", "images/a.png", b"two"),
    describe("images_001.tar", "images/a.png", b"two"),
    describe("", "images/a.jpg", b"two"),
    describe("", "images/c.jpg", b"one"),
]
DAMAGED = Issue("images_001.zip", "x.png", "damaged", "skipped", "damaged (Bad CRC-32)")


def of_kind(listing, kind):
    return listing.issues[listing.issues.issue == kind]


def test_of_repeated_images_the_first_is_taken_and_the_others_are_listed():
    listing = make_listing(ROWS, [])
    assert tuple(listing.manifest.columns) == MANIFEST_COLUMNS
    assert listing.manifest.image.tolist() == ["a.png", "b.png", "c.png"]
    assert listing.manifest.container.tolist() == ["images_001.tar", "images_002.tar", ""]
    repeated = of_kind(listing, "repeated")
    assert repeated.name.tolist() == ["images/a.jpg", "images/a.png"]
    assert repeated.file.tolist() == ["", "images_001.tar"]
    assert set(repeated.action) == {"skipped"}
    assert set(repeated.detail) == {"the same as images_001.tar/images/a.png, which is taken"}


def test_images_of_one_content_under_two_names_are_all_taken_and_listed():
    alike = of_kind(make_listing(ROWS, []), "same content")
    assert alike.name.tolist() == ["images/c.jpg", "images/b.png"]
    assert set(alike.action) == {"kept"}
    assert alike.detail.nunique() == 1


def test_images_whose_file_has_another_name_are_listed_with_the_one_that_is_used():
    other = of_kind(make_listing(ROWS, []), "other name")
    assert other.values.tolist() == [
        ["download", "", "images/c.jpg", "other name", "kept", "listed as c.png"]
    ]


def test_everything_is_counted():
    assert make_listing(ROWS, [DAMAGED]).counts() == {
        "refused_members": 1,
        "repeated_images": 2,
        "images_of_same_content": 2,
        "images_of_other_extension": 1,
    }


def test_no_issue_is_an_empty_table_with_its_columns():
    listing = make_listing(ROWS[:2], [])
    assert tuple(listing.issues.columns) == ISSUE_COLUMNS
    assert len(listing.issues) == 0
    assert set(listing.counts().values()) == {0}


def test_issues_of_the_pass_are_listed_too():
    listing = make_listing([], [DAMAGED])
    assert len(listing.manifest) == 0
    assert listing.issues.iloc[0].tolist() == ["download", *DAMAGED]


def test_two_contents_under_one_name_are_refused_even_in_one_archive():
    rows = [describe("images_001.tar", f"{folder}/a.png", folder.encode()) for folder in "xy"]
    with pytest.raises(ValueError, match=r"images_001\.tar/x/a\.png and images_001\.tar/y/a\.png"):
        make_listing(rows, [])


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("images/a.PNG", "images/a.png"),
        ("images/a.Jpg", "images/a.jpeg"),
        (unicodedata.normalize("NFC", "Größe.png"), unicodedata.normalize("NFD", "Größe.png")),
    ],
)
def test_names_that_differ_by_suffix_or_normalization_are_one_image(first, second):
    """Unicode's two forms of ö look the same; macOS and Windows use one each."""
    listing = make_listing([describe("", first, b"one"), describe("", second, b"one")], [])
    assert listing.manifest.image.tolist() == [
        unicodedata.normalize("NFC", first.split("/")[-1].rsplit(".")[0] + ".png")
    ]
    assert listing.counts()["repeated_images"] == 1
    with pytest.raises(ValueError, match="stand for contents that differ"):
        make_listing([describe("", first, b"one"), describe("", second, b"two")], [])


def test_names_in_another_case_are_other_images():
    listing = make_listing([describe("", "a.png", b"one"), describe("", "A.png", b"two")], [])
    assert listing.manifest.image.tolist() == ["A.png", "a.png"]
