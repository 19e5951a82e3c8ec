"""The sources of images and tables; each leaves the same files, see cxr14.data.raw."""

import gzip
import os
import shutil
from collections.abc import Mapping
from pathlib import Path

from cxr14.data.archives.folder import list_images, missing_images
from cxr14.data.archives.manifest import Listing
from cxr14.data.archives.reading import MANIFEST_COLUMNS
from cxr14.data.download.fetch import check_room, fetch_all
from cxr14.data.download.nih import CATALOGUE, is_archive, read_catalogue
from cxr14.data.issues import issue_table, write_issues
from cxr14.data.own_tables import find_tables
from cxr14.data.packaged import packaged_file
from cxr14.data.phantom.archive import draw_archive
from cxr14.data.phantom.sample import choose_records
from cxr14.data.raw import BOX_TABLE, FACTS, IMAGE_TABLE, LISTS, MANIFEST, ODDITIES, read_manifest
from cxr14.data.tables.records import read_boxes, read_images
from cxr14.errors import UserError
from cxr14.files import replacing, write_bytes, write_csv, write_json

PHANTOM_ARCHIVE = "images_001.tar"

NAMES = {  # how a table may be called in a user's folder, best first
    IMAGE_TABLE: (IMAGE_TABLE, "Data_Entry_2017.csv"),
    BOX_TABLE: (BOX_TABLE,),
}
OWN_NAMES = {*(name for names in NAMES.values() for name in names), *LISTS}


def write_phantoms(
    tables: Path, images: Path, count: int, contrast: float, seed: int, workers: int
) -> dict[str, int]:
    """Write the packaged tables and draw `count` phantoms into one archive."""
    own = _write_tables(tables, {})
    _link_archives([], images)
    records, boxes = read_images(tables / IMAGE_TABLE), read_boxes(tables / BOX_TABLE)
    chosen = choose_records(records, boxes, count, seed)
    own_boxes = boxes[boxes.image.isin(chosen.image)]
    drawn = draw_archive(chosen, own_boxes, images / PHANTOM_ARCHIVE, contrast, seed, workers)
    manifest = drawn.assign(container=PHANTOM_ARCHIVE)[list(MANIFEST_COLUMNS)]
    listing = Listing(manifest, issue_table("download", []))
    facts = {"source": "phantom", "phantom": True, "base": None, **own}
    return _write_listing(tables, listing, facts)


def write_folder(tables: Path, images: Path, folder: Path, base: str) -> dict[str, int]:
    """Describe a user's folder: its tables and lists, else the packaged ones, and a manifest.

    Args:
        tables: where the tables go.
        images: left empty.
        folder: the user's folder.
        base: the folder as params.yaml names it.
    """
    _link_archives([], images)
    listing = list_images(folder)
    own = _write_tables(tables, find_tables(folder, OWN_NAMES))
    facts = {"source": "folder", "phantom": False, "base": base, **own}
    return _write_listing(tables, listing, facts)


def write_nih(
    tables: Path,
    images: Path,
    downloads: Path,
    mirror: str | None,
    connections: int,
    catalogue: Path | None = None,
) -> dict[str, int]:
    """Download the set, or what of it is not there yet, and describe it.

    Args:
        tables: where the tables and lists go.
        images: where the archives go, as links to the downloads, so nothing is stored twice.
        downloads: folder that keeps what was fetched, between runs.
        mirror: a web address or a folder that holds all files by name; None: NIH's own host.
        connections: files fetched at once.
        catalogue: JSON list in place of NIH's own; kept apart, in a folder below `downloads`.
    """
    files = CATALOGUE
    facts: dict[str, object] = {"source": "nih", "phantom": False, "base": None}
    if catalogue is not None:
        files, downloads = read_catalogue(catalogue), downloads / catalogue.stem
        facts |= {"catalogue": catalogue.name}
    fetch_all(files, downloads, mirror, connections)
    paths = [downloads / file.name for file in files]
    _link_archives([path for path in paths if is_archive(path.name)], images)
    listing = list_images(images)
    facts |= _write_tables(
        tables, {path.name: path.read_bytes() for path in paths if not is_archive(path.name)}
    )
    return _write_listing(tables, listing, facts)


def check_images(tables: Path, base: Path) -> None:
    """Look whether the images of the manifest are still where they were; nothing is read.

    DVC watches what it keeps; a user's own folder is not kept by it, and would go unnoticed as
    long as the cache of shrunken images is there.

    Args:
        tables: the folder of the manifest.
        base: folder of the images and archives.

    Raises:
        UserError: some are gone, or have another size.
    """
    manifest = read_manifest(tables)
    missing = missing_images(manifest, base)
    if len(missing):
        raise UserError(
            f"{len(missing)} of {len(manifest)} images are not what they were, first "
            f"{missing.reason[0]}; bring them back, or renew the manifest with "
            f"`dvc repro --force download`"
        )


def _link_archives(archives: list[Path], images: Path) -> None:
    """Make `images` hold these archives and nothing else; copy those that cannot be linked."""
    images.mkdir(parents=True, exist_ok=True)
    wanted = {path.name for path in archives}
    for path in images.iterdir():
        if path.name not in wanted:
            path.unlink()
    for path in archives:
        target = images / path.name
        if target.exists() and target.samefile(path):
            continue
        temporary = images / f".{path.name}.link"
        temporary.unlink(missing_ok=True)
        try:
            os.link(path, temporary)
            temporary.replace(target)
        except OSError:  # another file system, or one that knows no links
            check_room(images, path.stat().st_size)
            with replacing(target) as copy:
                shutil.copyfile(path, copy)


def _write_tables(tables: Path, own: Mapping[str, bytes]) -> dict[str, object]:
    """Write a source's own tables and lists; what it lacks comes from the packaged tables.

    Args:
        tables: where they go.
        own: name and content of what the source brings.

    Returns:
        own_tables: the names of those of its own that were taken.
    """
    taken = []
    for table, names in NAMES.items():
        name = next((name for name in names if name in own), None)
        packaged = packaged_file("torchxrayvision", f"torchxrayvision/data/{table}.gz")
        content = gzip.decompress(packaged.read_bytes()) if name is None else own[name]
        write_bytes(tables / table, content)
        taken += [] if name is None else [name]
    present = [name for name in LISTS if name in own]
    if len(present) == 1:
        raise UserError(f"{present[0]} is there but not the other of {' and '.join(LISTS)}")
    for name in LISTS:
        (tables / name).unlink(missing_ok=True)
    for name in present:
        write_bytes(tables / name, own[name])
    return {"own_tables": taken + present}


def _write_listing(tables: Path, listing: Listing, facts: dict[str, object]) -> dict[str, int]:
    """Write the manifest of images that the table knows; list and count the others."""
    known, manifest = read_images(tables / IMAGE_TABLE).image, listing.manifest
    listed = manifest.image.isin(known.tolist())
    if not listed.any():
        raise UserError(
            f"none of {len(manifest)} images is in {IMAGE_TABLE}, first {manifest.image[0]}"
        )
    strangers = manifest[~listed]
    places = zip(strangers.container, strangers.member, strict=True)
    detail = f"no row in {IMAGE_TABLE}"
    unlisted = issue_table(
        "download", ((*place, "in no table", "skipped", detail) for place in places)
    )
    counts = {
        "images": int(listed.sum()),
        "images_in_no_table": len(strangers),
        "rows_without_image": len(known) - int(listed.sum()),
        **listing.counts(),
    }
    write_csv(tables / MANIFEST, manifest[listed])
    write_issues(tables / ODDITIES, listing.issues, unlisted)
    write_json(tables / FACTS, facts | counts)
    return counts
