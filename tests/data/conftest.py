"""The packaged NIH tables, read once."""

import gzip
from pathlib import Path

import pandas as pd
import pytest

from cxr14.datasets.image_table import read_boxes, read_images
from cxr14.datasets.raw import BOX_TABLE, IMAGE_TABLE
from cxr14.io import packaged_file


@pytest.fixture(scope="session")
def table_files(tmp_path_factory) -> tuple[Path, Path]:
    """The packaged table of images and list of boxes, unpacked."""
    folder = tmp_path_factory.mktemp("tables")
    for name in (IMAGE_TABLE, BOX_TABLE):
        packed = packaged_file("torchxrayvision", f"torchxrayvision/data/{name}.gz")
        (folder / name).write_bytes(gzip.decompress(packed.read_bytes()))
    return folder / IMAGE_TABLE, folder / BOX_TABLE


@pytest.fixture(scope="session")
def tables(table_files) -> tuple[pd.DataFrame, pd.DataFrame]:
    """All 112,120 records and all 984 boxes. Do not change them: they are shared."""
    return read_images(table_files[0]), read_boxes(table_files[1])
