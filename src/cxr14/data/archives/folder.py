"""The source `folder`: images that a user already has, in NIH's or in Kaggle's layout.

Nothing is copied. A manifest with a hash of every image stands for them, and preprocessing
checks each image against it.
"""

import os
import stat
from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from cxr14.data.archives.hashing import hash_all
from cxr14.data.archives.kinds import is_archive_name
from cxr14.data.archives.loose import DEPTH, files_below
from cxr14.data.archives.manifest import Listing, make_listing
from cxr14.data.archives.reading import find_containers
from cxr14.data.archives.refusals import Issue, Report, is_image
from cxr14.errors import UserError

LAYOUTS = (
    "images/*.png, images_001/images/*.png, *.png (or .jpg, .jpeg), archives of them (.tar, "
    f".tar.gz, .tgz, .tar.bz2, .tar.xz, .zip), up to {DEPTH} folders deep"
)
SHOWN = 3
"""Issues that an error names."""
MISSING_COLUMNS = ("image", "container", "member", "reason")


def list_images(folder: Path, workers: int = 0) -> Listing:
    """List and hash every image of the folder; never depends on the number of workers.

    Args:
        folder: holds archives, images or folders of them.
        workers: processes; 0 means one per core.

    Raises:
        FileNotFoundError: there is no such folder.
        UserError: it holds no image in a known layout, one image in two contents, or broken
            archives.
    """
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder} (data.folder) is not a folder")
    report = Report()
    containers = find_containers(folder, report)
    rows, issues = hash_all(folder, containers, workers) if containers else ([], [])
    issues = [*report.issues, *issues]
    if not rows:
        raise UserError(_no_image(folder, containers, issues))
    return make_listing(rows, issues)


def _no_image(folder: Path, containers: list[str], issues: list[Issue]) -> str:
    """Say what the folder holds instead."""
    archives = [name for name in containers if name]
    place = f"{', '.join(archives[:SHOWN])} of {folder}" if archives else str(folder)
    told = [
        f"{' '.join(filter(None, (one.file, one.name)))}: {one.issue} ({one.detail})"
        for one in issues[:SHOWN]
    ]
    more = f"; {len(issues)} issues, first " if len(issues) > SHOWN else "; " if told else ""
    return f"no image in {place} (data.folder){more}{'; '.join(told)}; it may hold {LAYOUTS}"


def list_names(folder: Path) -> list[str]:
    """Return the sorted paths of the images and archives of a folder, by their names only."""
    names = (name for name, _ in files_below(folder, Report()))
    return sorted(name for name in names if is_image(name) or is_archive_name(name))


def missing_images(
    manifest: pd.DataFrame, base: Path, container_bytes: Mapping[str, int] | None = None
) -> pd.DataFrame:
    """List the images that are gone, or have another size, by one stat each; nothing is read.

    Of an image in an archive only the archive is looked for.

    Args:
        manifest: see cxr14.data.archives.reading.
        base: folder of the containers.
        container_bytes: the size that each archive had, where it is known.

    Returns:
        image, container, member and reason; empty if all is well.
    """
    sizes = container_bytes or {}
    gone = {
        str(name): _stat_fault(os.path.join(base, str(name)), sizes.get(str(name)))  # noqa: PTH118
        for name in manifest.container.unique()
        if name
    }
    places = zip(manifest.container, manifest.member, manifest.bytes, strict=True)
    prefix = f"{base}/"  # a Path for each of 112,120 images would take longer than its stat
    reasons = [
        gone[container] if container else _stat_fault(prefix + member, size)
        for container, member, size in places
    ]
    table = manifest.assign(reason=pd.Series(reasons, index=manifest.index, dtype="object"))
    return table.loc[table.reason.notna(), list(MISSING_COLUMNS)].reset_index(drop=True)


def _stat_fault(path: str, size: int | None) -> str | None:
    try:
        facts = os.stat(path)  # noqa: PTH116
    except OSError as error:
        return f"{path}: {error.strerror}"
    if not stat.S_ISREG(facts.st_mode):
        return f"{path} is no file any more"
    if size is not None and facts.st_size != size:
        return f"{path} has {facts.st_size} bytes, and had {size} when it was listed"
    return None
