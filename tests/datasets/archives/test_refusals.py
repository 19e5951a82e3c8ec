"""Names and sizes that are taken, and those that are not."""

import pytest

from cxr14.datasets.archive_kinds import (
    IMAGE_BYTES,
    INFLATED_FLOOR,
    NAME_LENGTH,
    Report,
    allowance,
    image_name,
    is_image,
    name_fault,
    size_fault,
)


@pytest.mark.parametrize(
    "name", ["a.png", "images/a.PNG", "a.jpg", "x/a.JPeG", "a.b.jpeg", "a.dcm", "1.2.3.DICOM"]
)
def test_images_are_told_by_their_extension_in_any_case(name):
    assert is_image(name)


@pytest.mark.parametrize("name", ["a.png.txt", "png", "a.gif", "a.png/", "DICOMDIR", "1.2.840.3"])
def test_other_files_are_no_images(name):
    assert not is_image(name)


@pytest.mark.parametrize("suffix", [".png", ".PNG", ".jpg", ".jpeg", ".JPG", ".dcm", ".dicom"])
@pytest.mark.parametrize("folder", ["images/", "/data/", "../", "C:\\images\\"])
def test_an_image_has_the_name_that_the_table_gives_it(folder, suffix):
    assert image_name(f"{folder}00000001_000{suffix}") == "00000001_000.png"


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("images/a\n.png", "no text"),
        ("images/a\udcff.png", "no text"),
        ("images/._a.png", "hidden"),
        (".png", "hidden"),
        (".cache/a.png", "hidden"),
    ],
)
def test_a_name_that_cannot_be_taken_has_its_reason(name, reason):
    assert reason in name_fault(name)[1]


@pytest.mark.parametrize(
    "name", ["./images/a.png", "a..png", "Größe 1.png", "x/", "/data/a.png", "../a.png", "x\\a.png"]
)
def test_an_ordinary_name_has_no_fault(name):
    assert name_fault(name) is None


def test_the_limit_of_an_image_is_exact():
    assert size_fault(IMAGE_BYTES) is None
    assert f"{IMAGE_BYTES + 1} bytes" in size_fault(IMAGE_BYTES + 1)[1]


def test_a_small_archive_may_inflate_to_a_floor_and_a_large_one_in_proportion():
    assert allowance(10) == INFLATED_FLOOR
    assert allowance(INFLATED_FLOOR) == 20 * INFLATED_FLOOR


def test_a_refused_name_is_reported_so_that_a_table_in_utf_8_can_hold_it():
    report = Report()
    report.add("a.tar", "images/\udcff\n.png", ("unprintable name", "why"))
    report.add("a.tar", "x" * 100_000, ("too large", "why"))
    assert [len(one.name.encode()) <= NAME_LENGTH for one in report.issues] == [True, True]
    assert "\\udcff\\n" in report.issues[0].name
