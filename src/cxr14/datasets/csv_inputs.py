"""Files of the source `csv`: its table and mapping, and the images that the table names."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from cxr14.config.blocks import CsvParams
from cxr14.config.mapping import mapping_path
from cxr14.datasets.archive_kinds import Report
from cxr14.datasets.csv_rows import file_key
from cxr14.datasets.csv_table import CsvTables
from cxr14.datasets.image_sources import MANIFEST_COLUMNS, find_containers
from cxr14.datasets.manifest import Listing, hash_all, make_listing
from cxr14.datasets.raw import RENEW
from cxr14.errors import UserError
from cxr14.io import sha256


def csv_files(params: CsvParams, root: Path) -> dict[str, Path]:
    """Return the input files of the source `csv` by key: table, mapping and box_table."""
    files = {key: root / name for key, name in params.csv_inputs().items()}
    return files | {"mapping": mapping_path(str(params.mapping), root)}


def input_hashes(files: Mapping[str, Path]) -> dict[str, str]:
    """Return the SHA-256 of each input file by its key."""
    return {key: sha256(path) for key, path in sorted(files.items())}


def check_inputs(params: CsvParams, root: Path, facts: Mapping[str, Any]) -> None:
    """Check that the input files of the source `csv` are unchanged.

    If params.yaml names other files now, nothing is checked: the stage will run.

    Raises:
        UserError: one is missing or was changed; names the file and the command to run.
    """
    if params.csv_inputs() != facts["input_names"]:
        return
    for key, path in csv_files(params, root).items():
        if not path.is_file():
            raise UserError(f"{path} (data.{key}) is missing; put it back")
        if sha256(path) != facts["inputs"][key]:
            raise UserError(f"{path} (data.{key}) has changed since it was read; run {RENEW}")


def list_files(folder: Path, tables: CsvTables, workers: int = 0) -> tuple[Listing, list[str]]:
    """List and hash the images in a folder, under their names in the table.

    A cell with a / is the path of a file in the folder or in an archive; a cell without one is the
    name of a file in any folder or archive. Suffixes do not matter. Files of rows that are left out
    are not listed; files without a row are listed without a name.

    Returns:
        The listing, and the archives.

    Raises:
        FileNotFoundError: there is no such folder.
        UserError: no image of the table is in the folder, or two files of one name differ.
    """
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder} (data.folder) is not a folder")
    report = Report()
    containers = find_containers(folder, report)
    entries, issues = hash_all(folder, containers, workers) if containers else ([], [])
    files = pd.DataFrame(entries, columns=list(MANIFEST_COLUMNS))
    name_of = {key: image for image, key in tables.files.items()}
    path = files.member.map(file_key)
    key = path.where(path.isin([*name_of, *tables.left_out]), path.str.rpartition("/")[2])
    files["image"] = key.map(name_of)
    named = files[files.image.notna()]
    if named.empty:
        raise UserError(
            f"none of the {len(name_of)} images of the table is in {folder} (data.folder), first "
            f"{min(name_of)}; {_first_file(files)}; set data.folder to the folder that the paths "
            f"in the table start from, or correct columns.image of the mapping"
        )
    rows = [{str(name): value for name, value in row.items()} for row in named.to_dict("records")]
    listing = make_listing(rows, [*report.issues, *issues])
    unnamed = files[files.image.isna() & ~key.isin(tables.left_out)].assign(image="")
    manifest = pd.concat([listing.manifest, unnamed], ignore_index=True)
    archives = [name for name in containers if name]
    return Listing(manifest, listing.issues), archives


def _first_file(files: pd.DataFrame) -> str:
    return f"a file there is {files.member.iloc[0]}" if len(files) else "it holds no image"
