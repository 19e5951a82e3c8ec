"""Sources of images and tables: phantoms, a user's folder or table, NIH. All write data/raw."""

import gzip
import hashlib
import json
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from cxr14.config.blocks import CsvParams, DataParams, PhantomParams
from cxr14.config.mapping import read_mapping
from cxr14.datasets.archive_kinds import TABLE_NOT_READ, Issue
from cxr14.datasets.boxes import check_box_table
from cxr14.datasets.columns import NIH_HEADINGS
from cxr14.datasets.csv_inputs import csv_files, input_hashes, list_files
from cxr14.datasets.csv_table import read_csv_tables
from cxr14.datasets.download import check_free_space, fetch_all
from cxr14.datasets.folder_tables import FolderTables, UserTable, find_tables
from cxr14.datasets.image_sources import MANIFEST_COLUMNS
from cxr14.datasets.image_table import read_boxes, read_images, read_list_table
from cxr14.datasets.issues import issue_table, write_issues
from cxr14.datasets.manifest import Listing, list_images, list_names, missing_images
from cxr14.datasets.nih import CATALOGUE, is_archive, read_catalogue
from cxr14.datasets.outputs import check_user_folder, foreign_error, foreign_in_archives
from cxr14.datasets.raw import (
    BOX_TABLE,
    FACTS,
    IMAGE_TABLE,
    LISTS,
    MANIFEST,
    MASK_TABLE,
    RAW_FILES,
    RAW_ISSUES,
    RENEW,
    foreign_tables,
    place_archive,
    read_manifest,
)
from cxr14.datasets.text_files import read_user_file
from cxr14.errors import UserError
from cxr14.io import packaged_file, project_root, write_bytes, write_csv, write_json
from cxr14.masks import write_masks
from cxr14.phantoms.lung_boxes import to_lung_boxes
from cxr14.phantoms.render import RenderSettings, render_archive
from cxr14.phantoms.sampling import choose_records

PHANTOM_ARCHIVE = "images_001.tar"


@dataclass(frozen=True)
class SourceTables:
    """Tables and facts of a source.

    Attributes:
        facts: source, phantom and base; see FACTS.
        tables: its tables and lists, by the standard names.
        unread: path and reason of each file that looks like a table and was not read.
        prefix: prefix of the user's paths of the tables.
        issues: of the rows of a table that was converted.
    """

    facts: dict[str, object]
    tables: Mapping[str, UserTable] = field(default_factory=dict)
    unread: list[tuple[str, str]] = field(default_factory=list)
    prefix: str = ""
    issues: Sequence[Issue] = ()

    def table_files(self) -> dict[str, str | None]:
        """Return the user's file of each table and list; None for a packaged table."""
        files = {name: f"{self.prefix}{table.file}" for name, table in self.tables.items()}
        return {IMAGE_TABLE: None, BOX_TABLE: None} | files


def write_phantoms(
    tables: Path, archives: Path, params: PhantomParams, workers: int
) -> dict[str, int]:
    """Write the packaged table, render phantoms into one archive, and write boxes and masks.

    Args:
        tables: folder of the tables. Its box table holds the extents of the drawn findings, of
            every image; masks.parquet their masks.
        archives: folder of the archive.
        params: number of phantoms, and how they are drawn.
        workers: processes; 0 means one per core. The bytes do not depend on it.
    """
    _check_targets(tables, archives)
    source = SourceTables({"source": "phantom", "phantom": True, "base": None})
    _write_tables(tables, source)
    _remove_archives(archives, keep=set())
    records, nih_boxes = read_images(tables / IMAGE_TABLE), read_boxes(tables / BOX_TABLE)
    chosen = choose_records(records, params.images, params.seed)
    lung_boxes = to_lung_boxes(nih_boxes)
    settings = RenderSettings(
        lung_boxes, params.size, params.contrast, params.shortcut, params.seed
    )
    temporary = archives / f".{PHANTOM_ARCHIVE}.new"
    phantoms = render_archive(chosen, temporary, settings, workers)
    place_archive(temporary, archives / PHANTOM_ARCHIVE)
    # The boxes of the simulated findings replace those of NIH, from which they were sampled.
    write_csv(tables / BOX_TABLE, phantoms.boxes.rename(columns=NIH_HEADINGS))
    write_masks(tables / MASK_TABLE, phantoms.masks)
    manifest = phantoms.images.assign(container=PHANTOM_ARCHIVE)[list(MANIFEST_COLUMNS)]
    return _write_listing(tables, Listing(manifest, issue_table("download", [])), source)


def write_folder(tables: Path, archives: Path, folder: Path, base: str) -> dict[str, int]:
    """Write the tables and lists of a user's folder, else the packaged ones, and a manifest.

    Args:
        tables: folder of the tables.
        archives: folder of the archives; left empty.
        folder: the user's folder.
        base: the folder as params.yaml names it.
    """
    check_user_folder(folder, project_root())
    _check_targets(tables, archives)
    folder_tables = find_tables(folder) if folder.is_dir() else FolderTables({})
    facts: dict[str, object] = {"source": "folder", "phantom": False, "base": base}
    source = SourceTables(facts, folder_tables.tables, folder_tables.unread, f"{base.rstrip('/')}/")
    _write_tables(tables, source)
    _check_tables(tables, source)  # before the images, which may take minutes
    _remove_archives(archives, keep=set())
    listing = list_images(folder)
    names = names_hash(folder)
    containers = [name for name in listing.manifest.container.unique() if name]
    sizes = {name: (folder / name).stat().st_size for name in containers}
    source.facts.update({"names_sha256": names, "container_bytes": sizes})
    return _write_listing(tables, without_table_zips(listing, source.tables), source)


def write_csv_source(
    tables: Path, archives: Path, params: CsvParams, root: Path, workers: int = 0
) -> dict[str, int]:
    """Write a user's table as NIH's tables and lists, and a manifest of its images.

    Args:
        tables: folder of the tables and lists.
        archives: folder of the archives; left empty.
        params: folder, table, mapping, table of boxes, and what uncertain labels become.
        root: the folder that relative paths start from.
        workers: processes that hash the images; 0 means one per core.

    Raises:
        UserError: the mapping, a table or an image cannot be used; names file, row and column.
    """
    base, files = str(params.folder), csv_files(params, root)
    folder = root / base
    check_user_folder(folder, root)
    _check_targets(tables, archives)
    boxes = params.box_table if isinstance(params, DataParams) else None
    converted = read_csv_tables(
        files["table"],
        str(params.table),
        read_mapping(files["mapping"]),
        params.uncertain,
        None if boxes is None else (files["box_table"], boxes),
    )
    facts: dict[str, object] = {"source": "csv", "phantom": False, "base": base}
    facts |= {"classes": list(converted.classes), "inputs": input_hashes(files)}
    facts["input_names"] = params.csv_inputs()
    origins = {} if boxes is None else {BOX_TABLE: boxes}
    user_tables = {
        name: UserTable(f"{tables / name} (from {origins.get(name, params.table)})", content)
        for name, content in converted.contents.items()
    }
    source = SourceTables(facts, user_tables, issues=converted.issues)
    _write_tables(tables, source)
    _remove_archives(archives, keep=set())
    listing, containers = list_files(folder, converted, workers)
    sizes = {name: (folder / name).stat().st_size for name in containers}
    source.facts.update({"names_sha256": names_hash(folder), "container_bytes": sizes})
    return _write_listing(tables, listing, source)


def write_nih(
    tables: Path,
    archives: Path,
    downloads: Path,
    mirror: str | None,
    connections: int,
    catalogue: Path | None = None,
) -> dict[str, int]:
    """Download the missing files of the set, and write its tables, lists and manifest.

    Args:
        tables: folder of the tables and lists.
        archives: folder of the archives, which are links to the downloads.
        downloads: folder of the downloads, kept between runs.
        mirror: a web address or a folder that holds all files by name; None: NIH's host.
        connections: number of concurrent downloads.
        catalogue: JSON list in place of NIH's; its files go to a folder below `downloads`.
    """
    files, kept = CATALOGUE, downloads
    facts: dict[str, object] = {"source": "nih", "phantom": False, "base": None}
    if catalogue is not None:
        files, downloads = read_catalogue(catalogue), downloads / catalogue.stem
        facts |= {"catalogue": catalogue.name}
    _check_targets(tables, archives, kept)  # includes archives of other catalogues
    fetch_all(files, downloads, mirror, connections)
    paths = [downloads / file.name for file in files]
    user_tables = {
        path.name: UserTable(path.name, read_user_file(path))
        for path in paths
        if not is_archive(path.name)
    }
    source = SourceTables(facts, user_tables, prefix=f"{downloads}/")
    packed = [path for path in paths if is_archive(path.name)]
    _write_tables(tables, source)
    _check_tables(tables, source)
    _remove_archives(archives, keep={path.name for path in packed})
    _link_archives(packed, archives)
    return _write_listing(tables, list_images(archives), source)


def check_images(
    tables: Path, base: Path, container_bytes: Mapping[str, int] | None = None
) -> None:
    """Check that the images of the manifest exist with unchanged sizes; see :func:`missing_images`.

    DVC does not track a user's folder.

    Raises:
        UserError: images are missing, or have another size.
    """
    manifest = read_manifest(tables)
    missing = missing_images(manifest, base, container_bytes)
    if len(missing):
        raise UserError(
            f"{len(missing)} of {len(manifest)} images are missing or changed, first "
            f"{missing.reason[0]}; restore them, or renew the manifest with {RENEW}"
        )


def names_hash(folder: Path) -> str:
    """Return a hash of the names of all images and archives of a folder."""
    names = json.dumps(list_names(folder))
    return hashlib.sha256(names.encode()).hexdigest()


def check_names(folder: Path, facts: Mapping[str, object]) -> None:
    """Check that no image or archive was added to a user's folder, or removed.

    Raises:
        UserError: names the folder and the command to run.
    """
    if facts.get("names_sha256", names_hash(folder)) != names_hash(folder):
        raise UserError(
            f"images or archives were added to {folder}, or removed, since it was listed; "
            f"run {RENEW}"
        )


def without_table_zips(listing: Listing, tables: Mapping[str, UserTable]) -> Listing:
    """Leave out the issue that a zip from which a table was read holds no image."""
    used = {table.archive for table in tables.values() if table.archive}
    issues = listing.issues
    needless = (issues.issue == "archive without images") & issues.file.isin(used)
    return replace(listing, issues=issues[~needless].reset_index(drop=True))


def check_tables(folder: Path, facts: Mapping[str, Mapping[str, str | None]]) -> None:
    """Check that the tables and lists of a user's folder are unchanged.

    Raises:
        UserError: one was changed, removed or added; names the file and the command to run.
    """
    before, now = facts["table_sha256"], find_tables(folder).tables
    changes = [
        f"{folder / table.file} {'has changed since it was read' if name in before else 'is new'}"
        for name, table in now.items()
        if before.get(name) != table.sha256
    ]
    gone = [f"{facts['table_files'][name]} is gone" for name in before if name not in now]
    if changes or gone:
        raise UserError(f"{'; '.join(changes + gone)}; run {RENEW}")


def _check_targets(tables: Path, archives: Path, downloads: Path | None = None) -> None:
    """Refuse folders with files that this stage did not write; archives link to `downloads`.

    Raises:
        UserError: a folder is a link, or holds such files.
    """
    for folder in (tables, archives):
        if folder.is_symlink():
            raise UserError(f"{folder} is a link, and its files are replaced; remove the link")
    foreign = [*foreign_tables(tables), *foreign_in_archives(Path.cwd(), archives, downloads)]
    if foreign:
        raise foreign_error([str(path) for path in foreign])


def _check_lists(source: SourceTables) -> None:
    present = [name for name in LISTS if name in source.tables]
    if len(present) == 1:
        missing = LISTS[1 - LISTS.index(present[0])]
        raise UserError(
            f"{source.table_files()[present[0]]} is there but not the other of "
            f"{' and '.join(LISTS)}; add {missing}, or remove both"
        )


def _write_tables(tables: Path, source: SourceTables) -> None:
    """Write the tables and lists of a source; a missing table is the packaged one.

    Raises:
        UserError: the source has one of the official lists and not the other.
    """
    _check_lists(source)
    write_json(tables / FACTS, source.facts)  # first: it marks the folder as ours
    for name in (*LISTS, *(name for name in RAW_FILES if name != FACTS)):
        (tables / name).unlink(missing_ok=True)
    for name in (IMAGE_TABLE, BOX_TABLE):
        if name not in source.tables:
            packed = packaged_file("torchxrayvision", f"torchxrayvision/data/{name}.gz")
            write_bytes(tables / name, gzip.decompress(packed.read_bytes()))
    for name, table in source.tables.items():
        write_bytes(tables / name, table.content)


def _remove_archives(archives: Path, keep: set[str]) -> None:
    """Create the folder, and remove the archives of an earlier run."""
    archives.mkdir(parents=True, exist_ok=True)
    for path in archives.iterdir():
        if path.name not in keep:
            path.unlink()


def _link_archives(packed: list[Path], archives: Path) -> None:
    """Link the archives into a folder; copy those that cannot be linked."""
    for path in packed:
        target, temporary = archives / path.name, archives / f".{path.name}.link"
        if target.exists() and target.samefile(path):
            continue
        temporary.unlink(missing_ok=True)
        try:
            os.link(path, temporary)
            temporary.replace(target)
        except OSError:  # another file system, or one that has no links
            check_free_space(archives, path.stat().st_size)
            shutil.copyfile(path, temporary)
            place_archive(temporary, target)


def _check_tables(tables: Path, source: SourceTables) -> None:
    """Check the source's tables and lists.

    In a later stage, which reads a copy, `dvc repro` would not notice that the user has corrected
    the file.
    """
    files = source.table_files()
    for name in source.tables:
        if name == IMAGE_TABLE:
            read_images(tables / name, files[name])
        elif name == BOX_TABLE:
            check_box_table(tables / name, files[name])
        elif name in LISTS:
            read_list_table(tables / name, origin=files[name])


def _write_listing(tables: Path, listing: Listing, source: SourceTables) -> dict[str, int]:
    """Write the manifest of the images in the table, the issues, and the facts."""
    files = source.table_files()
    rows = read_images(tables / IMAGE_TABLE, files[IMAGE_TABLE]).image
    manifest, file = listing.manifest, files[IMAGE_TABLE]
    listed = manifest.image.isin(rows.tolist())
    if not listed.any():
        raise UserError(
            f"none of {len(manifest)} images is in {file or IMAGE_TABLE}, first {manifest.image[0]}"
        )
    unlisted, without = manifest[~listed], rows[~rows.isin(manifest.image.tolist())]
    counts = {
        "images": int(listed.sum()),
        "images_in_no_table": len(unlisted),
        "rows_without_image": len(without),
        **listing.counts(),
    }
    reason = f"no row in {file or f'the packaged {IMAGE_TABLE}'}"
    skipped = [
        (container, member, "in no table", reason)
        for container, member in zip(unlisted.container, unlisted.member, strict=True)
    ]
    if file:
        skipped += [(file, name, "no image", "a row without an image") for name in without]
    skipped += [(name, "", TABLE_NOT_READ, why) for name, why in source.unread]
    if source.issues:
        counts["rows_left_out"] = sum(issue.action == "skipped" for issue in source.issues)
    more = issue_table(
        "download", [*source.issues, *((*row[:3], "skipped", row[3]) for row in skipped)]
    )
    write_csv(tables / MANIFEST, manifest[listed])
    write_issues(tables / RAW_ISSUES, listing.issues, more)
    hashes = {name: table.sha256 for name, table in source.tables.items()}
    table_facts = {"table_files": files, "table_sha256": hashes}
    write_json(tables / FACTS, source.facts | table_facts | counts)
    return counts
