"""Files of external sets, and their reader."""

from pathlib import Path
from typing import Final

import pandas as pd

from cxr14.datasets.raw import read_facts
from cxr14.datasets.records import read_records
from cxr14.labels import CLASSES

FOLDER: Final = Path("data/external")
"""Holds a folder per set, with the following."""

TABLES: Final = "tables"
RECORDS: Final = "images.parquet"
CACHE: Final = "cache"
ISSUES: Final = "issues.csv"


def read_set(folder: Path) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """Read the records of an external set, and the classes that it labels.

    Raises:
        UserError: a file is missing or damaged.
    """
    labelled = read_facts(folder / TABLES).get("classes", CLASSES)
    return read_records(folder / RECORDS), tuple(labelled)
