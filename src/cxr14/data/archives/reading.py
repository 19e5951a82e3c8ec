"""Images where they lie: members of archives, or files of folders, one interface.

A *manifest* lists them: image (its name in the table), container (path of the archive, or of
the folder, relative to the images' base), member (path inside it), bytes and sha256. Nothing is
extracted to disk, and of the images only one at a time is in memory.
"""

import hashlib
import re
from collections.abc import Iterator
from pathlib import Path

import pandas as pd

from cxr14.data.archives.loose import files_below, loose_images, read_loose
from cxr14.data.archives.refusals import Report, image_name, is_image
from cxr14.data.archives.tarball import tar_images
from cxr14.data.archives.zipped import read_zip, zip_images
from cxr14.errors import UserError

MANIFEST_COLUMNS = ("image", "container", "member", "bytes", "sha256")
ARCHIVE_NAME = re.compile(r"images_[^/]*\.(tar\.gz|tar|zip)|(archive|data)\.zip")
"""NIH's archives, and Kaggle's whole download as a browser or its own tool names it."""


def find_containers(base: Path) -> list[str]:
    """Name the archives in a folder and in its folders and, as '', the images that lie loose.

    The order decides which of two equal images is listed: archives by name, then loose files.
    """
    archives, loose = [], False
    for name, entry in files_below(base, Report()):
        loose = loose or is_image(name)
        if ARCHIVE_NAME.fullmatch(entry.name) and (base / name).is_file():
            archives.append(name)
    return [*sorted(archives), *([""] if loose else [])]


def iterate_container(
    base: Path, container: str, report: Report | None = None
) -> Iterator[tuple[str, bytes]]:
    """Yield (member, content) of every image in an archive, or loose in the folder if ''.

    Args:
        base: folder of the containers.
        container: one of find_containers.
        report: gets the members that are refused, and the progress.

    Raises:
        UserError: the archive is broken, or a bomb.
    """
    report = report or Report()
    if not container:
        members = [member for member, _ in loose_images(base, report)]
        yield from read_loose(base, members, report)
    elif container.endswith(".zip"):
        yield from zip_images(base / container, container, report)
    else:
        yield from tar_images(base / container, container, None, report)


def read_members(base: Path, container: str, members: list[str]) -> Iterator[tuple[str, bytes]]:
    """Yield (member, content) of the named members, in whatever order is fast.

    A tar is read once from front to back, as far as the last of them.

    Raises:
        FileNotFoundError: the archive, or some of the members, are not there any more.
        UserError: the archive is broken, or a bomb.
    """
    wanted = set(members)
    for member, content in _read(base, container, members, wanted):
        if member in wanted:
            wanted.discard(member)
            yield member, content
        if not wanted:
            return
    if wanted:
        raise FileNotFoundError(
            f"{base / container}: {len(wanted)} of {len(members)} images in the manifest are gone, "
            f"first {min(wanted)}; bring them back, or renew the manifest with "
            f"`dvc repro --force download`"
        )


def _read(
    base: Path, container: str, members: list[str], wanted: set[str]
) -> Iterator[tuple[str, bytes]]:
    path = base / container
    if not container:
        yield from read_loose(base, members, Report())
    elif path.is_file() and container.endswith(".zip"):
        yield from read_zip(path, members)
    elif path.is_file():
        yield from tar_images(path, container, wanted, Report())


def describe(container: str, member: str, content: bytes) -> dict[str, object]:
    """Return one row of a manifest."""
    return {
        "image": image_name(member),
        "container": container,
        "member": member,
        "bytes": len(content),
        "sha256": hashlib.sha256(content).hexdigest(),
    }


def place(container: str, member: str) -> str:
    """Say where an image lies."""
    return f"{container}/{member}" if container else member


def check_manifest(manifest: pd.DataFrame) -> None:
    """Refuse a manifest in which one image name stands for two contents.

    Raises:
        UserError: naming the image and both places.
    """
    contents = manifest[["image", "sha256"]].drop_duplicates()
    torn = sorted(set(contents.image[contents.image.duplicated()]))
    if torn:
        places = manifest[manifest.image == torn[0]].drop_duplicates("sha256")
        found = " and ".join([*map(place, places.container, places.member)][:2])
        raise UserError(
            f"{len(torn)} image names stand for contents that differ, first {torn[0]}: {found}; "
            f"remove or rename one of them"
        )
