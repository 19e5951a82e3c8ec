"""The sources of images and tables; each leaves the same files, see cxr14.data.raw."""

import gzip
from pathlib import Path

import pandas as pd

from cxr14.data.archives import MANIFEST_COLUMNS
from cxr14.data.folder import read_manifest
from cxr14.data.packaged import packaged_file
from cxr14.data.phantom.archive import draw_archive
from cxr14.data.phantom.sample import choose_records
from cxr14.data.raw import BOX_TABLE, FACTS, IMAGE_TABLE, LISTS, MANIFEST
from cxr14.data.records import read_boxes, read_images
from cxr14.files import write_bytes, write_csv, write_json

PHANTOM_ARCHIVE = "images_001.tar"

NAMES = {  # how a table may be called in a user's folder, best first
    IMAGE_TABLE: (IMAGE_TABLE, "Data_Entry_2017.csv"),
    BOX_TABLE: (BOX_TABLE,),
}


def write_phantoms(
    tables: Path, images: Path, count: int, contrast: float, seed: int, workers: int
) -> dict[str, int]:
    """Write the packaged tables and draw `count` phantoms into one archive."""
    _write_tables(tables, None)
    records, boxes = read_images(tables / IMAGE_TABLE), read_boxes(tables / BOX_TABLE)
    chosen = choose_records(records, boxes, count, seed)
    own_boxes = boxes[boxes.image.isin(chosen.image)]
    drawn = draw_archive(chosen, own_boxes, images / PHANTOM_ARCHIVE, contrast, seed, workers)
    manifest = drawn.assign(container=PHANTOM_ARCHIVE)[list(MANIFEST_COLUMNS)]
    return _write_manifest(tables, manifest, {"source": "phantom", "phantom": True, "base": None})


def write_folder(tables: Path, images: Path, folder: Path, base: str) -> dict[str, int]:
    """Describe a user's folder: its tables and lists, else the packaged ones, and a manifest.

    Args:
        tables: where the tables go.
        images: left empty.
        folder: the user's folder.
        base: the folder as params.yaml names it.
    """
    images.mkdir(parents=True, exist_ok=True)
    manifest = read_manifest(folder)
    _write_tables(tables, folder)
    return _write_manifest(tables, manifest, {"source": "folder", "phantom": False, "base": base})


def _write_tables(tables: Path, folder: Path | None) -> None:
    """Copy the tables and lists of a folder; what it lacks comes from the packaged tables."""
    for table, names in NAMES.items():
        own = [folder / name for name in names if (folder / name).exists()] if folder else []
        packaged = packaged_file("torchxrayvision", f"torchxrayvision/data/{table}.gz")
        content = own[0].read_bytes() if own else gzip.decompress(packaged.read_bytes())
        write_bytes(tables / table, content)
    present = [name for name in LISTS if folder and (folder / name).exists()]
    if folder and len(present) == 1:
        raise ValueError(f"{folder} has {present[0]} but not the other of {' and '.join(LISTS)}")
    for name in LISTS:
        (tables / name).unlink(missing_ok=True)
        if folder and present:
            write_bytes(tables / name, (folder / name).read_bytes())


def _write_manifest(
    tables: Path, manifest: pd.DataFrame, facts: dict[str, object]
) -> dict[str, int]:
    """Write the manifest of images that the table knows; count the others."""
    known = read_images(tables / IMAGE_TABLE).image
    listed = manifest[manifest.image.isin(known)]
    if listed.empty:
        raise ValueError(
            f"none of {len(manifest)} images is in {IMAGE_TABLE}, first {manifest.image[0]}"
        )
    counts = {
        "images": len(listed),
        "images_in_no_table": len(manifest) - len(listed),
        "rows_without_image": len(known) - len(listed),
    }
    write_csv(tables / MANIFEST, listed)
    write_json(tables / FACTS, facts | counts)
    return counts
