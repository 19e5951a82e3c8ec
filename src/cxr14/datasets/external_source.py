"""External sets: a user's folder or table as tables, a manifest and records, for scoring only.

All images of a set are scored: it has no split, and its boxes and official lists are not used.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pandas as pd

from cxr14.config.external import ExternalSet
from cxr14.datasets.csv_inputs import check_inputs
from cxr14.datasets.external import RECORDS, TABLES
from cxr14.datasets.image_table import read_image_table
from cxr14.datasets.issues import issue_rows, issue_table, read_issues
from cxr14.datasets.raw import (
    FACTS,
    IMAGE_TABLE,
    RAW_ISSUES,
    RENEW,
    images_base,
    read_facts,
    read_manifest,
)
from cxr14.datasets.source import (
    check_images,
    check_names,
    check_tables,
    write_csv_source,
    write_folder,
)
from cxr14.errors import UserError
from cxr14.io import write_parquet


def write_set(params: ExternalSet, folder: Path, root: Path, workers: int = 0) -> pd.DataFrame:
    """Write the tables, the manifest and the records of an external set.

    Args:
        params: the set.
        folder: of its outputs.
        root: the folder that relative paths start from.
        workers: processes that hash the images; 0 means one per core.

    Returns:
        The data issues of files and tables.

    Raises:
        UserError: a table, the mapping or an image cannot be used; names file, row and column.
    """
    tables = folder / TABLES
    with TemporaryDirectory() as temporary:
        no_archives = Path(temporary) / "archives"  # images stay where they are
        if params.source == "csv":
            write_csv_source(tables, no_archives, params, root, workers)
        else:
            write_folder(tables, no_archives, root / params.folder, params.folder)
    manifest, origin = read_manifest(tables), read_facts(tables)["table_files"].get(IMAGE_TABLE)
    table = read_image_table(tables / IMAGE_TABLE, origin)
    images = table.frame[table.frame["image"].isin(manifest["image"].tolist())]
    write_parquet(folder / RECORDS, images)
    rows = issue_table("external-data", issue_rows({"images": table}))
    return pd.concat([read_issues(tables / RAW_ISSUES), rows], ignore_index=True)


def check_set(params: ExternalSet, folder: Path, root: Path) -> None:
    """Check that images and tables of a set are unchanged since its stage read them.

    DVC does not track a user's folder. A set that was not read, or from elsewhere, is not checked:
    its stage will run.

    Raises:
        UserError: names the file and the command to run.
    """
    tables = folder / TABLES
    if not (tables / FACTS).is_file():
        return
    facts = read_facts(tables)
    if (facts["source"], facts["base"]) != (params.source, params.folder):
        return
    base = images_base(params.folder)
    check_images(tables, base, facts.get("container_bytes", {}))
    if params.source == "csv":
        check_inputs(params, root, facts)
    else:
        check_tables(base, facts)
    check_names(base, facts)


@contextmanager
def naming(name: str) -> Iterator[None]:
    """Name an external set, its keys and its stage in errors of code that serves `data` too."""
    try:
        yield
    except (UserError, FileNotFoundError) as error:
        key = rf"external.{name}.\1"
        text = re.sub(r"\bdata\.(folder|table|mapping|uncertain)\b", key, str(error))
        renew = f"`dvc repro --force external-data@{name} && dvc repro`"
        raise UserError(f"external set {name}: {text.replace(RENEW, renew)}") from None
