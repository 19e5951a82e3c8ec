"""The cache as others open it."""

import numpy as np
import pandas as pd
import pytest

from cxr14.errors import UserError
from cxr14.io import write_npy, write_parquet
from cxr14.preprocessing.cache import ARRAY, INDEX, open_cache, rows_of

INDEX_OF_THREE = pd.DataFrame({"row": [0, 1, 2], "image": ["c.png", "a.png", "b.png"]})


def test_an_array_is_opened_without_being_read_and_cannot_be_written(tmp_path):
    images = np.arange(12, dtype=np.uint8).reshape(3, 2, 2)
    write_npy(tmp_path / ARRAY, images)
    write_parquet(tmp_path / INDEX, INDEX_OF_THREE)
    opened, index = open_cache(tmp_path)
    assert isinstance(opened, np.memmap)
    assert not opened.flags.writeable
    assert (opened == images).all()
    assert index.equals(INDEX_OF_THREE)


def test_a_missing_cache_says_what_makes_it(tmp_path):
    with pytest.raises(UserError, match=r"no image cache in .*`dvc repro preprocess`"):
        open_cache(tmp_path)


@pytest.mark.parametrize(
    "images", [np.zeros((2, 4, 4), np.uint8), np.zeros((3, 4, 4)), np.zeros((3, 4), np.uint8)]
)
def test_an_array_that_does_not_fit_its_index_is_refused(tmp_path, images):
    write_npy(tmp_path / ARRAY, images)
    write_parquet(tmp_path / INDEX, INDEX_OF_THREE)
    with pytest.raises(UserError, match=r"images\.npy (.* does not fit the 3 rows|holds )"):
        open_cache(tmp_path)


def test_rows_come_in_the_order_of_the_names():
    assert rows_of(INDEX_OF_THREE, pd.Series(["b.png", "c.png", "b.png"])).tolist() == [2, 0, 2]


def test_an_image_that_is_not_cached_is_named():
    with pytest.raises(ValueError, match=r"1 images are not in the cache, first z\.png"):
        rows_of(INDEX_OF_THREE, pd.Series(["b.png", "z.png"]))
