"""Images that lie loose in folders, and what a user's folder may hold besides."""

import contextlib
import os
import socket
import tempfile
from pathlib import Path

from cxr14.datasets.archive_kinds import IMAGE_BYTES, Report
from cxr14.datasets.folder_images import loose_images, read_loose
from cxr14.datasets.image_sources import find_containers
from tests.datasets.pictures import some_pngs, write_loose

PNGS = some_pngs(2)
FIRST, SECOND = PNGS


def listed(base):
    report = Report()
    found = loose_images(base, report)
    return dict(found), {one.name: one.detail for one in report.issues}


def test_sizes_are_told_and_the_order_is_that_of_the_names(tmp_path):
    write_loose(tmp_path / "b", {FIRST: PNGS[FIRST]})
    write_loose(tmp_path / "a" / "c" / "d", {SECOND: PNGS[SECOND]})
    write_loose(tmp_path, {"z.png": b"12"})
    found = loose_images(tmp_path, Report())
    assert found == [
        (f"a/c/d/{SECOND}", len(PNGS[SECOND])),
        (f"b/{FIRST}", len(PNGS[FIRST])),
        ("z.png", 2),
    ]


def test_links_to_files_and_to_folders_are_followed(tmp_path):
    """A user's own folder: data sets are often linked together."""
    write_loose(tmp_path / "elsewhere", PNGS)
    base = tmp_path / "base"
    (base / "images").mkdir(parents=True)
    (base / "images" / FIRST).symlink_to(tmp_path / "elsewhere" / FIRST)
    (base / "images_002").symlink_to(tmp_path / "elsewhere")
    found, refused = listed(base)
    assert (list(found), refused) == (
        [f"images/{FIRST}", f"images_002/{FIRST}", f"images_002/{SECOND}"],
        {},
    )


def test_a_folder_that_is_met_again_by_a_link_is_listed_once_under_its_own_name(tmp_path):
    write_loose(tmp_path / "images", PNGS)
    (tmp_path / "a_link").symlink_to("images")
    (tmp_path / "images" / "home").symlink_to("..")
    (tmp_path / "loop").symlink_to("loop")
    found, refused = listed(tmp_path)
    assert (list(found), refused) == ([f"images/{name}" for name in PNGS], {})


def test_what_is_no_regular_file_is_refused_and_never_opened(tmp_path, monkeypatch):
    """Opening a named pipe waits for a writer that never comes."""
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "dangling.png").symlink_to("nowhere")
    (tmp_path / "loop.png").symlink_to("loop.png")
    (tmp_path / "null.png").symlink_to("/dev/null")
    with socket.socket(socket.AF_UNIX) as server:
        monkeypatch.chdir(tmp_path)  # the path of a socket must be short
        server.bind("socket.png")
    with (tmp_path / "large.png").open("wb") as file:
        file.truncate(IMAGE_BYTES + 1)
    (tmp_path / "._a.png").write_bytes(b"macOS")
    (tmp_path / "folder.png").mkdir()
    found, refused = listed(tmp_path)
    assert found == {}
    assert {name: reason.split(" (")[0] for name, reason in refused.items()} == {
        "pipe.png": "a device or another special file",
        "null.png": "a device or another special file",
        "socket.png": "a device or another special file",
        "dangling.png": "cannot be read",
        "loop.png": "cannot be read",
        "large.png": f"{IMAGE_BYTES + 1} bytes; an image has at most {IMAGE_BYTES}",
        "._a.png": "a hidden file: its name or that of its folder starts with a dot",
    }


def test_a_name_that_is_no_text_is_refused(tmp_path):
    (tmp_path / os.fsdecode(b"\xff.png")).write_bytes(b"x")
    assert listed(tmp_path) == ({}, {"'\\udcff.png'": "its name has characters that are no text"})


def folder_issues(base):
    report = Report()
    find_containers(base, report)
    return {one.name: (one.issue, one.detail) for one in report.issues}


def test_a_hidden_folder_is_not_entered_and_listed_if_it_holds_images(tmp_path):
    write_loose(tmp_path / ".cache" / "deep", PNGS | {"a.tar.gz": b"x", "b.txt": b"x"})
    write_loose(tmp_path / ".git", {"config": b"x"})
    assert listed(tmp_path) == ({}, {})
    assert folder_issues(tmp_path) == {
        ".cache/": ("hidden folder", "its name starts with a dot; 3 images or archives in it")
    }


def test_images_up_to_eight_folders_deep_are_read_and_deeper_ones_are_listed(tmp_path):
    write_loose(tmp_path / "1/2/3/4/5/6/7/8", {FIRST: PNGS[FIRST]})
    write_loose(tmp_path / "1/2/3/4/5/6/7/8/9/10", PNGS)
    write_loose(tmp_path / "1/2/3/4/5/6/7/8/notes", {"a.txt": b"x"})
    assert list(listed(tmp_path)[0]) == [f"1/2/3/4/5/6/7/8/{FIRST}"]
    assert folder_issues(tmp_path) == {
        "1/2/3/4/5/6/7/8/9/": ("too deep", "over 8 folders deep; 2 images or archives in it")
    }


def test_a_link_to_a_folder_that_is_listed_already_is_an_issue(tmp_path):
    write_loose(tmp_path / "images", PNGS)
    (tmp_path / "a_link").symlink_to("images")
    (tmp_path / "images" / "home").symlink_to("..")
    issues = folder_issues(tmp_path)
    assert {name: issue for name, (issue, _) in issues.items()} == {
        "a_link/": "repeated folder",
        "images/home/": "repeated folder",
    }


def test_a_folder_that_cannot_be_read_is_an_issue():
    with tempfile.TemporaryDirectory() as name:
        base = Path(name)
        base.chmod(0o755)
        write_loose(base / "images", PNGS)
        write_loose(base / "locked", PNGS)
        (base / "locked").chmod(0)
        with contextlib.ExitStack() as stack:
            if os.geteuid() == 0:  # root reads everything
                os.seteuid(65534)
                stack.callback(os.seteuid, 0)
            assert list(listed(base)[0]) == [f"images/{image}" for image in PNGS]
            assert folder_issues(base) == {
                "locked/": ("unreadable", "cannot be read (Permission denied)")
            }


def test_a_file_that_goes_between_listing_and_reading_is_refused_by_name(tmp_path):
    write_loose(tmp_path, PNGS)
    os.mkfifo(tmp_path / "pipe.png")
    report = Report()
    (tmp_path / FIRST).unlink()
    read = dict(read_loose(tmp_path, [FIRST, "pipe.png", SECOND], report))
    assert read == {SECOND: PNGS[SECOND]}
    assert [one.name for one in report.issues] == [FIRST, "pipe.png"]


def test_progress_is_told_in_bytes(tmp_path):
    write_loose(tmp_path, PNGS)
    told = []
    list(read_loose(tmp_path, list(PNGS), Report(advance=told.append)))
    assert told == [len(content) for content in PNGS.values()]
