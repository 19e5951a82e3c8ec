"""Images in archives and folders, by one interface."""

import hashlib
import os

import pandas as pd
import pytest

from cxr14.datasets.image_sources import (
    MANIFEST_COLUMNS,
    check_manifest,
    describe,
    find_containers,
    iterate_container,
    read_members,
)
from tests.datasets.pictures import some_pngs, write_archive, write_loose

PNGS = some_pngs(3)
ARCHIVES = ["images_001.tar", "images_001.tar.gz", "images_001.zip"]


@pytest.mark.parametrize(
    "folder", ["images", "images_001/images", ".", "archive/images_001/images"]
)
def test_loose_pictures_are_found_in_every_known_layout(tmp_path, folder):
    write_loose(tmp_path / folder, PNGS)
    assert find_containers(tmp_path) == [""]
    found = dict(iterate_container(tmp_path, ""))
    prefix = "" if folder == "." else f"{folder}/"
    assert found == {prefix + name: content for name, content in PNGS.items()}


@pytest.mark.parametrize("name", ARCHIVES)
def test_an_archive_gives_its_pictures_and_nothing_else(tmp_path, name):
    write_archive(tmp_path / name, PNGS | {"README.txt": b"hello"})
    assert find_containers(tmp_path) == [name]
    found = dict(iterate_container(tmp_path, name))
    assert found == {f"images/{image}": content for image, content in PNGS.items()}


def test_archives_and_loose_pictures_may_stand_side_by_side(tmp_path):
    write_archive(tmp_path / "images_002.tar.gz", PNGS)
    write_archive(tmp_path / "images_001.tar", PNGS)
    write_loose(tmp_path / "images", PNGS)
    (tmp_path / "notes.tar").write_bytes(b"not ours")
    assert find_containers(tmp_path) == ["images_001.tar", "images_002.tar.gz", ""]


def test_archives_are_found_in_folders_and_by_the_names_of_kaggles_download(tmp_path):
    for name in ("CXR8/images/images_001.tar.gz", "archive.zip", "data.zip", "x/images_2.zip"):
        write_archive(tmp_path / name, PNGS)
    write_archive(tmp_path / "a/b/c/d/images_003.tar", PNGS)
    write_archive(tmp_path / ".hidden/images_004.tar", PNGS)
    (tmp_path / "images_005.tar").mkdir()
    assert find_containers(tmp_path) == [
        "CXR8/images/images_001.tar.gz",
        "a/b/c/d/images_003.tar",
        "archive.zip",
        "data.zip",
        "x/images_2.zip",
    ]


@pytest.mark.parametrize("container", [*ARCHIVES, ""])
def test_pictures_are_found_by_every_extension_in_any_case(tmp_path, container):
    names = ["a.PNG", "b.jpg", "c.JPEG", "d.png"]
    pictures = dict(zip(names, some_pngs(4).values(), strict=True))
    if container:
        write_archive(tmp_path / container, pictures)
    else:
        write_loose(tmp_path / "images", pictures)
    found = dict(iterate_container(tmp_path, container))
    assert found == {f"images/{name}": content for name, content in pictures.items()}
    rows = [describe(container, *image) for image in found.items()]
    assert [row["image"] for row in rows] == ["a.png", "b.png", "c.png", "d.png"]


def test_a_read_of_few_members_does_not_wait_for_the_end_of_a_tar(tmp_path):
    """Behind the last wanted member the archive is broken, and nobody looks."""
    write_archive(tmp_path / "images_001.tar", PNGS)
    content = (tmp_path / "images_001.tar").read_bytes()
    short = content[: content.index(b"images/00000003_000.png")]
    (tmp_path / "images_001.tar").write_bytes(short)
    wanted = ["images/00000002_000.png"]
    assert len(list(read_members(tmp_path, "images_001.tar", wanted))) == 1


def test_a_zip_that_was_replaced_is_read_anew(tmp_path):
    """The last zip is kept open between reads; the new one has the same size."""
    path, member = tmp_path / "images_001.zip", "images/a.png"
    for seconds, content in enumerate([b"one", b"two"]):
        write_archive(path, {"a.png": content})
        os.utime(path, (seconds, seconds))
        assert dict(read_members(tmp_path, path.name, [member])) == {member: content}


def test_a_folder_without_pictures_has_no_containers(tmp_path):
    (tmp_path / "notes.txt").write_text("nothing here")
    assert find_containers(tmp_path) == []


@pytest.mark.parametrize("container", [*ARCHIVES, ""])
def test_only_the_named_members_are_read(tmp_path, container):
    if container:
        write_archive(tmp_path / container, PNGS)
    else:
        write_loose(tmp_path / "images", PNGS)
    wanted = [f"images/{name}" for name in list(PNGS)[:2]]
    read = dict(read_members(tmp_path, container, wanted))
    assert read == {member: PNGS[member.split("/")[1]] for member in wanted}


@pytest.mark.parametrize("container", [*ARCHIVES, ""])
def test_missing_members_are_counted_and_the_remedy_is_named(tmp_path, container):
    if container:
        write_archive(tmp_path / container, PNGS)
    else:
        write_loose(tmp_path / "images", PNGS)
    members = [*(f"images/{name}" for name in PNGS), "images/b.png", "images/a.png"]
    with pytest.raises(
        FileNotFoundError,
        match=r"2 of 5 images in the manifest are gone, first images/a\.png; .*dvc repro --force",
    ):
        list(read_members(tmp_path, container, members))


def test_a_missing_archive_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"images_001\.tar: 1 of 1 images"):
        list(read_members(tmp_path, "images_001.tar", ["images/a.png"]))


@pytest.mark.parametrize("content", [b"<html>Sign in</html>", b""])
@pytest.mark.parametrize("name", ARCHIVES)
def test_a_web_page_or_nothing_that_is_called_an_archive_is_refused(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    for read in (
        lambda: list(iterate_container(tmp_path, name)),
        lambda: list(read_members(tmp_path, name, ["images/a.png"])),
    ):
        with pytest.raises(ValueError, match=rf"{name}: not a whole archive .*fetch it again"):
            read()


def test_a_row_of_a_manifest_names_the_image_and_hashes_it():
    row = describe("images_001.tar", "images/a.png", b"abc")
    assert tuple(row) == MANIFEST_COLUMNS
    assert row["image"] == "a.png"
    assert row["bytes"] == 3
    assert row["sha256"] == hashlib.sha256(b"abc").hexdigest()


def test_one_image_name_for_two_contents_is_refused_with_both_places():
    rows = [
        describe("images_001.tar", "images/a.png", b"abc"),
        describe("", "images/b.png", b"abc"),
        describe("", "images/a.jpg", b"another"),
    ]
    with pytest.raises(
        ValueError,
        match=r"1 image names .* first a\.png: images_001\.tar/images/a\.png and images/a\.jpg; remove",
    ):
        check_manifest(pd.DataFrame(rows))
    check_manifest(pd.DataFrame(rows[:2]))
    check_manifest(pd.DataFrame([rows[0], rows[0]]))
