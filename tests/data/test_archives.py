"""Images in archives and folders, by one interface."""

import hashlib

import pandas as pd
import pytest

from cxr14.data.archives import (
    MANIFEST_COLUMNS,
    check_manifest,
    describe,
    find_containers,
    iterate_container,
    read_members,
)
from tests.data.pictures import some_pngs, write_archive, write_loose

PNGS = some_pngs(3)
ARCHIVES = ["images_001.tar", "images_001.tar.gz"]


@pytest.mark.parametrize("folder", ["images", "images_001/images", "."])
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


@pytest.mark.parametrize("name", ARCHIVES)
def test_an_archive_that_breaks_off_is_named_with_the_remedy(tmp_path, name):
    """A download of 2 GB that was cut short used to end in a traceback."""
    write_archive(tmp_path / name, PNGS)
    content = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(content[:1100])
    for read in (
        lambda: list(iterate_container(tmp_path, name)),
        lambda: list(read_members(tmp_path, name, [f"images/{image}" for image in PNGS])),
    ):
        with pytest.raises(ValueError, match=rf"{name}: not a whole archive .*fetch it again"):
            read()


def test_a_web_page_that_is_called_an_archive_is_refused(tmp_path):
    (tmp_path / "images_001.tar.gz").write_bytes(b"<html>Sign in</html>")
    with pytest.raises(ValueError, match="not a whole archive"):
        list(iterate_container(tmp_path, "images_001.tar.gz"))


def test_a_row_of_a_manifest_names_the_image_and_hashes_it():
    row = describe("images_001.tar", "images/a.png", b"abc")
    assert tuple(row) == MANIFEST_COLUMNS
    assert row["image"] == "a.png"
    assert row["bytes"] == 3
    assert row["sha256"] == hashlib.sha256(b"abc").hexdigest()


def test_one_image_in_two_places_is_refused():
    places = [("images_001.tar", "images/a.png"), ("", "images/b.png"), ("", "images/a.png")]
    manifest = pd.DataFrame([describe(*place, b"abc") for place in places])
    with pytest.raises(ValueError, match=r"1 images .* images_001\.tar/images/a\.png and"):
        check_manifest(manifest)
    check_manifest(manifest.head(2))
