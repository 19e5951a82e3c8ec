"""Links, devices and oversized members are never read, and nothing is ever written."""

import os
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from cxr14.datasets.archive_kinds import Report
from cxr14.datasets.image_sources import iterate_container, read_members
from cxr14.datasets.manifest import list_images
from tests.conftest import ROOT
from tests.datasets.archives.hostile import add, hostile_tar, hostile_zip
from tests.datasets.pictures import some_pngs

IMAGE = some_pngs(1)["00000001_000.png"]
NAMES = ["images_001.tar", "images_001.tar.gz", "images_001.zip"]


def write(path: Path, outside: Path) -> dict[str, str]:
    builder = hostile_zip if path.suffix == ".zip" else hostile_tar
    return builder(path, outside, IMAGE)


@pytest.mark.parametrize("name", NAMES)
def test_every_hostile_member_is_refused_by_name_and_the_images_are_taken(tmp_path, name):
    (tmp_path / "secret").write_bytes(b"secret")
    expected = write(tmp_path / name, tmp_path / "secret")
    report = Report()
    found = dict(iterate_container(tmp_path, name, report))
    assert found == {"images/good.png": IMAGE, "images/later.jpg": IMAGE}
    refused = {one.name: one.detail for one in report.issues}
    assert refused.keys() == expected.keys()
    assert {one.file for one in report.issues} == {name}
    assert [member for member, word in expected.items() if word not in refused[member]] == []


@pytest.mark.parametrize("name", NAMES)
def test_nothing_is_written_anywhere(tmp_path, name):
    """Every call that opens, makes, links or moves a file is watched, in the whole interpreter."""
    write(tmp_path / name, tmp_path / "secret")
    script = (
        "import os, sys\n"
        "from pathlib import Path\n"
        "from cxr14.datasets.image_sources import iterate_container\n"
        "writes = ('os.mkdir', 'os.link', 'os.symlink', 'os.rename', 'os.chmod', 'os.mknod')\n"
        "def watch(event, args):\n"
        "    flags = args[2] if event == 'open' and isinstance(args[2], int) else 0\n"
        "    if event in writes or flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):\n"
        "        os.write(2, f'{event} {args}'.encode()); os._exit(9)\n"
        "sys.addaudithook(watch)\n"
        f"print(len(list(iterate_container(Path({str(tmp_path)!r}), {name!r}))))\n"
    )
    run = subprocess.run(
        [sys.executable, "-B", "-c", script], capture_output=True, text=True, check=False,
        env={**os.environ, "PYTHONPATH": "src"}, cwd=ROOT,
    )  # fmt: skip
    assert (run.returncode, run.stdout, run.stderr) == (0, "2\n", "")
    assert [path.name for path in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize("name", NAMES)
def test_a_refused_member_is_not_read_though_a_manifest_names_it(tmp_path, name):
    write(tmp_path / name, tmp_path / "secret")
    with pytest.raises((FileNotFoundError, ValueError), match=r"are gone|a link"):
        list(read_members(tmp_path, name, ["images/link.png"]))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    "member", ["/etc/00000001_000.png", "../../00000001_000.png", "C:\\a\\1.png"]
)
def test_any_path_of_a_member_is_read_as_nothing_is_extracted(tmp_path, name, member):
    """A zip made on Windows may have backslashes, and a tar made with -P absolute paths."""
    if name.endswith(".zip"):
        with zipfile.ZipFile(tmp_path / name, "w") as archive:
            archive.writestr(member, IMAGE)
    else:
        with tarfile.open(tmp_path / name, "w:gz" if name.endswith(".gz") else "w") as archive:
            add(archive, member, IMAGE)
    listing = list_images(tmp_path)
    assert listing.manifest[["image", "member"]].to_numpy().tolist() == [
        [member.replace("\\", "/").split("/")[-1], member]
    ]
    assert dict(read_members(tmp_path, name, [member])) == {member: IMAGE}


@pytest.mark.parametrize(
    ("method", "name"), [(zipfile.ZIP_BZIP2, "bzip2"), (zipfile.ZIP_LZMA, "lzma")]
)
def test_a_zip_member_that_cannot_be_inflated_in_steps_is_refused(tmp_path, method, name):
    with zipfile.ZipFile(tmp_path / "images_001.zip", "w", method) as archive:
        archive.writestr("images/a.png", IMAGE)
    report = Report()
    assert list(iterate_container(tmp_path, "images_001.zip", report)) == []
    assert report.issues[0].detail == f"packed by {name}; only stored and deflate are read"


def test_hidden_files_behind_backslashes_are_no_images(tmp_path):
    """A zip of a Mac's folder that was packed again on Windows."""
    with zipfile.ZipFile(tmp_path / "images.zip", "w") as archive:
        archive.writestr("a\\00000001_000.png", IMAGE)
        for number in range(2):
            archive.writestr(f"__MACOSX\\{number}\\._00000001_000.png", b"resource %d" % number)
    listing = list_images(tmp_path)
    assert listing.manifest["image"].tolist() == ["00000001_000.png"]
    assert listing.issues["issue"].tolist() == ["hidden file"] * 2
